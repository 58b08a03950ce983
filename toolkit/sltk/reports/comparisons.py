"""The significance tests that the runs of a task allow, on test if there is one, else on validation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .run_records import SentenceCounts
from .significance.configurations import UnmaskingTest, unmasking_over_seeds, unmasking_pairs, unmasking_test
from .significance.paired import Alternative, TestResult, holm, paired_t, sign_flip
from .significance.sentences import f1_randomisation
from .study import Configuration, StudyTask


@dataclass
class Comparison:
    """A configuration compared with another on the seeds of both; differences are the first minus the second."""

    one: Configuration
    other: Configuration
    scores: tuple[list[float], list[float]]
    """Of each seed."""
    counts: tuple[list[SentenceCounts], list[SentenceCounts]]
    """Of each seed; empty if runs have no counts: another metric, or predictions that are gone."""
    tests: tuple[TestResult, TestResult, TestResult | None]
    """Paired t-test and sign flips over seeds, and randomisation over sentences; None without counts."""
    corrected: Sequence[float | None] = ()
    """p of each test after Holm's correction."""

    @property
    def t(self) -> TestResult:
        """The paired t-test over seeds."""
        return self.tests[0]

    def notes(self) -> list[str]:
        """The notes of all tests, each once."""
        return list(dict.fromkeys(note for test in self.tests if test is not None for note in test.notes))


@dataclass
class UnmaskingTests:
    """The paper's question in one series: its own test, the same question over seeds, and each of its pairs."""

    series: str
    groups: int
    paper: UnmaskingTest
    over_seeds: list[TestResult]
    pairs: list[Comparison]


def compare_with_baseline(task: StudyTask) -> list[Comparison]:
    """Compare each configuration of a task with its baseline, two-sided."""
    pairs = [(each, task.baseline(each)) for each in task.configurations]
    return _compare_all([(one, other) for one, other in pairs if one is not other], task.splits[-1])


def unmasking_tests(task: StudyTask) -> list[UnmaskingTests]:
    """Make the paper's test in each series in which every mask was run."""
    split = task.splits[-1]
    return [
        UnmaskingTests(
            series,
            groups := len(next(iter(members))),
            unmasking_test({mask: each.summary(split).mean for mask, each in members.items()}),
            unmasking_over_seeds({mask: each.scores(split) for mask, each in members.items()}),
            _compare_all([(members[b], members[a]) for a, b in unmasking_pairs(groups)], split, "greater"),
        )
        for series, members in task.complete_masks().items()
    ]


def _compare_all(
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
