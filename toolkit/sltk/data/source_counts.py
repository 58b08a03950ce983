"""Counts of each corpus of a source that has several: sentences, words, spans, and the types that it annotates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..types import Sentence


@dataclass(slots=True)
class SourceCount:
    """Counts of one corpus."""

    annotated: frozenset[str] | None
    """The types that it annotates; None: all."""
    sentences: int = 0
    words: int = 0
    spans: int = 0

    @property
    def annotates(self) -> str:
        """The types that it annotates, as text."""
        if self.annotated is None:
            return "all types"
        return ", ".join(sorted(self.annotated)) or "no type"

    def as_json(self) -> dict[str, Any]:
        """The counts, JSON-ready; `annotates` is null for all types."""
        annotates = None if self.annotated is None else sorted(self.annotated)
        counts = {"sentences": self.sentences, "words": self.words, "spans": self.spans}
        return {**counts, "annotates": annotates}


class SourceCounts:
    """Counts of the corpora of a source; none if it has no corpora with names."""

    def __init__(self) -> None:
        self.corpora: dict[str, SourceCount] = {}

    def add(self, sentence: Sentence) -> None:
        """Count a sentence, if its corpus has a name."""
        if sentence.corpus is None:
            return
        count = self.corpora.setdefault(sentence.corpus, SourceCount(sentence.annotated))
        count.sentences += 1
        count.words += len(sentence)
        count.spans += len(sentence.spans or ())

    def lines(self) -> Iterator[str]:
        """One line per corpus."""
        for name, count in self.corpora.items():
            sizes = f"{count.sentences:,} sentences, {count.words:,} words, {count.spans:,} spans"
            yield f"{name}: {sizes}; annotates {count.annotates}"

    def as_json(self) -> dict[str, dict[str, Any]]:
        """The counts by corpus as `corpora`; empty if there are none."""
        counts = {name: count.as_json() for name, count in self.corpora.items()}
        return {"corpora": counts} if counts else {}
