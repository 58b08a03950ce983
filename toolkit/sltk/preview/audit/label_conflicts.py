"""Span texts that carry another label elsewhere, or none: where one label is the exception, it may be a mistake.

A text that is labelled 50 times PER and once LOC is listed, and one that is labelled five times each is not: the text
of an exception has another label at least ten times as often. They are sorted by the number of regular cases divided by
the square of the number of exceptions, so that one exception to 50 cases comes before ten to 500.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ...data.datasets import SentenceSource
from ...errors import Location
from ...types import Sentence
from .repetition import LISTED

_RATIO = 10
"""How many times as frequent the regular label is."""
_MOST_TEXTS = 500_000
"""Distinct span texts in memory, with about 300 bytes each; later ones are not examined."""
_PLACES = 3


@dataclass(frozen=True)
class LabelConflict:
    """A text with an exceptional label."""

    text: str
    label: str | None
    """The exceptional label; None where the text is not labelled."""
    count: int
    regular: str | None
    """The label that the text has elsewhere."""
    regular_count: int
    places: tuple[str, ...]
    """The first places of the exception, as `file:line`."""


@dataclass(frozen=True)
class Conflicts:
    """All exceptional labels, the most surprising first."""

    texts: int
    """Distinct texts of spans that were examined."""
    is_complete: bool
    """Whether these are all: with very many texts, later ones are not examined."""
    count: int
    listed: list[LabelConflict]


@dataclass(slots=True)
class _Uses:
    """How often a text has a label, and where first."""

    count: int = 0
    places: list[str] = field(default_factory=list)

    def add(self, sentence: Sentence, word: int) -> None:
        self.count += 1
        if len(self.places) < _PLACES:
            self.places.append(str(Location(sentence.file or "(data)", sentence.line_of(word))))


class LabelConflicts:
    """Collects the labels of span texts: first `add` all sentences, then look for their texts without a label."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, ...], dict[str | None, _Uses]] = {}
        self._is_complete = True

    def add(self, sentence: Sentence) -> None:
        """Count the spans of a sentence by text and type."""
        for span in sentence.spans or ():
            text = tuple(sentence.words[span.start : span.end])
            if text not in self._texts and len(self._texts) >= _MOST_TEXTS:
                self._is_complete = False
                continue
            self._texts.setdefault(text, {}).setdefault(span.type, _Uses()).add(sentence, span.start)

    def find(self, splits: Iterable[SentenceSource]) -> Conflicts:
        """Find the exceptions; the splits are read again to find texts without a label."""
        if self._texts:
            lengths = self._lengths()
            for sentence in (sentence for split in splits for sentence in split):
                self._add_unlabelled(sentence, lengths)
        found = sorted(
            self._exceptions(),
            key=lambda each: (-each.regular_count / each.count**2, each.text, each.label or ""),
        )
        return Conflicts(len(self._texts), self._is_complete, len(found), found[:LISTED])

    def _lengths(self) -> dict[str, Sequence[int]]:
        """The lengths of all texts by their first word, the longest first."""
        lengths: dict[str, set[int]] = defaultdict(set)
        for text in self._texts:
            lengths[text[0]].add(len(text))
        return {word: sorted(own, reverse=True) for word, own in lengths.items()}

    def _add_unlabelled(self, sentence: Sentence, lengths: dict[str, Sequence[int]]) -> None:
        words, labelled = sentence.words, bytearray(len(sentence))
        for span in sentence.spans or ():
            labelled[span.start : span.end] = b"\1" * (span.end - span.start)
        start = 0
        while start < len(words):
            found = 0 if labelled[start] else self._longest(words, start, lengths.get(words[start], ()))
            if found and not any(labelled[start : start + found]):
                uses = self._texts[tuple(words[start : start + found])]
                if not sentence.unannotated(type_ for type_ in uses if type_ is not None):
                    uses.setdefault(None, _Uses()).add(sentence, start)
            start += max(found, 1)

    def _longest(self, words: Sequence[str], start: int, lengths: Sequence[int]) -> int:
        """The number of words of the longest span text that begins here; 0 if there is none."""
        return next((size for size in lengths if tuple(words[start : start + size]) in self._texts), 0)

    def _exceptions(self) -> Iterator[LabelConflict]:
        for text, uses in self._texts.items():
            regular = max(uses, key=lambda label: (uses[label].count, label or ""))
            most = uses[regular].count
            for label, own in uses.items():
                if most >= _RATIO * own.count:
                    yield LabelConflict(" ".join(text), label, own.count, regular, most, tuple(own.places))
