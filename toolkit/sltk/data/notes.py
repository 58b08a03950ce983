"""What is told about data before it is used."""

from __future__ import annotations

from ..runtime.progress import Progress
from ..types import Sentence
from . import datasets
from .datasets import Dataset

_SHOWN = 5


def tell_about(splits: dict[str, Dataset], progress: Progress) -> None:
    """Say what was read, and everything that was repaired, left out, or cannot be predicted."""
    for name, dataset in splits.items():
        words = sum(map(len, dataset))
        spans = sum(len(sentence.spans or ()) for sentence in dataset)
        counted = "" if dataset.scheme == "plain" else f", {spans:,} spans"
        progress.note(f"{name}: {len(dataset):,} sentences, {words:,} words{counted}")
        if dataset.repaired:
            progress.note(f"{name}: {dataset.repaired} ill-formed tags repaired")
        _tell_unused(name, dataset, progress)
        unseen = datasets.unseen_types(splits["train"], dataset) if "train" in splits else []
        if unseen:
            progress.note(f"{name} has labels that train lacks, scored as errors: {', '.join(unseen)}")


def _tell_unused(name: str, dataset: Dataset, progress: Progress) -> None:
    unused = dataset.unused
    if not unused:
        return
    progress.note(f"{name}: {len(unused)} annotations not used as they stand:")
    for each in unused[:_SHOWN]:
        progress.note(f"  {each.file}:{each.line or '?'}: {each.reason}")
    if len(unused) > _SHOWN:
        progress.note(f"  … and {len(unused) - _SHOWN} more (`sltk stats` lists all)")


def name_of(sentence: Sentence) -> str:
    """File, line and words of a sentence, to name it in a message."""
    where = f"{sentence.file or '(data)'}:{sentence.line or '?'}"
    return f"{where}: {' '.join(sentence.words)[:100]}"
