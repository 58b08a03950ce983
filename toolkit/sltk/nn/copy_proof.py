"""Proof at load time that words are read from the last of several copies, and see exactly what they should.

`mask_proof` proves each block on sentences that are read once. Here the whole model runs as in training:

1. The vector of a word depends on exactly those subwords of its sentence, in all copies, that the rules of the blocks
   together let it see: its gradient is zero for all other subwords, and for these it is not.
2. With the family's own mask, its vector equals that of the stock model in the last copy of the sentence, which is
   repeated by hand and runs alone.

If padding is attended to, it is a part of each copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from . import probe_sentences
from .attention import NAME, rule_of
from .backbone import PackedBackbone
from .mask_flags import UnsuitableError, family_mask
from .mask_proof import relative_difference, sources, tolerance, tracked_embedding, violation
from .packing import Packing, Rule

_SENTENCES = (probe_sentences.FIRST, probe_sentences.SECOND)


@torch.enable_grad()
def prove(backbone: PackedBackbone, modules: Sequence[nn.Module], *, own: bool) -> None:
    """Check that the vectors of a model are those of the last copies.

    Args:
        backbone: the model; its mask has been proven.
        modules: its attention modules, one per block.
        own: the flag of the model's own mask.

    Raises:
        ModelError: a word sees something else than it should.
        UnsuitableError: a vector differs from that of the stock model.
    """
    was_training = backbone.training
    backbone.eval()
    _check_dependencies(backbone)
    _check_stock(backbone, modules, own=own)
    backbone.train(was_training)
    backbone.kernels.clear()


def _check_dependencies(backbone: PackedBackbone) -> None:
    model = backbone.model
    ids_T = probe_sentences.token_ids(model)
    with probe_sentences.recorded_calls() as calls, tracked_embedding(model) as embedded:
        vectors_TH = backbone(ids_T, _packing())
    rules = [rule_of(module, window, bool(module.sltk_unmasked)) for module, window in calls]
    start = 0
    for sentence, row in zip(_SENTENCES, _copied(backbone, ids_T), strict=True):
        last_copy = len(row) - len(row) // backbone.copies
        seen_XX = _seen(rules, len(row))
        for number in {0, 1, sentence.stop - sentence.start - 1}:
            expected = {start + place for place in seen_XX[last_copy + number].nonzero().flatten().tolist()}
            token = sentence.start + number
            if sources(vectors_TH[token : token + 1], embedded[0]) != expected:
                raise violation(f"word {number + 1} of a sentence does not see what it should in its copies")
        start += len(row)


def _packing() -> Packing:
    """The layout of the sentences, without tensors that were computed before."""
    return Packing.of_lengths(probe_sentences.LENGTHS)


def _copied(backbone: PackedBackbone, ids_T: Tensor) -> Iterator[Tensor]:
    """What the model should read of each sentence: its ids, with padding if it attends to it, in all copies."""
    longest = max(probe_sentences.LENGTHS)
    for sentence in _SENTENCES:
        ids = ids_T[sentence]
        if backbone.attends_to_padding:
            ids = torch.cat([ids, ids.new_full((longest - len(ids),), backbone.padding_token)])
        yield ids.repeat(backbone.copies)


def _seen(rules: Iterable[Rule], length: int) -> Tensor:
    """[X, X]: whether the row depends on the column after blocks with these rules."""
    seen_XX = torch.eye(length)
    for rule in rules:
        mask_XX = rule.mask(length, seen_XX.device)
        attended_XX = torch.ones_like(seen_XX) if mask_XX is None else mask_XX.float()
        seen_XX = (attended_XX @ seen_XX).clamp(max=1)
    return seen_XX


@torch.inference_mode()
def _check_stock(backbone: PackedBackbone, modules: Sequence[nn.Module], *, own: bool) -> None:
    model: Any = backbone.model
    ids_T = probe_sentences.token_ids(model)
    with family_mask(modules, unmasked=own):
        ours_TH = backbone(ids_T, _packing())
        model.set_attn_implementation("eager")
        try:
            with backbone.computing():
                stock_TH = torch.cat(list(_stock_vectors(backbone, ids_T)))
        finally:
            model.set_attn_implementation(NAME)
    difference = relative_difference(ours_TH, stock_TH)
    if not difference <= tolerance(backbone):
        raise UnsuitableError(f"the last copy differs by {difference:.1%} from that of the stock model")


def _stock_vectors(backbone: PackedBackbone, ids_T: Tensor) -> Iterator[Tensor]:
    for sentence, row in zip(_SENTENCES, _copied(backbone, ids_T), strict=True):
        states_XH = backbone.model(input_ids=row[None]).last_hidden_state[0]
        yield states_XH[len(row) - len(row) // backbone.copies :][: sentence.stop - sentence.start]
