"""Conversion between formats: a writer writes the gold annotation of a reader like predictions, as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..components.slots import Reader
from ..schemes.names import SchemeName
from ..types import Prediction
from .changes import Changes
from .corpora import open_sentences
from .datasets import OVERLAPPING, REPEATED, Dataset, annotated_spans, to_dataset
from .raw import RawDataset


class Conversion:
    """The annotated sentences of a reader, in the scheme of the output.

    `repaired` and `changes` describe the annotation converted so far.
    """

    def __init__(self, reader: Reader, scheme: SchemeName | None = None) -> None:
        """`scheme` is that of the output; None keeps that of the source, and writes spans in IOB2, or layers if some
        overlap.

        Raises:
            DataError: see `read_checked`.
        """
        self._stream = open_sentences(reader)
        self.repaired, self.changes = 0, Changes()
        self.reading = self._stream.reading
        of_spans: SchemeName = "layers" if self._stream.needs_layers else "IOB2"
        self.scheme: SchemeName = scheme or (self.reading.scheme if self.reading else of_spans)

    def predictions(self) -> Iterator[Prediction]:
        """Yield the gold annotation as predictions.

        Raises:
            DataError: see `load`.
        """
        for raw in self._stream.chunks():
            data = to_dataset(raw, self.scheme)
            self.repaired += data.repaired
            # Writers report the spans that their format does not hold.
            self.changes.add(
                unused for unused in data.unused if not unused.reason.endswith((OVERLAPPING, REPEATED))
            )
            yield from _gold_predictions(raw, data)


def _gold_predictions(raw: RawDataset, data: Dataset) -> Iterator[Prediction]:
    """Predictions with the gold annotation, of sentences without it, so that it is not written twice.

    `spans` include overlapping ones, for writers that support them; `tags` do so in the scheme `layers`.
    """
    for sentence, converted in zip(raw.sentences, data, strict=True):
        bare = replace(converted, tags=None, spans=None)
        spans = sorted(annotated_spans(sentence, raw, converted))
        yield Prediction(bare, list(converted.tags or ()), None, spans, scheme=data.scheme)
