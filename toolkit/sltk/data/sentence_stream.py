"""Sentences of a reader, a few at a time, with the scheme of all of them.

The source is read twice, first to detect the scheme of its tags, so that only a few sentences are in memory. A source
that can be read only once, such as a pipe, is held in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from ..components.slots import Reader
from ..files.opening import is_stream
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
        self.reading = tag_reading(self.sentences(), reader)
        """How the tags of all sentences are read; None if there are none."""

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
