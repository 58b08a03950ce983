"""Scores of two annotated sources of any format, for `sltk score --reader`.

Two annotations of a text may divide it into other words, because a span can split a word. Both are therefore compared
over the pieces that the words of either side have.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, zip_longest
from typing import NamedTuple

from .. import schemes
from ..components.metrics.counting import tally_of
from ..components.metrics.span_metric import Mode
from ..components.slots import Metric, Reader
from ..errors import DataError
from ..schemes.names import SchemeName
from ..types import Prediction, Sentence, Span
from .changes import Changes
from .corpora import CorporaStream, open_sentences
from .datasets import to_dataset
from .raw import source_of
from .scoring import Scored, default_metric
from .sentence_stream import SentenceStream


class _Side(NamedTuple):
    words: Sequence[tuple[int, int]]
    """The offsets of words in the text, or in the words joined by spaces."""
    spans: Sequence[Span]


def scored_sources(
    gold: Reader,
    predicted: Reader,
    scheme: SchemeName | None = None,
    mode: Mode = "strict",
    metric: Metric | None = None,
) -> Scored:
    """Score the annotation of one source against that of another, sentence by sentence.

    `scheme` is that in which tags are compared; by default `plain` for plain tags, `layers` if spans overlap in one of
    the sources, and otherwise IOB2. The default metric is that of `scored_files`.

    Raises:
        DataError: the sources differ in their sentences or their text, or raised by a reader.
        SpecError: the metric cannot be computed from such annotation.
    """
    sources = _Sources(gold, predicted, scheme)
    chosen = metric or default_metric(sources.scheme, mode)
    tally = tally_of(chosen, sources.scheme)
    if tally is None:
        scores = chosen.score(list(sources.pairs()), sources.scheme)
    else:
        for prediction in sources.pairs():
            tally.add(prediction.sentence.tags or (), prediction.tags)
        scores = tally.scores()
    notes = [f"ill-formed tags that were repaired: {sources.repaired}"] if sources.repaired else []
    return Scored(scores, notes, sources.changes)


class _Sources:
    """The sentences of both sources."""

    def __init__(self, gold: Reader, predicted: Reader, scheme: SchemeName | None) -> None:
        self._gold, self._predicted = gold, predicted
        self._streams = open_sentences(gold), open_sentences(predicted)
        self.scheme: SchemeName = scheme or self._usual_scheme()
        self.changes, self.repaired = Changes(), 0

    def _usual_scheme(self) -> SchemeName:
        read = {stream.reading.scheme for stream in self._streams if stream.reading}
        if read == {"plain"} and all(stream.reading for stream in self._streams):
            return "plain"
        needs_layers = "layers" in read or any(stream.needs_layers for stream in self._streams)
        return "layers" if needs_layers else "IOB2"

    def pairs(self) -> Iterator[Prediction]:
        """Yield the sentences with the tags of both sides, over the same words."""
        for right, guess in zip_longest(*map(self._converted, self._streams)):
            if right is None or guess is None:
                raise self._error(right, guess)
            if right.words == guess.words:
                yield Prediction(right, list(guess.tags or ()), scheme=self.scheme)
            elif self.scheme == "plain" or right.with_text().text != guess.with_text().text:
                raise self._error(right, guess)
            else:
                yield self._aligned(right, guess)

    def _converted(self, stream: SentenceStream | CorporaStream) -> Iterator[Sentence]:
        for raw in stream.chunks():
            data = to_dataset(raw, self.scheme)
            self.repaired += data.repaired
            self.changes.add(data.unused)
            yield from data

    def _aligned(self, right: Sentence, guess: Sentence) -> Prediction:
        """The tags of both sides over the pieces that the words of either side have."""
        sides = [_Side(each.with_text().offsets or (), each.spans or ()) for each in (right, guess)]
        words = _pieces([side.words for side in sides])
        tags = [schemes.encode(_moved(side, words), len(words), self.scheme) for side in sides]
        text = right.with_text().text or ""
        sentence = Sentence([text[start:end] for start, end in words], tags[0])
        return Prediction(sentence, tags[1], scheme=self.scheme)

    def _error(self, right: Sentence | None, guess: Sentence | None) -> DataError:
        shown, expected = (
            "the source ends" if each is None else f"`{(each.with_text().text or '')[:60]}`"
            for each in (guess, right)
        )
        file = (guess.file if guess else None) or source_of(self._predicted)
        line = guess.line if guess else None
        gold = (right.file if right else None) or source_of(self._gold)
        at = f", line {right.line}" if right is not None and right.line else ""
        return DataError.at(f"the sources differ: {shown} here, but {expected} in {gold}{at}", file, line)


def _pieces(sides: Sequence[Sequence[tuple[int, int]]]) -> list[tuple[int, int]]:
    """The words of both sides, divided at the ends of all of them."""
    ends = sorted({place for words in sides for word in words for place in word})
    inside = {
        (start, end) for words in sides for first, last in words for start, end in _between(ends, first, last)
    }
    return sorted(inside)


def _between(ends: Sequence[int], first: int, last: int) -> Iterator[tuple[int, int]]:
    inner = ends[bisect_left(ends, first) : bisect_left(ends, last) + 1]
    return pairwise(inner)


def _moved(side: _Side, words: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """The spans over other words, which have all ends of the words of this side."""
    first = {start: index for index, (start, _) in enumerate(words)}
    last = {end: index for index, (_, end) in enumerate(words, 1)}
    for span in side.spans:
        start, end = side.words[span.start][0], side.words[span.end - 1][1]
        yield replace(span, start=first[start], end=last[end])
