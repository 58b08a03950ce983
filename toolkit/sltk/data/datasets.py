"""Datasets: annotated sentences in the model's tag scheme.

A reader yields sentences with the annotation of its file (`RawDataset`). A `Dataset` has well-formed tags in one
scheme, the spans they encode, and a record of what was repaired or left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from .. import schemes
from ..components.slots import Reader
from ..errors import DataError, nearest
from ..schemes.detection import TagReading
from ..schemes.label_text import twin_notes
from ..schemes.labels import LabelSet
from ..schemes.names import Repair, SchemeName
from ..schemes.styles import advice
from ..types import Sentence, Span, Unused
from .raw import RawDataset, read_raw, source_of

OVERLAPPING = "overlaps a longer or an earlier span"
"""Why tags of a flat scheme leave out a span."""
REPEATED = "is annotated twice"


class SentenceSource(Protocol):
    """Annotated sentences in one scheme, which can be gone through several times: a `Dataset` or a stream."""

    @property
    def name(self) -> str:
        """The name of the split."""

    @property
    def scheme(self) -> SchemeName:
        """The scheme of the tags."""

    @property
    def reading(self) -> TagReading | None:
        """How the tags of the file are read; None if it annotates spans."""

    @property
    def repaired(self) -> int:
        """Number of repaired tags; known after all sentences have been gone through."""

    def __iter__(self) -> Iterator[Sentence]:
        """Go through the sentences in order."""


@dataclass(slots=True)
class Dataset:
    """Sentences with tags in `scheme`.

    Each sentence has `tags` and, unless the tags are plain, the `spans` they encode.
    """

    sentences: list[Sentence]
    scheme: SchemeName
    reading: TagReading | None
    """How the tags of the file are read; None if it annotates spans."""
    repaired: int = 0
    """Number of words whose tag was ill-formed in its context and was read as another."""
    name: str = "data"

    @property
    def read_scheme(self) -> SchemeName | None:
        """The tag scheme of the file; None if it annotates spans."""
        return self.reading.scheme if self.reading else None

    @property
    def unused(self) -> list[Unused]:
        """Annotations left out or changed, in order."""
        return [unused for sentence in self.sentences for unused in sentence.unused]

    def __iter__(self) -> Iterator[Sentence]:
        return iter(self.sentences)

    def __len__(self) -> int:
        return len(self.sentences)


def load(reader: Reader, scheme: SchemeName, name: str = "data") -> Dataset:
    """Read all sentences and convert their annotation to `scheme`.

    Raises:
        DataError: no sentences, a sentence without annotation, a tag that is not in the reader's scheme, or
            data that cannot be converted to `scheme`; the message names file and line.
    """
    return to_dataset(read_raw(reader), scheme, name)


def to_dataset(raw: RawDataset, scheme: SchemeName, name: str = "data") -> Dataset:
    """Convert the annotation of `raw` to tags in `scheme`.

    Raises:
        DataError: see `load`.
    """
    if not raw.annotated:
        first = raw.sentences[0]
        notes = raw.reader.annotation_notes(first)
        raise raw.error(f"reader `{raw.reader.type_name}` finds no tags or spans here", first, *notes)
    _check_plain(raw, scheme)
    repair = repair_of(raw.reader)
    sentences, repaired = [], raw.repaired
    for sentence in raw.sentences:
        try:
            converted, count = _convert(sentence, raw.reading, scheme, repair)
        except schemes.SchemeError as error:
            raise _tag_error(error, raw, sentence) from error
        except ValueError as error:
            raise raw.error(str(error), sentence) from error
        sentences.append(converted)
        repaired += count
    return Dataset(sentences, scheme, raw.reading, repaired, name)


def annotated_spans(sentence: Sentence, raw: RawDataset, converted: Sentence) -> list[Span]:
    """All spans of a sentence of `raw`, of which the converted one has those that its scheme holds."""
    if sentence.spans is None and raw.scheme == "layers":
        return schemes.decode(sentence.tags or (), raw.scheme, repair_of(raw.reader)).spans
    return (converted.spans if sentence.spans is None else sentence.spans) or []


def repair_of(reader: Reader) -> Repair:
    """How the reader says to read ill-formed tags; readers of spans say nothing."""
    repair: Repair = getattr(reader, "repair", "conlleval")
    return repair


def label_set(data: Dataset) -> LabelSet:
    """The tags of a model trained on this data."""
    if data.scheme == "plain":
        return LabelSet.plain(types_of(data))
    return LabelSet.of_types(types_of(data), data.scheme)


def unseen_types(train: Dataset, other: Dataset) -> list[str]:
    """Types (or plain tags) of `other` that `train` lacks, so that a model of `train` cannot predict them."""
    return sorted(types_of(other) - types_of(train))


def types_of(data: SentenceSource) -> set[str]:
    """The types of the spans, or the plain tags, of annotated sentences."""
    if data.scheme == "plain":
        return {tag for sentence in data for tag in sentence.tags or ()}
    return {span.type for sentence in data for span in sentence.spans or ()}


def _convert(
    sentence: Sentence, reading: TagReading | None, scheme: SchemeName, repair: Repair
) -> tuple[Sentence, int]:
    """The sentence with tags in `scheme`, and the number of repaired tags."""
    repaired, unused = 0, sentence.unused
    if sentence.spans is not None:
        _check_spans(sentence)
        spans = sentence.spans
    elif scheme == "plain":
        return sentence, 0
    else:
        assert sentence.tags is not None
        assert reading is not None
        decoded = schemes.decode(reading.canonical(sentence.tags), reading.scheme, repair)
        spans, repaired = decoded.spans, decoded.repaired
    spans, dropped = schemes.encodable(spans, scheme)
    reason = REPEATED if scheme == "layers" else OVERLAPPING
    unused += tuple(left_out_span(span, sentence, reason) for span in dropped)
    if scheme == "IO":
        reason = "follows a span of the same type directly: IO merges the two"
        unused += tuple(left_out_span(span, sentence, reason) for span in schemes.merged(spans))
    tags = schemes.encode(spans, len(sentence), scheme)
    return replace(sentence, tags=tags, spans=spans, unused=unused), repaired


def left_out_span(span: Span, sentence: Sentence, reason: str) -> Unused:
    """The report of a span that is left out; the reason completes a sentence about it."""
    words = " ".join(sentence.words[span.start : span.end])
    return Unused(sentence.file or "(data)", sentence.line, f"`{words}` ({span.type}) {reason}", span.type)


def _check_plain(raw: RawDataset, scheme: SchemeName) -> None:
    """Check that plain tags stay plain, and that spans are not converted to plain tags."""
    if raw.scheme == "plain" and scheme != "plain":
        first = next((sentence for sentence in raw.sentences if sentence.tags), raw.sentences[0])
        message = f"the tags are plain (`{(first.tags or [''])[0]}`) and cannot be converted to {scheme}"
        counts = Counter(tag for sentence in raw.sentences for tag in sentence.tags or ())
        raise raw.error(message, first, *advice(counts))
    if raw.scheme is None and scheme == "plain":
        message = "the annotation consists of spans, which cannot be converted to plain tags"
        raise raw.error(message, raw.sentences[0], "set `scheme: IOB2` in the spec")


def _check_spans(sentence: Sentence) -> None:
    for span in sentence.spans or ():
        place = f"the span from word {span.start} to {span.end}"
        if not span.type:
            raise ValueError(f"{place} has no type")
        if not 0 <= span.start < span.end <= len(sentence):
            raise ValueError(f"{place} is not inside a sentence of {len(sentence)} words")


def _tag_error(error: schemes.SchemeError, raw: RawDataset, sentence: Sentence) -> DataError:
    """The error at the line of the word in files with one word per line, otherwise at the sentence."""
    word, tag = sentence.words[error.index], (sentence.tags or [])[error.index]
    known = {tag for other in raw.sentences if other is not sentence for tag in other.tags or ()}
    return DataError.at(
        f"word {error.index + 1}, `{word}`: {error}",
        sentence.file or source_of(raw.reader),
        sentence.line_of(error.index),
        *twin_notes(tag, {schemes.OUTSIDE, *known}),
        suggestion=None if tag in known else nearest(tag, known),
    )
