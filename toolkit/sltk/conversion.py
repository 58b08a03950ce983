"""From one format to another: the gold annotation of a reader, given to a writer as if it were predicted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .data import Dataset, Source, dataset, read_source
from .slots import Reader, SchemeName, Writer
from .types import Prediction


def convert(reader: Reader, writer: Writer, scheme: SchemeName | None = None) -> Iterator[str]:
    """The pieces of the output. All that can be wrong with the source is found before the first one.

    `scheme` is that of the written tags; None keeps the source's own, which for spans is IOB2.

    Raises:
        DataError: as `sltk.data.load`.
    """
    source = read_source(reader)
    return writer.render(gold_predictions(source, target(source, scheme)))


def target(source: Source, scheme: SchemeName | None = None) -> Dataset:
    """The source in the scheme to be written; says what was repaired, and what tags cannot hold."""
    return dataset(source, scheme or source.scheme or "IOB2")


def gold_predictions(source: Source, data: Dataset) -> Iterator[Prediction]:
    """Predictions that are the gold annotation; their sentences have none, so that it is not written twice.

    Overlapping spans are all there, for writers that can write them; `tags` hold those that tags can.
    """
    for raw, converted in zip(source.sentences, data, strict=True):
        bare = replace(converted, tags=None, spans=None)
        spans = raw.spans if raw.spans is not None else converted.spans
        yield Prediction(bare, list(converted.tags or ()), None, sorted(spans or ()))
