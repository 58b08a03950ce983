"""What the sections of `gpu.py` share: device, size, time that is left, and measurements of trainers."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback

from shared import Peak, matmul_rates, seconds
from sltk.files.memory_shortage import is_out_of_memory
from sltk.training import trainer_methods

_LIBRARIES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "flash-attn", "triton")


def accept_older_transformers() -> list[str]:
    """Let sltk train in one process with a version of transformers before the tested one.

    Such a version lacks methods that matter to several processes only; the benchmark checks losses against those of
    transformers itself. Returns the names of the methods.
    """
    missing = [name for name in trainer_methods.METHODS if not hasattr(Trainer, name)]
    known = {name: each for name, each in trainer_methods.METHODS.items() if name not in missing}
    trainer_methods.METHODS = known
    return missing


class NotMeasuredError(Exception):
    """A measurement that this machine or the time left does not allow; the text gives the reason."""


@dataclass(frozen=True)
class Run:
    """The circumstances of all sections."""

    device: torch.device
    is_tiny: bool
    """Whether models are tiny and measurements few, so that a CPU runs everything in seconds."""
    folder: Path
    """For temporary files."""
    deadline: float
    """When to end, by `time.monotonic`."""
    rate: float | None = None
    """Measured operations per second of large matrix products, in bfloat16 on a GPU."""
    partial: dict[str, Any] = field(default_factory=dict)
    """Receives the results of the section as they come, so that they are kept if it is stopped."""

    @property
    def is_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    def require(self, seconds: float) -> None:
        """Check that this many seconds are left.

        Raises:
            NotMeasuredError: they are not.
        """
        left = self.deadline - time.monotonic()
        if left < seconds:
            raise NotMeasuredError(f"no time: {max(0, left):.0f} s left, {seconds:.0f} s needed")

    def finish(self) -> None:
        """Wait for the GPU."""
        if self.is_gpu:
            torch.cuda.synchronize(self.device)

    def release(self) -> None:
        """Free the memory of objects that are no longer used."""
        gc.collect()
        if self.is_gpu:
            torch.cuda.empty_cache()

    def share(self, operations_per_second: float) -> float | None:
        """A rate as a share of that of large matrix products; None on a CPU, and if that was not measured."""
        return round(operations_per_second / self.rate, 3) if self.rate and self.is_gpu else None


class Clock(TrainerCallback):  # type: ignore[misc]
    """Measures from the start of update `first` to the end of the last, without waiting for the GPU in between."""

    def __init__(self, run: Run, first: int) -> None:
        self.run, self.first = run, first
        self.seconds = 0.0
        self._start = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.first:
            self.run.finish()
            self._start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == state.max_steps:
            self.run.finish()
            self.seconds = time.perf_counter() - self._start


def measure_trainer(
    run: Run, trainer: Any, updates: Sequence[Sequence[Any]], operations: int
) -> dict[str, Any]:
    """Train, and return speed and memory; the first update is not timed.

    Args:
        run: the circumstances.
        trainer: trains for one update per element of `updates`.
        updates: the samples of each update.
        operations: floating-point operations per subword.

    Raises:
        NotMeasuredError: memory ran out.
    """
    clock, peak = Clock(run, 1), Peak(run.device)
    trainer.add_callback(clock)
    timed = [sample for samples in updates[1:] for sample in samples]
    run.release()
    peak.start()
    try:
        trainer.train()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise NotMeasuredError(f"out of memory: {str(error).splitlines()[0]}") from None
    finally:
        trainer.optimizer = trainer.lr_scheduler = None
        run.release()
    words, subwords = sum(len(sample.tags) for sample in timed), sum(sample.tokens for sample in timed)
    return {
        "words_per_second": round(words / clock.seconds, 1),
        "peak_memory_bytes": peak.bytes(),
        "share_of_rate": run.share(operations * subwords / clock.seconds),
        "seconds_per_update": round(clock.seconds / (len(updates) - 1), 4),
    }


def attempt(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of a measurement, or `{"not_measured": reason}`."""
    try:
        return measure()
    except NotMeasuredError as error:
        return {"not_measured": str(error)}


def measure_device(run: Run) -> dict[str, Any]:
    """The section `device`: what it is, and its rates."""
    rates = {"matrix_product": matmul_rates(run.device, shape="tiny" if run.is_tiny else "").torch}
    size = 2**16 if run.is_tiny else 2**30
    source = torch.empty(size, dtype=torch.uint8, device=run.device)
    target = torch.empty_like(source)
    target.copy_(source)
    fastest = min(seconds(lambda: target.copy_(source), run.device) for _ in range(5))
    rates["copy_bytes"] = 2 * size / fastest
    facts: dict[str, Any] = {"rates": rates, "versions": _versions()}
    if run.is_gpu:
        properties = torch.cuda.get_device_properties(run.device)
        facts |= {
            "memory_bytes": properties.total_memory,
            "capability": list(torch.cuda.get_device_capability(run.device)),
            "cuda": torch.version.cuda,
        }
    return facts


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions
