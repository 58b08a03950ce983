"""bfloat16 products on a CPU: float32 weights, gradients and results, close to those of float32 products."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers.pytorch_utils import Conv1D

from sltk.nn import fused
from sltk.nn.fused import onednn

TOLERANCE = 0.03


def model(family: str) -> Any:
    torch.manual_seed(1)
    sizes = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 50, "pad_token_id": 0,
    }  # fmt: skip
    return AutoModel.from_config(AutoConfig.for_model(family, **sizes)).eval()


def adapted(family: str) -> Any:
    targets = ["c_attn"] if family == "gpt2" else ["q_proj", "v_proj"]
    network = get_peft_model(
        model(family).requires_grad_(False), LoraConfig(r=4, lora_alpha=3, target_modules=targets)
    )
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    return network


def in_bf16(network: nn.Module) -> Any:
    fast = copy.deepcopy(network)
    fused.fuse(fast)
    fused.set_precision(fast, "bf16")
    return fast


def results(network: Any) -> list[Tensor]:
    """The last states, and the gradients of all trained weights in one row."""
    states = network(torch.arange(1, 13)[None]).last_hidden_state
    weights = torch.linspace(1.0, 7.0, states.numel()).cos().view(states.shape)
    trained = [p for n, p in network.named_parameters() if p.requires_grad and "pooler" not in n]
    gradients = torch.autograd.grad((states * weights).sum(), trained)
    assert all(gradient.dtype == torch.float32 for gradient in gradients)
    return [states.detach(), torch.cat([gradient.flatten() for gradient in gradients])]


def difference(a: Tensor, b: Tensor) -> float:
    """Norm of the difference, divided by the norm of `b`."""
    return float(((a - b).norm() / b.norm()).detach())


MODELS: list[Any] = [
    pytest.param(model, "llama", id="llama"),
    pytest.param(model, "bert", id="bert"),
    pytest.param(model, "gpt2", id="gpt2"),
    pytest.param(adapted, "llama", id="llama-lora"),
    pytest.param(adapted, "gpt2", id="gpt2-lora"),
]


@pytest.mark.parametrize(("make", "family"), MODELS)
def test_states_and_gradients_are_near_those_of_float32_and_float32_themselves(
    make: Callable[[str], Any], family: str
) -> None:
    network = make(family)
    for ours, theirs in zip(results(in_bf16(network)), results(network), strict=True):
        assert ours.dtype == torch.float32
        assert 1e-5 < difference(ours, theirs) < TOLERANCE  # equal ones would not come from rounded products


@pytest.mark.parametrize("family", ["llama", "bert", "gpt2"])
def test_predictions_are_near_those_of_float32(family: str) -> None:
    """Gated MLPs have another path without gradients."""
    network = model(family)
    fast = in_bf16(network)
    with torch.inference_mode():
        ours, theirs = (each(torch.arange(1, 13)[None]).last_hidden_state for each in (fast, network))
    assert ours.dtype == torch.float32
    assert 1e-5 < difference(ours, theirs) < TOLERANCE


@pytest.mark.parametrize(("make", "family"), MODELS)
def test_weights_are_not_rounded_and_float32_can_return(make: Callable[[str], Any], family: str) -> None:
    network = make(family)
    fast = in_bf16(network)
    results(fast)
    assert list(fast.state_dict()) == list(network.state_dict())
    for name, value in fast.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, network.state_dict()[name])
    fused.set_precision(fast, "fp32")
    for ours, theirs in zip(results(fast), results(network), strict=True):
        assert difference(ours, theirs) < 1e-5


def test_merged_weights_are_those_of_float32_and_used_at_once() -> None:
    network = adapted("llama")
    fast = in_bf16(network)
    results(fast)  # rounds the weights before they are merged
    fast.merge_adapter()
    network.merge_adapter()
    for name, value in fast.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])
    tokens = torch.arange(1, 13)[None]
    merged = difference(fast(tokens).last_hidden_state, network(tokens).last_hidden_state)
    assert merged < TOLERANCE
    fast.unmerge_adapter()
    network.unmerge_adapter()
    assert difference(fast(tokens).last_hidden_state, network(tokens).last_hidden_state) < TOLERANCE


def layer(stock: nn.Module) -> Any:
    return in_bf16(nn.Sequential(stock.requires_grad_(False)))


def test_a_frozen_weight_is_rounded_once_and_again_when_it_changes() -> None:
    linear = layer(nn.Linear(8, 6, bias=False))
    x = torch.randn(3, 8)
    weight = linear[0].weight
    before = linear(x)
    assert fused.bfloat16.rounded_weight(weight) is fused.bfloat16.rounded_weight(weight)
    weight.mul_(2)
    assert torch.equal(linear(x), 2 * before)
    linear.load_state_dict({"0.weight": weight / 4})
    assert torch.equal(linear(x), before / 2)
    weight.requires_grad_()
    weight.data.mul_(2)
    assert torch.equal(linear(x).detach(), before)


def test_layers_with_the_same_input_share_it_unless_it_changes() -> None:
    linear = layer(nn.Linear(8, 6))
    x = torch.randn(3, 8)
    assert fused.bfloat16.rounded_input(x) is fused.bfloat16.rounded_input(x)
    linear(x)
    x.add_(1)
    assert torch.equal(linear(x), linear(x.clone()))
    with torch.inference_mode():
        x = torch.randn(3, 8)
        linear(x)
        x.add_(1)
        assert torch.equal(linear(x), linear(x.clone()))


@pytest.mark.parametrize("stock", [nn.Linear(8, 6), Conv1D(6, 8)], ids=str)
def test_predictions_equal_those_with_gradients(stock: nn.Module) -> None:
    linear = layer(stock)
    x = torch.randn(2, 5, 8)
    with torch.inference_mode():
        inferred = linear(x)
    assert inferred.dtype == torch.float32
    assert torch.equal(inferred, linear(x.clone().requires_grad_()).detach())


def test_a_layer_that_computes_something_else_keeps_float32() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    doubled = Doubled(8, 6)
    x = torch.randn(3, 8)
    assert torch.equal(in_bf16(nn.Sequential(doubled))(x), doubled(x))


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="fp16"):
        fused.set_precision(nn.Linear(2, 2), "fp16")


@pytest.mark.parametrize("has_onednn", [True, False])
def test_layers_are_replaced_where_float32_products_are_those_of_torch(
    has_onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an Intel processor, linear layers are stock ones until they multiply in bfloat16."""
    monkeypatch.setattr(onednn, "is_faster", lambda: False)
    monkeypatch.setattr(onednn, "_is_available", lambda: has_onednn)
    network = model("llama")
    fast = copy.deepcopy(network)
    fused.fuse(fast)
    assert type(fast.layers[0].self_attn.q_proj) is nn.Linear
    fused.set_precision(fast, "bf16")
    for ours, theirs in zip(results(fast), results(network), strict=True):
        assert 1e-5 < difference(ours, theirs) < TOLERANCE
    with torch.inference_mode():
        states = fast(torch.arange(1, 13)[None]).last_hidden_state
    assert difference(states, results(network)[0]) < TOLERANCE
    fused.set_precision(fast, "fp32")
    assert difference(results(fast)[0], results(network)[0]) < 1e-5
