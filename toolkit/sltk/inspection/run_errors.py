"""The errors of a finished run on one split, read from its directory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..components.metrics import SeqevalMetric
from ..errors import DataError, Problem, UsageError
from ..files.paths import resolved
from ..rundir.scored_predictions import (
    SentenceScores,
    TaggedSentence,
    read_predictions,
    read_scores,
    span_metric,
)
from ..schemes import Chunk, SchemeError
from ..schemes.names import SchemeName
from ..spec.stored import read_mapping
from .error_kinds import SpanComparison, compare_spans, tag_spans

SPLITS = ("test", "validation")
"""The splits that a run labels; without a choice, the first that it has."""


@dataclass(frozen=True, slots=True)
class ComparedSentence:
    """A sentence with the spans of both sides, each of which is in one of the comparisons."""

    words: tuple[str, ...]
    gold: tuple[Chunk, ...]
    predicted: tuple[Chunk, ...]
    comparisons: tuple[SpanComparison, ...]
    scores: SentenceScores | None = None

    def score(self, span: Chunk) -> float | None:
        """The score of a predicted span, if it is known."""
        if self.scores is None:
            return None
        if span in self.scores.spans or self.scores.words is None:
            return self.scores.spans.get(span)
        # A span that only a lenient metric counts, or a plain tag.
        return min(self.scores.words[slice(*span[:2])])

    def confidence(self, comparison: SpanComparison) -> float | None:
        """How confident the model is: the lowest score of the predicted spans.

        For a missed span, the lowest probability of its words' tags, if none of them is in a predicted span.
        """
        if not comparison.predicted:
            (gold,) = comparison.gold
            if self.scores is None or self.scores.words is None or self._is_covered(gold):
                return None
            return min(self.scores.words[slice(*gold[:2])])
        scores = [self.score(span) for span in comparison.predicted]
        known = [score for score in scores if score is not None]
        return min(known) if len(known) == len(scores) else None

    def _is_covered(self, gold: Chunk) -> bool:
        return any(span[0] < gold[1] and gold[0] < span[1] for span in self.predicted)


@dataclass(frozen=True)
class RunErrors:
    """The compared sentences of a run."""

    folder: Path
    name: str
    split: str
    scheme: SchemeName
    has_scores: bool
    sentences: list[ComparedSentence]

    def comparisons(self) -> Iterator[SpanComparison]:
        """All comparisons, in order."""
        return (each for sentence in self.sentences for each in sentence.comparisons)


def read_errors(folder: Path, split: str | None = None) -> RunErrors:
    """Read the predictions of a finished run on a split, by default its test data, else its validation data.

    Raises:
        UsageError: the folder holds no finished labelling run, or the run labelled no such split.
        DataError: a file is damaged, or these are not the predictions that were scored.
    """
    metrics = read_mapping(_checked(folder) / "metrics.json")
    split = _split(folder, metrics, split)
    spec = read_mapping(folder / "spec.yaml")
    scheme: SchemeName = spec.get("scheme", "IOB2")
    metric = span_metric(spec) or SeqevalMetric()
    path = folder / "predictions" / f"{split}.conll"
    tagged = read_predictions(path)
    scores = read_scores(path, tagged)
    own: Sequence[SentenceScores | None] = scores if scores is not None else [None] * len(tagged)
    try:
        sentences = [
            _compared(sentence, scheme, metric, score) for sentence, score in zip(tagged, own, strict=True)
        ]
    except SchemeError as error:
        raise DataError.at(str(error), path) from error
    if span_metric(spec) is not None:
        _check_counts(sentences, metrics[split], path)
    name, folder_name = str(spec.get("name", "")), resolved(folder).name
    # Runs of a sweep share the name of their spec.
    shown = name if name == folder_name else " ".join(filter(None, (name, f"({folder_name})")))
    return RunErrors(folder, shown, split, scheme, scores is not None, sentences)


def _checked(folder: Path) -> Path:
    """The folder, if it holds a finished run."""
    if not folder.exists():
        raise UsageError(f"no such folder: `{folder}`")
    if not (folder / "spec.yaml").is_file():
        runs = sorted(path.parent for path in folder.glob("*/metrics.json"))
        runs += sorted(path.parent for path in folder.glob("runs/*/metrics.json"))
        notes = (
            (f"runs in it: {', '.join(map(str, runs[:5]))}{', …' if len(runs) > 5 else ''}",) if runs else ()
        )
        raise UsageError(Problem(f"`{folder}` is not a run directory (no spec.yaml)", notes=notes))
    if not (folder / "metrics.json").is_file():
        raise UsageError(f"the run in `{folder}` is not finished; `sltk train … --resume` continues it")
    return folder


def _split(folder: Path, metrics: dict[str, Any], split: str | None) -> str:
    available = [name for name in SPLITS if (folder / "predictions" / f"{name}.conll").is_file()]
    available = [name for name in available if isinstance(metrics.get(name), dict)]
    if not available:
        raise UsageError(f"the run in `{folder}` labelled neither test nor validation data")
    if split is None:
        return available[0]
    if split not in available:
        raise UsageError(f"the run in `{folder}` labelled no {split} data; it has {' and '.join(available)}")
    return split


def _compared(
    sentence: TaggedSentence, scheme: SchemeName, metric: SeqevalMetric, scores: SentenceScores | None
) -> ComparedSentence:
    words, *tags = sentence
    if scheme == "plain":
        gold, predicted = map(tag_spans, tags)
    else:
        gold, predicted = (metric.spans(each, scheme) for each in tags)
    comparisons = compare_spans(gold, predicted)
    return ComparedSentence(words, tuple(gold), tuple(predicted), tuple(comparisons), scores)


def _check_counts(sentences: Sequence[ComparedSentence], values: dict[str, Any], path: Path) -> None:
    """Check that the counts of all kinds are those that were scored."""
    counts = {
        "support": sum(len(sentence.gold) for sentence in sentences),
        "predicted": sum(len(sentence.predicted) for sentence in sentences),
        "correct": sum(each.kind == "correct" for sentence in sentences for each in sentence.comparisons),
    }
    for key, total in counts.items():
        if values.get(key, total) != total:
            raise DataError.at(
                f"these are not the predictions that were scored: `{key}` is {total} here "
                f"and {values[key]} in metrics.json",
                path,
            )
