"""What is in the data of a spec, and what is odd in it, before any weight loads: `sltk check --data`.

`counts` looks at one split, `subwords` at what its tokenizer makes of it, `between` at the splits side by side,
and `findings` says of all that what a person should look at.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...data import datasets
from ...errors import Problem
from ...spec.experiment import Experiment
from ...spec.loading import Loaded
from . import findings
from .between import Between, compare
from .counts import SplitCounts, count
from .subwords import SubwordCounts, Tokens, count_subwords, tokens_of


@dataclass(frozen=True)
class Audit:
    """Counts of each split and between them, and what a person should look at."""

    splits: dict[str, SplitCounts]
    subwords: dict[str, SubwordCounts]
    """By split; empty where the tokenizer is out of reach."""
    tokens: Tokens
    between: Between
    warnings: list[Problem]

    def as_json(self) -> dict[str, Any]:
        """All of it, JSON-ready, every place included."""
        splits = {
            name: counts.as_json()
            | {"subwords": self.subwords[name].as_json() if name in self.subwords else None}
            for name, counts in self.splits.items()
        }
        tokens = {
            "found": self.tokens.encoder is not None,
            "limit": self.tokens.limit,
            "note": self.tokens.note,
        }
        return {"data": splits, "between": asdict(self.between), "tokenizer": tokens}


def audit(loaded: Loaded[Experiment]) -> Audit:
    """Read all splits and look them over.

    Raises:
        DataError: a source is missing or malformed.
        ModelError: the tokenizer's files are damaged.
    """
    experiment = loaded.experiment
    splits = datasets.load_splits(experiment.data, experiment.scheme)
    tokens = tokens_of(experiment, splits["train"])
    counts = {name: count(split) for name, split in splits.items()}
    subwords = {
        name: count_subwords(split, tokens.encoder, tokens.limit)
        for name, split in splits.items()
        if tokens.encoder is not None
    }
    between = compare(splits)
    found = findings.find(experiment, counts, subwords, between)
    warnings = [loaded.problem(f"data.{each.split}", each.message, notes=each.notes) for each in found]
    return Audit(counts, subwords, tokens, between, warnings)


__all__ = ["Audit", "audit"]
