"""Does one run of a sweep in this process. Everything that runs share is loaded once for each process."""

from __future__ import annotations

import functools
import gc
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...files import locking
from ...runtime import run_cache
from ...runtime.jobs import Failure, Job, explained
from ...runtime.progress import Progress

Tell = Callable[[Mapping[str, Any]], None]
_SECONDS_BETWEEN_STEPS = 0.25


def execute(job: Job, tell: Tell) -> dict[str, Any]:
    """Train the run, or go on with it; the last event: `{"event": "finished", "metrics"}`, or `failed` and why."""
    with _printing_to(Path(job.log)):
        try:
            event = {"event": "finished", "metrics": _train(job, tell)}
        except (Exception, SystemExit) as error:
            os.write(2, explained(error).encode(errors="replace"))
            failure = Failure.of(error)
            event = {"event": "failed", "kind": failure.kind, "message": failure.message}
        finally:
            _release()
    return event


def _train(job: Job, tell: Tell) -> dict[str, Any]:
    from ...training import fit  # noqa: F401  (imported now, before `_settle`)

    module, _, name = job.function.partition(":")
    function = getattr(importlib.import_module(module), name)

    _settle()
    folder = Path(job.folder)
    # A process that was left behind by a killed sweep may live on for a moment.
    with locking.held(Path(job.lock), wait=60), run_cache.enabled():
        resume = not job.force and (folder / "spec.yaml").exists()
        metrics: dict[str, Any] = function(
            job.spec, folder, resume=resume, force=job.force, progress=Told(tell), **job.options
        )
        return metrics


@functools.cache
def _settle() -> None:
    """Take what the libraries have made for good: looking through a million objects after each run takes seconds."""
    gc.collect()
    gc.freeze()


def _release() -> None:
    """Give back what the run held: the next one in this process is to have as much memory."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


@contextmanager
def _printing_to(log: Path) -> Iterator[None]:
    """Have all that is printed, by libraries in C too, appended to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    before = os.dup(1), os.dup(2)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, saved in zip((1, 2), before, strict=True):
            os.dup2(saved, number)
            os.close(saved)
        os.close(descriptor)


class Told(Progress):
    """A `Progress` that tells events; updates a few times a second at most."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._last = 0.0

    def note(self, message: str) -> None:
        """Pass it on."""
        self._tell({"event": "note", "message": message})

    def started(self, steps: int, done: int) -> None:
        """Pass it on."""
        self._tell({"event": "started", "steps": steps, "done": done})

    def step(self, done: int, words: int) -> None:
        """Pass it on, if the last one is a while ago."""
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_STEPS:
            self._last = now
            self._tell({"event": "step", "done": done, "words": words})

    def logged(self, values: dict[str, Any]) -> None:
        """Pass it on."""
        self._tell({"event": "logged", "values": values})
