"""Norms, gated MLPs and dropout in fewer passes compute what transformers and torch compute."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.models.llama.modeling_llama import LlamaMLP

from sltk.nn import fused

SMALL = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 50, "pad_token_id": 0,
}  # fmt: skip


def frozen(family: str) -> Any:
    torch.manual_seed(1)
    model = AutoModel.from_config(AutoConfig.for_model(family, **SMALL)).requires_grad_(False)
    for module in model.modules():  # fresh norms multiply by one, which would hide a weight that is left out
        if "Norm" in type(module).__name__:
            module.weight.uniform_(0.5, 1.5)
    return model.eval()


def output_and_gradient(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    vectors = torch.randn(2, 7, SMALL["hidden_size"], requires_grad=True)
    out = model(inputs_embeds=vectors).last_hidden_state
    (gradient,) = torch.autograd.grad(out.pow(3).sum(), vectors)
    return out.detach(), gradient


def classes_of_ours(model: nn.Module) -> set[str]:
    return {type(m).__name__ for m in model.modules() if type(m).__module__ == fused.__name__}


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "olmo2"])
def test_a_fused_model_gives_the_same_states_and_gradients(family: str) -> None:
    model = frozen(family)
    plain = output_and_gradient(model)
    fused.fuse(model)
    assert len(classes_of_ours(model)) == 2  # a norm and an MLP
    for ours, theirs in zip(output_and_gradient(model), plain, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_fresh_model_is_fused_as_a_trained_one() -> None:
    """Its norms multiply by one."""
    model = AutoModel.from_config(AutoConfig.for_model("llama", **SMALL))
    fused.fuse(model)
    assert len(classes_of_ours(model)) == 2


@pytest.mark.parametrize("family", ["gemma", "gemma2", "gpt2", "bert"])
def test_a_module_that_computes_something_else_is_left_alone(family: str) -> None:
    model = frozen(family)
    fused.fuse(model)
    assert classes_of_ours(model) <= {"Dropout"}


def test_a_module_that_differs_from_others_of_its_class_is_left_alone() -> None:
    """One MLP has a limit that only large numbers meet."""

    class Limited(LlamaMLP):
        limit = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            gated = self.act_fn(self.gate_proj(x)) * self.up_proj(x)
            return self.down_proj(gated if self.limit is None else gated.clamp(-self.limit, self.limit))

    model = frozen("llama")
    for layer in model.layers:
        layer.mlp.__class__ = Limited
    model.layers[1].mlp.limit = 16.0
    fused.fuse(model)
    assert [type(layer.mlp).__module__ == fused.__name__ for layer in model.layers] == [True, False]


def test_trained_norms_get_their_gradient() -> None:
    model = frozen("llama").requires_grad_(True)
    twin = copy.deepcopy(model)
    fused.fuse(model)
    for each in (model, twin):
        each(torch.arange(6)[None]).last_hidden_state.pow(3).sum().backward()
    for (name, ours), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4), name


def test_a_fused_model_can_be_copied_and_keeps_its_names() -> None:
    model = frozen("llama")
    names = list(model.state_dict())
    fused.fuse(model)
    fused.fuse(model)  # once more changes nothing
    twin = copy.deepcopy(model)
    twin.layers[0].input_layernorm.weight.zero_()
    assert list(twin.state_dict()) == names
    assert model.layers[0].input_layernorm.weight.abs().sum() > 0
    assert isinstance(model.norm, type(frozen("llama").norm))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_its_share_and_the_mean(p: float) -> None:
    torch.manual_seed(3)
    dropout = nn.Sequential(nn.Dropout(p))
    fused.fuse(dropout)
    x = torch.ones(501, 401, requires_grad=True)  # a count that four does not divide
    y = dropout(x)
    kept = y != 0
    assert kept.float().mean().item() == pytest.approx(1 - p, abs=0.01)
    assert y[kept].unique().numel() == 1
    assert y[kept][0].item() == pytest.approx(1 / (1 - p), rel=1e-3)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())  # what was dropped has no gradient, the rest the same factor
    assert torch.equal(dropout.eval()(x), x)


def test_dropout_is_drawn_anew_and_again_the_same_from_a_seed() -> None:
    dropout = nn.Sequential(nn.Dropout(0.3))
    fused.fuse(dropout)
    x = torch.ones(64, 64)
    torch.manual_seed(4)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(4)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)
    # neighbours that share one random number are dropped independently
    pairs = torch.stack([first.flatten()[0::4] == 0, first.flatten()[1::4] == 0]).float()
    assert abs(torch.corrcoef(pairs)[0, 1].item()) < 0.15
