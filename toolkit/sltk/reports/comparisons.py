"""Compare configurations by all paired tests, on test if there is one, else on validation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from ..sweeps import comparison_text
from ..sweeps.comparison_text import ComparisonError
from .run_records import SentenceCounts
from .significance.paired import (
    Alternative,
    EffectSize,
    Interval,
    TestResult,
    differences,
    effect_size,
    holm,
    paired_t,
    sign_flip,
    t_interval,
)
from .significance.sentences import f1_interval, f1_randomisation
from .study import Configuration, StudyTask

_ALPHA = 0.05


@dataclass
class Comparison:
    """A configuration compared with another on the seeds of both; differences are the first minus the second.

    With `against`, the difference between the two is compared with that between two others.
    """

    one: Configuration
    other: Configuration
    scores: tuple[list[float], list[float]]
    """Scores of both, by seed; with `against`, the two differences."""
    counts: tuple[list[SentenceCounts], list[SentenceCounts]]
    """Counts of both, by seed and repetition; empty if runs have none: another metric, or deleted predictions.

    With `against`, each side has those of its first configuration, then those of its second.
    """
    against: tuple[Configuration, Configuration] | None = None
    tests: tuple[TestResult, TestResult, TestResult | None] = field(init=False)
    """Paired t-test and sign flips over seeds, and randomisation over sentences; None without counts."""
    corrected: Sequence[float | None] = ()
    """p of each test after Holm's correction."""

    @property
    def name(self) -> str:
        """The comparison as it is declared: `A:B` or `A:B::C:D`."""
        sides = [(self.one, self.other), *([self.against] if self.against else [])]
        return "::".join(f"{one.label}:{other.label}" for one, other in sides)

    @property
    def label(self) -> str:
        """The comparison in words, such as `repeat_1 − 1111`."""
        name = f"{self.one.label} − {self.other.label}"
        if self.against is None:
            return name
        return f"({name}) − ({' − '.join(each.label for each in self.against)})"

    @property
    def weights(self) -> list[float] | None:
        """The weight of each run in `counts`, for the functions of `significance.sentences`."""
        half = len(self.counts[0]) // 2
        return None if self.against is None else [1 / half] * half + [-1 / half] * half

    @cached_property
    def intervals(self) -> tuple[Interval, Interval | None]:
        """95 % intervals of the difference: over seeds by t, and over sentences by bootstrap; None without counts."""
        over_sentences = f1_interval(*self.counts, weights=self.weights) if all(self.counts) else None
        return t_interval(*self.scores), over_sentences

    @cached_property
    def effect(self) -> EffectSize:
        """The mean difference in standard deviations of the differences between seeds."""
        return effect_size(*self.scores)

    @property
    def is_reliable(self) -> bool:
        """Whether p over sentences is below 0.05 after correction, and the interval over seeds excludes 0.

        The interval is not corrected: the t-test over three seeds could hardly pass a correction.
        """
        p, interval = self.corrected[2] if self.corrected else None, self.intervals[0]
        if p is None or interval.low is None or interval.high is None:
            return False
        return p < _ALPHA and not interval.low <= 0 <= interval.high

    def notes(self) -> list[str]:
        """The notes of all tests and of the effect size, without repetitions."""
        notes = [test.notes for test in self.tests if test is not None]
        return list(dict.fromkeys(note for each in (*notes, self.effect.notes) for note in each))


def compare_with_baseline(task: StudyTask) -> list[Comparison]:
    """Compare each configuration of a task with its baseline, two-sided."""
    pairs = [(each, task.baseline(each)) for each in task.configurations]
    return compare_all([(one, other) for one, other in pairs if one is not other], task.splits[-1])


@lru_cache(maxsize=8)  # for the table and the figure
def compare_declared(task: StudyTask) -> list[Comparison]:
    """The comparisons that the task declares, two-sided; those of configurations without a run are left out."""
    sides = [sides for text in task.compare if (sides := _sides(task, text)) is not None]
    return compare_all(sides, task.splits[-1])


def missing_comparisons(task: StudyTask) -> list[str]:
    """The declared comparisons that cannot be made, because a configuration has no run or no common seed."""
    return [
        text
        for text in task.compare
        if (sides := _sides(task, text)) is None or not _common_seeds(sides, task.splits[-1])
    ]


def _sides(task: StudyTask, text: str) -> tuple[Configuration, ...] | None:
    """The configurations that a comparison names; None if one of them has no run."""
    by_label = {each.label: each for each in task.configurations}
    try:
        return tuple(by_label[name] for name in comparison_text.parse(text, by_label))
    except ComparisonError:
        return None


def compare_all(
    sides: Iterable[tuple[Configuration, ...]], split: str, alternative: Alternative = "two-sided"
) -> list[Comparison]:
    """Make the comparisons whose configurations share a seed, with Holm's correction for each kind of test.

    Args:
        sides: two configurations to compare, or four to compare the difference of the first two with that of the
            other two.
        split: the split whose scores are compared.
        alternative: what to test for.
    """
    candidates = (_compare(each, split, alternative) for each in sides)
    family = [comparison for comparison in candidates if comparison is not None]
    by_test = zip(*(each.tests for each in family), strict=True)
    corrected = [holm([test and test.p for test in tests]) for tests in by_test]
    for each, values in zip(family, zip(*corrected, strict=True), strict=True):
        each.corrected = values
    return family


def _common_seeds(sides: Sequence[Configuration], split: str) -> list[int]:
    return [seed for seed in sides[0].scores(split) if all(seed in each.scores(split) for each in sides[1:])]


def _compare(sides: tuple[Configuration, ...], split: str, alternative: Alternative) -> Comparison | None:
    seeds = _common_seeds(sides, split)
    if not seeds:
        return None
    one, other, *against = sides
    scores = [[each.scores(split)[seed] for seed in seeds] for each in sides]
    counts = [_counts(each, seeds, split) for each in sides]
    if against:
        scores = [differences(a, b).tolist() for a, b in (scores[:2], scores[2:])]
        counts = [a + b if a and b else [] for a, b in (counts[:2], counts[2:])]
    pair = (against[0], against[1]) if against else None
    made = Comparison(one, other, (scores[0], scores[1]), (counts[0], counts[1]), pair)
    made.tests = (
        paired_t(*made.scores, alternative),
        sign_flip(*made.scores, alternative),
        f1_randomisation(*made.counts, alternative, weights=made.weights) if all(made.counts) else None,
    )
    return made


def _counts(configuration: Configuration, seeds: Sequence[int], split: str) -> list[SentenceCounts]:
    """Counts of the runs with these seeds, and of their repetitions; empty if one of them has none."""
    counts = [each.unit_counts(split) for seed in seeds for each in configuration.runs[seed].passes]
    return [] if None in counts else [each for each in counts if each is not None]
