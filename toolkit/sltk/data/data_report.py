"""Notes about the data, reported before training and scoring."""

from __future__ import annotations

from ..runtime.progress import Progress
from ..types import Sentence
from .changes import Changes
from .datasets import Dataset, unseen_types

_SHOWN = 5


def report_data(splits: dict[str, Dataset], progress: Progress) -> None:
    """Report the size of each split, and what was repaired, left out, or cannot be predicted."""
    for name, dataset in splits.items():
        words = sum(map(len, dataset))
        spans = sum(len(sentence.spans or ()) for sentence in dataset)
        span_count = "" if dataset.scheme == "plain" else f", {spans:,} spans"
        progress.note(f"{name}: {len(dataset):,} sentences, {words:,} words{span_count}")
        if dataset.reading and dataset.reading.style and dataset.scheme != "plain":
            progress.note(f"{name}: {dataset.reading.style}")
        if dataset.reading and dataset.reading.warning:
            progress.note(f"{name}: warning: {dataset.reading.warning}")
        if dataset.repaired:
            progress.note(f"{name}: {dataset.repaired} ill-formed tags repaired")
        _report_unused(dataset, name, progress)
        unseen = unseen_types(splits["train"], dataset) if "train" in splits else []
        if unseen:
            progress.note(f"{name} has labels that train lacks, scored as errors: {', '.join(unseen)}")


def _report_unused(dataset: Dataset, name: str, progress: Progress) -> None:
    changes = Changes(dataset.unused)
    if changes.count:
        progress.note(f"{name}: {changes.count} annotations left out or changed:")
    for line in changes.lines(_SHOWN):
        progress.note(f"  {line}")


def describe_sentence(sentence: Sentence) -> str:
    """File, line and words of a sentence, for messages."""
    where = f"{sentence.file or '(data)'}:{sentence.line or '?'}"
    return f"{where}: {' '.join(sentence.words)[:100]}"
