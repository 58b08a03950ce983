"""The audit of a spec's data, before any weights are loaded: `sltk check --data`.

`counts` examines one split, `subword_counts` its tokenization, `between` compares the splits, `near_duplicates` finds
sentences that are nearly equal, `label_conflicts` span texts with several labels, and `findings` turns the results into
warnings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ...components.heads.classifying import ClassifyingHead
from ...components.slots import Head
from ...data.dataset_stream import open_split, open_splits
from ...data.datasets import types_of
from ...data.empty_data import check_not_empty
from ...errors import Problem
from ...runtime.progress import RecordedNotes, current, reporting_to
from ...schemes.labels import LabelSet
from ...spec.experiment import Experiment
from ...spec.loading import Loaded
from ...types import Sentence
from . import findings
from .between import Between, compare
from .counts import SplitCounter, SplitCounts
from .label_conflicts import Conflicts, LabelConflicts
from .near_duplicates import SIMILARITY, NearDuplicates, NearDuplicateSearch
from .repetition import SentenceIndex
from .subword_counts import SubwordCounter, SubwordCounts, Tokens, tokens_of


@dataclass(frozen=True)
class Audit:
    """Counts of each split, comparisons of splits, and warnings."""

    splits: dict[str, SplitCounts]
    subwords: dict[str, SubwordCounts]
    """By split; empty if the tokenizer is not on this machine."""
    tokens: Tokens
    between: Between
    near: NearDuplicates | None
    """None if they were not looked for."""
    conflicts: Conflicts
    head: list[str]
    """What the head learns from the training data before training, as it reports it."""
    warnings: list[Problem]

    def as_json(self) -> dict[str, Any]:
        """All results, JSON-ready, with many places of each kind."""
        splits = {
            name: counts.as_json()
            | {"subwords": asdict(self.subwords[name]) if name in self.subwords else None}
            for name, counts in self.splits.items()
        }
        tokens = {
            "found": self.tokens.encoder is not None,
            "limit": self.tokens.limit,
            "note": self.tokens.note,
        }
        return {
            "data": splits,
            "between": asdict(self.between),
            "near_duplicates": asdict(self.near) if self.near is not None else None,
            "label_conflicts": asdict(self.conflicts),
            "tokenizer": tokens,
            "head": self.head,
        }


def audit(loaded: Loaded[Experiment], similarity: float = SIMILARITY) -> Audit:
    """Read all splits and examine them.

    In memory are 16 bytes per sentence, what is listed, and up to fixed limits the pairs of adjacent words and the
    texts of spans.

    Args:
        loaded: the spec.
        similarity: from which similarity on sentences are near duplicates; 0 does not look for them.

    Raises:
        DataError: a source is missing or malformed, or has no span.
        ModelError: the tokenizer's files are damaged.
        SpecError: keys of the head do not fit the training data.
    """
    experiment = loaded.spec
    splits = open_splits(experiment.data, experiment.scheme)
    tokens = tokens_of(experiment, splits["train"])
    counts: dict[str, SplitCounts] = {}
    subwords: dict[str, SubwordCounts] = {}
    indices: dict[str, SentenceIndex] = {}
    search = NearDuplicateSearch(similarity) if similarity else None
    conflicts = LabelConflicts()
    for name, split in splits.items():
        check_not_empty(split, getattr(experiment.data, name))
        counter = SplitCounter()
        subword_counter = SubwordCounter(tokens.encoder, tokens.limit) if tokens.encoder else None
        if search is not None:
            search.start(name)
        for sentence in split:
            counter.add(sentence, split.scheme == "plain")
            conflicts.add(sentence)
            if search is not None:
                search.add(sentence)
            if subword_counter is not None:
                subword_counter.add(sentence)
        counts[name], indices[name] = counter.counts(split), counter.index
        if subword_counter is not None:
            subwords[name] = subword_counter.counts()
    head = _fit_head(loaded, splits["train"], counts["train"].types)
    between = compare(splits, counts, indices)
    near = None if search is None else search.find(list(splits.values()), list(indices.values()))
    warnings = [
        loaded.problem(_place(experiment, finding.split), finding.message, notes=finding.notes)
        for finding in findings.find(experiment, counts, subwords, between, near)
    ]
    found = conflicts.find(list(splits.values()))
    return Audit(counts, subwords, tokens, between, near, found, head, warnings)


def _place(experiment: Experiment, split: str) -> str:
    """The key of the spec that gives a split."""
    return "data.folds" if split == "test" and experiment.data.folds is not None else f"data.{split}"


def fit_head(loaded: Loaded[Experiment]) -> None:
    """Compute what the head learns from the training data before training, which it reports; see `Head.fitted`.

    Raises:
        DataError: the training data is missing or malformed.
        SpecError: keys of the head do not fit it.
    """
    if not _learns(loaded.spec.head):
        return
    training = open_split(loaded.spec.data, loaded.spec.scheme, "train")
    _fit_head(loaded, training, types_of(training))


def _fit_head(loaded: Loaded[Experiment], training: Iterable[Sentence], types: Iterable[str]) -> list[str]:
    """What the head reports of the training data; nothing if it learns nothing of it.

    Raises:
        SpecError: its keys do not fit the data.
    """
    head, scheme = loaded.spec.head, loaded.spec.scheme
    if not _learns(head):
        return []
    labels = LabelSet.plain(types) if scheme == "plain" else LabelSet.of_types(types, scheme)
    recorded = RecordedNotes(current())
    with loaded.locate_errors(), reporting_to(recorded):
        head.fitted([*training], labels)
    return recorded.notes


def _learns(head: Head) -> bool:
    """Whether a head learns something of the training data before training."""
    fitted = type(head).fitted
    if fitted is ClassifyingHead.fitted:
        return getattr(head, "class_weights", None) is not None
    return fitted is not Head.fitted


__all__ = ["SIMILARITY", "Audit", "audit", "fit_head"]
