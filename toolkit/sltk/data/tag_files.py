"""Files with gold and predicted tags, for `sltk score`.

The files have one word per line and a blank line between sentences; columns are separated by tabs, or by spaces and
tabs. In a single file, the last two columns are the gold and the predicted tag. In two files, the last column of
each is the tag and the first is the word, and both must have the same words.
Tags that do not have the form `B-PER` are read as in other data: gold and predicted tags may be written differently.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from .. import schemes
from ..components.readers.conll import split_blanks
from ..errors import DataError
from ..files.opening import is_stream
from ..files.text_lines import TextLines
from ..schemes.detection import TagDetector
from ..schemes.label_text import clean
from ..schemes.names import ReaderScheme, ReaderStyle, SchemeName
from ..schemes.styles import TagStyle, canonical
from ..types import Prediction, Sentence, Unused
from .label_cleaning import label_change

DOCUMENT_MARKER = "-DOCSTART-"
_LEAST_COLUMNS = 2


class TaggedWord(NamedTuple):
    """The first column of a line, its last two, its number, and the number of columns."""

    text: str
    gold: str
    tag: str
    line: int
    columns: int
    unused: tuple[Unused, ...] = ()
    """What is left out of its tags or its line."""


class TaggedPair(NamedTuple):
    """A sentence of the gold file and the same of the predicted one, which may be the same file."""

    gold: list[TaggedWord]
    predicted: list[TaggedWord]
    tags: tuple[list[str], list[str]]
    """Gold and predicted."""

    def unused(self) -> Iterator[Unused]:
        """What is left out of the tags and lines."""
        sides = (self.gold,) if self.gold is self.predicted else (self.gold, self.predicted)
        return (unused for words in sides for word in words for unused in word.unused)


class TagFiles:
    """The sentences of one or two files, which are read again whenever they are needed; streams are held in memory."""

    def __init__(self, gold: Path, predicted: Path | None) -> None:
        self.gold, self.predicted = gold, predicted
        self.styles: tuple[TagStyle | None, TagStyle | None] = (None, None)
        """The styles of gold and predicted tags."""
        self.scheme: SchemeName = "IOB2"
        """The scheme of their tags."""
        self.warning: str | None = None
        """What is odd about the gold tags."""
        self._held: list[TaggedPair] | None = None
        if any(path is not None and is_stream(path) for path in (gold, predicted)):
            self._held = list(self._read())

    def __iter__(self) -> Iterator[TaggedPair]:
        sentences = self._read() if self._held is None else iter(self._held)
        return map(self._canonical, sentences) if any(self.styles) else sentences

    def _canonical(self, sentence: TaggedPair) -> TaggedPair:
        """The sentence with tags in the form `B-PER`."""
        pairs = zip(sentence.tags, self.styles, strict=True)
        gold, predicted = (_canonical_tags(tags, style, self.scheme) for tags, style in pairs)
        return sentence._replace(tags=(gold, predicted))

    def _read(self) -> Iterator[TaggedPair]:
        if self.predicted is None:
            for words in _read(self.gold, 2):
                tags = [word.gold for word in words], [word.tag for word in words]
                yield TaggedPair(words, words, tags)
            return
        for right, guess in zip_longest(_read(self.gold, 1), _read(self.predicted, 1)):
            _check_words(self.gold, right or [], self.predicted, guess or [])
            yield TaggedPair(right, guess, ([word.tag for word in right], [word.tag for word in guess]))

    def detectors(self) -> tuple[TagDetector, TagDetector]:
        """Detectors of the gold and of the predicted tags."""
        gold, predicted = TagDetector(), TagDetector()
        for sentence in self:
            gold.add(sentence.tags[0])
            predicted.add(sentence.tags[1])
        return gold, predicted

    def detect(self, scheme: ReaderScheme, style: ReaderStyle) -> None:
        """Set the styles of the tags, and the scheme that fits both, unless they are declared.

        Raises:
            DataError: the gold tags are words, or other labels that mark no spans, while the predicted tags do.
        """
        sides = self.detectors()
        gold, predicted = (side.style(_scheme_of_types(scheme), style) for side in sides)
        styles = (gold or _shared(sides[0], predicted), predicted or _shared(sides[1], gold))
        read = [side.canonical(own) for side, own in zip(sides, styles, strict=True)]
        if self.predicted is None:
            marks_spans = [scheme != "plain" and each.scheme() != "plain" for each in read]
            self._check_columns(marks_spans, *(side.counts() for side in sides))
        self.styles = styles
        if scheme != "auto":
            self.scheme = scheme
        elif all(own is not None and own.name == "types" for own in styles):
            self.scheme = "IO"
        else:
            letters = [
                each for each, own in zip(read, styles, strict=True) if own is None or own.name != "types"
            ]
            self.scheme = sum(letters, TagDetector()).scheme()
        if self.scheme == "plain":
            self.warning = sides[0].reading("plain").warning

    def _check_columns(
        self, marks_spans: Sequence[bool], before: Container[str], last: Iterable[str]
    ) -> None:
        """Check that the last column but one holds tags: not words, and not plain tags beside those of spans.

        Plain tags are words if most tags of the last column are not among them, apart from punctuation.
        """
        first = next(iter(self)).gold[0]
        names = [tag for tag in last if any(map(str.isalpha, tag))]
        is_word = 2 * sum(tag in before for tag in names) < len(names)
        if not marks_spans[0] and (marks_spans[1] or (is_word and first.columns == _LEAST_COLUMNS)):
            message = f"`score` needs a second file: `{first.gold}`, before the last column, is no gold tag"
            note = (
                "`sltk score GOLD PREDICTED` compares the last columns of two files, GOLD alone its last two"
            )
            raise DataError.at(message, self.gold, first.line, note)

    def predictions(self) -> Iterator[Prediction]:
        """The sentences as predictions, for metrics that need all of them."""
        for sentence in self:
            gold, predicted = sentence.tags
            words = [word.text for word in sentence.gold]
            yield Prediction(Sentence(words, tags=gold, unused=tuple(sentence.unused())), predicted)


def _canonical_tags(tags: list[str], style: TagStyle | None, scheme: SchemeName) -> list[str]:
    """The tags in the form `B-PER`; types alone, which have no letters, in the scheme."""
    if style is None:
        return tags
    usual = style.canonical(tags)
    return schemes.convert(usual, "IO", scheme)[0] if style.name == "types" else usual


def _scheme_of_types(scheme: ReaderScheme) -> ReaderScheme:
    """Types alone are written in the declared scheme, so that any scheme allows them, except plain."""
    return scheme if scheme == "plain" else "auto"


def _shared(side: TagDetector, style: TagStyle | None) -> TagStyle | None:
    """The style of the other side, for tags too few to show theirs."""
    fits = style is not None and all(canonical(tag, style.name) for tag in side.counts())
    return style if fits and side.scheme() == "plain" else None


def _read(path: Path, tags: int) -> Iterator[list[TaggedWord]]:
    """Yield the sentences of a file, whose last `tags` columns are tags."""
    sentence: list[TaggedWord] = []
    width, first = 0, 0
    lines = TextLines(path)
    for number, line in lines:
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
        word = _tagged_word(columns, tags, path, number)
        if changes := lines.take_replacements():
            word = word._replace(unused=(*changes, *word.unused))
        sentence.append(word)
    if sentence:
        yield sentence
    if not width:
        raise DataError.at("no tagged words in this file", path)


def _tagged_word(columns: list[str], tags: int, path: Path, line: int) -> TaggedWord:
    """The word of a line with clean tags; each change is reported.

    Raises:
        DataError: a tag consists of characters that nobody sees.
    """
    written = columns[-tags:]
    cleaned = [clean(tag) for tag in written]
    if "" in cleaned:
        raise DataError.at("a tag of characters that nobody sees", path, line)
    unused: tuple[Unused, ...] = ()
    if cleaned != written:
        pairs = zip(written, cleaned, strict=True)
        unused = tuple(label_change(str(path), line, tag) for tag, text in pairs if tag != text)
    gold = cleaned[0] if len(cleaned) > 1 else columns[-2]
    return TaggedWord(columns[0], gold, cleaned[-1], line, len(columns), unused)


def _columns(line: str, tags: int) -> list[str]:
    """Split at tabs, so that a word may be a space, unless this leaves white space in the tags."""
    columns = line.split("\t")
    if len(columns) > 1 and all(len(clean(column).split()) == 1 for column in columns[-tags:]):
        return columns
    return split_blanks(line)


def _check_words(gold: Path, right: list[TaggedWord], predicted: Path, guess: list[TaggedWord]) -> None:
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
