"""The attention function, and the proof that a model obeys its mask."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

import sltk.components.backbones  # noqa: F401
from sltk.components.backbones import Decoder, Encoder, LoRA, Quantization, TrainedTokenizer
from sltk.errors import ModelError
from sltk.nn import autocast
from sltk.nn.attention import NAME, NotPackedError, packed_attention
from sltk.nn.backbone import BuildContext, PackedBackbone
from sltk.nn.packing import Packing
from sltk.types import Precision
from tiny_families import BY_NAME

QUANTIZATIONS = [
    {"type": "nf4"},
    {"type": "nf4", "compute_dtype": "float32"},
    {"type": "fp4"},
    {"type": "int8"},
]


def llama(mask: Any, precision: Precision = "fp32", **settings: Any) -> PackedBackbone:
    config = {"model_type": "llama", **BY_NAME["llama"].config(hidden_size=64, head_dim=16)}
    spec = Decoder(
        init="random", config=config, tokenizer=TrainedTokenizer(vocab_size=257), unmask=mask, **settings
    )
    texts = ["a few words"]
    return spec.build(BuildContext(torch.device("cpu"), seed=0, texts=lambda: texts, precision=precision))


@pytest.fixture
def replace_attention() -> Iterator[Any]:
    """Replaces sltk's attention function until the end of the test."""
    ours = ALL_ATTENTION_FUNCTIONS[NAME]
    yield lambda function: AttentionInterface.register(NAME, function)
    AttentionInterface.register(NAME, ours)


def with_constant_flag(flag: bool) -> Any:
    """sltk's attention with a constant flag, like a mask switch without effect."""
    module = SimpleNamespace(sltk_unmasked=flag, sltk_drop_window=False, sltk_inclusive=False)
    return lambda _, *tensors, **options: packed_attention(module, *tensors, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dtype": "bfloat16"},
        *({"quantization": Quantization(**q), "freeze": True} for q in QUANTIZATIONS),
    ],
    ids=str,
)
@pytest.mark.parametrize(("flag", "mask"), [(False, "0001"), (False, "1111"), (True, "1110"), (True, "0000")])
def test_a_model_whose_attention_ignores_its_flags_is_not_built(
    replace_attention: Any, flag: bool, mask: str, settings: Any
) -> None:
    """A mask switch without effect is detected in every number format, and the error names the blocks."""
    replace_attention(with_constant_flag(flag))
    wrong = [block for block, digit in enumerate(mask) if (digit == "1") != flag]
    with pytest.raises(ModelError, match=f"opposite of what their mask says: {wrong[0]} .*") as error:
        llama(mask, **settings)
    assert all(f"{block} (expected" in str(error.value) for block in wrong)


@pytest.mark.parametrize(
    "settings",
    [
        {"dtype": "bfloat16"},
        {"dtype": "float16"},
        *({"quantization": Quantization(**q), "freeze": True} for q in QUANTIZATIONS),
    ],
    ids=str,
)
@pytest.mark.parametrize("mask", ["0000", "0101", "1111"])
def test_rounding_and_quantization_raise_no_false_alarm(mask: str, settings: Any) -> None:
    """The proof holds for half precision, NF4, FP4 and int8 models."""
    proof = llama(mask, **settings).proof
    assert proof is not None
    assert proof.holds
    assert proof.unmasked == [block for block, digit in enumerate(mask) if digit == "1"]


def test_experts_in_half_precision_raise_no_false_alarm() -> None:
    """Rounding that depends on the number of words per expert is not a path between words."""
    config = {"model_type": "mixtral", **BY_NAME["mixtral"].config()}
    for mask in ("0000", "0110"):
        spec = Decoder(
            init="random",
            config=config,
            tokenizer=TrainedTokenizer(vocab_size=257),
            unmask=mask,
            dtype="bfloat16",
        )
        spec.build(BuildContext(torch.device("cpu"), seed=0, texts=lambda: ["a"]))


def test_a_leak_between_sentences_is_detected(replace_attention: Any) -> None:
    """Attention that ignores the ends of sentences is rejected with every mask."""

    def without_bounds(module: Any, *tensors: Any, packing: Packing, **options: Any) -> Any:
        return packed_attention(module, *tensors, packing=Packing.of_lengths([packing.tokens]), **options)

    replace_attention(without_bounds)
    for mask in ("0000", "1111"):
        with pytest.raises(ModelError, match="one sentence reaches another"):
            llama(mask)


def test_attention_with_a_wrong_scale_is_detected(replace_attention: Any) -> None:
    """The output, not only the mask, is compared with the stock model."""

    def unscaled(module: Any, *tensors: Any, scaling: float, **options: Any) -> Any:
        return packed_attention(module, *tensors, scaling=40 * scaling, **options)

    replace_attention(unscaled)
    with pytest.raises(ModelError, match=r"cannot be unmasked.*differs by .* from that of the stock model"):
        llama("0000")


def test_positions_of_roberta_start_after_its_padding_index() -> None:
    """With padding token 1, the first word of RoBERTa has position 2, and two positions are lost."""
    config = {"model_type": "roberta", **BY_NAME["roberta"].config(pad_token_id=1, bos_token_id=0)}
    spec = Encoder(init="random", config=config, tokenizer=TrainedTokenizer(vocab_size=257))
    backbone = spec.build(BuildContext(torch.device("cpu"), seed=0, texts=lambda: ["a"]))
    assert (backbone.position_offset, backbone.max_length) == (2, 62)
    ids = torch.arange(3, 65)
    with torch.no_grad():
        assert backbone(ids, Packing.of_lengths([62])).shape == (62, 32)


@pytest.mark.parametrize("quantization", QUANTIZATIONS[1:], ids=str)
def test_evaluating_a_quantized_model_does_not_change_its_gradients(quantization: Any) -> None:
    """After an evaluation between two steps, every adapter of a quantized model still gets the same gradient."""
    backbone = llama(
        "0101", quantization=Quantization(**quantization), lora=LoRA(r=4, dropout=0.0), dtype="float32"
    )
    ids, packing = torch.arange(3, 15), Packing.of_lengths([7, 5])

    def gradients() -> dict[str, torch.Tensor]:
        backbone.train().zero_grad()
        backbone(ids, packing).float().pow(2).sum().backward()
        return {
            name: p.grad.clone()
            for name, p in backbone.named_parameters()
            if p.grad is not None and "lora_B" in name
        }

    before = gradients()
    with torch.inference_mode():
        backbone.eval()(ids, packing)
    after = gradients()
    assert len(before) == 2 * 4
    assert all(bool(gradient.abs().max() > 0) for gradient in before.values())
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_attention_outside_of_a_packed_batch_is_an_error() -> None:
    """Calling the model directly raises an error instead of attending across sentences."""
    backbone = llama("0000")
    with pytest.raises(NotPackedError):
        backbone.model(input_ids=torch.arange(3, 8)[None])


def random_tensors(length: int, key_heads: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return tuple(torch.randn(1, heads, length, 8, generator=generator) for heads in (4, key_heads, key_heads))  # type: ignore[return-value]


def by_hand(
    q: Any, k: Any, v: Any, lengths: list[int], sees: Any, scale: float, cap: float | None, sinks: Any
) -> torch.Tensor:
    """Attention by its formula, one query at a time."""
    out = torch.zeros(1, q.shape[2], q.shape[1], q.shape[3])
    start = 0
    for length in lengths:
        for head in range(q.shape[1]):
            shared = head * k.shape[1] // q.shape[1]
            for i in range(length):
                visible = [j for j in range(length) if sees(i, j)]
                scores = torch.stack(
                    [q[0, head, start + i] @ k[0, shared, start + j] * scale for j in visible]
                )
                scores = scores if cap is None else cap * torch.tanh(scores / cap)
                column = scores if sinks is None else torch.cat([scores, sinks[head : head + 1]])
                weights = column.softmax(0)[: len(visible)]
                out[0, start + i, head] = sum(
                    w * v[0, shared, start + j] for w, j in zip(weights, visible, strict=True)
                )
        start += length
    return out


@pytest.mark.parametrize("unmasked", [False, True])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize(("cap", "with_sinks"), [(None, False), (1.5, False), (None, True)])
def test_attention_equals_its_definition(
    unmasked: bool, window: int | None, drop: bool, cap: float | None, with_sinks: bool
) -> None:
    """Causal or not, with and without window, soft cap and sinks, with grouped heads: the result of the formula."""
    lengths = [5, 5, 1, 4]
    q, k, v = random_tensors(sum(lengths))
    sinks = torch.tensor([0.3, -1.0, 2.0, 0.0]) if with_sinks else None
    limit = None if unmasked and drop else window

    def sees(i: int, j: int) -> bool:
        return (unmasked or j <= i) and (limit is None or abs(i - j) < limit)

    module: Any = SimpleNamespace(sltk_unmasked=unmasked, sltk_drop_window=drop, sltk_inclusive=False)
    result, _ = packed_attention(
        module,
        q,
        k,
        v,
        None,
        packing=Packing.of_lengths(lengths),
        scaling=0.4,
        sliding_window=window,
        softcap=cap,
        s_aux=sinks,
    )
    assert torch.allclose(result, by_hand(q, k, v, lengths, sees, 0.4, cap, sinks), atol=1e-5)


def test_sentences_of_one_length_share_a_run() -> None:
    """Neighbouring sentences of equal length are computed together."""
    assert Packing.of_lengths([3, 3, 5, 3]).runs == ((0, 2, 3), (6, 1, 5), (11, 1, 3))
    assert Packing.of_lengths([3, 3, 5, 3]).tokens == 14


def test_queries_and_keys_follow_the_dtype_of_values() -> None:
    """Rotary positions in float32 turn q and k into float32 under autocast; no fast kernel takes them so."""
    module: Any = SimpleNamespace(sltk_unmasked=True, sltk_drop_window=False, sltk_inclusive=False)
    q, k, v = random_tensors(8)
    half = [x.to(torch.bfloat16) for x in (q, k, v)]
    packing = Packing.of_lengths((5, 3))
    mixed, _ = packed_attention(module, q, k, half[2], None, packing=packing)
    pure, _ = packed_attention(module, *half, None, packing=packing)
    assert mixed.dtype == torch.bfloat16
    assert torch.equal(mixed, pure)


@pytest.mark.parametrize("number_format", ["bf16", "fp16"])
def test_a_leak_is_detected_under_autocast(
    number_format: Any, replace_attention: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof runs in the number format of the run, where a path still has a gradient and no path has none."""
    monkeypatch.setattr(autocast, "AUTOCAST_DEVICES", {"cpu"})
    proof = llama("0111", number_format).proof
    assert proof is not None
    assert (proof.precision, proof.unmasked) == (number_format, [1, 2, 3])
    replace_attention(with_constant_flag(True))
    with pytest.raises(ModelError, match="opposite of what their mask says: 0 "):
        llama("0111", number_format)
