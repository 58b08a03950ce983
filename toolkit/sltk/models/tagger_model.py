"""A tagger with everything needed to use it, and prediction with it.

Prediction orders sentences by length within a bounded window, batches them by subwords, and restores their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ..components.slots import Aligner, Head
from ..data.coverage import report_truncated_words
from ..decoding import TagDecoder
from ..nn.batching import Sample, by_token_budget, pack, parts_of
from ..nn.softmax_head import IGNORED, as_numpy
from ..nn.tagger import Tagger
from ..runtime.progress import Progress
from ..subwords.documents import chunks
from ..subwords.tokenization import Encoding, SubwordEncoder
from ..types import Prediction, Sentence
from .saving import Model


@dataclass(kw_only=True)
class TaggerModel(Model):
    """A tagger with everything needed to use it."""

    type_name: ClassVar[str] = "tagger"
    slots: ClassVar[tuple[str, ...]] = ("splitter", "aligner", "backbone", "head")
    network: Tagger
    aligner: Aligner
    head: Head
    spacing: Literal["single", "source"] = "single"
    on_overflow: Literal["window", "error"] = "window"
    document_context: int = 0
    encoder: SubwordEncoder = field(init=False)

    def __post_init__(self) -> None:
        backbone = self.network.backbone
        max_length = self.max_length or backbone.max_length
        self.encoder = SubwordEncoder(
            backbone.tokenizer,
            self.spacing,
            max_length,
            self.on_overflow,
            self.document_context,
            _vectors(backbone.model),
        )

    def settings(self) -> dict[str, Any]:
        """The settings of the encoder."""
        return {name: getattr(self, name) for name in ("spacing", "on_overflow", "document_context")}

    def head_modules(self) -> dict[str, nn.Module]:
        """Head and aligner."""
        return {"head": self.network.head, "aligner": self.network.aligner}


def _vectors(model: nn.Module) -> int | None:
    """Number of tokens for which a model has a vector; None for a custom model that does not say."""
    find = getattr(model, "get_input_embeddings", None)
    weight = getattr(find() if find is not None else None, "weight", None)
    return None if weight is None else len(weight)


def predict(
    model: TaggerModel, sentences: Iterable[Sentence], batch_tokens: int, window: int, progress: Progress
) -> Iterator[Prediction]:
    """Label sentences in order, with at most `window` of them in memory.

    Args:
        batch_tokens: maximum number of subwords per forward pass; a longer sentence gets its own pass.
        progress: receives a note about truncated words.
    """
    decoder = TagDecoder(model.labels, model.network.head.transitions())
    truncated = 0
    for chunk in chunks(sentences, window, model.encoder.document_context):
        encodings = model.encoder.encode(chunk.sentences, chunk.before, chunk.after)
        truncated += sum(encoding.cut_words for encoding in encodings)
        yield from _label(model, decoder, chunk.sentences, encodings, batch_tokens)
    report_truncated_words(truncated, progress)


def _label(
    model: TaggerModel,
    decoder: TagDecoder,
    sentences: Sequence[Sentence],
    encodings: Sequence[Encoding],
    batch_tokens: int,
) -> list[Prediction]:
    samples = [
        Sample(encoding, [IGNORED] * encoding.words, number)
        for number, encoding in enumerate(encodings)
        if encoding.words
    ]
    predictions = [Prediction(sentence, [], [], scheme=model.labels.scheme) for sentence in sentences]
    was_training = model.network.training
    model.network.eval()
    with torch.inference_mode():
        for positions in by_token_budget([sample.tokens for sample in samples], batch_tokens):
            batch = [samples[position] for position in positions]
            labelled = [sentences[sample.number] for sample in batch]
            for sample, prediction in zip(
                batch, _label_batch(model, decoder, labelled, batch, batch_tokens), strict=True
            ):
                predictions[sample.number] = prediction
    model.network.train(was_training)
    return predictions


def _label_batch(
    model: TaggerModel,
    decoder: TagDecoder,
    sentences: Sequence[Sentence],
    samples: Sequence[Sample],
    batch_tokens: int,
) -> list[Prediction]:
    """Label the sentences of one pass; one long sentence of many windows is read in several."""
    network, is_long = model.network, sum(sample.tokens for sample in samples) > batch_tokens
    parts = ([part] for part in parts_of(samples[0], batch_tokens)) if is_long else iter([samples])
    batches = (_batch(model, part) for part in parts)
    if not network.head.decodes_itself:
        return decoder.predictions(sentences, as_numpy(network.emissions(batches)))
    tags_W, scores_W = network.decode_parts(batches) if is_long else network.decode(next(batches))
    return decoder.labelled(sentences, tags_W.cpu().numpy(), as_numpy(scores_W))


def _batch(model: TaggerModel, samples: Sequence[Sample]) -> Any:
    return {
        key: value.to(model.device, non_blocking=True) if isinstance(value, Tensor) else value
        for key, value in pack(samples).items()
    }
