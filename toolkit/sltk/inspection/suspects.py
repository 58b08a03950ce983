"""Probable annotation errors: gold spans that models disagree with which were not trained on them.

Cross-validation lets every sentence be labelled by models that have not seen it, so a confident disagreement is either
an error of the model or one of the annotation (CrossWeigh, Wang et al. 2019). How confident is confident depends on the
label: in confident learning (Northcutt, Jiang and Chuang 2021), the threshold of a label is the mean probability of
that label over all examples annotated with it. Runs store no probability of a label that they did not choose, so here
it is the mean over the spans of a type that agree with the annotation, which is stricter. For a span that no model
predicts, it is the mean over the words that are in no span on either side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..components.metrics.counting import Counts
from ..data.dataset_stream import open_splits
from ..data.datasets import SentenceSource
from ..errors import Location, Problem, UsageError
from ..schemes import Chunk
from ..spec.experiment import Experiment
from ..spec.imports import ImportPolicy
from ..types import Sentence
from .error_kinds import Kind, SpanComparison, compare_spans, tag_spans
from .held_out_runs import HeldOutRun, find_runs, read_held_out, stored_words
from .run_errors import ComparedSentence

_LOW = 0.5
"""Agreement below which a note says that so weak models find few errors."""
LISTED = 1000
"""Number of suspects that are listed; the others are counted."""


@dataclass(frozen=True)
class SuspectSpan:
    """A span, its words and its type."""

    start: int
    end: int
    type: str
    text: str


@dataclass(frozen=True)
class Suspect:
    """Gold spans with which models disagree in one way."""

    split: str
    place: str
    """File and line of the first word."""
    kind: Kind
    gold: tuple[SuspectSpan, ...]
    predicted: tuple[SuspectSpan, ...]
    runs: int
    """Runs that disagree in this way."""
    of: int
    """Runs that labelled the sentence without having been trained on it."""
    score: float | None
    """Mean confidence of those that disagree; None if it is not known."""
    threshold: float | None
    """Mean confidence of the predicted labels where they agree with the annotation."""

    @property
    def is_probable(self) -> bool:
        """Whether most runs disagree, and as confidently as where they agree."""
        confident = self.score is None or self.threshold is None or self.score >= self.threshold
        return 2 * self.runs > self.of and confident

    @property
    def margin(self) -> float:
        """How far the score is on the way from the threshold to 1, or below it, on the way from 0, minus 1.

        Scores alone do not compare: models are surer of a word without a label than of any type.
        """
        if self.score is None:
            return 1.0
        if self.threshold is None:  # no model has ever been right about these labels
            return 0.0
        if self.score < self.threshold:
            return self.score / self.threshold - 1
        return 1.0 if self.threshold >= 1 else (self.score - self.threshold) / (1 - self.threshold)

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Sorts probable errors first, then by the margin, less if fewer runs disagree."""
        share = self.runs / self.of
        return not self.is_probable, -self.margin * (share if self.margin > 0 else 1), -share


@dataclass
class Suspects:
    """Disagreements of runs with the annotation."""

    runs: int
    unfinished: int
    """Runs that are left out because they are not finished, or label nothing."""
    sentences: int
    """Sentences of the data that at least one run labelled without having been trained on it."""
    of: int
    """All sentences of the data."""
    f1: float
    """Agreement of the runs with the annotation of these sentences: F1 of spans, or accuracy of plain tags."""
    probable: int
    disagreements: int
    listed: list[Suspect]
    """The first of all disagreements, probable errors first."""
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """All results, JSON-ready."""
        listed = [asdict(each) | {"probable": each.is_probable} for each in self.listed]
        return {**vars(self), "listed": listed}


def find_suspects(experiment: Experiment, paths: Sequence[Path], policy: ImportPolicy) -> Suspects:
    """Compare the annotation of all splits of a spec with what finished runs predicted for the same words.

    Sentences are found by their words; those that a run was trained on are left out for this run.

    Raises:
        UsageError: there is no finished run, or none labelled a sentence of the data that it was not trained on.
        InputError: a run directory or the data is damaged.
    """
    folders, unfinished = find_runs(paths)
    runs = list(read_held_out(folders, policy))
    thresholds = label_thresholds(runs)
    is_plain = experiment.scheme == "plain"
    others = [run.folder for run in runs if run.is_plain != is_plain]
    runs = [run for run in runs if run.is_plain == is_plain]
    suspects: list[Suspect] = []
    counts = Counts()
    total = covered = 0
    for split in open_splits(experiment.data, experiment.scheme).values():
        for sentence in split:
            total += 1
            found = (
                [run.sentences.get(stored_words(sentence.words)) for run in runs] if sentence.words else []
            )
            labelled = [each for each in found if each is not None]
            covered += bool(labelled)
            if labelled:
                suspects += _of_sentence(split, sentence, labelled, thresholds, is_plain, counts)
    notes = [note for run in runs for note in run.notes]
    if others:
        kind, other = ("plain tags", "spans") if is_plain else ("spans", "plain tags")
        notes.append(f"{len(others)} runs are left out: they predict {other}, and this data has {kind}")
    if not covered:
        raise UsageError(_uncovered(runs, folders, notes))
    suspects.sort(key=lambda each: each.rank)
    probable = sum(each.is_probable for each in suspects)
    f1 = counts.micro()["f1"]
    if f1 < _LOW:
        notes.append("the runs agree little with the annotation: most disagreements are errors of the models")
    listed = suspects[:LISTED]
    return Suspects(
        len(runs), len(unfinished), covered, total, round(f1, 4), probable, len(suspects), listed, notes
    )


def _uncovered(runs: Sequence[HeldOutRun], folders: Sequence[Path], notes: Sequence[str]) -> Problem:
    if not runs:
        message = "the runs label spans and this data has plain tags, or the other way round"
    else:
        message = "no run labelled a sentence of this data that it was not trained on"
    advice = (
        "train with `data.folds`, so that each sentence is tested by a run that did not see it",
        "or give runs whose validation or test data is in this spec",
    )
    return Problem(message, notes=(f"runs: {len(folders)}", *notes[:5], *advice))


def label_thresholds(runs: Iterable[HeldOutRun]) -> dict[str | None, float]:
    """The mean confidence in each type where it agrees with the gold of the run; None is for words without a span."""
    scores: dict[str | None, list[float]] = defaultdict(list)
    for sentence in (sentence for run in runs for sentence in run.sentences.values()):
        for span in set(sentence.gold) & set(sentence.predicted):
            if (score := sentence.score(span)) is not None:
                scores[span[2]].append(score)
        if sentence.scores is not None and sentence.scores.words is not None:
            inside = {word for span in sentence.gold + sentence.predicted for word in range(*span[:2])}
            own = sentence.scores.words
            scores[None] += [own[word] for word in range(len(own)) if word not in inside]
    return {label: sum(values) / len(values) for label, values in scores.items() if values}


def _of_sentence(
    split: SentenceSource,
    sentence: Sentence,
    labelled: Sequence[ComparedSentence],
    thresholds: dict[str | None, float],
    is_plain: bool,
    counts: Counts,
) -> Iterator[Suspect]:
    """Yield the disagreements of runs with a sentence, and count how far they agree."""
    gold = (
        tag_spans(sentence.tags or ())
        if is_plain
        else [(s.start, s.end, s.type) for s in sentence.spans or ()]
    )
    hidden = frozenset(
        ()
        if sentence.annotated is None
        else {span[2] for each in labelled for span in each.predicted} - sentence.annotated
    )
    ways: dict[SpanComparison, list[float | None]] = defaultdict(list)
    for each in labelled:
        # What the corpus does not annotate is no disagreement.
        predicted = [span for span in each.predicted if span[2] not in hidden]
        counts.add_spans(gold, predicted)
        for comparison in compare_spans(gold, predicted):
            if comparison.kind != "correct":
                ways[comparison].append(each.confidence(comparison))
    for comparison, scores in ways.items():
        known = [score for score in scores if score is not None]
        score = sum(known) / len(known) if len(known) == len(scores) else None
        gold_spans, predicted_spans = (
            tuple(_span(span, sentence) for span in side) for side in (comparison.gold, comparison.predicted)
        )
        yield Suspect(
            split=split.name,
            place=str(Location(sentence.file or "(data)", sentence.line_of(comparison.start))),
            kind=comparison.kind,
            gold=gold_spans,
            predicted=predicted_spans,
            runs=len(scores),
            of=len(labelled),
            score=None if score is None else round(score, 4),
            threshold=_threshold(comparison, thresholds),
        )


def _span(span: Chunk, sentence: Sentence) -> SuspectSpan:
    return SuspectSpan(*span, " ".join(sentence.words[slice(*span[:2])]))


def _threshold(comparison: SpanComparison, thresholds: dict[str | None, float]) -> float | None:
    """The mean threshold of the predicted types; of none of them if one never agrees with the annotation."""
    labels: list[str | None] = [span[2] for span in comparison.predicted] or [None]
    known = [thresholds[label] for label in labels if label in thresholds]
    return round(sum(known) / len(known), 4) if len(known) == len(labels) else None
