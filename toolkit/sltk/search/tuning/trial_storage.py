"""The trials of a search in an SQLite file of Optuna, which its own tools such as optuna-dashboard read.

The file holds tables of numbers and JSON: no pickles, and nothing in it is executed. The run directories are the
authority on how trials ended; the file adds the values of trials that have not started. If it is lost, it is written
again from the run directories.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...errors import RunError
from .proposals import frozen_trial, load_optuna
from .space_values import SpaceKey
from .trial_files import Trial, fits, stored_trial

FILE = "optuna.sqlite"
_ENDINGS = ("", "-journal", "-wal", "-shm")


class TrialStorage:
    """The SQLite file of a search, which only the process of the search writes.

    Args:
        folder: the folder of the search.
        name: the name of the study in the file.
        space: the keys of the space.
        note: receives a message if the file is damaged.
    """

    def __init__(
        self, folder: Path, name: str, space: Mapping[str, SpaceKey], note: Callable[[str], None]
    ) -> None:
        """Open or create the file; one that cannot be read is moved aside.

        Raises:
            UsageError: Optuna is not installed.
            RunError: the file cannot be written.
        """
        self._optuna = load_optuna()
        self._path, self._name, self._space = folder / FILE, name, space
        self._storage: Any = None
        self._study: Any = None
        try:
            self._open()
            self.trials = self._read()
        except Exception as error:
            if not self._path.exists():
                raise RunError(f"cannot write `{self._path}`: {_reason(error)}") from error
            self.close()
            note(f"{self._move_aside()} is damaged; the trials are read from their run directories")
            self._open()
            self.trials = []

    def _open(self) -> None:
        from sqlalchemy.engine import URL  # a dependency of Optuna

        url = URL.create("sqlite", database=str(self._path.absolute()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._storage = self._optuna.storages.RDBStorage(url.render_as_string(hide_password=False))
            self._study = self._optuna.create_study(
                storage=self._storage, study_name=self._name, direction="maximize", load_if_exists=True
            )

    def _read(self) -> list[Trial]:
        """The trials in the file, before their outcome is known, up to the first that does not fit the space."""
        trials: list[Trial] = []
        for frozen in self._study.get_trials(deepcopy=False):
            if frozen.number != len(trials) or not fits(frozen.params, self._space):
                raise ValueError(f"trial {frozen.number} does not fit the space")
            scores = tuple(score for _, score in sorted(frozen.intermediate_values.items()))
            trials.append(
                Trial(frozen.number, {key: frozen.params[key] for key in self._space}, scores=scores)
            )
        return trials

    def _move_aside(self) -> Path:
        aside = self._path.with_name(f"{FILE}.damaged")
        self._path.replace(aside)
        for ending in _ENDINGS[1:]:
            self._path.with_name(FILE + ending).unlink(missing_ok=True)
        return aside

    def recover(self, runs: Path) -> list[Trial]:
        """All trials: those in the file, and those that only have a run directory."""
        for number in itertools.count(len(self.trials)):
            trial = stored_trial(runs, number, self._space)
            if trial is None:
                return list(self.trials)
            self.add(trial)
        raise AssertionError

    def add(self, trial: Trial) -> None:
        """Store a new trial."""
        self._study.add_trial(frozen_trial(self._optuna, self._space, trial))
        self.trials.append(trial)

    def update(self, trials: Sequence[Trial]) -> None:
        """Store how trials ended. What the file already says of an ended trial stays, as Optuna requires."""
        states = self._optuna.trial.TrialState
        stored = {frozen.number: frozen for frozen in self._study.get_trials(deepcopy=False)}
        for trial in trials:
            frozen = stored[trial.number]
            if trial.state == "running" or frozen.state.is_finished():
                continue
            for epoch, score in enumerate(trial.scores, start=1):
                self._storage.set_trial_intermediate_value(frozen._trial_id, epoch, score)
            state = {"done": states.COMPLETE, "pruned": states.PRUNED}.get(trial.state, states.FAIL)
            values = [trial.validation] if trial.validation is not None else None
            self._storage.set_trial_state_values(frozen._trial_id, state=state, values=values)

    def close(self) -> None:
        """Close the file."""
        if self._storage is not None:
            with suppress(Exception):
                self._storage.remove_session()
                self._storage.engine.dispose()


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
