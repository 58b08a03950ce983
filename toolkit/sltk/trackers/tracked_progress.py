"""Progress callbacks that also log to the trackers of a spec."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from ..errors import UsageError
from ..files import atomic
from ..files.damage import read_json
from ..runtime import processes
from ..runtime.progress import Progress
from ..spec.experiment import RunSpec
from ..spec.writing import plain_values
from .mlflow_tracker import MlflowTracker
from .tensorboard_tracker import TensorboardTracker
from .wandb_tracker import WandbTracker

Values = Mapping[str, float]


class RunTracker(Protocol):
    """A library that a run is logged to."""

    run_id: str | None
    """Identifies the run there, so that a resumed run continues it."""

    def started(self, done: int) -> None:
        """Training starts after `done` updates; what was logged for later ones is repeated."""

    def log(self, step: int, values: Values) -> None:
        """Log numbers of an update."""

    def finish(self, error: BaseException | None) -> None:
        """End the run, which failed with `error`, or succeeded."""


_KINDS: Mapping[str, Any] = {
    "tensorboard": TensorboardTracker,
    "wandb": WandbTracker,
    "mlflow": MlflowTracker,
}


class TrackedProgress(Progress):
    """Logs numbers to trackers, and passes everything on. A tracker that fails is reported once, and left out."""

    def __init__(self, inner: Progress, trackers: dict[str, RunTracker]) -> None:
        self.inner, self.trackers = inner, trackers
        self.step_done = 0

    def note(self, message: str) -> None:
        """Pass the note on."""
        self.inner.note(message)

    def started(self, steps: int, done: int) -> None:
        """Tell the trackers which updates are repeated."""
        self.step_done = done
        for name in list(self.trackers):
            with self._reported(name):
                self.trackers[name].started(done)
        self.inner.started(steps, done)

    def step(self, done: int, words: int) -> None:
        """Pass the update on."""
        self.step_done = done
        self.inner.step(done, words)

    def logged(self, values: dict[str, Any]) -> None:
        """Log the numbers as `train/loss`, `eval/f1`, and pass them on."""
        numbers = {_name(key): value for key, value in values.items() if key != "step" and _is_number(value)}
        self._log(int(values.get("step", self.step_done)), numbers)
        self.inner.logged(values)

    def labelled(self, sentences: int) -> None:
        """Pass the count on."""
        self.inner.labelled(sentences)

    def scored(self, metrics: Mapping[str, Any]) -> None:
        """Log the final scores of each split as `test/f1`, and the cost as `cost/seconds`."""
        numbers = dict(_flat({"cost" if key == "train" else key: value for key, value in metrics.items()}))
        self._log(self.step_done, numbers)

    def finish(self, error: BaseException | None) -> None:
        """End the run in all trackers."""
        for name in list(self.trackers):
            with self._reported(name):
                self.trackers[name].finish(error)

    def _log(self, step: int, numbers: Values) -> None:
        for name in list(self.trackers):
            with self._reported(name):
                self.trackers[name].log(step, numbers)

    @contextmanager
    def _reported(self, name: str) -> Iterator[None]:
        """Training must not end because a server does not answer."""
        try:
            yield
        except Exception as error:
            del self.trackers[name]
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            self.inner.note(f"warning: nothing more is logged to {name}: {reason}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _name(key: str) -> str:
    if key == "epoch":
        return key
    return f"eval/{key.removeprefix('eval_')}" if key.startswith("eval_") else f"train/{key}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers by their path; a `/` in a type must not look like one more level."""
    for name, value in values.items():
        key = name.replace("/", "_")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}/")
        elif _is_number(value):
            yield f"{prefix}{key}", value


@contextmanager
def tracked(spec: RunSpec, folder: Path, progress: Progress, *, resume: bool) -> Iterator[TrackedProgress]:
    """Open the trackers of a spec for the run in `folder`, and end them with the block.

    Raises:
        UsageError: a tracker cannot be opened.
    """
    names = dict.fromkeys(spec.trainer.log_to if processes.is_main_process() else ())
    ids_file = folder / IDS
    ids = read_json(ids_file) if resume and ids_file.exists() else {}
    parameters = dict(_parameters(plain_values(spec)))
    own = TrackedProgress(progress, {})
    try:
        for name in names:
            own.trackers[name] = _open(name, folder, spec.name, parameters, ids.get(name))
        now = {name: tracker.run_id for name, tracker in own.trackers.items() if tracker.run_id}
        if now:
            atomic.write_json(ids_file, now)
        yield own
    except BaseException as error:
        own.finish(error)
        raise
    own.finish(None)


IDS = "trackers.json"
"""The file of a run directory with the names of the run in trackers."""


def _open(name: str, folder: Path, run: str, parameters: dict[str, str], run_id: str | None) -> RunTracker:
    try:
        tracker: RunTracker = _KINDS[name](folder, run, parameters, run_id)
    except (UsageError, KeyboardInterrupt):
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"cannot log to {name}: {reason}") from error
    return tracker


def _parameters(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The settings of a spec by their dotted keys."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _parameters(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)
