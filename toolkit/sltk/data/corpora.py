"""Corpora with different annotation, read as one source: the sentences of `concat` with the labels of the model.

Each corpus is read in its own scheme and style of tags, and its types are renamed. Its sentences have spans (or plain
tags), the name of their corpus, and the types that it annotates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from ..components.readers.concat import ConcatReader, Corpus
from ..components.readers.sampling import nested_sample
from ..components.slots import Reader
from ..errors import DataError
from ..schemes.detection import TagReading
from ..schemes.names import SchemeName
from ..schemes.rules import OUTSIDE, SEPARATOR
from ..types import Sentence, Span, Unused
from .datasets import to_dataset
from .raw import RawDataset
from .sentence_stream import SentenceStream


def open_sentences(reader: Reader) -> SentenceStream | CorporaStream:
    """The sentences of any reader, with its annotation.

    Raises:
        DataError: see `read_checked`.
    """
    return CorporaStream(reader) if _has_corpora(reader) else SentenceStream(reader)


def read_all(reader: Reader) -> RawDataset:
    """All sentences of any reader, in memory.

    Raises:
        DataError: see `read_checked`.
    """
    stream = open_sentences(reader)
    chunks = list(stream.chunks())
    sentences = [sentence for chunk in chunks for sentence in chunk.sentences]
    return RawDataset(reader, sentences, stream.reading, sum(chunk.repaired for chunk in chunks))


def _has_corpora(reader: Reader) -> bool:
    return isinstance(reader, ConcatReader) and bool(reader.sources)


class CorporaStream:
    """The sentences of several corpora, with spans or plain tags; only a few are in memory.

    Raises:
        DataError: see `read_checked`; or some corpora have plain tags, and others spans.
    """

    def __init__(self, reader: Reader) -> None:
        assert isinstance(reader, ConcatReader)
        self.reader: Reader = reader
        self._corpora = [(source, SentenceStream(source.reader)) for source in reader.sources]
        plain = [source.name for source, stream in self._corpora if _is(stream, "plain")]
        others = [source.name for source, _ in self._corpora if source.name not in plain]
        if plain and others:
            raise DataError(
                f"corpus `{plain[0]}` has plain tags, and `{others[0]}` spans: a model has one of them"
            )
        self.reading = TagReading("plain") if plain else None
        """How plain tags are read; None for spans."""
        self.needs_layers = any(stream.needs_layers or _is(stream, "layers") for _, stream in self._corpora)
        """Whether spans overlap somewhere, so that only the tags of `layers` hold them."""

    def sentences(self) -> Iterator[Sentence]:
        """Yield the sentences of all corpora.

        Raises:
            DataError: see `to_dataset`.
        """
        return chain.from_iterable(chunk.sentences for chunk in self.chunks())

    def chunks(self) -> Iterator[RawDataset]:
        """Yield the sentences in small parts, each from one corpus.

        Raises:
            DataError: see `to_dataset`.
        """
        if self.reader.limit is None:
            yield from self._all_chunks()
            return
        chunks = list(self._all_chunks())
        sentences = [sentence for chunk in chunks for sentence in chunk.sentences]
        sample = nested_sample(sentences, self.reader.limit, self.reader.limit_seed)
        yield RawDataset(self.reader, sample, self.reading, sum(chunk.repaired for chunk in chunks))

    def _all_chunks(self) -> Iterator[RawDataset]:
        for source, stream in self._corpora:
            for raw in stream.chunks():
                sentences, repaired = own_annotation(raw)
                renamed = [_renamed(sentence, source) for sentence in sentences]
                yield RawDataset(self.reader, renamed, self.reading, repaired)


def _is(stream: SentenceStream, scheme: SchemeName) -> bool:
    return stream.reading is not None and stream.reading.scheme == scheme


def own_annotation(raw: RawDataset) -> tuple[list[Sentence], int]:
    """The sentences of one corpus with all of its spans, or with its plain tags; and the number of repaired tags.

    Raises:
        DataError: see `to_dataset`.
    """
    if raw.scheme == "plain":
        return to_dataset(raw, "plain").sentences, 0
    holds_all: SchemeName = "IOB2" if raw.scheme or _has_separators(raw) else "layers"
    data = to_dataset(raw, raw.scheme if raw.scheme == "layers" else holds_all)
    return [replace(sentence, tags=None) for sentence in data], data.repaired


def _has_separators(raw: RawDataset) -> bool:
    """Whether a type has the separator of layers, so that no tag of `layers` holds it."""
    return any(SEPARATOR in span.type for sentence in raw.sentences for span in sentence.spans or ())


def _renamed(sentence: Sentence, source: Corpus) -> Sentence:
    """The sentence with the labels of the model, and what its corpus annotates."""
    annotated = frozenset(source.annotates) if isinstance(source.annotates, list) else None
    sentence = replace(sentence, corpus=source.name, annotated=annotated)
    if source.labels is None:
        return sentence
    if sentence.spans is None:
        tags = [tag if tag == OUTSIDE else source.label_of(tag) for tag in sentence.tags or ()]
        left_out = [n for n, tag in enumerate(sentence.tags or ()) if tag != OUTSIDE and tags[n] == OUTSIDE]
        reports = [_report(sentence, Span(n, n + 1, (sentence.tags or [])[n])) for n in left_out]
        return replace(sentence, tags=tags, unused=(*sentence.unused, *reports))
    spans = [replace(span, type=source.label_of(span.type)) for span in sentence.spans]
    reports = [
        _report(sentence, span)
        for span, new in zip(sentence.spans, spans, strict=True)
        if new.type == OUTSIDE
    ]
    kept = [span for span in spans if span.type != OUTSIDE]
    return replace(sentence, spans=kept, unused=(*sentence.unused, *reports))


def _report(sentence: Sentence, span: Span) -> Unused:
    words = " ".join(sentence.words[span.start : span.end])
    reason = f"`{words}` is left out: `labels` maps {span.type} to {OUTSIDE}"
    return Unused(sentence.file or "(data)", sentence.line_of(span.start), reason, span.type)
