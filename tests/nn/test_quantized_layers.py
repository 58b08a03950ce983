"""4-bit layers on a CPU: float32 around them, fused modules, the attention of short sentences."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from sltk.components.backbones import Decoder, LoRA, Quantization, TrainedTokenizer
from sltk.nn import fused, short_sentences
from sltk.nn.backbone import BuildContext, PackedBackbone
from sltk.nn.packing import Packing
from tiny_families import BY_NAME

PACKING = Packing.of_lengths([3, 5, 5])
IDS = torch.arange(1, 14)


@pytest.fixture(scope="module", params=["bfloat16", "float32"])
def backbone(request: pytest.FixtureRequest) -> PackedBackbone:
    config = {"model_type": "llama", **BY_NAME["llama"].config(hidden_size=64, head_dim=16)}
    spec = Decoder(
        init="random",
        config=config,
        tokenizer=TrainedTokenizer(vocab_size=257),
        unmask="0101",
        quantization=Quantization(compute_dtype=request.param),
        lora=LoRA(r=4, dropout=0.0),
    )
    backbone = spec.build(BuildContext(torch.device("cpu"), seed=0, texts=lambda: ["a few words"]))
    for name, parameter in backbone.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    return backbone.eval()


def stock(backbone: PackedBackbone) -> PackedBackbone:
    """A copy with the modules of transformers, peft and bitsandbytes."""
    copied = copy.deepcopy(backbone)
    for module in copied.modules():
        if type(module).__module__ == fused.__name__:
            module.__class__ = type(module).__bases__[1]
    return copied


def results(backbone: PackedBackbone) -> list[Tensor]:
    states = backbone(IDS, PACKING)
    trained = [p for p in backbone.parameters() if p.requires_grad]
    weights = torch.linspace(1.0, 7.0, states.numel()).cos().view(states.shape)
    return [states.detach(), *torch.autograd.grad((states * weights).sum(), trained)]


def test_layers_and_their_adapters_are_replaced(backbone: PackedBackbone) -> None:
    replaced = [m for m in backbone.modules() if type(m).__module__ == fused.__name__]
    adapters = [m for m in replaced if hasattr(m, "lora_A")]
    assert len(adapters) == 8  # query and value of four blocks
    assert sum("4bit" in type(m).__name__ and not hasattr(m, "lora_A") for m in replaced) == 28
    assert {type(m).__name__ for m in replaced} >= {"LlamaRMSNorm", "LlamaMLP"}


def test_states_and_gradients_are_those_of_the_stock_modules(backbone: PackedBackbone) -> None:
    layer: Any = next(m for m in backbone.modules() if hasattr(m, "quant_state"))
    is_rounded = layer.compute_dtype == torch.bfloat16
    assert is_rounded or layer.compute_dtype == torch.float32
    tolerance = 0.02 if is_rounded else 1e-5
    for ours, theirs in zip(results(backbone), results(stock(backbone)), strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() <= tolerance * theirs.norm()


def test_no_float_copy_of_the_weights_is_kept_for_the_backward_pass(backbone: PackedBackbone) -> None:
    sizes: list[torch.Size] = []

    def record(tensor: Tensor) -> Tensor:
        sizes.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        backbone(IDS, PACKING)
    shapes = {(m.out_features, m.in_features) for m in backbone.modules() if hasattr(m, "quant_state")}
    shapes |= {(inputs, outputs) for outputs, inputs in shapes}
    assert sizes
    assert not shapes & set(map(tuple, sizes))


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """The dtypes of the calls of the attention of short sentences."""
    calls: list[torch.dtype] = []
    attend = short_sentences.attend

    def recorded(query: Tensor, *rest: Any) -> Tensor:
        calls.append(query.dtype)
        return attend(query, *rest)

    monkeypatch.setattr(short_sentences, "attend", recorded)
    return calls


def test_attention_runs_in_groups_of_short_sentences(
    backbone: PackedBackbone, groups: list[torch.dtype]
) -> None:
    with torch.inference_mode():
        states = backbone(IDS, PACKING)
    assert groups == [torch.float32] * 4
    assert states.dtype == torch.float32


def test_a_layer_in_another_layout_computes_as_in_bitsandbytes(backbone: PackedBackbone) -> None:
    """float16 is not multiplied by the fused layer."""
    layer = copy.deepcopy(next(m for m in backbone.modules() if hasattr(m, "quant_state")))
    x = torch.randn(3, layer.in_features)
    layer.compute_dtype = torch.float16
    expected = type(layer).__bases__[1].forward(layer, x)
    assert torch.equal(layer(x), expected)


def test_precision_applies_to_adapters_too(backbone: PackedBackbone) -> None:
    copied = copy.deepcopy(backbone)
    expected = results(copied)
    fused.set_precision(copied.model, "bf16")
    for ours, theirs in zip(results(copied), expected, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() <= 0.05 * theirs.norm()
