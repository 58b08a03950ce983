"""`unmask: window:W`: every word sees the subwords at most W away, on both sides, and no others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import sltk.components.backbones  # noqa: F401
from sltk.components.backbones import Decoder, Encoder, LoRA, TrainedTokenizer
from sltk.errors import ModelError
from sltk.nn import window_proof
from sltk.nn.backbone import BuildContext, PackedBackbone
from sltk.nn.mask_flags import MaskSwitch, attention_modules
from sltk.nn.packing import Packing
from tiny_families import BY_NAME

NAMES = ("llama", "qwen3_moe", "gpt2", "opt", "phi3", "mistral", "gemma2", "gpt_oss", "bert", "modernbert")
"""Families with and without windows of their own (wider than 2), soft caps, sinks and experts."""
LENGTHS = (11, 7, 7, 1)
WITHIN = 2


def build(name: str, mask: str, **settings: Any) -> PackedBackbone:
    family = BY_NAME[name]
    kind = Encoder if family.kind == "encoder" else Decoder
    config = {"model_type": name, **family.config(), **settings.pop("config", {})}
    tokenizer = TrainedTokenizer(vocab_size=257)
    spec = kind(init="random", config=config, tokenizer=tokenizer, unmask=mask, **settings)
    return spec.build(BuildContext(torch.device("cpu"), seed=3, texts=lambda: ["a few words"])).eval()


def sentences(lengths: tuple[int, ...] = LENGTHS) -> list[Tensor]:
    draw = torch.Generator().manual_seed(2)
    return [torch.randint(3, 90, (length,), generator=draw) for length in lengths]


def run(backbone: PackedBackbone, ids: list[Tensor]) -> Tensor:
    with torch.no_grad():
        return backbone(torch.cat(ids), Packing.of_lengths([len(sentence) for sentence in ids]))


def by_hand(backbone: PackedBackbone, ids: Tensor, within: int) -> Tensor:
    """The output of the stock model, whose attention gets the mask as a matrix."""
    model: Any = backbone.model
    position = torch.arange(len(ids))
    visible = (position[:, None] - position).abs() <= within
    mask = torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min)[None, None]
    rules = set(getattr(model.config, "layer_types", None) or ())
    model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            masks = dict.fromkeys(rules, mask) if rules else mask
            out = model(input_ids=ids[None], attention_mask=masks, position_ids=position[None])
            state: Tensor = out.last_hidden_state[0]
            return state
    finally:
        model.set_attn_implementation("sltk")


@pytest.mark.parametrize("name", NAMES)
def test_the_output_is_that_of_the_stock_model_with_a_matrix_as_its_mask(name: str) -> None:
    """Packed, and one by one; and it differs from that of other windows."""
    backbone, ids = build(name, f"window:{WITHIN}"), sentences()
    packed = run(backbone, ids)
    expected = torch.cat([by_hand(backbone, sentence, WITHIN) for sentence in ids])
    torch.testing.assert_close(packed, expected, rtol=0, atol=2e-5)
    torch.testing.assert_close(packed, torch.cat([run(backbone, [each]) for each in ids]), rtol=0, atol=1e-5)
    for other in (WITHIN - 1, WITHIN + 1):
        assert not torch.allclose(packed[:11], by_hand(backbone, ids[0], other), atol=1e-4)
    proof = backbone.proof
    assert proof is not None
    assert (proof.window, proof.as_json()["window"], proof.unmasked) == (WITHIN, WITHIN, [0, 1, 2, 3])


def test_the_narrower_of_two_windows_applies() -> None:
    """Mistral sees three tokens to each side if it is unmasked; with `unmask_window: drop`, only W counts."""
    ids = sentences()
    kept = run(build("mistral", "window:5"), ids)
    assert torch.equal(kept, run(build("mistral", "all"), ids))
    backbone = build("mistral", "window:5", unmask_window="drop")
    expected = torch.cat([by_hand(backbone, sentence, 5) for sentence in ids])
    torch.testing.assert_close(run(backbone, ids), expected, rtol=0, atol=2e-5)
    assert not torch.allclose(kept, expected, atol=1e-4)


def test_a_window_as_wide_as_the_sentences_is_no_window() -> None:
    ids = sentences()
    assert torch.equal(run(build("llama", "window:10"), ids), run(build("llama", "all"), ids))
    far = build("llama", "window:1000")  # more than the model has positions
    assert far.proof is not None
    assert far.proof.window == 1000


@pytest.mark.parametrize("within", [1, 3, None])
def test_the_proof_refuses_another_window(within: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the window is wider than the sentences on which masks, or windows, are proven."""
    monkeypatch.setattr(window_proof, "_WIDEST", 36)
    for window in (2, 30, 40):
        backbone = build("llama", f"window:{window}", lora=LoRA(r=2))
        assert backbone.prove is not None
        backbone.prove()
        modules = attention_modules_of(backbone)
        modules[1].sltk_window = None if within is None else window + within - 2
        with pytest.raises(ModelError, match=rf"a word does not see {window} subwords to each side: 1\n"):
            backbone.prove()


def attention_modules_of(backbone: PackedBackbone) -> list[Any]:
    return [module for module in backbone.model.modules() if hasattr(module, "sltk_window")]


def test_a_switch_keeps_the_window_and_replaces_it() -> None:
    """Each state equals the model that is built with the mask."""
    ids = sentences()
    backbone = build("llama", "window:2")
    windowed = run(backbone, ids)
    switch = MaskSwitch(backbone)
    assert torch.equal(run(backbone, ids), windowed)
    switch.set((False, True, False, True))
    assert torch.equal(run(backbone, ids), run(build("llama", "0101"), ids))
    assert backbone.window is None
    switch.set((True,) * 4, 2)
    assert torch.equal(run(backbone, ids), windowed)


def test_long_sentences_have_a_band() -> None:
    """A batch that no longer counts as short gives the vectors of its sentences by hand, and of copies."""
    backbone = build("llama", "window:2", config={"max_position_embeddings": 512})
    ids = sentences((200, 150, 5))
    expected = torch.cat([by_hand(backbone, sentence, 2) for sentence in ids])
    torch.testing.assert_close(run(backbone, ids), expected, rtol=0, atol=2e-5)
    backbone.copies = 2
    twice = torch.cat([by_hand(backbone, sentence.repeat(2), 2)[len(sentence) :] for sentence in ids])
    torch.testing.assert_close(run(backbone, ids), twice, rtol=0, atol=2e-5)


def test_a_family_with_its_own_attention_code_has_no_window() -> None:
    with pytest.raises(ModelError, match="the family `mpnet` cannot be unmasked block by block"):
        build("mpnet", "window:2")


def test_attention_modules_are_left_without_a_window_by_default() -> None:
    """What a model is built with does not leak into its own mask, with which it is compared with the stock model."""
    backbone = build("llama", "window:2")
    attention_modules(backbone)
    assert [module.sltk_window for module in attention_modules_of(backbone)] == [None] * 4
