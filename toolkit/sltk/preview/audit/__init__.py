"""The audit of a spec's data, before any weights are loaded: `sltk check --data`.

`counts` examines one split, `subword_counts` its tokenization, `between` compares the splits, and `findings` turns
the results into warnings.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...data.splits import load_splits
from ...errors import Problem
from ...spec.experiment import Experiment
from ...spec.loading import Loaded
from . import findings
from .between import Between, compare
from .counts import SplitCounts, count
from .subword_counts import SubwordCounts, Tokens, count_subwords, tokens_of


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
        """All results, JSON-ready, with every place."""
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
    """Read all splits and examine them.

    Raises:
        DataError: a source is missing or malformed.
        ModelError: the tokenizer's files are damaged.
    """
    experiment = loaded.spec
    splits = load_splits(experiment.data, experiment.scheme)
    tokens = tokens_of(experiment, splits["train"])
    counts = {name: count(split) for name, split in splits.items()}
    subwords = {
        name: count_subwords(split, tokens.encoder, tokens.limit)
        for name, split in splits.items()
        if tokens.encoder is not None
    }
    between = compare(splits)
    warnings = [
        loaded.problem(f"data.{finding.split}", finding.message, notes=finding.notes)
        for finding in findings.find(experiment, counts, subwords, between)
    ]
    return Audit(counts, subwords, tokens, between, warnings)


__all__ = ["Audit", "audit"]
