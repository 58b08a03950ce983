"""Reports of what a reader of CoNLL-U leaves out: rows that are not words, their labels, and a key that is misspelt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from ...errors import nearest
from ...types import Sentence, Unused
from .conllu_rows import COLUMN_OF_KEYS, ConlluRow, RowKind, pairs_of

_NOT_WORDS = {"range": "multi-word token(s), whose words are read", "empty": "empty node(s), left out"}
_MOST_KEYS = 20


class RowReports:
    """Counts rows that are not words, and the keys that words have instead of the one that is read."""

    def __init__(self, column: str, label: Callable[[ConlluRow], str | None]) -> None:
        self._column, self._label = column, label
        self._counts: Counter[RowKind] = Counter()
        self._labelled: Counter[RowKind] = Counter()
        self._lines: dict[RowKind, int] = {}
        self._is_found = ":" not in column
        self._keys: Counter[str] = Counter()
        self._first: int | None = None

    def add(self, rows: Iterable[ConlluRow], sentence: Sentence) -> None:
        """Count the rows of a sentence."""
        for row in rows:
            self._counts[row.kind] += 1
            self._lines.setdefault(row.kind, row.line)
            self._labelled[row.kind] += self._is_label_lost(row, sentence)
            if not self._is_found:
                self._search(row)

    def _is_label_lost(self, row: ConlluRow, sentence: Sentence) -> bool:
        """Whether a row that is not a word has a label in MISC; brackets on empty nodes are read."""
        is_read = row.kind == "word" or (row.kind == "empty" and sentence.spans is not None)
        return not is_read and self._column.startswith("misc") and bool(self._label(row))

    def _search(self, row: ConlluRow) -> None:
        self._is_found = self._label(row) is not None
        self._first = row.line if self._first is None else self._first
        for key in pairs_of(row.fields[COLUMN_OF_KEYS[self._column.partition(":")[0]]]):
            if key in self._keys or len(self._keys) < _MOST_KEYS:
                self._keys[key] += 1

    def reports(self, file: str) -> Iterator[Unused]:
        """One report for all multi-word tokens, one for all empty nodes, and one for a misspelt key."""
        for kind, line in self._lines.items():
            if kind in _NOT_WORDS:
                reason = f"{self._counts[kind]} {_NOT_WORDS[kind]}: such rows are not words"
                if self._labelled[kind]:
                    reason += f", and the labels of {self._labelled[kind]} of them are not read"
                yield Unused(file, line, reason)
        similar = None if self._is_found else self._similar_key()
        if similar is not None:
            yield Unused(file, self._first, f"no word has the key {self._column}, but some have `{similar}`")

    def _similar_key(self) -> str | None:
        """A key that words have, and that the one to be read may be a misspelling of."""
        name = self._column.partition(":")[2]
        same = (key for key in self._keys if key.casefold() == name.casefold())
        return next(same, None) or nearest(name, self._keys)
