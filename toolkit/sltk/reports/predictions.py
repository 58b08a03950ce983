"""What `predictions/SPLIT.conll` says: counts a sentence, which types are taken for which, a digest of the gold."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from .. import schemes
from ..components.metrics import SeqevalMetric
from ..errors import DataError
from ..files.text_lines import TextLines
from ..schemes.names import SchemeName
from .run_records import SentenceCounts

Row = tuple[str, str, str]
"""Word, gold tag, predicted tag."""


@dataclass(frozen=True)
class Labelled:
    """The sentences of a predictions file, each a list of rows."""

    path: Path
    sentences: list[list[Row]]


def read_predictions(path: Path) -> Labelled:
    """Read a predictions file. A word may be anything without a tab, so columns are cut from the right.

    Raises:
        DataError: a line has not three columns; names it.
    """
    return Labelled(path, list(_sentences(path)))


def _sentences(path: Path) -> Iterator[list[Row]]:
    sentence: list[Row] = []
    for number, line in chain(TextLines(path), [(0, "")]):
        if not line:
            if sentence:
                yield sentence
            sentence = []
            continue
        columns = line.rsplit("\t", 2)
        if len(columns) != 3:
            raise DataError.at("expected word, gold tag and predicted tag, tab-separated", path, number)
        sentence.append((columns[0], columns[1], columns[2]))


@dataclass(frozen=True)
class SpanCounter:
    """How the spans of a run were counted: its scheme, and its first metric where that is `seqeval`."""

    scheme: SchemeName
    metric: SeqevalMetric

    @classmethod
    def of(cls, settings: dict[str, Any]) -> SpanCounter | None:
        """From a resolved spec; None where another metric comes first, which counts in ways of its own."""
        first = dict((settings.get("metrics") or [{"type": "seqeval"}])[0])
        if first.pop("type", None) != "seqeval" or settings.get("scheme") == "plain":
            return None
        return cls(settings.get("scheme", "IOB2"), SeqevalMetric(**first))

    def counted(self, labelled: Labelled) -> tuple[SentenceCounts, list[tuple[str, str, int]]]:
        """Counts per sentence, and how often each type is taken for which.

        A gold and a predicted span are of one another where both ends agree; a span without such a partner
        is missed, or spurious, and has the empty type on the other side.

        Raises:
            DataError: a tag is not in the scheme.
        """
        gold_n, predicted_n, correct_n = [], [], []
        confusion: Counter[tuple[str, str]] = Counter()
        for sentence in labelled.sentences:
            gold, predicted = (self._spans(labelled, sentence, column) for column in (1, 2))
            gold_n.append(len(gold))
            predicted_n.append(len(predicted))
            correct_n.append(len(set(gold).intersection(predicted)))
            right, guess = ({span[:2]: span[2] for span in spans} for spans in (gold, predicted))
            confusion.update((right.get(ends, ""), guess.get(ends, "")) for ends in right | guess)
        counts = SentenceCounts(gold=gold_n, predicted=predicted_n, correct=correct_n)
        return counts, [(*pair, count) for pair, count in sorted(confusion.items())]

    def _spans(self, labelled: Labelled, sentence: list[Row], column: int) -> list[schemes.Chunk]:
        try:
            return self.metric.spans([row[column] for row in sentence], self.scheme)
        except schemes.SchemeError as error:
            raise DataError.at(str(error), labelled.path) from error


def tag_confusion(labelled: Labelled) -> list[tuple[str, str, int]]:
    """How often each tag is taken for which, word by word: for plain tags."""
    pairs = Counter((gold, predicted) for sentence in labelled.sentences for _, gold, predicted in sentence)
    return [(*pair, count) for pair, count in sorted(pairs.items())]


def gold_digest(labelled: Labelled, scheme: SchemeName) -> str:
    """A digest of words and gold spans, the same whatever scheme the spans are written in."""
    digest = hashlib.sha256()
    for sentence in labelled.sentences:
        tags = [gold for _, gold, _ in sentence]
        annotation = tags if scheme == "plain" else schemes.chunks(tags, scheme, strict=False)
        digest.update(repr(([word for word, _, _ in sentence], annotation)).encode("utf-8", "replace"))
    return digest.hexdigest()[:16]
