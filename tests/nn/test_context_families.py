"""What a word may see, on models of six families: packed, alone, and by hand with the stock model of transformers.

An arm is a set of keys of `backbone`. The reference knows nothing of sltk: it repeats the sentences, cuts the blocks,
writes the attention mask of each block itself, and runs the eager attention of transformers on a padded batch.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from sltk.components.backbones import Decoder, TrainedTokenizer
from sltk.nn.backbone import BuildContext, PackedBackbone
from sltk.nn.packing import Packing
from tiny_families import BY_NAME

FAMILIES = ("llama", "gpt2", "opt", "mistral", "gemma2", "gpt_oss")
"""Rotary and learned positions, positions with an offset, sliding windows in all or some blocks, sinks, experts."""
BLOCKS = 4
LENGTHS = (4, 2, 6)
IDS = [torch.arange(5 + 10 * n, 5 + 10 * n + length) for n, length in enumerate(LENGTHS)]


@dataclass(frozen=True)
class Arm:
    """Keys of `backbone`, and what they mean."""

    keys: dict[str, Any]
    mask: str = "0000"
    """One digit per block that is left: 1 if it is unmasked."""
    copies: int = 1
    reach: int | None = None
    """How far a token of an unmasked block sees to each side."""
    is_flawed: bool = False
    """Whether padding is read like words."""

    def spans(self, lengths: Sequence[int]) -> list[int]:
        """The tokens of one copy of each sentence: with the flaw, its padding too."""
        return [max(lengths)] * len(lengths) if self.is_flawed else list(lengths)

    def sees(self, length: int, window: int | None, block: int) -> Tensor:
        """[length, length]: which token (row) attends to which (column) in a block of a family."""
        distance = torch.arange(length)[:, None] - torch.arange(length)
        seen = distance.abs() <= (self.reach or length) if self.mask[block] == "1" else distance >= 0
        return seen if window is None else seen & (distance.abs() < window)


ARMS = {
    "mask": Arm({"unmask": "0110"}, "0110"),
    "repeat 1": Arm({"repeat": 1}, copies=2),
    "repeat 2": Arm({"repeat": 2}, copies=3),
    "repeat 1 + 0011": Arm({"repeat": 1, "unmask": "0011"}, "0011", copies=2),
    "blocks 3 + 011": Arm({"blocks": 3, "unmask": "011"}, "011"),
    "repeat 1 + blocks 2 + 01": Arm({"repeat": 1, "blocks": 2, "unmask": "01"}, "01", copies=2),
    "window:1": Arm({"unmask": "window:1"}, "1111", reach=1),
    "repeat 1 + window:4 + blocks 3": Arm(
        {"repeat": 1, "unmask": "window:4", "blocks": 3}, "111", copies=2, reach=4
    ),
    "repeat 1 + 0111 + padding": Arm(
        {"repeat": 1, "unmask": "0111", "attend_to_padding": True}, "0111", copies=2, is_flawed=True
    ),
}
CASES = pytest.mark.parametrize(("family", "arm"), [(family, arm) for family in FAMILIES for arm in ARMS])


def build(family: str, **keys: Any) -> PackedBackbone:
    config = {"model_type": family, **BY_NAME[family].config()}
    spec = Decoder(init="random", config=config, tokenizer=TrainedTokenizer(vocab_size=257), **keys)
    context = BuildContext(torch.device("cpu"), seed=0, texts=lambda: ["a few words"])
    backbone = spec.build(context)
    backbone.eval()
    return backbone


@functools.cache
def backbone(family: str, arm: str) -> PackedBackbone:
    """An untrained model; the tests share it."""
    return build(family, **ARMS[arm].keys)


@functools.cache
def config(family: str) -> Any:
    """The config of the whole model."""
    return AutoConfig.for_model(family, **BY_NAME[family].config())


def windows(family: str) -> list[int | None]:
    """The sliding window of each block that the family has by itself."""
    kinds = getattr(config(family), "layer_types", None)
    width = getattr(config(family), "sliding_window", None)
    return [
        width if kinds is None or kinds[block] == "sliding_attention" else None for block in range(BLOCKS)
    ]


def masks(arm: Arm, lengths: Sequence[int], family: str) -> list[Tensor]:
    """For each block [N, 1, X, X]: what the tokens of repeated sentences see, padded on the right."""
    longest = arm.copies * max(lengths)
    by_block = []
    for block, window in zip(range(len(arm.mask)), windows(family), strict=False):
        seen = torch.zeros(len(lengths), 1, longest, longest, dtype=torch.bool)
        for row, length in enumerate(lengths):
            whole = arm.copies * length
            seen[row, 0, :whole, :whole] = arm.sees(whole, window, block)
        by_block.append(seen)
    return by_block


def stock(family: str, arm: str) -> tuple[str, Any, nn.ModuleList]:
    """The family's model of transformers with the same weights, and its blocks, cut by hand."""
    model = AutoModel.from_config(copy.deepcopy(config(family)), attn_implementation="eager").eval()
    blocks = blocks_of(model, BLOCKS)
    del blocks[len(ARMS[arm].mask) :]
    model.load_state_dict(backbone(family, arm).model.state_dict())
    return family, model, blocks


def blocks_of(model: nn.Module, count: int) -> nn.ModuleList:
    """The blocks of a model, in order."""
    return next(part for part in model.modules() if isinstance(part, nn.ModuleList) and len(part) == count)


def by_hand(
    family: str, model: Any, blocks: nn.ModuleList, arm: Arm, sentences: Sequence[Tensor], pad: int
) -> list[Tensor]:
    """The vectors of the last copies, from one padded batch in which each block has its own mask."""
    lengths = [len(ids) for ids in sentences]
    spans = arm.spans(lengths)
    rows = [
        nn.functional.pad(ids, (0, span - len(ids)), value=pad).repeat(arm.copies)
        for ids, span in zip(sentences, spans, strict=True)
    ]
    padded = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=0)
    hooks = [
        block.register_forward_pre_hook(functools.partial(_with_mask, seen), with_kwargs=True)
        for block, seen in zip(blocks, masks(arm, spans, family), strict=True)
    ]
    with torch.inference_mode():
        positions = torch.arange(padded.shape[1]).expand(len(rows), -1)
        states = model(input_ids=padded, position_ids=positions).last_hidden_state
    for hook in hooks:
        hook.remove()
    starts = [(arm.copies - 1) * span for span in spans]
    return [row[start : start + length] for row, start, length in zip(states, starts, lengths, strict=True)]


def _with_mask(
    seen: Tensor, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    bound = inspect.signature(block.forward).bind(*args, **kwargs)
    assert "attention_mask" in bound.signature.parameters
    bound.arguments["attention_mask"] = torch.zeros(seen.shape).masked_fill(
        ~seen, torch.finfo(torch.float).min
    )
    return bound.args, bound.kwargs


def vectors(ours: PackedBackbone, sentences: Sequence[Tensor]) -> Tensor:
    with torch.inference_mode():
        return ours(torch.cat(list(sentences)), Packing.of_lengths([len(ids) for ids in sentences]))


@CASES
def test_packed_and_alone_and_by_hand_give_the_same_vectors(family: str, arm: str) -> None:
    """To 1e-5: several sentences in one row, one at a time, and both with the stock model, padded and alone.

    Where padding is read like words, only the longest sentence has the same vectors alone and in a batch.
    """
    ours = backbone(family, arm)
    packed = vectors(ours, IDS).split(LENGTHS)
    alone = [vectors(ours, [ids]) for ids in IDS]
    reference = functools.partial(by_hand, *stock(family, arm), ARMS[arm], pad=ours.tokenizer.pad_token_id)
    padded, one_by_one = reference(IDS), [reference([ids])[0] for ids in IDS]
    pairs = [*zip(packed, padded, strict=True), *zip(alone, one_by_one, strict=True)]
    for one, other in pairs:
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    is_same = [torch.allclose(one, other, atol=1e-5) for one, other in zip(packed, alone, strict=True)]
    assert is_same == ([False, False, True] if ARMS[arm].is_flawed else [True, True, True])


@CASES
def test_the_gradient_shows_exactly_what_each_block_sees(family: str, arm: str) -> None:
    """Each token depends on those that the mask of the block lets it see; words are read from the last copy."""
    ours, strategy, lengths = backbone(family, arm), ARMS[arm], (3, 1)
    spans = strategy.spans(lengths)
    states: list[Tensor] = []

    def track(_: nn.Module, __: Any, output: Any) -> None:
        states.append(output if isinstance(output, Tensor) else output[0])

    def track_embedding(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        states.append(output.detach().requires_grad_())
        return states[-1]

    hooks = [ours.model.get_input_embeddings().register_forward_hook(track_embedding)]
    hooks += [block.register_forward_hook(track) for block in blocks_of(ours.model, len(strategy.mask))]
    vectors_TH = ours(torch.cat([IDS[0][:3], IDS[1][:1]]), Packing.of_lengths(lengths))
    for hook in hooks:
        hook.remove()
    seen = [masks(strategy, [span], family) for span in spans]
    for block, (before, after) in enumerate(pairwise(states)):
        expected = torch.block_diag(*(by_block[block][0, 0] for by_block in seen))
        assert torch.equal(sources(after[0], before), expected), f"block {block}"
    last = [
        torch.eye(strategy.copies * span, dtype=torch.bool)[-span:][:length]
        for span, length in zip(spans, lengths, strict=True)
    ]
    assert torch.equal(sources(vectors_TH, states[-1]), torch.block_diag(*last))


def sources(outputs_YH: Tensor, inputs_1XH: Tensor) -> Tensor:
    """[Y, X]: which outputs depend on which inputs."""
    weights = torch.randn(outputs_YH.shape, generator=torch.Generator().manual_seed(3))
    totals = (outputs_YH * weights).sum(-1)
    gradients = [torch.autograd.grad(total, inputs_1XH, retain_graph=True)[0] for total in totals]
    return torch.stack([gradient[0].ne(0).any(-1) for gradient in gradients])


@pytest.mark.parametrize("family", FAMILIES)
def test_defaults_written_out_change_nothing(family: str) -> None:
    """`repeat: 0` and `blocks: all` give, bit for bit, the vectors of a model without these keys."""
    assert torch.equal(vectors(build(family, repeat=0, blocks="all"), IDS), vectors(build(family), IDS))
