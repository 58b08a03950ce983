"""Compare configurations by all paired tests, on test if there is one, else on validation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .run_records import SentenceCounts
from .significance.paired import Alternative, TestResult, holm, paired_t, sign_flip
from .significance.sentences import f1_randomisation
from .study import Configuration, StudyTask


@dataclass
class Comparison:
    """A configuration compared with another on the seeds of both; differences are the first minus the second."""

    one: Configuration
    other: Configuration
    scores: tuple[list[float], list[float]]
    """Scores of both, by seed."""
    counts: tuple[list[SentenceCounts], list[SentenceCounts]]
    """Counts of both, by seed; empty if runs have none: another metric, or deleted predictions."""
    tests: tuple[TestResult, TestResult, TestResult | None]
    """Paired t-test and sign flips over seeds, and randomisation over sentences; None without counts."""
    corrected: Sequence[float | None] = ()
    """p of each test after Holm's correction."""

    def notes(self) -> list[str]:
        """The notes of all tests, without repetitions."""
        return list(dict.fromkeys(note for test in self.tests if test is not None for note in test.notes))


def compare_with_baseline(task: StudyTask) -> list[Comparison]:
    """Compare each configuration of a task with its baseline, two-sided."""
    pairs = [(each, task.baseline(each)) for each in task.configurations]
    return compare_all([(one, other) for one, other in pairs if one is not other], task.splits[-1])


def compare_all(
    pairs: Iterable[tuple[Configuration, Configuration]], split: str, alternative: Alternative = "two-sided"
) -> list[Comparison]:
    """Compare the pairs that share a seed, with Holm's correction for each kind of test."""
    candidates = (_compare(one, other, split, alternative) for one, other in pairs)
    family = [comparison for comparison in candidates if comparison is not None]
    by_test = zip(*(each.tests for each in family), strict=True)
    corrected = [holm([test and test.p for test in tests]) for tests in by_test]
    for each, values in zip(family, zip(*corrected, strict=True), strict=True):
        each.corrected = values
    return family


def _compare(
    one: Configuration, other: Configuration, split: str, alternative: Alternative
) -> Comparison | None:
    seeds = [seed for seed in one.scores(split) if seed in other.scores(split)]
    if not seeds:
        return None
    a, b = ([each.scores(split)[seed] for seed in seeds] for each in (one, other))
    left, right = (_counts(each, seeds, split) for each in (one, other))
    sentences = f1_randomisation(left, right, alternative) if left and right else None
    tests = paired_t(a, b, alternative), sign_flip(a, b, alternative), sentences
    return Comparison(one, other, (a, b), (left, right), tests)


def _counts(configuration: Configuration, seeds: Sequence[int], split: str) -> list[SentenceCounts]:
    """Counts of the runs with these seeds; empty if one of them has none."""
    counts = [configuration.runs[seed].counts.get(split) for seed in seeds]
    return [] if None in counts else [each for each in counts if each is not None]
