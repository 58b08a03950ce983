"""Fused norms, gated MLPs, linear layers, adapters and dropout give the same results as transformers and torch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.models.llama.modeling_llama import LlamaMLP
from transformers.pytorch_utils import Conv1D

from sltk.nn import fused
from sltk.nn.fused import onednn

SMALL = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 50, "pad_token_id": 0,
}  # fmt: skip


def frozen(family: str) -> Any:
    torch.manual_seed(1)
    model = AutoModel.from_config(AutoConfig.for_model(family, **SMALL)).requires_grad_(False)
    for module in model.modules():  # fresh norms multiply by one, which would hide a missing weight
        if "Norm" in type(module).__name__:
            module.weight.uniform_(0.5, 1.5)
    return model.eval()


def output_and_gradient(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    vectors = torch.randn(2, 7, SMALL["hidden_size"], requires_grad=True)
    out = model(inputs_embeds=vectors).last_hidden_state
    (gradient,) = torch.autograd.grad(out.pow(3).sum(), vectors)
    return out.detach(), gradient


@pytest.fixture(autouse=True, params=[True, False], ids=["oneDNN", "torch"])
def products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both kinds of processor: products with oneDNN, and products with torch."""
    use_onednn: bool = request.param
    monkeypatch.setattr(onednn, "is_faster", lambda: use_onednn)
    return use_onednn


def fused_classes(model: nn.Module) -> set[str]:
    """Fused classes in the model, without linear layers, which depend on the processor."""
    ours = {type(m).__name__ for m in model.modules() if type(m).__module__ == fused.__name__}
    return ours - {"Linear", "Conv1D"}


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "olmo2"])
def test_a_fused_model_gives_the_same_states_and_gradients(family: str) -> None:
    model = frozen(family)
    plain = output_and_gradient(model)
    fused.fuse(model)
    assert len(fused_classes(model)) == 3  # a norm, an MLP and attention, for its rotary positions
    for ours, theirs in zip(output_and_gradient(model), plain, strict=True):
        assert (ours - theirs).abs().max() <= 2e-6 * theirs.abs().max()


@pytest.mark.parametrize(("family", "is_replaced"), [("llama", True), ("gemma", True), ("cohere", False)])
def test_rotary_positions_are_replaced_where_they_rotate_halves(family: str, is_replaced: bool) -> None:
    """Cohere rotates neighbours. The function of transformers itself stays as it is."""
    model = frozen(family)
    attention = type(model.layers[0].self_attn)
    function = attention.forward.__globals__["apply_rotary_pos_emb"]
    plain = output_and_gradient(model)
    fused.fuse(model)
    assert (type(model.layers[0].self_attn).__module__ == fused.__name__) == is_replaced
    assert attention.forward.__globals__["apply_rotary_pos_emb"] is function
    for ours, theirs in zip(output_and_gradient(model), plain, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_gated_mlp_predicts_what_it_computes_in_training() -> None:
    """Without gradients, the rows come in pieces, and the activation is computed within the product."""
    mlp = LlamaMLP(AutoConfig.for_model("llama", **SMALL, mlp_bias=True)).requires_grad_(False)
    stock = copy.deepcopy(mlp)
    fused.fuse(mlp)
    x = torch.randn(1, 2 * fused.gated_mlp._ROWS + 3, SMALL["hidden_size"])
    with torch.inference_mode():
        assert torch.allclose(mlp(x), stock(x), atol=1e-5)
        assert torch.allclose(mlp(x[0, :5]), stock(x[0, :5]), atol=1e-5)
        for each in (mlp, stock):
            each.up_proj.register_forward_hook(lambda module, args, out: out * 2)
        assert torch.allclose(mlp(x[:, :5]), stock(x[:, :5]), atol=1e-5)  # hooks are called


def test_a_frozen_gated_mlp_with_biases_has_the_gradient_of_its_input() -> None:
    """Frozen weights are multiplied in one function; trained ones, and layers with adapters, in one function each."""
    stock = LlamaMLP(AutoConfig.for_model("llama", **SMALL, mlp_bias=True)).requires_grad_(False)
    for trained in ("", "up_proj"):
        for name, parameter in stock.named_parameters():
            parameter.requires_grad_(bool(trained) and name.startswith(trained))
        ours = copy.deepcopy(stock)
        fused.fuse(ours)
        assert_alike(ours, stock, torch.randn(2, 7, SMALL["hidden_size"]))


def test_a_fresh_model_is_fused_as_a_trained_one() -> None:
    """The weights of fresh norms are all one."""
    model = AutoModel.from_config(AutoConfig.for_model("llama", **SMALL))
    fused.fuse(model)
    assert len(fused_classes(model)) == 3


@pytest.mark.parametrize("family", ["gemma", "gemma2", "gpt2", "bert"])
def test_a_module_that_computes_something_else_is_not_replaced(family: str) -> None:
    model = frozen(family)
    fused.fuse(model)
    others = {name for name in fused_classes(model) if not name.endswith("Attention")}
    assert others <= {"Dropout"}


def test_a_module_that_differs_from_others_of_its_class_is_not_replaced() -> None:
    """One MLP has a limit that only large numbers reach."""

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


def test_an_exception_in_a_fused_module_keeps_the_stock_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of a library, or a processor without an instruction, must not end the run."""
    from sltk.nn.fused import FusedGatedMLP

    def fail(*_: Any) -> None:
        raise NotImplementedError("not on this processor")

    monkeypatch.setattr(FusedGatedMLP, "forward", fail)
    mlp = LlamaMLP(AutoConfig.for_model("llama", hidden_size=8, intermediate_size=16, num_attention_heads=2))
    x = torch.randn(3, 8)
    expected = mlp(x)
    fused.fuse(mlp)
    assert type(mlp) is LlamaMLP
    torch.testing.assert_close(mlp(x), expected)


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


def test_linear_layers_are_replaced_where_that_is_faster(products: bool) -> None:
    layers = nn.Sequential(nn.Linear(8, 6), Conv1D(5, 6))
    fused.fuse(layers)
    assert [type(m).__module__ == fused.__name__ for m in layers] == [products, products]


@pytest.mark.parametrize("is_trained", [True, False])
@pytest.mark.parametrize("layer", [nn.Linear(8, 6), nn.Linear(8, 6, bias=False), Conv1D(6, 8)], ids=str)
def test_a_linear_layer_gives_the_same_states_and_gradients(layer: nn.Module, is_trained: bool) -> None:
    torch.manual_seed(5)
    stock = copy.deepcopy(layer).requires_grad_(is_trained)
    ours = nn.Sequential(copy.deepcopy(stock))
    fused.fuse(ours)
    x = torch.randn(2, 7, 8)
    assert_alike(ours, stock, x)
    assert_alike(ours, stock, x[:, :1])
    with torch.inference_mode():
        assert torch.allclose(ours(x), stock(x), atol=1e-6)
        assert ours(x[:, :0]).shape == (2, 0, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(x).dtype == torch.bfloat16
    assert ours.to(torch.bfloat16)(x.bfloat16()).dtype == torch.bfloat16


def assert_alike(ours: nn.Module, theirs: nn.Module, x: torch.Tensor) -> None:
    """Compare outputs, and the gradients of the input and of trained weights."""
    results = []
    for model in (ours, theirs):
        vectors = x.clone().requires_grad_()
        out = model(vectors)
        trained = [p for p in model.parameters() if p.requires_grad]
        results.append([out, *torch.autograd.grad(out.pow(3).sum(), [vectors, *trained])])
    for a, b in zip(*results, strict=True):
        assert (a - b).abs().max() <= 1e-5 * max(1.0, b.abs().max())


def adapted(dropout: float = 0.0) -> Any:
    """A small decoder whose adapters change its output."""
    torch.manual_seed(6)
    config = LoraConfig(r=4, lora_alpha=3, lora_dropout=dropout, target_modules=["q_proj", "v_proj"])
    model = get_peft_model(frozen("llama"), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    return model


def layers_with_adapter(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if hasattr(module, "lora_A")]


def test_adapters_give_the_same_states_and_gradients() -> None:
    theirs = adapted()
    ours = copy.deepcopy(theirs)
    fused.fuse(ours)
    x = torch.randn(2, 7, 32)
    pairs = list(zip(layers_with_adapter(ours), layers_with_adapter(theirs), strict=True))
    assert len(pairs) == 4
    for one, other in pairs:
        assert type(one).__module__ == fused.__name__
        assert_alike(one, other, x)
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


def test_fusing_does_not_change_a_fresh_adapter() -> None:
    """The second matrix of the adapter is zero before and after the comparison."""
    model = adapted()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.zero_()
    fused.fuse(model)
    assert all(type(layer).__module__ == fused.__name__ for layer in layers_with_adapter(model))
    assert not any(p.any() for name, p in model.named_parameters() if "lora_B" in name)
    assert all(p.requires_grad == ("lora_" in name) for name, p in model.named_parameters())


def test_a_disabled_or_merged_adapter_computes_as_in_peft() -> None:
    theirs = adapted()
    ours = copy.deepcopy(theirs)
    fused.fuse(ours)
    tokens = torch.arange(6)[None]
    for model in (theirs, ours):
        model.eval()
    with ours.disable_adapter(), theirs.disable_adapter():
        assert torch.allclose(ours(tokens).last_hidden_state, theirs(tokens).last_hidden_state, atol=1e-5)
    merged = ours.merge_and_unload()
    assert torch.allclose(merged(tokens).last_hidden_state, theirs(tokens).last_hidden_state, atol=1e-4)


def test_dropout_of_an_adapter_reaches_its_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base layer gets the input without dropout."""
    model = adapted(dropout=0.3).train()
    fused.fuse(model)
    layer = layers_with_adapter(model)[0]
    torch.manual_seed(7)
    x = torch.randn(2, 5, 32)
    drawn = fused.adapter.dropout_factors(x, 0.3)
    monkeypatch.setattr(fused.adapter, "dropout_factors", lambda *_: drawn)
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight

    class WithoutFusion(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.up = down, up

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            base = x @ layer.base_layer.weight.T
            return base + layer.scaling["default"] * ((x * drawn) @ down.T @ up.T)

    assert 0 < (drawn == 0).float().mean() < 0.5
    assert_alike(layer, WithoutFusion(), x)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_its_share_and_the_mean(p: float) -> None:
    torch.manual_seed(3)
    dropout = nn.Sequential(nn.Dropout(p))
    fused.fuse(dropout)
    x = torch.ones(501, 401, requires_grad=True)  # a count that is not divisible by four
    y = dropout(x)
    nonzero = y != 0
    assert nonzero.float().mean().item() == pytest.approx(1 - p, abs=0.01)
    assert y[nonzero].unique().numel() == 1
    assert y[nonzero][0].item() == pytest.approx(1 / (1 - p), rel=1e-3)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())  # dropped elements have no gradient, the others the same factor
    assert torch.equal(dropout.eval()(x), x)


def test_dropout_is_random_and_reproducible_from_a_seed() -> None:
    dropout = nn.Sequential(nn.Dropout(0.3))
    fused.fuse(dropout)
    x = torch.ones(64, 64)
    torch.manual_seed(4)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(4)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)
    # neighbours that share a random number are dropped independently
    pairs = torch.stack([first.flatten()[0::4] == 0, first.flatten()[1::4] == 0]).float()
    assert abs(torch.corrcoef(pairs)[0, 1].item()) < 0.15
