"""Processors that this process may use, and its number of threads. Imports no torch.

A container may have a quota of CPU time that is smaller than the machine: libraries that count processors then start
many more threads than can run, and each waits for the others.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MAX_THREADS = 1024
"""The most threads that `--threads` accepts."""
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_ALL_VARIABLES = (*_VARIABLES, "RAYON_NUM_THREADS")
"""Variables read by torch and onnxruntime, by MKL, and by tokenizers."""
_ROOT = Path("/")
_by_quota: list[str] = []
"""The value of `OMP_NUM_THREADS` that `respect_quota` has set."""


def usable_cpus(root: Path = _ROOT) -> int:
    """The number of processors that this process may use: its affinity, limited by the CPU quota of its cgroups.

    A quota is rounded up: 1.5 processors are 2.

    Args:
        root: the folder that contains `proc/` and `sys/`.
    """
    quota = cpu_quota(root)
    allowed = len(_affinity())
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cpu_quota(root: Path = _ROOT) -> float | None:
    """The smallest CPU quota of the cgroups of this process, version 1 or 2, in processors; None without a quota."""
    quotas = (quota for folder in _cgroup_folders(root) if (quota := _quota(folder)) is not None)
    return min(quotas, default=None)


def threads(root: Path = _ROOT) -> int:
    """The number of threads of this process: `OMP_NUM_THREADS`, or one per usable processor."""
    return requested_threads() or usable_cpus(root)


def threads_per_worker(workers: int, root: Path = _ROOT) -> int | None:
    """The number of threads of each of several worker processes; None for the default of a single process.

    Together, they have at most one per usable processor; `OMP_NUM_THREADS` may reduce it further.
    """
    if workers == 1:
        return None
    return min(threads(root), max(1, usable_cpus(root) // workers))


def thread_variables(count: int) -> dict[str, str]:
    """The environment variables that give a new process this many threads."""
    return dict.fromkeys(_ALL_VARIABLES, str(count))


def use_threads(count: int) -> None:
    """Use this many threads in this process, and in processes that it starts."""
    os.environ.update(thread_variables(count))
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(count)


def respect_quota(root: Path = _ROOT) -> None:
    """Limit the threads of libraries that are imported later to the CPU quota, unless the environment says how many.

    Without a quota, the libraries' own choice stays: torch starts one thread per core, not per hardware thread.
    """
    if any(os.environ.get(name) for name in _VARIABLES) or cpu_quota(root) is None:
        return
    count = usable_cpus(root)
    if count < _cores(root):
        os.environ["OMP_NUM_THREADS"] = str(count)
        _by_quota.append(str(count))


def requested_threads() -> int | None:
    """The number of threads in `OMP_NUM_THREADS` or `--threads`; None if neither sets a positive number."""
    setting = os.environ.get("OMP_NUM_THREADS", "")
    first = setting.split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 and setting not in _by_quota else None


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _cores(root: Path) -> int:
    """The number of cores among the processors that this process may use: hardware threads of a core count once."""
    cpus = root / "sys/devices/system/cpu"
    names = {_text(cpus / f"cpu{number}/topology/thread_siblings_list") or number for number in _affinity()}
    return len(names)


def _cgroup_folders(root: Path) -> Iterator[Path]:
    """The folders with the limits of this process: those of its cgroups, and of all their parents.

    Inside a container, the paths in `/proc/self/cgroup` may be those of the host; its own limits are then at the top.
    """
    mounts = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            tops = [mounts, mounts / "unified"]
        elif "cpu" in controllers.split(","):
            tops = [mounts / controllers, mounts / "cpu", mounts / "cpu,cpuacct"]
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        yield from (top.joinpath(*parts[:count]) for top in tops for count in range(len(parts) + 1))


def _quota(folder: Path) -> float | None:
    """The quota of one cgroup in processors; None if it has none."""
    words = _text(folder / "cpu.max").split() or [
        *_text(folder / "cpu.cfs_quota_us").split(),
        *_text(folder / "cpu.cfs_period_us").split(),
    ]
    with suppress(ValueError):  # `max`: no limit
        quota, period = map(int, words)
        if quota > 0 and period > 0:
            return quota / period
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
