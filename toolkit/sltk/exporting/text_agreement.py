"""Check that an exported model gives the labels and scores of sltk on text, and state the rules for using it.

Texts and lists of words are labelled by sltk, and by what people use elsewhere: `AutoTokenizer` with
`AutoModelForTokenClassification` on a padded batch, and the pipeline "token-classification". What these cannot express
becomes a rule for the person who uses the export; an export that reads no text like sltk is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ..files import atomic
from ..files.damage import read_json
from ..models.tagger_model import TaggerModel
from ..nn.batching import batch_on, pack
from ..subwords.samples import Sample
from ..subwords.tokenization import Encoding
from .exported_tokenizer import blank_subword
from .gate_texts import Case, cases
from .pipeline_words import PipelineCheck
from .plain_config import NotPlainError
from .shared_classifier import shared_classifier
from .usage_rules import usage_rules

_TOLERANCE, _HALF_TOLERANCE = 1e-4, 0.05
"""Differences of scores (logits) that rounding may cause in float32 and in 16-bit formats, by the largest score.

Measured in float32 with 30 blocks: 3e-5. A wrong mask, window or position changes scores by several percent.
"""
_PROBABILITY, _HALF_PROBABILITY = 1e-3, 0.05
"""The same for probabilities in the pipeline."""


@dataclass(frozen=True)
class Agreement:
    """The result of the check."""

    rules: list[str]
    """What a person who uses the export in transformers has to do, one sentence each."""
    difference: float
    """The largest difference of a score (logit)."""
    texts: int
    """Number of texts and lists of words that were compared."""
    tokenizer: str
    """What loads the tokenizer: `AutoTokenizer`, or `PreTrainedTokenizerFast` if AutoTokenizer replaces it."""
    blank: str | None
    """A subword that is never the first of a word: see `exported_tokenizer.blank_subword`."""


def check_agreement(model: TaggerModel, folder: Path) -> Agreement:
    """Compare a model that sltk loaded from an export with what transformers loads from it.

    Raises:
        NotPlainError: transformers reads no text as sltk does, or gives other scores.
    """
    every = list(cases(model))
    if not every:
        raise NotPlainError("its maximum length is too short for the texts of the comparison")
    tokenizer, alike, needs_generic = _best_tokenizer(folder, every)
    if not any(case.difficulty == "words" for case in alike):
        raise NotPlainError("transformers' tokenizers cannot read text as it does")
    is_half = next(model.network.backbone.parameters()).dtype != torch.float32
    ours = _scores(model, alike)
    largest = max(1.0, *(float(scores_WL.abs().max()) for scores_WL in ours))
    tolerance = largest * (_HALF_TOLERANCE if is_half else _TOLERANCE)
    classifier, difference = _equal_classifier(folder, model, tokenizer, alike, ours, tolerance)
    disagreements: dict[bool, dict[str, str]] = {False: {}, True: {}}
    if model.aligner.type_name == "first_subword":
        pipeline = PipelineCheck(classifier, tokenizer)
        for case, scores_WL in zip(alike, ours, strict=True):
            probabilities_WL = scores_WL.softmax(-1).cpu().numpy()
            limit = _HALF_PROBABILITY if is_half else _PROBABILITY
            for kind, example in pipeline.compare(case, probabilities_WL, limit):
                disagreements[case.is_split].setdefault(kind, example)
    unlike = {
        is_split: [case.difficulty for case in every if case not in alike and case.is_split == is_split]
        for is_split in (False, True)
    }
    rules = usage_rules(model, unlike, disagreements, needs_generic_tokenizer=needs_generic)
    loader = "PreTrainedTokenizerFast" if needs_generic else "AutoTokenizer"
    blank = blank_subword(model.network.backbone.tokenizer)
    return Agreement(rules, difference, len(alike), loader, blank)


def _best_tokenizer(folder: Path, every: Sequence[Case]) -> tuple[Any, list[Case], bool]:
    """The tokenizer that reads most texts like sltk, these texts, and whether it is not that of AutoTokenizer."""
    auto = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    alike = _alike(auto, every)
    if len(alike) < len(every):
        generic = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        more = _alike(generic, every)
        if len(more) > len(alike):
            return generic, more, True
    return auto, alike, False


def _alike(tokenizer: Any, every: Sequence[Case]) -> list[Case]:
    """The texts that a tokenizer turns into the subwords that sltk reads."""
    return [
        case
        for case in every
        if tokenizer(case.input, is_split_into_words=case.is_split)["input_ids"] == case.window.ids
    ]


def _scores(model: TaggerModel, texts: Sequence[Case]) -> list[Tensor]:
    """sltk's scores of the tags of each word, [W, L] for each text."""
    samples = [Sample(Encoding([case.window], len(case.words)), [0] * len(case.words)) for case in texts]
    batch = batch_on(pack(samples), model.device)
    scorer: Any = model.network.head.scorer
    with torch.inference_mode():
        vectors_WH = model.network.word_vectors(
            batch["ids_T"], batch["packing"], batch["first_W"], batch["last_W"]
        )
        scores_WL: Tensor = scorer(vectors_WH)
    return list(torch.split(scores_WL, [len(case.words) for case in texts]))


def _equal_classifier(
    folder: Path,
    model: TaggerModel,
    tokenizer: Any,
    texts: Sequence[Case],
    ours: Sequence[Tensor],
    tolerance: float,
) -> tuple[Any, float]:
    """The classifier that transformers loads, and the largest difference of its scores.

    Some families use the causal mask of `scaled_dot_product_attention` whatever their config says; for them the config
    then asks for the attention named `eager`.

    Raises:
        NotPlainError: the scores differ.
    """
    difference = 0.0
    for attention in (None, "eager"):
        if attention is not None:
            path = folder / "config.json"
            atomic.write_json(path, {**read_json(path), "attn_implementation": attention})
        classifier = shared_classifier(folder, model.network.backbone)
        theirs = _classifier_scores(classifier, model, tokenizer, texts)
        difference = max(float((x - y).abs().max()) for x, y in zip(theirs, (*ours, ours[0]), strict=True))
        if difference <= tolerance:
            return classifier, difference
    raise NotPlainError(f"scores of transformers' token classifier differ (by {difference:.2g})")


def _classifier_scores(
    classifier: Any, model: TaggerModel, tokenizer: Any, texts: Sequence[Case]
) -> list[Tensor]:
    """Scores of the words of each text in a padded batch, and of the first text alone without an attention mask."""
    is_first = model.aligner.type_name == "first_subword"
    ids = [case.window.ids for case in texts]
    padding = int(tokenizer.pad_token_id or 0)
    rows = [torch.tensor(row, device=model.device) for row in ids]
    batch = {
        "input_ids": pad_sequence(rows, batch_first=True, padding_value=padding),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in rows], batch_first=True),
    }
    alone = rows[0].unsqueeze(0)
    with torch.inference_mode():
        logits = [*classifier(**batch).logits, classifier(input_ids=alone).logits[0]]
    windows = [case.window for case in (*texts, texts[0])]
    return [
        scores[window.first if is_first else window.last].float()
        for scores, window in zip(logits, windows, strict=True)
    ]
