"""Sentences of a reader, a few at a time, with the scheme of all of them.

The source is read twice, first to detect the scheme of its tags, so that only a few sentences are in memory. A source
that can be read only once, such as a pipe, is held in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from ..components.slots import Reader
from ..files.opening import is_stream
from ..schemes import SEPARATOR, has_overlaps
from ..types import Sentence
from .raw import RawDataset, read_checked, tag_reading

CHUNK_SIZE = 64
"""Number of sentences that are read and converted together."""


class SentenceStream:
    """The sentences of a reader, which can be gone through several times.

    Raises:
        DataError: see `read_checked`.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._held = None if _is_rereadable(reader) else list(read_checked(reader))
        self.needs_layers = False
        """Whether spans overlap somewhere, so that only the tags of `layers` hold them, and can hold all types."""
        self.reading = tag_reading(self._watched(), reader)
        """How the tags of all sentences are read; None if there are none."""

    def _watched(self) -> Iterator[Sentence]:
        """The sentences; whether spans overlap is known after the last."""
        overlaps, fits = False, True
        for sentence in self.sentences():
            spans = sentence.spans or ()
            overlaps = overlaps or has_overlaps(spans)
            fits = fits and not any(SEPARATOR in span.type for span in spans)
            yield sentence
        self.needs_layers = overlaps and fits

    def sentences(self) -> Iterator[Sentence]:
        """Yield the sentences as they are read.

        Raises:
            DataError: see `read_checked`.
        """
        return read_checked(self.reader) if self._held is None else iter(self._held)

    def chunks(self) -> Iterator[RawDataset]:
        """Yield the sentences in small parts.

        Raises:
            DataError: see `read_checked`.
        """
        sentences = self.sentences()
        while chunk := list(islice(sentences, CHUNK_SIZE)):
            yield RawDataset(self.reader, chunk, self.reading)


def _is_rereadable(reader: Reader) -> bool:
    """Whether the source can be read twice: it is not standard input or another stream."""
    return not any(is_stream(path) for _, path in reader.paths())
