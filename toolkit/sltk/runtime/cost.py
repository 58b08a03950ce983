"""Peak memory and speed of a run. Imports no torch."""

from __future__ import annotations

import ctypes
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROCESS = Path("/proc/self")


def peak_memory() -> int:
    """The largest resident memory of this process in bytes, since its start or since `reset_peak_memory`."""
    with suppress(OSError, StopIteration, ValueError):
        lines = (_PROCESS / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def reset_peak_memory() -> None:
    """Return freed memory to the system and measure the peak anew; where the system cannot, the peak stays."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5")


class Speed:
    """Words per second of wall-clock time, and per second of CPU time, which other processes change less."""

    def __init__(self) -> None:
        self.words, self.seconds, self.cpu_seconds = 0, 0.0, 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Add the time of a block; the block adds its words."""
        start = time.perf_counter(), time.process_time()
        yield
        self.seconds += time.perf_counter() - start[0]
        self.cpu_seconds += time.process_time() - start[1]

    @property
    def words_per_second(self) -> float:
        """Words per second of wall-clock time."""
        return self.words / max(self.seconds, 1e-9)

    @property
    def words_per_cpu_second(self) -> float:
        """Words per second of CPU time, summed over the threads of this process."""
        return self.words / max(self.cpu_seconds, 1e-9)
