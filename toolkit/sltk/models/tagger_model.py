"""A tagger with everything needed to use it, and prediction with it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ..components.aligners.subword import shift_of
from ..components.backbones import copy_limits
from ..components.slots import Aligner, Head
from ..decoding import Decisions, TagDecoder, check_scheme
from ..errors import SpecError, UsageError
from ..nn.batching import Batch, batch_on, pack
from ..nn.frozen_vectors import FrozenVectors
from ..nn.softmax_head import as_numpy
from ..nn.tagger import Tagger
from ..runtime.progress import Progress
from ..subwords.samples import Sample
from ..subwords.tokenization import SubwordEncoder
from ..types import Prediction, Sentence
from .batched_labelling import label
from .kinds import Apply
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
    batch_sentences: int | None = None
    """Sentences per forward pass, in their order, where scores depend on the padding of a batch."""
    encoder: SubwordEncoder = field(init=False)
    frozen_vectors: FrozenVectors | None = None
    """Keeps what a frozen backbone has computed, for further evaluations of the same data."""

    def __post_init__(self) -> None:
        backbone = self.network.backbone
        max_length = self.max_length or backbone.max_length
        too_long = copy_limits.excess(self.max_length, backbone.copies - 1, backbone.positions)
        if too_long is not None:
            raise SpecError(too_long)
        self.encoder = SubwordEncoder(
            backbone.tokenizer,
            self.spacing,
            max_length,
            self.on_overflow,
            self.document_context,
            _vectors(backbone.model),
            shift_of(self.aligner),
            backbone.copies,
        )

    @property
    def decisions(self) -> Decisions:
        """How its head decides."""
        return Decisions(decode=self.head.decode, span_score=self.head.span_score)

    def settings(self) -> dict[str, Any]:
        """The settings of the encoder."""
        return {name: getattr(self, name) for name in ("spacing", "on_overflow", "document_context")}

    def head_modules(self) -> dict[str, nn.Module]:
        """Head and aligner."""
        return {"head": self.network.head, "aligner": self.network.aligner}


def check_decisions(model: TaggerModel, decisions: Decisions) -> None:
    """Check that the model can decide like this.

    Raises:
        UsageError: its tags are plain, and the decisions need a scheme of spans; or its head has a `decode` of its own,
            which cannot be constrained, and gives no probabilities of the tags that it does not choose; or it chooses
            spans, and the decisions are about tags.
    """
    check_scheme(model.labels.scheme, decisions)
    if not model.network.head.decodes_itself:
        model.network.head.decoder(model.labels, decisions)
        return
    name = f"the head `{model.head.type_name}` chooses tags in a way of its own (`decode`)"
    if decisions.decode == "constrained":
        raise UsageError(f"{name}: they cannot be constrained")
    if decisions.uncertainty is not None:
        raise UsageError(f"{name}, and gives no probabilities of other tags: its uncertainty is unknown")


def _vectors(model: nn.Module) -> int | None:
    """Number of tokens for which a model has a vector; None for a custom model that does not say."""
    find = getattr(model, "get_input_embeddings", None)
    weight = getattr(find() if find is not None else None, "weight", None)
    return None if weight is None else len(weight)


def predict(
    model: TaggerModel,
    sentences: Iterable[Sentence],
    batch_tokens: int,
    window: int,
    progress: Progress,
    decisions: Decisions | None = None,
    apply: Apply = map,
) -> Iterator[Prediction]:
    """Label sentences in order, with at most `window` of them in memory, as `batched_labelling.label` describes."""
    network = model.network
    decoder = network.head.decoder(model.labels, decisions or model.decisions)

    def label_batch(labelled: Sequence[Sentence], parts: Sequence[Sequence[Sample]]) -> list[Prediction]:
        batches: Iterator[Any] = (_batch(model, part) for part in parts)
        with torch.inference_mode(), _evaluating(network):
            if not network.head.decodes_itself:
                return decoder.predictions(labelled, as_numpy(network.emissions(batches)))
            is_whole = len(parts) == 1
            tags_W, scores_W = network.decode(next(batches)) if is_whole else network.decode_parts(batches)
        own = TagDecoder(model.labels, None, decisions or model.decisions)
        return own.labelled(labelled, tags_W.cpu().numpy(), as_numpy(scores_W))

    sentence_tokens = network.backbone.sentence_tokens(batch_tokens)
    if model.batch_sentences is not None:
        sentence_tokens, window = sys.maxsize, model.batch_sentences  # the sentences in memory are one batch
    yield from label(model, sentences, label_batch, sentence_tokens, window, progress, apply)
    for note in network.backbone.kernels.new_notes():
        progress.note(note)


def _batch(model: TaggerModel, samples: Sequence[Sample]) -> Any:
    """A batch on the device of the model, with the vectors of its frozen backbone if they are kept."""
    batch, network = pack(samples), model.network
    if model.frozen_vectors is None:
        return batch_on(batch, model.device)

    def compute(_: Batch) -> Tensor:
        return network.frozen_vectors(batch_on(batch, model.device))  # type: ignore[arg-type]

    vectors = model.frozen_vectors.of(batch, network.backbone.flags, compute)
    key = "vectors_WH" if network.has_own_aligner else "vectors_TH"
    return batch_on({**batch, key: vectors}, model.device)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Switch dropout off."""
    if not network.training:
        yield
        return
    network.eval()
    try:
        yield
    finally:
        network.train()
