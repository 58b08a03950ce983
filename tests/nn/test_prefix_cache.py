"""Passes with several masks over one text, which start at the first block whose flag differs."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel

from sltk.masks import shared_start
from sltk.nn import prefix_cache
from sltk.nn.attention import NAME
from sltk.nn.backbone import PackedBackbone
from sltk.nn.mask_flags import MaskSwitch
from sltk.nn.packing import Packing
from sltk.search.search_plan import passes

SMALL = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 50, "pad_token_id": 0, "max_position_embeddings": 64,
}  # fmt: skip
MASKS = list(product((False, True), repeat=4))
TEXT = ([7, 3, 3], [2, 9])


def backbone(family: str) -> PackedBackbone:
    torch.manual_seed(5)
    model = AutoModel.from_config(AutoConfig.for_model(family, **SMALL))
    model.set_attn_implementation(NAME)
    return PackedBackbone(model, None, (False,) * 4).eval()


def batches() -> list[tuple[torch.Tensor, Packing]]:
    generator = torch.Generator().manual_seed(6)
    return [(torch.randint(3, 50, (sum(n),), generator=generator), Packing.of_lengths(n)) for n in TEXT]


@torch.inference_mode()
def states(network: PackedBackbone) -> list[torch.Tensor]:
    return [network(ids, packing) for ids, packing in batches()]


@pytest.mark.parametrize(
    "family", ["llama", "gpt2", "qwen3", "gemma2", "phi", "gpt_neox", "bert", "modernbert"]
)
def test_passes_that_skip_blocks_give_identical_states(family: str) -> None:
    network = backbone(family)
    switch = MaskSwitch(network)
    whole = {}
    for mask in MASKS:
        switch.set(mask)
        whole[mask] = states(network)
    blocks = prefix_cache.blocks_of(network)
    assert blocks is not None
    calls = _record_calls(blocks)
    with prefix_cache.PrefixCache(blocks, range(1, 5)).installed() as cache:
        for mask, before in zip(MASKS, [None, *MASKS], strict=False):
            switch.set(mask)
            cache.new_pass(0 if before is None else shared_start(mask, before))
            for ours, theirs in zip(states(network), whole[mask], strict=True):
                assert torch.equal(ours, theirs)
    assert len(calls) == len(TEXT) * (2 + 4 + 8 + 16)  # instead of 64 for 16 masks of 4 blocks
    assert [torch.equal(a, b) for a, b in zip(states(network), whole[MASKS[-1]], strict=True)] == [True] * 2


def _record_calls(blocks: Any) -> list[Any]:
    """Record the calls of the blocks' attention, until the end of the test."""
    calls: list[Any] = []

    def record(module: Any, *_: Any) -> None:
        calls.append(module)

    for block in blocks:
        next(m for m in block.modules() if hasattr(m, "sltk_unmasked")).register_forward_hook(record)
    return calls


def test_another_text_does_not_use_the_cache() -> None:
    network = backbone("llama")
    MaskSwitch(network)
    blocks = prefix_cache.blocks_of(network)
    assert blocks is not None
    ids, packing = batches()[0]
    with torch.inference_mode(), prefix_cache.PrefixCache(blocks, [2]).installed() as cache:
        network(ids, packing)
        cache.new_text()
        other = network(ids.flip(0), packing)
    assert torch.equal(other, network(ids.flip(0), packing))


def test_other_batches_in_a_later_pass_are_an_error() -> None:
    network = backbone("llama")
    MaskSwitch(network)
    blocks = prefix_cache.blocks_of(network)
    assert blocks is not None
    (ids, packing), (others, other_packing) = batches()
    with torch.inference_mode(), prefix_cache.PrefixCache(blocks, [2]).installed() as cache:
        network(ids, packing)
        cache.new_pass(2)
        with pytest.raises(RuntimeError, match="same batches"):
            network(others, other_packing)


def test_number_of_passes_for_scoring_all_masks() -> None:
    assert passes(["".join(digits) for digits in product("01", repeat=4)]) == 7.5
    assert passes(["".join(digits) for digits in product("01", repeat=6)]) == 21
    assert passes(["0000"]) == 1
    assert passes(["all", "none", "last:2"]) == 3
