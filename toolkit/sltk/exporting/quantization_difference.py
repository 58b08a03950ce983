"""The difference between a quantized model and its export in full precision, measured on text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..models import tagging
from ..models.instruct import model as instructing
from ..models.instruct.model import InstructModel
from ..models.tagger_model import TaggerModel
from ..nn.batching import batch_on, pack
from ..nn.packing import Packing
from ..nn.softmax_head import as_numpy
from ..runtime.progress import Progress
from ..subwords.samples import Sample
from ..subwords.tokenization import Encoding
from ..types import Sentence
from .exported_backbone import load_exported
from .gate_texts import Case, cases

_PROMPT = "The committee asked the mechanic in Berlin for a longer report on Monday, but nobody was there."


def report_difference(model: TaggerModel | InstructModel, folder: Path, progress: Progress) -> None:
    """Note how far the labels and probabilities of a quantized model and of its export in `folder` differ."""
    spec: Any = model.backbone
    measured = (
        _next_tokens(model, load_exported(instructing, folder))
        if isinstance(model, InstructModel)
        else _tags(model, load_exported(tagging, folder), list(cases(model)))
    )
    if measured is not None:
        progress.note(f"the run is quantized ({spec.quantization.type}) and its export is not: {measured}")


def _tags(model: TaggerModel, exported: TaggerModel, texts: Sequence[Case]) -> str | None:
    if not texts:
        return None
    (tags, scores), (other_tags, other_scores) = _labels(model, texts), _labels(exported, texts)
    changed = sum(one != other for one, other in zip(tags, other_tags, strict=True))
    difference = max(abs(one - other) for one, other in zip(scores, other_scores, strict=True))
    return (
        f"on {len(tags)} words that both labelled, {changed} tags differ, "
        f"and probabilities of the best tag by at most {difference:.2g}"
    )


def _labels(model: TaggerModel, texts: Sequence[Case]) -> tuple[list[Any], list[float]]:
    """The tags of the words of all texts, and their probabilities."""
    samples = [Sample(Encoding([case.window], len(case.words)), [0] * len(case.words)) for case in texts]
    batch: Any = batch_on(pack(samples), model.device)
    network = model.network.eval()
    with torch.inference_mode():
        if network.head.decodes_itself:
            tags_W, scores_W = network.decode(batch)
            return tags_W.tolist(), scores_W.tolist()
        emissions = as_numpy(network.emissions([batch]))
    sentences = [Sentence([""] * len(case.words)) for case in texts]
    predictions = network.head.decoder(model.labels, model.decisions).predictions(sentences, emissions)
    tags = [tag for prediction in predictions for tag in prediction.tags]
    return tags, [score for prediction in predictions for score in prediction.scores or ()]


def _next_tokens(model: InstructModel, exported: InstructModel) -> str:
    before_TV, after_TV = _probabilities(model), _probabilities(exported)
    return (
        f"probabilities of the next token differ by at most {float((before_TV - after_TV).abs().max()):.2g}"
    )


def _probabilities(model: InstructModel) -> Tensor:
    """Probabilities of the next token after each token of a prompt, [T, V]."""
    backbone: Any = model.network.backbone
    ids_T = torch.tensor(backbone.tokenizer(_PROMPT)["input_ids"], device=model.device)
    backbone.eval()
    with torch.inference_mode():
        vectors_TH = backbone(ids_T, Packing.of_lengths([len(ids_T)]))
        logits_TV: Tensor = model.network.scores(vectors_TH)
    return logits_TV.float().softmax(-1).cpu()
