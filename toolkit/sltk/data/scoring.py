"""Scores of files with tagged words, like the conlleval script, for `sltk score`.

The files have one word per line and a blank line between sentences; columns are separated by tabs, or by spaces and
tabs. In a single file, the last two columns are the gold and the predicted tag. In two files, the last column of
each is the tag and the first is the word, and both must have the same words.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from .. import schemes
from ..components.metrics.accuracy import AccuracyMetric
from ..components.metrics.counting import tally_of
from ..components.metrics.seqeval import SeqevalMetric
from ..components.metrics.span_metric import Mode, SpanMetric
from ..components.readers.conll import split_blanks
from ..components.slots import Metric
from ..errors import DataError
from ..files.opening import is_stream
from ..files.text_lines import TextLines
from ..schemes.names import ReaderScheme, SchemeName
from ..types import Prediction, Sentence

DOCUMENT_MARKER = "-DOCSTART-"
_LEAST_COLUMNS = 2


class _TaggedWord(NamedTuple):
    """The first column of a line, its last two, and its number."""

    text: str
    gold: str
    tag: str
    line: int


class _ScoredSentence(NamedTuple):
    """A sentence of the gold file and the same of the predicted one, which may be the same file."""

    gold: list[_TaggedWord]
    predicted: list[_TaggedWord]
    tags: tuple[list[str], list[str]]
    """Gold and predicted."""


class _ScoredFiles:
    """The sentences of one or two files, which are read again whenever they are needed; streams are held in memory."""

    def __init__(self, gold: Path, predicted: Path | None) -> None:
        self.gold, self.predicted = gold, predicted
        self._held: list[_ScoredSentence] | None = None
        if any(path is not None and is_stream(path) for path in (gold, predicted)):
            self._held = list(self._read())

    def __iter__(self) -> Iterator[_ScoredSentence]:
        return self._read() if self._held is None else iter(self._held)

    def _read(self) -> Iterator[_ScoredSentence]:
        if self.predicted is None:
            for words in _read(self.gold, 2):
                tags = [word.gold for word in words], [word.tag for word in words]
                yield _ScoredSentence(words, words, tags)
            return
        for right, guess in zip_longest(_read(self.gold, 1), _read(self.predicted, 1)):
            _check_words(self.gold, right or [], self.predicted, guess or [])
            yield _ScoredSentence(right, guess, ([word.tag for word in right], [word.tag for word in guess]))

    def tags(self) -> Iterator[list[str]]:
        """All gold and predicted tags."""
        for sentence in self:
            yield from sentence.tags

    def predictions(self) -> Iterator[Prediction]:
        """The sentences as predictions, for metrics that need all of them."""
        for sentence in self:
            gold, predicted = sentence.tags
            yield Prediction(Sentence([word.text for word in sentence.gold], tags=gold), predicted)


def score_files(
    gold: Path,
    predicted: Path | None = None,
    scheme: ReaderScheme = "IOB2",
    mode: Mode = "strict",
    metric: Metric | None = None,
) -> dict[str, Any]:
    """Score a file of gold and predicted tags, or two files.

    `scheme` is that of both columns; `auto` detects it. The default metric is `seqeval` in `mode`, and `accuracy` for
    plain tags. Files contain no probabilities, so metrics that need them are not available.

    The files are read sentence by sentence, unless the metric needs all sentences at once, as `partial` and `spans`.

    Raises:
        DataError: a file is missing or empty, a line has too few columns or another number than the first, the
            words of two files differ, or a tag is not in the scheme; the message names file and line.
        SpecError: the metric cannot be computed from such tags.
    """
    sentences = _ScoredFiles(gold, predicted)
    tag_scheme: SchemeName = schemes.detect(sentences.tags()) if scheme == "auto" else scheme
    chosen = metric or (AccuracyMetric() if tag_scheme == "plain" else SeqevalMetric(mode=mode))
    tally = tally_of(chosen, tag_scheme)
    try:
        if tally is None:
            return chosen.score(list(sentences.predictions()), tag_scheme)
        for sentence in sentences:
            tally.add(*sentence.tags)
        return tally.scores()
    except schemes.SchemeError:
        read_as = chosen.read_as(tag_scheme) if isinstance(chosen, SpanMetric) else tag_scheme
        raise _first_bad_tag(sentences, read_as) from None


def _read(path: Path, tags: int) -> Iterator[list[_TaggedWord]]:
    """Yield the sentences of a file, whose last `tags` columns are tags."""
    sentence: list[_TaggedWord] = []
    width, first = 0, 0
    for number, line in TextLines(path):
        columns = _columns(line, tags) if "\t" in line else split_blanks(line)
        if not columns or columns[0] == DOCUMENT_MARKER:
            if sentence:
                yield sentence
            sentence = []
            continue
        if not width:
            width, first = max(len(columns), _LEAST_COLUMNS), number
        if len(columns) != width:
            expected = f"{width} columns as in line {first}, found"
            if number == first:
                expected = f"at least {width} columns, the last of them tags; found"
            raise DataError.at(f"expected {expected} {len(columns)}", path, number)
        sentence.append(_TaggedWord(columns[0], columns[-2], columns[-1], number))
    if sentence:
        yield sentence
    if not width:
        raise DataError.at("no tagged words in this file", path)


def _columns(line: str, tags: int) -> list[str]:
    """Split at tabs, so that a word may be a space, unless this leaves white space in the tags."""
    columns = line.split("\t")
    if len(columns) > 1 and all(column and column.split() == [column] for column in columns[-tags:]):
        return columns
    return split_blanks(line)


def _check_words(gold: Path, right: list[_TaggedWord], predicted: Path, guess: list[_TaggedWord]) -> None:
    """Raise an error if the words of a sentence differ, or one of the files lacks some."""
    for word, other in zip_longest(right, guess):
        if word is not None and other is not None and word.text == other.text:
            continue
        found, expected = (
            "the sentence or the file ends" if each is None else f"`{each.text}`" for each in (other, word)
        )
        place = gold if word is None else f"{gold}, line {word.line}"
        line = other.line if other is not None else guess[-1].line + 1 if guess else None
        raise DataError.at(f"the files differ: {found} here, but {expected} in {place}", predicted, line)


def _first_bad_tag(sentences: _ScoredFiles, scheme: SchemeName) -> DataError:
    """The error for the first tag that is not in the scheme, at its line: in the gold tags, or else in the others."""
    files = sentences.gold, sentences.predicted or sentences.gold
    for side, file in enumerate(files):
        for sentence in sentences:
            try:
                schemes.chunks(sentence.tags[side], scheme, strict=False)
            except schemes.SchemeError as error:
                detected = schemes.detect(sentences.tags())
                advice = f"these tags look like {detected}: use `--scheme {detected}`"
                notes = (advice,) if detected != scheme else ()
                words = sentence.predicted if side else sentence.gold
                return DataError.at(str(error), file, words[error.index].line, *notes)
    raise AssertionError("no tag is wrong")


def conlleval_report(scores: dict[str, Any]) -> str:
    """Span scores as the conlleval script prints them, then the signature; for plain tags the accuracy."""
    if "support" not in scores:
        head = [f"processed {scores['words']} tokens.", f"accuracy: {_percent(scores['accuracy'])}%"]
    else:
        head = [
            f"processed {scores['words']} tokens with {scores['support']} phrases; "
            f"found: {scores['predicted']} phrases; correct: {scores['correct']}.",
            f"accuracy: {_percent(scores['accuracy'])}%; {_prf(scores)}",
        ]
    rows = [f"{name:>17}: {_prf(row)}  {row['predicted']}" for name, row in scores["per_type"].items()]
    return "\n".join([*head, *rows, scores["signature"]])


def _prf(scores: dict[str, Any]) -> str:
    return (
        f"precision: {_percent(scores['precision'])}%; recall: {_percent(scores['recall'])}%; "
        f"FB1: {_percent(scores['f1'])}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:6.2f}"
