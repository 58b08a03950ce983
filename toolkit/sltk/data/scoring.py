"""Scores of files with tagged words, like the conlleval script, for `sltk score`.

The files have one word per line and a blank line between sentences; columns are separated by tabs, or by spaces and
tabs. In a single file, the last two columns are the gold and the predicted tag. In two files, the last column of
each is the tag and the first is the word, and both must have the same words.
Tags that do not have the form `B-PER` are read as in other data: gold and predicted tags may be written differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from ..schemes.detection import TagDetector
from ..schemes.names import ReaderScheme, ReaderStyle, SchemeName
from ..schemes.styles import TagStyle, advice, canonical
from ..types import Prediction, Sentence

DOCUMENT_MARKER = "-DOCSTART-"
_LEAST_COLUMNS = 2


class _TaggedWord(NamedTuple):
    """The first column of a line, its last two, its number, and the number of columns."""

    text: str
    gold: str
    tag: str
    line: int
    columns: int


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
        self.styles: tuple[TagStyle | None, TagStyle | None] = (None, None)
        """The styles of gold and predicted tags."""
        self.scheme: SchemeName = "IOB2"
        """The scheme of their tags."""
        self._held: list[_ScoredSentence] | None = None
        if any(path is not None and is_stream(path) for path in (gold, predicted)):
            self._held = list(self._read())

    def __iter__(self) -> Iterator[_ScoredSentence]:
        sentences = self._read() if self._held is None else iter(self._held)
        return map(self._canonical, sentences) if any(self.styles) else sentences

    def _canonical(self, sentence: _ScoredSentence) -> _ScoredSentence:
        """The sentence with tags in the form `B-PER`."""
        pairs = zip(sentence.tags, self.styles, strict=True)
        gold, predicted = (_canonical_tags(tags, style, self.scheme) for tags, style in pairs)
        return sentence._replace(tags=(gold, predicted))

    def _read(self) -> Iterator[_ScoredSentence]:
        if self.predicted is None:
            for words in _read(self.gold, 2):
                tags = [word.gold for word in words], [word.tag for word in words]
                yield _ScoredSentence(words, words, tags)
            return
        for right, guess in zip_longest(_read(self.gold, 1), _read(self.predicted, 1)):
            _check_words(self.gold, right or [], self.predicted, guess or [])
            yield _ScoredSentence(right, guess, ([word.tag for word in right], [word.tag for word in guess]))

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
            shared = sides[0].counts().keys() & sides[1].counts().keys()
            self._check_columns(marks_spans, has_shared_tags=bool(shared))
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

    def _check_columns(self, marks_spans: Sequence[bool], *, has_shared_tags: bool) -> None:
        """Check that the last column but one holds tags: not words, and not plain tags beside those of spans."""
        first = next(iter(self)).gold[0]
        is_word = first.columns == _LEAST_COLUMNS and not has_shared_tags
        if not marks_spans[0] and (marks_spans[1] or is_word):
            message = f"`score` needs a second file: `{first.gold}`, before the last column, is no gold tag"
            note = (
                "`sltk score GOLD PREDICTED` compares the last columns of two files, GOLD alone its last two"
            )
            raise DataError.at(message, self.gold, first.line, note)

    def predictions(self) -> Iterator[Prediction]:
        """The sentences as predictions, for metrics that need all of them."""
        for sentence in self:
            gold, predicted = sentence.tags
            yield Prediction(Sentence([word.text for word in sentence.gold], tags=gold), predicted)


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


def score_files(
    gold: Path,
    predicted: Path | None = None,
    scheme: ReaderScheme = "IOB2",
    mode: Mode = "strict",
    metric: Metric | None = None,
    tag_style: ReaderStyle = "auto",
) -> dict[str, Any]:
    """Score a file of gold and predicted tags, or two files.

    `scheme` is that of both columns; `auto` detects it. The default metric is `seqeval` in `mode`, and `accuracy` for
    plain tags. Files contain no probabilities, so metrics that need them are not available. `notes` in the scores
    says how tags were read that do not have the form `B-PER`; `tag_style` declares it.

    The files are read sentence by sentence, unless the metric needs all sentences at once, as `partial` and `spans`.

    Raises:
        DataError: a file is missing or empty, a line has too few columns or another number than the first, the
            words of two files differ, a tag is not in the scheme, or a single file has one column of tags; the message
            names file and line.
        SpecError: the metric cannot be computed from such tags.
    """
    files = _ScoredFiles(gold, predicted)
    if scheme == "auto" or tag_style != "auto" or (scheme == "plain" and predicted is None):
        files.detect(scheme, tag_style)
    else:
        files.scheme = scheme
    try:
        scores = _score(files, mode, metric)
    except schemes.SchemeError:
        if not any(files.styles):
            files.detect(scheme, tag_style)
        if not any(files.styles):
            raise _first_bad_tag(files, mode, metric) from None
        try:
            scores = _score(files, mode, metric)
        except schemes.SchemeError:
            raise _first_bad_tag(files, mode, metric) from None
    notes = _notes(files)
    return {**scores, "notes": notes} if notes else scores


def _score(files: _ScoredFiles, mode: Mode, metric: Metric | None) -> dict[str, Any]:
    """The scores of the files in their scheme.

    Raises:
        SchemeError: a tag is not in the scheme.
    """
    chosen = metric or _default_metric(files.scheme, mode)
    tally = tally_of(chosen, files.scheme)
    if tally is None:
        return chosen.score(list(files.predictions()), files.scheme)
    for sentence in files:
        tally.add(*sentence.tags)
    return tally.scores()


def _default_metric(scheme: SchemeName, mode: Mode) -> Metric:
    return AccuracyMetric() if scheme == "plain" else SeqevalMetric(mode=mode)


def _notes(files: _ScoredFiles) -> list[str]:
    """How the tags are written, if not in the form `B-PER`."""
    gold, predicted = files.styles
    if gold == predicted:
        return [str(gold)] if gold else []
    sides = (("gold", gold), ("predicted", predicted))
    return [f"{name} {style}" for name, style in sides if style]


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
        sentence.append(_TaggedWord(columns[0], columns[-2], columns[-1], number, width))
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


def _first_bad_tag(files: _ScoredFiles, mode: Mode, metric: Metric | None) -> DataError:
    """The error for the first tag that is not in the scheme, at its line: in the gold tags, or else in the others."""
    metric = metric or _default_metric(files.scheme, mode)
    scheme = metric.read_as(files.scheme) if isinstance(metric, SpanMetric) else files.scheme
    for side, file in enumerate((files.gold, files.predicted or files.gold)):
        for sentence in files:
            try:
                schemes.chunks(sentence.tags[side], scheme, strict=False)
            except schemes.SchemeError as error:
                words = sentence.predicted if side else sentence.gold
                return DataError.at(str(error), file, words[error.index].line, *_advice(files, scheme))
    raise AssertionError("no tag is wrong")


def _advice(files: _ScoredFiles, scheme: SchemeName) -> Iterator[str]:
    """How the tags might be read."""
    gold, predicted = files.detectors()
    tags = gold + predicted
    detected = tags.scheme()
    if detected == "plain":
        plain = "these tags look like plain ones, such as parts of speech: use `--scheme plain`"
        yield from advice(tags.counts(), "--tag-style ", plain)
    elif detected != scheme:
        yield f"these tags look like {detected}: use `--scheme {detected}`"


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
