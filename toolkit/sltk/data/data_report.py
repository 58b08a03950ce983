"""Notes about the data, reported before training and scoring."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .. import schemes
from ..runtime.progress import Progress
from ..schemes.detection import TagReading
from ..schemes.names import SchemeName
from ..types import Sentence
from .changes import Changes
from .datasets import OVERLAPPING, Dataset, SentenceSource, unseen_types
from .source_counts import SourceCounts

_SHOWN = 5
KEEP_OVERLAPS = "`head: {type: span}` and `{type: layered}` find spans that overlap"


@dataclass(slots=True)
class DataSummary:
    """Counts of a dataset, from going through it once."""

    name: str
    scheme: SchemeName
    reading: TagReading | None
    sentences: int = 0
    words: int = 0
    spans: int = 0
    repaired: int = 0
    changes: Changes = field(default_factory=Changes)
    tags: set[str] = field(default_factory=set)
    """In the scheme `layers`, those of single layers."""
    corpora: SourceCounts = field(default_factory=SourceCounts)
    """Counts of each corpus, if the data has several."""


def summarize(dataset: SentenceSource) -> DataSummary:
    """Count the sentences of a dataset.

    Raises:
        DataError: the data is a stream, and malformed.
    """
    summary = DataSummary(dataset.name, dataset.scheme, dataset.reading)
    for sentence in dataset:
        summary.sentences += 1
        summary.words += len(sentence)
        summary.spans += len(sentence.spans or ())
        summary.changes.add(sentence.unused)
        summary.tags.update(_known_by_name(sentence.tags or (), dataset.scheme))
        summary.corpora.add(sentence)
    summary.repaired = dataset.repaired
    return summary


def _known_by_name(tags: Sequence[str], scheme: SchemeName) -> Iterable[str]:
    """The tags as a model numbers them."""
    return tags if scheme != "layers" else (part for tag in tags for part in tag.split(schemes.SEPARATOR))


def report_data(splits: dict[str, Dataset], progress: Progress) -> None:
    """Report the size of each split, and what was repaired, left out, or cannot be predicted."""
    for name, dataset in splits.items():
        report_summary(summarize(dataset), name, progress)
        unseen = unseen_types(splits["train"], dataset) if "train" in splits else []
        if unseen:
            progress.note(f"{name} has labels that train lacks, scored as errors: {', '.join(unseen)}")


def report_summary(data: DataSummary, name: str, progress: Progress) -> None:
    """Report the size of a dataset, and what was repaired or left out."""
    span_count = "" if data.scheme == "plain" else f", {data.spans:,} spans"
    progress.note(f"{name}: {data.sentences:,} sentences, {data.words:,} words{span_count}")
    for line in data.corpora.lines():
        progress.note(f"  {line}")
    if data.reading and data.reading.style and data.scheme != "plain":
        progress.note(f"{name}: {data.reading.style}")
    if data.reading and data.reading.warning:
        progress.note(f"{name}: warning: {data.reading.warning}")
    if data.repaired:
        progress.note(f"{name}: {data.repaired} ill-formed tags repaired")
    if data.changes.count:
        progress.note(f"{name}: {data.changes.count} annotations left out or changed:")
    for line in data.changes.lines(_SHOWN):
        progress.note(f"  {line}")
    if advice := overlap_advice(data.changes):
        progress.note(f"{name}: {advice}")


def overlap_advice(changes: Changes) -> str:
    """Which heads find the spans that are left out because they overlap others; empty if there are none."""
    count = sum(reason.count for reason in changes.reasons if reason.text.endswith(OVERLAPPING))
    return f"{count:,} spans left out because they overlap others: {KEEP_OVERLAPS}" if count else ""


def describe_sentence(sentence: Sentence) -> str:
    """File, line and words of a sentence, for messages."""
    where = f"{sentence.file or '(data)'}:{sentence.line or '?'}"
    return f"{where}: {' '.join(sentence.words)[:100]}"
