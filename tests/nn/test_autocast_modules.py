"""Linear and LoRA layers and norms under autocast: the results of torch, peft and transformers, in fewer operations."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModel
from transformers.models.llama import modeling_llama as llama

from sltk.nn.fused import autocast_modules
from sltk.nn.fused.autocast_adapter import AutocastAdapter, AutocastLinear
from sltk.nn.fused.autocast_norm import AutocastRMSNorm
from sltk.nn.fused.rotary import _Rotate

SMALL = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 50, "pad_token_id": 0,
}  # fmt: skip
PRODUCTS = ("mm", "addmm", "bmm")


def adapted(base: str, **settings: Any) -> Any:
    """A small Llama with adapters on all linear layers, whose weights are not zero."""
    torch.manual_seed(1)
    model = AutoModel.from_config(AutoConfig.for_model("llama", **SMALL))
    if base == "bfloat16":
        model = model.to(torch.bfloat16)
    if base == "nf4":
        quantize(model)
    config = LoraConfig(
        r=4, lora_alpha=8, lora_dropout=0.0, target_modules="all-linear", init_lora_weights=False, **settings
    )
    return get_peft_model(model, config)


def quantize(model: Any) -> None:
    """Replace all linear layers by 4-bit layers that compute in bfloat16."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Linear:
                four_bit = bitsandbytes.nn.Linear4bit(
                    layer.in_features, layer.out_features, bias=False,
                    compute_dtype=torch.bfloat16, quant_type="nf4",
                )  # fmt: skip
                four_bit.load_state_dict(layer.state_dict())
                four_bit.support_avx512bf16_for_cpu = False
                setattr(parent, name, four_bit.to("cpu"))
    model.is_loaded_in_4bit = True  # so that peft takes its own class for them


class Operations(TorchDispatchMode):
    """Counts operations, and collects the dtypes of matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.product_dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = call.overloadpacket.__name__
        out = call(*args, **(kwargs or {}))
        if not call.is_view:
            self.counts[name] += 1
        if name in PRODUCTS:
            self.product_dtypes.add(out.dtype)
        return out


def run(model: nn.Module, counter: Operations | None = None, *, autocast: bool = True) -> list[Tensor]:
    """Output, and gradients of the adapters, of one pass, by default under autocast."""
    for parameter in model.parameters():
        parameter.grad = None
    ids = torch.arange(3, 14)[None]
    with counter or Operations():
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = model(input_ids=ids).last_hidden_state.float()
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return [out.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]


def exact(model: nn.Module) -> list[Tensor]:
    """The results of a model with the same weights in float32."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if hasattr(module, "compute_dtype"):
            module.compute_dtype = torch.float32
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.float()
    return run(model, autocast=False)


def error(results: list[Tensor], truth: list[Tensor]) -> float:
    """The mean relative difference."""
    pairs = zip(results, truth, strict=True)
    return sum(float((a - b).norm() / b.norm()) for a, b in pairs) / len(truth)


def prepared(model: nn.Module) -> nn.Module:
    result = copy.deepcopy(model)
    autocast_modules.prepare(result, torch.bfloat16)
    return result


@pytest.mark.parametrize("base", ["float32", "bfloat16", "nf4"])
def test_adapters_give_the_results_of_peft_with_fewer_conversions(base: str) -> None:
    """They are as close to those of float32 as peft's, no product is in float32, and the gradients are float32."""
    stock = adapted(base)
    ours = prepared(stock)
    assert sum(isinstance(module, AutocastAdapter) for module in ours.modules()) == 14
    plain, fast = Operations(), Operations()
    truth, expected, results = exact(stock), run(stock.train(), plain), run(ours.train(), fast)
    assert len(results) == len(truth) == 1 + 28
    assert all(result.dtype == torch.float32 for result in results)
    assert error(results, truth) < 0.04
    assert error(results, truth) < 1.5 * error(expected, truth)
    assert fast.product_dtypes == {torch.bfloat16}
    assert fast.counts["_to_copy"] < plain.counts["_to_copy"]
    assert fast.counts["clone"] + (14 if base == "nf4" else 0) <= plain.counts["clone"]
    assert fast.counts.total() <= plain.counts.total() - 14 * 4


def test_layers_that_read_the_same_input_share_its_conversion() -> None:
    """A float32 block converts four activations: for q, k and v, for o, for gate and up, and for down."""
    stock = AutoModel.from_config(AutoConfig.for_model("llama", **{**SMALL, "num_hidden_layers": 1}))
    ours = prepared(stock)
    assert sum(isinstance(module, AutocastLinear) for module in ours.modules()) == 7
    plain, fast = Operations(), Operations()
    for expected, result in zip(run(stock, plain), run(ours, fast), strict=True):
        assert (result - expected).norm() <= 0.03 * expected.norm()
    # Three conversions fewer forwards (k, v, up), and as many backwards.
    assert plain.counts["_to_copy"] - fast.counts["_to_copy"] == 6


def test_an_input_that_was_changed_in_place_is_converted_again() -> None:
    layers = nn.ModuleList([nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)])
    autocast_modules.prepare(layers, torch.bfloat16)
    x = torch.ones(2, 4)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        layers[0](x)
        x.zero_()
        assert not layers[1](x).any()


def test_adapters_are_replaced_in_float16_too() -> None:
    """The numbers of the trial do not overflow."""
    wide = AutoModel.from_config(AutoConfig.for_model("llama", **{**SMALL, "hidden_size": 512}))
    model = get_peft_model(wide, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    autocast_modules.prepare(model, torch.float16)
    assert sum(isinstance(module, AutocastAdapter) for module in model.modules()) == 14


def test_without_autocast_layers_compute_as_before() -> None:
    """The precision of a loaded model can be changed back."""
    stock = adapted("float32").eval()
    ours = prepared(stock).eval()
    ids = torch.arange(3, 14)[None]
    with torch.inference_mode():
        assert torch.equal(ours(input_ids=ids).last_hidden_state, stock(input_ids=ids).last_hidden_state)


def test_an_adapter_of_another_kind_stays_that_of_peft() -> None:
    """DoRA multiplies by a norm, which the faster layer does not: peft computes."""
    stock = adapted("float32", use_dora=True)
    expected, results = run(stock), run(prepared(stock))
    for result, value in zip(results, expected, strict=True):
        assert (result - value).norm() <= 0.03 * value.norm()


def test_an_adapter_that_computes_something_else_is_not_replaced() -> None:
    """The trial compares each kind of layer with peft's before it is replaced."""
    model = adapted("float32")
    layer = model.base_model.model.layers[0].self_attn.q_proj
    layer.lora_dropout["default"] = nn.Tanh()
    layer.scaling["default"] = 1.0

    class Doubled(type(layer)):  # type: ignore[misc]
        def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            return 2 * super().forward(x, *args, **kwargs)  # type: ignore[no-any-return]

    layer.__class__ = Doubled
    autocast_modules.prepare(model, torch.bfloat16)
    assert not isinstance(layer, AutocastAdapter)
    assert isinstance(model.base_model.model.layers[1].self_attn.q_proj, AutocastAdapter)


@pytest.mark.parametrize("family", ["llama", "qwen3", "olmo2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_give_the_results_of_the_stock_ones_in_one_operation(family: str, dtype: torch.dtype) -> None:
    """With trained weights, as close to those of float32 as the stock norms, and without autocast the same."""
    torch.manual_seed(1)
    stock = AutoModel.from_config(AutoConfig.for_model(family, **SMALL)).to(dtype)
    for module in stock.modules():
        if type(module).__name__.endswith("RMSNorm"):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    ours = prepared(stock)
    norms = [module for module in ours.modules() if type(module).__name__.endswith("RMSNorm")]
    assert norms
    assert all(isinstance(norm, AutocastRMSNorm) for norm in norms)
    truth, expected, results = exact(stock), run(stock), run(ours)
    assert [result.dtype for result in results] == [value.dtype for value in expected]
    assert error(results, truth) < 1.2 * error(expected, truth)
    for result, value in zip(run(ours, autocast=False), run(stock, autocast=False), strict=True):
        assert torch.equal(result, value)


def test_a_norm_that_computes_something_else_is_not_replaced() -> None:
    """Gemma adds 1 to its weights."""
    model = AutoModel.from_config(AutoConfig.for_model("gemma", **SMALL, head_dim=8))
    norm = model.norm
    norm.variance_epsilon = norm.eps
    autocast_modules.prepare(model, torch.bfloat16)
    assert not isinstance(norm, AutocastRMSNorm)


def test_rotary_positions_in_bfloat16_are_as_close_to_exact_ones_as_those_of_transformers() -> None:
    """As they run on a GPU: values and gradients, rounded less often."""
    stock = llama.apply_rotary_pos_emb
    wave = torch.linspace(-40, 40, 9 * 7 * 16).sin().view(1, 9, 7, 16)
    inputs = [wave[:, :4], wave[:, 4:7], wave[:, 7], wave[:, 8]]

    def results(rotate: Any, dtype: torch.dtype) -> list[Tensor]:
        query, key, cos, sin = (x.to(torch.bfloat16).to(dtype) for x in inputs)
        rotated = rotate(query.requires_grad_(), key.requires_grad_(), cos, sin)
        total = sum((x.float() * torch.linspace(-1, 1, x.numel()).view_as(x)).sum() for x in rotated)
        gradients = torch.autograd.grad(total, (query, key))
        return [x.detach().float() for x in (*rotated, *gradients)]

    truth, expected = results(stock, torch.float32), results(stock, torch.bfloat16)
    assert error(results(_Rotate.apply, torch.bfloat16), truth) <= error(expected, truth)


def test_the_trial_runs_on_the_device_of_the_module() -> None:
    """Tensors on another device than that of the module, here the default one, would make every trial fail."""
    model = adapted("float32")
    nn.init.zeros_(
        model.base_model.model.layers[0].self_attn.q_proj.lora_B["default"].weight
    )  # as fresh ones are
    with torch.device("meta"):
        autocast_modules.prepare(model, torch.bfloat16)
    classes = Counter(type(module).__mro__[1] for module in model.modules())
    assert classes[AutocastAdapter] == 14
    assert classes[AutocastRMSNorm] == 5
