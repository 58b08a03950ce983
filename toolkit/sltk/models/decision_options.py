"""How a model decides: as its head says, as its stored thresholds say, or as a caller asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..decoding import Decisions
from ..decoding.decisions import Measure, Mode, SpanScore, check_name
from ..decoding.stored_thresholds import NAME, Thresholds, read_thresholds
from ..errors import Location, Problem, UsageError
from ..runtime.progress import Progress
from .kinds import LabellingModel

UseOfThresholds = Literal["stored", "none"]


@dataclass(frozen=True, kw_only=True)
class DecisionOptions:
    """What a caller asks for; None leaves it to the model."""

    decode: Mode | None = None
    span_score: SpanScore | None = None
    min_score: float = 0.0
    thresholds: UseOfThresholds = "stored"
    uncertainty: Measure | None = None
    compare: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: one is not valid.
        """
        check_name("thresholds", self.thresholds, get_args(UseOfThresholds))
        self.over(Decisions())

    @classmethod
    def checked(cls, **values: Any) -> DecisionOptions:
        """Options from values whose types nobody has checked, such as those of a command.

        Raises:
            UsageError: a value is not valid.
        """
        return cls(**values)

    @classmethod
    def for_evaluation(cls, decode: Mode | None, thresholds: UseOfThresholds) -> DecisionOptions:
        """The options of an evaluation: `constrained` is compared with what the head chooses, without thresholds."""
        compare = decode == "constrained"
        return cls(decode=decode, thresholds="none" if compare else thresholds, compare=compare)

    def over(self, default: Decisions | Thresholds) -> Decisions:
        """The decisions asked for, and those of `default` for the rest."""
        return Decisions(
            decode=default.decode if self.decode is None else self.decode,
            span_score=default.span_score if self.span_score is None else self.span_score,
            min_score=self.min_score,
            thresholds=default.values() if isinstance(default, Thresholds) else {},
            uncertainty=self.uncertainty,
            compare=self.compare,
        )


def decisions_for(
    model: LabellingModel, folder: Path, options: DecisionOptions, progress: Progress
) -> Decisions:
    """The decisions of the model in `folder`. A note says which thresholds apply.

    Raises:
        UsageError: `thresholds.json` is damaged, or its thresholds are for scores of another kind than those asked for.
    """
    stored = read_thresholds(folder) if options.thresholds == "stored" else None
    if options.compare and read_thresholds(folder) is not None:
        progress.note("the stored thresholds are left out of the comparison")
    decisions = options.over(stored or model.decisions)
    if stored is not None:
        _check_kind(stored, decisions, folder)
        progress.note(f"thresholds apply, chosen for {stored.summary()}")
    return decisions


def _check_kind(stored: Thresholds, decisions: Decisions, folder: Path) -> None:
    """Thresholds are values of the scores that they were chosen for, and say nothing about others."""
    for name in ("decode", "span_score"):
        expected, wished = getattr(stored, name), getattr(decisions, name)
        if expected != wished:
            about = f"the stored thresholds are for `{name}: {expected}`, not `{wished}`"
            notes = (
                '`--thresholds none` (in Python, `thresholds="none"`) ignores them',
                "`sltk thresholds` chooses new ones",
            )
            raise UsageError(Problem(about, Location(str(folder / NAME)), notes=notes))
