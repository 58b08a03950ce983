"""Which differences are significant: every test of `sltk.reports.significance` that the runs of a task allow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .run_records import SentenceCounts
from .significance.configurations import UnmaskingTest, unmasking_over_seeds, unmasking_pairs, unmasking_test
from .significance.paired import (
    Alternative,
    EffectSize,
    Interval,
    TestResult,
    effect_size,
    holm,
    paired_t,
    sign_flip,
    t_interval,
)
from .significance.sentences import f1_interval, f1_randomisation
from .study import Configuration, Study, StudyTask


@dataclass
class Comparison:
    """A configuration against another, on the seeds that both have; differences are the first minus the second."""

    one: Configuration
    other: Configuration
    t: TestResult
    flip: TestResult
    sentences: TestResult | None
    """None where runs have no counts a sentence: another metric, or predictions that are gone."""
    effect: EffectSize
    seed_interval: Interval
    sentence_interval: Interval | None
    holm_t: float | None = None
    holm_flip: float | None = None
    holm_sentences: float | None = None

    def notes(self) -> list[str]:
        """Where assumptions do not hold, each said once."""
        results = (self.t, self.flip, self.sentences)
        return list(dict.fromkeys(note for each in results if each is not None for note in each.notes))


@dataclass
class Unmasking:
    """The paper's question in one series: its own test, the same over seeds, and its pairs one by one."""

    series: str
    groups: int
    test: UnmaskingTest
    over_seeds: list[TestResult]
    pairs: list[Comparison]


@dataclass
class Evidence:
    """The tests of one task on one split."""

    split: str
    comparisons: list[Comparison]
    unmasking: list[Unmasking]


def weigh(study: Study) -> list[Evidence]:
    """The tests of each task, on test where there is one, else on validation."""
    return [_weigh(task, task.splits[-1]) for task in study.tasks]


def _weigh(task: StudyTask, split: str) -> Evidence:
    pairs = [(each, task.baseline(each)) for each in task.configurations]
    against = [compare(one, other, split) for one, other in pairs if one is not other]
    comparisons = corrected(each for each in against if each is not None)
    unmasking = [_unmasking(name, members, split) for name, members in task.complete_masks().items()]
    return Evidence(split, comparisons, unmasking)


def _unmasking(series: str, members: dict[str, Configuration], split: str) -> Unmasking:
    scores = {mask: each.scores(split) for mask, each in members.items()}
    groups = len(next(iter(members)))
    pairs = [
        compare(members[b], members[a], split, "greater", intervals=False) for a, b in unmasking_pairs(groups)
    ]
    return Unmasking(
        series,
        groups,
        unmasking_test({mask: each.mean(split) for mask, each in members.items()}),
        unmasking_over_seeds(scores),
        corrected(pair for pair in pairs if pair is not None),
    )


def compare(
    one: Configuration,
    other: Configuration,
    split: str,
    alternative: Alternative = "two-sided",
    *,
    intervals: bool = True,
) -> Comparison | None:
    """All paired tests of two configurations; None where no seed was run with both."""
    mine, theirs = one.scores(split), other.scores(split)
    seeds = [seed for seed in mine if seed in theirs]
    if not seeds:
        return None
    a, b = [mine[seed] for seed in seeds], [theirs[seed] for seed in seeds]
    counts = _counts(one, seeds, split), _counts(other, seeds, split)
    sentences = interval = None
    if counts[0] and counts[1]:
        sentences = f1_randomisation(counts[0], counts[1], alternative)
        interval = f1_interval(counts[0], counts[1]) if intervals else None
    return Comparison(
        one, other, paired_t(a, b, alternative), sign_flip(a, b, alternative), sentences,
        effect_size(a, b), t_interval(a, b), interval,
    )  # fmt: skip


def _counts(configuration: Configuration, seeds: Sequence[int], split: str) -> list[SentenceCounts]:
    """Counts of these seeds' runs; empty where a run has none."""
    found = [configuration.runs[seed].counts.get(split) for seed in seeds]
    counts = [each for each in found if each is not None]
    return counts if len(counts) == len(seeds) else []


def corrected(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """The comparisons with Holm's correction, each kind of test a family of its own."""
    family = list(comparisons)
    by_t = holm([each.t.p for each in family])
    by_flip = holm([each.flip.p for each in family])
    by_sentences = holm([each.sentences.p if each.sentences else None for each in family])
    for place, each in enumerate(family):
        each.holm_t, each.holm_flip, each.holm_sentences = by_t[place], by_flip[place], by_sentences[place]
    return family
