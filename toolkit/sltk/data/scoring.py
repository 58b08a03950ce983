"""Scoring files of tagged words, like the conlleval script: for `sltk score`.

One word a line, a blank line between sentences; columns stand apart by tabs, or by any white space. With one
file its last two columns are the gold and the predicted tag; with two the last column of each is the tag and
the first the word, and both must have the same words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from .. import schemes
from ..components.metrics.accuracy import AccuracyMetric
from ..components.metrics.seqeval import SeqevalMetric
from ..components.metrics.span_metric import Mode, SpanMetric
from ..components.slots import Metric
from ..errors import DataError
from ..files.text_lines import TextLines
from ..schemes.names import ReaderScheme, SchemeName
from ..types import Prediction, Sentence

DOCUMENT_MARKER = "-DOCSTART-"


@dataclass(slots=True)
class _Tagged:
    """The words of one sentence, its last columns but one and its last, and the line of each word."""

    words: list[str] = field(default_factory=list)
    before_last: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Side:
    """The tags of all sentences from one column, and where each stands."""

    file: Path
    words: list[list[str]]
    tags: list[list[str]]
    lines: list[list[int]]


def score_files(
    gold: Path,
    predicted: Path | None = None,
    scheme: ReaderScheme = "IOB2",
    mode: Mode = "strict",
    metric: Metric | None = None,
) -> dict[str, Any]:
    """The scores of a file of gold and predicted tags, or of two files.

    `scheme` says what both columns are in; `auto` finds out. Unset, `metric` is `seqeval` in `mode`, and
    `accuracy` for plain tags. Files hold no probabilities for a metric to look at.

    Raises:
        DataError: a file is missing or empty, a line has too few columns or not as many as the first, the
            words of two files differ, or a tag is not in the scheme; names file and line.
        SpecError: the metric cannot be computed of such tags.
    """
    right, guess = _one_file(gold) if predicted is None else _two_files(gold, predicted)
    named: SchemeName = schemes.detect(right.tags + guess.tags) if scheme == "auto" else scheme
    chosen = metric or (AccuracyMetric() if named == "plain" else SeqevalMetric(mode=mode))
    try:
        return chosen.score(_predictions(right, guess), named)
    except schemes.SchemeError:
        read_as = chosen.read_as(named) if isinstance(chosen, SpanMetric) else named
        raise _first_bad_tag((right, guess), read_as) from None


def _predictions(right: _Side, guess: _Side) -> list[Prediction]:
    return [
        Prediction(Sentence(words, tags=gold), predicted)
        for words, gold, predicted in zip(right.words, right.tags, guess.tags, strict=True)
    ]


def _one_file(path: Path) -> tuple[_Side, _Side]:
    sentences = list(_sentences(path, 2, 2))
    gold = [sentence.before_last for sentence in sentences]
    return _side(path, sentences, gold), _side(path, sentences)


def _two_files(gold: Path, predicted: Path) -> tuple[_Side, _Side]:
    right, guess = list(_sentences(gold, 2, 1)), list(_sentences(predicted, 2, 1))
    for one, other in zip_longest(right, guess):
        _check_words(gold, one, predicted, other)
    return _side(gold, right), _side(predicted, guess)


def _side(path: Path, sentences: list[_Tagged], tags: list[list[str]] | None = None) -> _Side:
    """One side of what was read: the tags of the last column, unless others are given."""
    words = [sentence.words for sentence in sentences]
    last = [sentence.last for sentence in sentences]
    return _Side(path, words, tags or last, [sentence.lines for sentence in sentences])


def _sentences(path: Path, least: int, tags: int) -> Iterator[_Tagged]:
    """The sentences of a file, with the last `tags` columns of at least `least`."""
    rows: list[list[str]] = []
    lines: list[int] = []
    width, first = 0, 0
    for number, line in TextLines(path):
        columns = _columns(line, tags) if "\t" in line else line.split()
        if not columns or columns[0] == DOCUMENT_MARKER:
            if rows:
                yield _tagged(rows, lines)
            rows, lines = [], []
            continue
        if not width:
            width, first = max(len(columns), least), number
        if len(columns) != width:
            raise _wrong_width(path, number, len(columns), width, first)
        rows.append(columns)
        lines.append(number)
    if rows:
        yield _tagged(rows, lines)
    if not width:
        raise DataError.at("no tagged words in this file", path)


def _tagged(rows: list[list[str]], lines: list[int]) -> _Tagged:
    return _Tagged([row[0] for row in rows], [row[-2] for row in rows], [row[-1] for row in rows], lines)


def _columns(line: str, tags: int) -> list[str]:
    """Cut at tabs, so that a word may be a space, unless that leaves white space in the tags."""
    columns = line.split("\t")
    if len(columns) > 1 and all(column and column.split() == [column] for column in columns[-tags:]):
        return columns
    return line.split()


def _wrong_width(path: Path, line: int, found: int, wanted: int, first: int) -> DataError:
    if line == first:
        return DataError.at(
            f"expected at least {wanted} columns, the last of them tags; found {found}", path, line
        )
    return DataError.at(f"expected {wanted} columns as in line {first}, found {found}", path, line)


def _check_words(gold: Path, right: _Tagged | None, predicted: Path, guess: _Tagged | None) -> None:
    """Raise where one file has another word than the other, or a sentence ends in one alone."""
    right, guess = right or _Tagged(), guess or _Tagged()
    ends = (None, None)
    pairs = zip_longest(
        zip(right.words, right.lines, strict=True), zip(guess.words, guess.lines, strict=True), fillvalue=ends
    )
    for (word, line), (other, other_line) in pairs:
        if word == other:
            continue
        has = "the sentence or the file ends" if other is None else f"`{other}`"
        wants = "the sentence or the file ends" if word is None else f"`{word}`"
        raise DataError.at(
            f"the files differ: {has} here, but {wants} in {gold}" + (f", line {line}" if line else ""),
            predicted,
            other_line or (guess.lines[-1] + 1 if guess.lines else None),
        )


def _first_bad_tag(sides: tuple[_Side, _Side], scheme: SchemeName) -> DataError:
    """The error for the first tag that is not in the scheme, at its line."""
    for side in sides:
        for tags, lines in zip(side.tags, side.lines, strict=True):
            try:
                schemes.chunks(tags, scheme, strict=False)
            except schemes.SchemeError as error:
                return DataError.at(str(error), side.file, lines[error.index], *_advice(sides, scheme))
    raise AssertionError("no tag is wrong")


def _advice(sides: tuple[_Side, _Side], scheme: SchemeName) -> tuple[str, ...]:
    looks_like = schemes.detect(sides[0].tags + sides[1].tags)
    return (
        (f"these tags look like {looks_like}: say `--scheme {looks_like}`",) if looks_like != scheme else ()
    )


def report(scores: dict[str, Any]) -> str:
    """Scores of spans as the conlleval script prints them, then the signature; of plain tags the accuracy."""
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
