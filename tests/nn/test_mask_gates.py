"""Gates that learn a mask: attention with a gate equals its definition, forwards and backwards."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sltk.components.backbones import Decoder, Encoder, TrainedTokenizer
from sltk.errors import ModelError
from sltk.nn import probe_sentences
from sltk.nn.backbone import BuildContext, PackedBackbone
from sltk.nn.kernels import by_length, with_bias
from sltk.nn.mask_gates import HardGate, MaskGates
from sltk.nn.packing import Packing, Rule
from tiny_families import BY_NAME

LENGTHS = (5, 5, 1, 9, 3)
CAUSAL, OPEN = Rule(True, None), Rule(False, None)
KINDS: dict[str, tuple[Rule, Rule, dict[str, Any]]] = {
    "plain": (OPEN, CAUSAL, {}),
    "window": (Rule(False, 3), Rule(True, 3), {}),
    "window dropped": (OPEN, Rule(True, 3), {}),
    "soft cap": (OPEN, CAUSAL, {"softcap": 2.0}),
    "sinks": (OPEN, CAUSAL, {"sinks": torch.tensor([0.5, -1.0, 2.0, 0.0])}),
}


def tensors() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries of four heads, keys and values of two, and a gate."""
    generator = torch.Generator().manual_seed(1)
    shapes = (1, 4, sum(LENGTHS), 8), (1, 2, sum(LENGTHS), 8), (1, 2, sum(LENGTHS), 8), ()
    q, k, v, theta = (torch.randn(shape, generator=generator).requires_grad_() for shape in shapes)
    return q, k, v, theta


def by_hand(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, rule: Rule, within: Rule, **options: Any
) -> Tensor:
    """One sentence and one head after the other, in float64."""
    out = torch.zeros(1, sum(LENGTHS), 4, 8, dtype=torch.float64)
    start = 0
    for length in LENGTHS:
        for head in range(4):
            rows = slice(start, start + length)
            qs, ks, vs = q[0, head, rows].double(), k[0, head // 2, rows].double(), v[0, head // 2, rows]
            weights = []
            for i in range(length):
                scores = (qs[i] @ ks.T) / math.sqrt(8)
                if "softcap" in options:
                    scores = torch.tanh(scores / options["softcap"]) * options["softcap"]
                row = []
                for j in range(length):
                    if sees(within, i, j):
                        row.append(scores[j])
                    elif sees(rule, i, j):
                        row.append(scores[j] + bias.double())
                    else:
                        row.append(torch.tensor(-math.inf, dtype=torch.float64))
                if "sinks" in options:
                    row.append(options["sinks"][head].double())
                weights.append(torch.stack(row).softmax(-1)[:length])
            out[0, rows, head] = torch.stack(weights) @ vs.double()
        start += length
    return out


def sees(rule: Rule, i: int, j: int) -> bool:
    return (j <= i or not rule.causal) and (rule.window is None or abs(i - j) < rule.window)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bias_on_later_tokens_is_exact(kind: str) -> None:
    """Output and gradients, that of the bias too, are those of a direct computation."""
    rule, within, options = KINDS[kind]
    packing = Packing.of_lengths(LENGTHS)
    gradients = []
    outputs = []
    for function in ("packed", "by hand"):
        q, k, v, theta = tensors()
        bias = F.logsigmoid(theta)
        if function == "packed":
            out = with_bias(q, k, v, packing, rule, within, bias, **options)
        else:
            out = by_hand(q, k, v, bias, rule, within, **options)
        weights = torch.cos(torch.arange(out.numel())).view(out.shape)
        (out * weights).sum().backward()
        outputs.append(out.detach().double())
        gradients.append([x.grad for x in (q, k, v, theta)])
    assert torch.allclose(*outputs, atol=1e-5)
    for one, other in zip(*gradients, strict=True):
        assert one is not None
        assert torch.allclose(one, other, atol=2e-5)
    assert gradients[0][3] != 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_ends_of_a_bias_are_the_two_masks(kind: str) -> None:
    """A bias of 0 gives the unmasked block, and one of minus infinity the causal block."""
    rule, within, options = KINDS[kind]
    packing = Packing.of_lengths(LENGTHS)
    q, k, v, _ = tensors()
    for bias, same in ((0.0, rule), (-1e30, within)):
        out = with_bias(q, k, v, packing, rule, within, torch.tensor(bias), **options)
        assert torch.allclose(out, by_length(q, k, v, packing, same, **options), atol=1e-5)


@pytest.mark.parametrize("is_open", [True, False])
def test_a_hard_gate_computes_one_block_and_differentiates_between_both(is_open: bool) -> None:
    """Its output is exactly that of the block that was drawn; its gradient points to the open block."""
    packing = Packing.of_lengths(LENGTHS)
    q, k, v, _ = tensors()

    def attend(unmasked: bool) -> Tensor:
        return by_length(q, k, v, packing, OPEN if unmasked else CAUSAL)

    theta = torch.tensor(0.3, requires_grad=True)
    openness = torch.sigmoid(theta / 0.5)
    out = HardGate(is_open, openness).attend(attend)
    assert torch.equal(out, attend(is_open))
    weights = torch.cos(torch.arange(out.numel())).view(out.shape)
    (out * weights).sum().backward()
    slope = float((openness * (1 - openness)).detach()) / 0.5
    difference = (attend(True) - attend(False)).mul(weights).sum()
    assert theta.grad is not None
    assert float(theta.grad) == pytest.approx(float(difference.detach()) * slope, rel=1e-4)
    grad_q = q.grad
    q.grad = None
    (attend(is_open) * weights).sum().backward()
    assert grad_q is not None
    assert torch.equal(grad_q, q.grad)


def model(family: str, **settings: Any) -> PackedBackbone:
    """A tiny model of four blocks."""
    kind = Encoder if BY_NAME[family].kind == "encoder" else Decoder
    config = {"model_type": family, **BY_NAME[family].config()}
    config.pop("vocab_size", None)
    spec = kind(init="random", config=config, tokenizer=TrainedTokenizer(vocab_size=257), **settings)
    texts = ["a few words"]
    return spec.build(BuildContext(torch.device("cpu"), seed=0, texts=lambda: texts))


def vectors(backbone: PackedBackbone) -> Tensor:
    out: Tensor = backbone(probe_sentences.token_ids(backbone.model), probe_sentences.PACKING)
    return out


MASKS = {mask: tuple(digit == "1" for digit in mask for _ in range(2)) for mask in ("00", "01", "10", "11")}
FAMILIES = ("llama", "mistral", "gemma2", "gpt_oss", "gpt2", "bert")


@pytest.mark.parametrize("family", FAMILIES)
def test_gates_of_every_family_lie_between_its_masks(family: str) -> None:
    """Saturated gates give exactly the model with that mask, soft or drawn; others have a gradient in each block."""
    backbone = model(family).eval()
    gates = MaskGates(backbone, MASKS)
    expected = {}
    for mask in MASKS:
        with torch.no_grad():
            gates.logits.copy_(torch.tensor([100.0 if flag else -100.0 for flag in MASKS[mask]]))
        assert gates.choice() == mask
        gates.close()
        expected[mask] = vectors(backbone).detach()
        gates.bias()
        assert torch.allclose(vectors(backbone), expected[mask], atol=1e-5)
        gates.draw([0.5] * 4, 1.0)
        assert torch.equal(vectors(backbone), expected[mask])
    assert not torch.allclose(expected["00"], expected["10"], atol=1e-4)
    for opened in (gates.bias, lambda: gates.draw([0.3, 0.7, 0.4, 0.9], 1.0)):
        with torch.no_grad():
            gates.logits.fill_(0.2)
        gates.logits.grad = None
        opened()
        out = vectors(backbone)
        (out * torch.cos(torch.arange(out.numel())).view(out.shape)).sum().backward()
        assert gates.logits.grad is not None
        assert bool(gates.logits.grad.ne(0).all())


def test_the_mask_is_the_most_likely_of_those_that_are_searched() -> None:
    """A group of blocks has the sign of the sum of its gates, and a tie is causal; in evaluation no gate acts."""
    backbone = model("llama")
    gates = MaskGates(backbone, MASKS, initial=0.5)
    assert gates.choice() == "00"
    with torch.no_grad():
        gates.logits.copy_(torch.tensor([-1.0, 3.0, 0.5, -2.0]))
    assert gates.choice() == "10"
    likelihoods = gates.likelihoods()
    total = sum(math.exp(value) for value in likelihoods.values())
    p = gates.probabilities()
    assert likelihoods["10"] == pytest.approx(
        math.log(p[0]) + math.log(p[1]) + math.log(1 - p[2]) + math.log(1 - p[3])
    )
    assert total < 1
    gates.bias()
    gates.eval()
    assert backbone.flags == MASKS["10"]
    assert torch.equal(vectors(backbone.eval()), vectors(model("llama", unmask="10").eval()))
    fewer = MaskGates(model("llama"), {mask: MASKS[mask] for mask in ("00", "11")})
    with torch.no_grad():
        fewer.logits.copy_(torch.tensor([-1.0, 3.0, 0.5, -2.0]))
    assert fewer.choice() == "11"


def test_a_draw_has_the_probability_of_its_gate() -> None:
    """A block is open if its uniform number is above 1 - σ(θ)."""
    backbone = model("llama").eval()
    gates = MaskGates(backbone, MASKS)
    with torch.no_grad():
        gates.logits.copy_(torch.tensor([math.log(0.2 / 0.8)] * 4))
    gates.draw([0.79, 0.81, 0.1, 0.999], 0.5)
    drawn = [module.sltk_gate.is_open for module in gates._switch.modules]  # type: ignore[union-attr]
    assert drawn == [False, True, False, True]


@pytest.mark.parametrize("family", ["albert", "deberta"])
def test_models_without_a_mask_for_each_block_cannot_learn_one(family: str) -> None:
    """Blocks that share their weights have one mask, and DeBERTa's attention is its own."""
    with pytest.raises(ModelError, match="mask of this model cannot be switched"):
        MaskGates(model(family), MASKS)
