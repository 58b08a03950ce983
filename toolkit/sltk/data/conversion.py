"""Conversion between formats: a writer writes the gold annotation of a reader like predictions.

The source is read twice, first to detect the scheme of its tags, so that only a few sentences are in memory. A source
that can be read only once, such as a pipe, is held in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from ..components.slots import Reader
from ..files.opening import is_stream
from ..schemes.names import SchemeName
from ..types import Prediction, Sentence, Unused
from .datasets import Dataset, to_dataset
from .raw import RawDataset, read_checked, tag_reading

CHUNK_SIZE = 64
"""Number of sentences that are read and converted before the first of them is written."""
_SHOWN = 10


class Conversion:
    """The annotated sentences of a reader, in the scheme of the output.

    `repaired`, `unused` (the first few) and `unused_count` describe the annotation converted so far.
    """

    def __init__(self, reader: Reader, scheme: SchemeName | None = None) -> None:
        """`scheme` is that of the output; None keeps the scheme of the source, and writes spans in IOB2.

        Raises:
            DataError: see `read_checked`.
        """
        self.reader = reader
        self.repaired, self.unused_count = 0, 0
        self.unused: list[Unused] = []
        self._buffer = None if _is_rereadable(reader) else list(read_checked(reader))
        self.reading = tag_reading(self._sentences(), reader)
        self.scheme: SchemeName = scheme or (self.reading.scheme if self.reading else "IOB2")

    def _sentences(self) -> Iterator[Sentence]:
        return read_checked(self.reader) if self._buffer is None else iter(self._buffer)

    def predictions(self) -> Iterator[Prediction]:
        """Yield the gold annotation as predictions.

        Raises:
            DataError: see `load`.
        """
        sentences = self._sentences()
        while chunk := list(islice(sentences, CHUNK_SIZE)):
            raw = RawDataset(self.reader, chunk, self.reading)
            data = to_dataset(raw, self.scheme)
            self.repaired += data.repaired
            self.unused_count += len(data.unused)
            self.unused += data.unused[: _SHOWN - len(self.unused)]
            yield from _gold_predictions(raw, data)


def _gold_predictions(raw: RawDataset, data: Dataset) -> Iterator[Prediction]:
    """Predictions with the gold annotation, of sentences without it, so that it is not written twice.

    `spans` include overlapping ones, for writers that support them; `tags` do not.
    """
    for sentence, converted in zip(raw.sentences, data, strict=True):
        bare = replace(converted, tags=None, spans=None)
        spans = sentence.spans if sentence.spans is not None else converted.spans
        yield Prediction(bare, list(converted.tags or ()), None, sorted(spans or ()))


def _is_rereadable(reader: Reader) -> bool:
    """Whether the source can be read twice: it is not standard input or another stream."""
    return not any(is_stream(path) for _, path in reader.paths())
