"""Label sentences with a tagger, whatever computes its scores: the same windows, batches and order. Imports no torch.

Sentences are ordered by length within a bounded window, batched by subwords, and returned in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from ..data.coverage import report_truncated_words
from ..runtime.progress import Progress
from ..schemes.labels import LabelSet
from ..subwords.documents import chunks
from ..subwords.samples import IGNORED, Sample, by_token_budget, parts_of
from ..subwords.tokenization import Encoding, SubwordEncoder
from ..types import Prediction, Sentence
from .kinds import Apply

LabelBatch = Callable[[Sequence[Sentence], Sequence[Sequence[Sample]]], list[Prediction]]
"""Labels the sentences of one batch. Their samples come in several parts if there is one long sentence of many windows:
only one part is to be in memory at a time, and the words of all parts belong to that sentence."""


class WordTagger(Protocol):
    """A model that tags words: what is needed of it besides its scores."""

    @property
    def encoder(self) -> SubwordEncoder:
        """Splits words into subwords."""

    @property
    def labels(self) -> LabelSet:
        """Its tags, with their scheme."""


def label(
    model: WordTagger,
    sentences: Iterable[Sentence],
    label_batch: LabelBatch,
    batch_tokens: int,
    window: int,
    progress: Progress,
    apply: Apply = map,
) -> Iterator[Prediction]:
    """Label sentences in order, with at most `window` of them in memory.

    Args:
        model: the tagger.
        sentences: what to label; sentences without words get empty predictions.
        label_batch: labels the sentences of one batch; all of them have words.
        batch_tokens: maximum number of subwords per batch; a longer sentence gets its own batch.
        window: maximum number of sentences in memory.
        progress: receives a note about truncated words.
        apply: applies a function to all batches.
    """
    encoder, truncated = model.encoder, 0
    for chunk in chunks(sentences, window, encoder.document_context):
        encodings = encoder.encode(chunk.sentences, chunk.before, chunk.after)
        truncated += sum(encoding.cut_words for encoding in encodings)
        predictions = [
            Prediction(sentence, [], [], scheme=model.labels.scheme) for sentence in chunk.sentences
        ]
        batches = list(_batches(encodings, batch_tokens))

        def label_one(
            batch: list[Sample], sentences: Sequence[Sentence] = chunk.sentences
        ) -> list[Prediction]:
            labelled = [sentences[sample.number] for sample in batch]
            return label_batch(labelled, _parts(batch, batch_tokens))

        for batch, labelled in zip(batches, apply(label_one, batches), strict=True):
            for sample, prediction in zip(batch, labelled, strict=True):
                prediction.sentence = chunk.sentences[sample.number]  # a copy, if another process labelled it
                predictions[sample.number] = prediction
        yield from predictions
    report_truncated_words(truncated, progress)


def _batches(encodings: Sequence[Encoding], batch_tokens: int) -> Iterator[list[Sample]]:
    samples = [
        Sample(encoding, [IGNORED] * encoding.words, number)
        for number, encoding in enumerate(encodings)
        if encoding.words
    ]
    for positions in by_token_budget([sample.tokens for sample in samples], batch_tokens):
        yield [samples[position] for position in positions]


def _parts(batch: list[Sample], batch_tokens: int) -> list[list[Sample]]:
    if sum(sample.tokens for sample in batch) <= batch_tokens:
        return [batch]
    return [[part] for part in parts_of(batch[0], batch_tokens)]
