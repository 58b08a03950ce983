"""Datasets that are read again whenever they are gone through, so that only a few sentences are in memory."""

from __future__ import annotations

from collections.abc import Iterator

from ..components.readers.dividing import DividingReader
from ..components.slots import Reader
from ..schemes.detection import TagReading
from ..schemes.names import SchemeName
from ..spec.data_settings import DataSpec
from ..types import Sentence
from .corpora import open_sentences
from .corpus_types import resolved
from .datasets import SentenceSource, to_dataset
from .splits import SPLITS, load_splits


class DatasetStream:
    """The sentences of a reader with tags in `scheme`, like those of a `Dataset`.

    Raises:
        DataError: see `datasets.load`; some errors are raised only when the sentences are gone through.
    """

    def __init__(self, reader: Reader, scheme: SchemeName, name: str = "data") -> None:
        self.name, self.scheme = name, scheme
        self._stream = open_sentences(reader)
        self.repaired = 0
        """Number of repaired tags; known after all sentences have been gone through."""

    @property
    def reading(self) -> TagReading | None:
        """How the tags of the source are read; None if it annotates spans."""
        return self._stream.reading

    def __iter__(self) -> Iterator[Sentence]:
        repaired = 0
        for raw in self._stream.chunks():
            data = to_dataset(raw, self.scheme, self.name)
            repaired += data.repaired
            yield from data
        self.repaired = repaired


def open_split(data: DataSpec, scheme: SchemeName, name: str) -> SentenceSource:
    """One split, as a stream unless `holdout` divides the training data for it, which needs all sentences.

    Raises:
        DataError: see `load_splits`.
    """
    reader = getattr(resolved(data, [name]), name, None)
    if reader is None or isinstance(reader, DividingReader) or (name == "train" and _is_divided(data)):
        return load_splits(data, scheme, [name])[name]
    return DatasetStream(reader, scheme, name)


def open_splits(data: DataSpec, scheme: SchemeName) -> dict[str, SentenceSource]:
    """All splits of a spec, as streams unless `holdout` divides the training data.

    Raises:
        DataError: see `load_splits`.
    """
    if _is_divided(data):
        return dict(load_splits(data, scheme))
    data = resolved(data, SPLITS)
    readers = {name: reader for name in SPLITS if (reader := getattr(data, name)) is not None}
    return {name: DatasetStream(reader, scheme, name) for name, reader in readers.items()}


def _is_divided(data: DataSpec) -> bool:
    return any(isinstance(getattr(data, name), DividingReader) for name in SPLITS)
