"""Sentences as a reader yields them, before conversion to the model's tag scheme."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..components.readers.sampling import limited
from ..components.slots import Reader
from ..errors import DataError
from ..schemes.detection import TagDetector, TagReading
from ..schemes.names import ReaderScheme, ReaderStyle, SchemeName
from ..types import Sentence
from .empty_words import without_empty_words
from .label_cleaning import LabelCleaner
from .unannotated import is_annotated, resolve


@dataclass(frozen=True, slots=True)
class RawDataset:
    """All sentences of one reader, with the annotation of its file."""

    reader: Reader
    sentences: list[Sentence]
    reading: TagReading | None
    """How the tags are read, as declared or detected; None if the sentences have spans or no annotation."""
    repaired: int = 0
    """Number of tags that were repaired to get these spans."""

    @property
    def scheme(self) -> SchemeName | None:
        """Tag scheme; None if the sentences have spans or no annotation."""
        return self.reading.scheme if self.reading else None

    @property
    def annotated(self) -> bool:
        """Whether the sentences have tags or spans; either all have, or none."""
        return is_annotated(self.sentences[0])

    def error(self, message: str, sentence: Sentence, *notes: str) -> DataError:
        """An error at one of the sentences."""
        return sentence_error(message, self.reader, sentence, *notes)


def read(reader: Reader) -> Iterator[Sentence]:
    """Yield the reader's sentences, at most `limit`, without empty words."""
    return map(without_empty_words, limited(reader))


def read_checked(reader: Reader) -> Iterator[Sentence]:
    """Yield the reader's sentences with clean labels; all of them are annotated, or none.

    Raises:
        DataError: raised by the reader; or there are no sentences, only some are annotated and `unannotated` does not
            say what to do, or a tag is empty.
    """
    is_empty = True
    for sentence in resolve(map(LabelCleaner(reader), read(reader)), reader, source_of(reader)):
        is_empty = False
        yield sentence
    if is_empty:
        raise DataError.at(
            "no sentences: the file is empty, or has nothing that this reader recognizes as a sentence",
            source_of(reader),
        )


def read_raw(reader: Reader) -> RawDataset:
    """Read all sentences of a reader, and detect the scheme and style of their tags.

    Raises:
        DataError: see `read_checked`.
    """
    sentences = list(read_checked(reader))
    return RawDataset(reader, sentences, tag_reading(sentences, reader))


def raw_examples(reader: Reader) -> RawDataset:
    """The reader's `example()`; its scheme is detected, because the reader's options describe the file."""
    sentences = reader.example()
    return RawDataset(reader, sentences, tag_reading(sentences))


def tag_reading(sentences: Iterable[Sentence], reader: Reader | None = None) -> TagReading | None:
    """How tags are read, declared by the reader or detected; None for spans and for text without annotation.

    Holds one sentence in memory.
    """
    detector, tagged = TagDetector(), False
    for sentence in sentences:
        if sentence.spans is None and sentence.tags is not None:
            detector.add(sentence.tags)
            tagged = True
    scheme: ReaderScheme = getattr(reader, "scheme", "auto")
    style: ReaderStyle = getattr(reader, "tag_style", "auto")
    return detector.reading(scheme, style) if tagged else None


def sentence_error(message: str, reader: Reader, sentence: Sentence, *notes: str) -> DataError:
    """An error at a sentence, with its file and line."""
    return DataError.at(message, sentence.file or source_of(reader), sentence.line, *notes)


def source_of(reader: Reader) -> object:
    """The path of the reader, or its name, for messages."""
    return getattr(reader, "path", None) or f"(reader {reader.type_name})"
