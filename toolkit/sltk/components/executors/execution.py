"""Executes one run of a sweep in this process. Objects that several runs share are loaded once per process."""

from __future__ import annotations

import functools
import gc
import importlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ...files import atomic, locking
from ...runtime import run_cache
from ...runtime.cost import reset_peak_memory
from ...runtime.jobs import Failure, Job, executing
from ...runtime.progress import Progress

Emit = Callable[[Mapping[str, Any]], None]
_SECONDS_BETWEEN_STEPS = 0.25


def execute(job: Job, emit: Emit) -> dict[str, Any]:
    """Train or resume the run; returns its last event, `{"event": "finished", "metrics"}` or a failure."""
    try:
        with _output_to(Path(job.log)):
            return _execute(job, emit)
    except OSError as error:  # the log cannot be written
        return _failure(error)


def _execute(job: Job, emit: Emit) -> dict[str, Any]:
    try:
        return {"event": "finished", "metrics": _train(job, emit)}
    except (Exception, SystemExit) as error:
        with suppress(OSError):  # the log is on the disk that may be full
            os.write(2, "".join(traceback.format_exception(error)).encode(errors="replace"))
        return _failure(error)
    finally:
        _release_memory()


def _failure(error: BaseException) -> dict[str, Any]:
    failure = Failure.of(error)
    return {"event": "failed", "kind": failure.kind, "message": failure.message}


def _train(job: Job, emit: Emit) -> dict[str, Any]:
    if job.preload:
        importlib.import_module(job.preload)
    module, _, name = job.function.partition(":")
    function = getattr(importlib.import_module(module), name)
    _freeze_objects()
    os.environ.pop("SLURM_STEP_NUM_TASKS", None)  # the tasks share the runs of a sweep: each has a lock
    folder = Path(job.folder)
    # A worker of a killed sweep may hold the lock for a moment longer.
    with locking.lock(Path(job.lock), wait=60), run_cache.enabled(), executing():
        resume = not job.force and (folder / "spec.yaml").exists()
        metrics: dict[str, Any] = function(
            job.spec, folder, resume=resume, force=job.force, progress=_EventProgress(emit), **job.options
        )
        return metrics


@functools.cache
def _freeze_objects() -> None:
    """Exclude the objects of loaded libraries from garbage collection: a million of them take seconds per run."""
    gc.collect()
    gc.freeze()


def _release_memory() -> None:
    """Free the memory of a run, so that the next run in this process has as much, and its own peak."""
    gc.collect()
    reset_peak_memory()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Append everything printed to a file, including the output of C libraries."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    before = os.dup(1), os.dup(2)
    descriptor = atomic.append(log)
    try:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        yield
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        for number, saved in zip((1, 2), before, strict=True):
            os.dup2(saved, number)
            os.close(saved)
        os.close(descriptor)


class _EventProgress(Progress):
    """Emits progress as events; updates at most a few times per second."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._last = 0.0

    def note(self, message: str) -> None:
        """Emit a note."""
        self._emit({"event": "note", "message": message})

    def started(self, steps: int, done: int) -> None:
        """Emit the start of training."""
        self._emit({"event": "started", "steps": steps, "done": done})

    def step(self, done: int, words: int) -> None:
        """Emit an update, unless another was emitted just before."""
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_STEPS:
            self._last = now
            self._emit({"event": "step", "done": done, "words": words})

    def logged(self, values: dict[str, Any]) -> None:
        """Emit logged values."""
        self._emit({"event": "logged", "values": values})
