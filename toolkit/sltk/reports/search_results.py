"""Searches over values of keys: their trials, as `search.json` in the folder of a search has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import DataError
from ..spec.stored import read_mapping
from .result_tables import ResultTable
from .study import points

FILE = "search.json"
_NUMERIC = ("uniform", "log_uniform", "int")
Score = Annotated[float, Field(ge=0, le=1)]
Value = float | str


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class SearchTrial(_Part):
    """One trial."""

    name: str
    state: Literal["done", "pruned", "failed", "running"]
    validation: Score | None
    scores: list[Score]
    """After each epoch."""
    parameters: dict[str, Value]

    @property
    def score(self) -> float | None:
        """The score of its model; without a model, that of its last epoch."""
        return self.validation if self.validation is not None else (self.scores[-1] if self.scores else None)


class SearchRecord(_Part):
    """One search."""

    name: str
    strategy: str
    seed: int
    measure: str
    best: str | None
    validation: Score | None
    test: Score | None
    space: dict[str, dict[str, list[Value]]]
    importance: dict[str, Score]
    trials: list[SearchTrial]

    def kind(self, key: str) -> str:
        """The kind of the range of a key: `uniform`, `log_uniform`, `int` or `choice`."""
        return next(iter(self.space[key]), "choice")

    def is_numeric(self, key: str) -> bool:
        """Whether a key has numbers with an order, not choices."""
        return self.kind(key) in _NUMERIC

    def short(self, key: str) -> str:
        """The last part of a key, if that is unique."""
        last = key.rpartition(".")[2]
        return last if Counter(each.rpartition(".")[2] for each in self.space)[last] == 1 else key

    def count(self, state: str) -> int:
        """Number of trials in a state."""
        return sum(trial.state == state for trial in self.trials)

    def summary(self) -> str:
        """The best trial, the number of trials and the strategy, in words."""
        states = {"pruned": "stopped early", "failed": "failed", "running": "unfinished"}
        counts = [f"{self.count('done')} finished"]
        counts += [f"{self.count(state)} {text}" for state, text in states.items() if self.count(state)]
        text = f"{len(self.trials)} trials by {self.strategy} (seed {self.seed}): {', '.join(counts)}."
        if self.best is None or self.validation is None:
            return text
        test = f", and {points(self.test)} on test" if self.test is not None else ""
        return (
            f"{text} The best, {self.best}, has {self.measure} {points(self.validation)} on validation{test}."
        )


def read_search(folder: Path) -> SearchRecord | None:
    """The search in a folder; None if there is none, or one over masks.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    values = read_mapping(path)
    if "trials" not in values:
        return None
    try:
        return SearchRecord.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        note = "the same `sltk search` writes it again"
        raise DataError.at(f"the file is damaged: `{field}`: {first['msg']}", path, None, note) from error


def is_stopped_early(run: Path) -> bool:
    """Whether a run without metrics is a trial that was stopped early, according to its `trial.json`."""
    path = run / "trial.json"
    return path.is_file() and isinstance(read_mapping(path).get("pruned"), dict)


def trial_table(search: SearchRecord) -> ResultTable:
    """All trials, the best first, with their values."""
    order = {"done": 0, "pruned": 1, "failed": 2, "running": 3}
    states = {"done": "finished", "pruned": "stopped early", "failed": "failed", "running": "unfinished"}
    trials = sorted(search.trials, key=lambda each: (order[each.state], -(each.score or 0.0)))
    rows = [
        (
            trial.name,
            states[trial.state],
            points(trial.score),
            str(len(trial.scores) or ""),
            *(_shown(trial.parameters.get(key)) for key in search.space),
        )
        for trial in trials
    ]
    columns = ("trial", "state", "validation", "epochs", *map(search.short, search.space))
    best = next((place for place, trial in enumerate(trials) if trial.name == search.best), None)
    note = f"{search.measure} in points; of trials that were stopped early, after their last epoch."
    return ResultTable("Trials", columns, rows, f"{note} Bold: the best by validation.", best)


def _shown(value: Value | None) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else value


def with_scores(searches: Sequence[SearchRecord]) -> list[SearchRecord]:
    """The searches that have a trial to draw."""
    return [each for each in searches if any(trial.score is not None for trial in each.trials)]
