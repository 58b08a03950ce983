"""The difference between a quantized model and its export in full precision, measured on text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..models import tagging
from ..models.instruct.model import InstructModel
from ..models.tagger_model import TaggerModel
from ..nn.batching import pack
from ..runtime.progress import Progress
from ..subwords.samples import Sample
from ..subwords.tokenization import Encoding
from .gate_texts import Case, cases


def report_difference(model: TaggerModel | InstructModel, folder: Path, progress: Progress) -> None:
    """Note how far the tags and probabilities of a quantized model and of its export in `folder` differ."""
    kind = model.backbone.quantization.type  # type: ignore[attr-defined]
    if isinstance(model, InstructModel):
        progress.note(f"warning: the run is quantized ({kind}) and its export is not: responses may differ")
        return
    texts = list(cases(model))
    if not texts:
        return
    before, after = _labels(model, texts), _labels(tagging.load(folder), texts)
    changed = int((before[0] != after[0]).sum())
    difference = float((before[1] - after[1]).abs().max())
    progress.note(
        f"the run is quantized ({kind}) and its export is not: on {len(before[0])} words that both labelled, "
        f"{changed} tags differ, and probabilities of the best tag by at most {difference:.2g}"
    )


def _labels(model: TaggerModel, texts: Sequence[Case]) -> tuple[Tensor, Tensor]:
    """`tags_W` and `scores_W` of the words of all texts."""
    samples = [Sample(Encoding([case.window], len(case.words)), [0] * len(case.words)) for case in texts]
    batch: Any = pack(samples)
    moved = {
        key: value.to(model.device) if isinstance(value, Tensor) else value for key, value in batch.items()
    }
    model.network.eval()
    with torch.inference_mode():
        tags_W, scores_W = model.network.decode(moved)  # type: ignore[arg-type]
    return tags_W.cpu(), scores_W.cpu()
