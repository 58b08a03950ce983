"""Progress of searches over values of keys: what may be tried, and one line per finished trial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .rich_console import shown
from .sweep_display import SweepDisplay, time_text

if TYPE_CHECKING:
    from ..search.tuning import Trial, TuningPlan, TuningState
    from ..sweeps import Row, Status

_STATES = {"done": "finished", "pruned": "stopped early", "failed": "failed", "running": "unfinished"}
_RULES = {
    "median": "below the median of the finished trials",
    "halving": "not among the best 1/{factor} (halving)",
}


class TuningDisplay(SweepDisplay):
    """Shows a search over values of keys on standard error."""

    def __init__(self, state: TuningState) -> None:
        super().__init__()
        self.state = state

    def lines(self, status: Status) -> Iterator[str]:
        """The number of trials, and the best so far."""
        yield f"{self.state.plan.trials} trials: {counts_text(status.count)}"
        if self.state.best is not None:
            yield f"best so far: {self._text(self.state.best)}"

    def ended(self, row: Row, status: Status) -> None:
        """Print one line per finished trial."""
        trial = next(each for each in self.state.trials if each.name == row.name)
        ended = sum(status.count(state) for state in ("done", "pruned", "failed", "damaged"))
        outcome = (
            f"validation {row.validation:.4f}" if row.validation is not None else row.reason or row.state
        )
        line = f"{ended}/{self.state.plan.trials}  {row.name}: {outcome.splitlines()[0]}"
        line += f"  ({self._values(trial)}; {time_text(row.seconds)})"
        self.console.print(shown(line), soft_wrap=True)

    def _text(self, trial: Trial) -> str:
        return f"{trial.name}, validation {trial.validation:.4f} ({self._values(trial)})"

    def _values(self, trial: Trial) -> str:
        space = self.state.plan.space
        names = short_keys(list(space))
        return ", ".join(f"{names[key]} {space[key].shown(value)}" for key, value in trial.parameters.items())


def space_lines(plan: TuningPlan) -> Iterator[str]:
    """The keys with their ranges, the number of trials, and the rule that stops them early."""
    settings, pruning = plan.settings, plan.settings.pruning
    fewer = (
        f" of {settings.trials}, as there are no more combinations" if plan.trials < settings.trials else ""
    )
    yield f"{plan.trials} trials{fewer}, strategy {settings.strategy}, seed {settings.seed}"
    for key, each in plan.space.items():
        yield f"  {key}: {each.range_text()}"
    if pruning.rule != "none":
        about = _RULES[pruning.rule].format(factor=pruning.factor)
        epochs = f"{pruning.min_epochs} epoch{'s' if pruning.min_epochs > 1 else ''}"
        yield f"  a trial is stopped early, after {epochs} at least, if its validation score is {about}"


def counts_text(count: Callable[[str], int]) -> str:
    """`18 finished, 9 stopped early, 3 failed`."""
    counts = {text: count(state) for state, text in _STATES.items()}
    return ", ".join(f"{number} {text}" for text, number in counts.items() if number) or "none yet"


def score_cells(trial: dict[str, Any]) -> tuple[str, str]:
    """Validation score and number of epochs of a trial, in a table."""
    scores = trial["scores"]
    if trial["state"] == "done":
        score = f"{trial['validation']:.4f}"
    elif trial["state"] == "pruned" and scores:
        score = f"stopped at {scores[-1]:.4f}"
    else:
        score = _STATES[trial["state"]]
    return score, str(len(scores) or "")


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each key, if that is unique, else the whole key."""
    counts = Counter(key.rpartition(".")[2] for key in keys)
    return {key: last if counts[last := key.rpartition(".")[2]] == 1 else key for key in keys}
