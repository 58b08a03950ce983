"""The audit of a spec's data, before any weights are loaded: `sltk check --data`.

`counts` examines one split, `subword_counts` its tokenization, `between` compares the splits, and `findings` turns
the results into warnings.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...data.dataset_stream import open_splits
from ...data.empty_data import check_not_empty
from ...errors import Problem
from ...spec.experiment import Experiment
from ...spec.loading import Loaded
from . import findings
from .between import Between, compare
from .counts import SplitCounter, SplitCounts
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
        return {"data": splits, "between": asdict(self.between), "tokenizer": tokens}


def audit(loaded: Loaded[Experiment]) -> Audit:
    """Read all splits and examine them; in memory are 16 bytes per sentence, and what is listed.

    Raises:
        DataError: a source is missing or malformed, or has no span.
        ModelError: the tokenizer's files are damaged.
    """
    experiment = loaded.spec
    splits = open_splits(experiment.data, experiment.scheme)
    tokens = tokens_of(experiment, splits["train"])
    counts: dict[str, SplitCounts] = {}
    subwords: dict[str, SubwordCounts] = {}
    indices: dict[str, SentenceIndex] = {}
    for name, split in splits.items():
        check_not_empty(split, getattr(experiment.data, name))
        counter = SplitCounter()
        subword_counter = SubwordCounter(tokens.encoder, tokens.limit) if tokens.encoder else None
        for sentence in split:
            counter.add(sentence, split.scheme == "plain")
            if subword_counter is not None:
                subword_counter.add(sentence)
        counts[name], indices[name] = counter.counts(split), counter.index
        if subword_counter is not None:
            subwords[name] = subword_counter.counts()
    between = compare(splits, counts, indices)
    warnings = [
        loaded.problem(_place(experiment, finding.split), finding.message, notes=finding.notes)
        for finding in findings.find(experiment, counts, subwords, between)
    ]
    return Audit(counts, subwords, tokens, between, warnings)


def _place(experiment: Experiment, split: str) -> str:
    """The key of the spec that gives a split."""
    return "data.folds" if split == "test" and experiment.data.folds is not None else f"data.{split}"


__all__ = ["Audit", "audit"]
