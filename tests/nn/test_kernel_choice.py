"""The kernel of each attention call, the reason for it, and the record of what ran."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sltk.components.backbones import Decoder, TrainedTokenizer
from sltk.nn import kernel_choice, kernels, probe_sentences
from sltk.nn.backbone import BuildContext, PackedBackbone
from sltk.nn.kernel_choice import GROUPS, LENGTHS, SHORT, registered
from sltk.nn.packing import Packing, Rule
from sltk.nn.varlen import VarlenKernel
from tiny_families import BY_NAME

CPU = torch.device("cpu")


@functools.cache
def built(family: str, mask: str = "0011", **changes: Any) -> PackedBackbone:
    config = {"model_type": family, **BY_NAME[family].config(**changes)}
    tokenizer = TrainedTokenizer(vocab_size=257)
    spec = Decoder(init="random", config=config, tokenizer=tokenizer, unmask=mask)
    return spec.build(BuildContext(CPU, seed=0, texts=lambda: ["a few words"]))


def by_sentence(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bounds: Tensor,
    longest: int,
    window: Any,
    scaling: Any,
    softcap: Any = None,
) -> Tensor:
    """A correct kernel for many lengths."""
    packed = (x.transpose(0, 1).unsqueeze(0) for x in (q, k, v))
    rule = Rule(window[1] == 0, window[0] + 1 if window[0] >= 0 else None)
    packing = Packing.of_lengths(bounds.diff().tolist())
    return kernels.by_length(*packed, packing, rule, scaling, softcap=softcap)[0]


def without_softcap(q: Any, k: Any, v: Any, bounds: Any, longest: Any, window: Any, scaling: Any) -> Tensor:
    return by_sentence(q, k, v, bounds, longest, window, scaling)


def without_windows(q: Any, k: Any, v: Any, bounds: Any, longest: Any, window: Any, scaling: Any) -> Tensor:
    return by_sentence(q, k, v, bounds, longest, (-1, 0 if window[1] == 0 else -1), scaling)


def raising(q: Any, *_: Any) -> Tensor:
    raise RuntimeError(f"FlashAttention forward only supports head dimension other than {q.shape[-1]}\nmore")


def stand_in(compute: Any) -> VarlenKernel:
    return VarlenKernel("stand-in", compute, ("cpu",), (torch.float32,))


def run(backbone: PackedBackbone, packing: Packing = probe_sentences.PACKING) -> dict[str, Any]:
    """The record of one forward pass."""
    ids = probe_sentences.token_ids(backbone.model)
    ids = ids.repeat(packing.tokens // len(ids) + 1)[: packing.tokens]
    backbone.kernels.clear()
    backbone(ids, packing)
    return backbone.kernels.as_json()


def kernel_of(record: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {kind: (entry["kernel"], entry["reason"]) for kind, entry in record.items()}


def test_each_kind_of_block_is_recorded_with_its_kernel() -> None:
    """Causal and unmasked blocks, in full and windowed attention, soft caps and sinks."""
    assert kernel_of(run(built("llama"))) == {"causal": (SHORT, None), "unmasked": (SHORT, None)}
    capped = "soft-capped scores"
    assert kernel_of(run(built("gemma2"))) == {
        "causal, soft cap": (LENGTHS, capped),
        "causal, window, soft cap": (LENGTHS, capped),
        "unmasked, soft cap": (LENGTHS, capped),
        "unmasked, window, soft cap": (LENGTHS, capped),
    }
    assert all(reason == "attention sinks" for _, reason in kernel_of(run(built("gpt_oss"))).values())
    record = run(built("llama"), Packing.of_lengths((129,)))
    assert kernel_of(record) == dict.fromkeys(("causal", "unmasked"), (LENGTHS, "a sentence is long"))
    assert record["causal"]["calls"] == 2


def test_a_kernel_for_many_lengths_is_used_where_it_agrees_and_nowhere_else() -> None:
    """The states of the model stay those of plain attention, and the record says why a kernel is not used."""
    llama, gemma = built("llama"), built("gemma2")
    ids = probe_sentences.token_ids(llama.model)
    plain = llama(ids, probe_sentences.PACKING)
    with registered(stand_in(by_sentence)):
        assert kernel_of(run(llama)) == {"causal": ("stand-in", None), "unmasked": ("stand-in", None)}
        torch.testing.assert_close(llama(ids, probe_sentences.PACKING), plain)
        assert {kernel for kernel, _ in kernel_of(run(gemma)).values()} == {"stand-in"}
        assert gemma.kernels.new_notes() == []
    with registered(stand_in(without_softcap)):
        assert set(kernel_of(run(gemma)).values()) == {(LENGTHS, "stand-in: has no soft cap on scores")}
    with registered(stand_in(raising)):
        reason = "stand-in: RuntimeError: FlashAttention forward only supports head dimension other than 8"
        assert set(kernel_of(run(llama)).values()) == {(SHORT, reason)}
        torch.testing.assert_close(llama(ids, probe_sentences.PACKING), plain)


def test_a_kernel_is_judged_for_each_kind_of_block() -> None:
    """A kernel that ignores windows is used in the blocks without one."""
    mixed = built("qwen2", sliding_window=4, use_sliding_window=True, max_window_layers=2)
    with registered(stand_in(without_windows)):
        record = kernel_of(run(mixed))
    assert record["causal"] == ("stand-in", None)
    windowed = [entry for kind, entry in record.items() if "window" in kind]
    assert windowed
    assert all(name == SHORT and "differs from plain attention" in str(why) for name, why in windowed)


def test_dropout_of_attention_weights_changes_the_record() -> None:
    """In training another kernel runs than in evaluation: the record has both, the more frequent one first."""
    backbone = built("llama", attention_dropout=0.5)
    ids = probe_sentences.token_ids(backbone.model)
    with registered(stand_in(by_sentence)):
        run(backbone.eval())
        for _ in range(2):
            backbone.train()(ids, probe_sentences.PACKING)
        entry = backbone.kernels.as_json()["causal"]
    reason = "no such kernel drops attention weights at random"
    assert entry == {
        "kernel": SHORT,
        "reason": reason,
        "calls": 4,
        "others": [{"kernel": "stand-in", "reason": None, "calls": 2}],
    }
    assert backbone.kernels.new_notes() == [
        f"attention of causal, unmasked blocks: no variable-length kernel, but `{SHORT}` ({reason})"
    ]
    assert backbone.kernels.new_notes() == []


def test_the_proof_records_the_kernel_that_it_ran_with() -> None:
    assert built("llama").proof.kernel == SHORT  # type: ignore[union-attr]
    assert built("gemma2").proof.kernel == LENGTHS  # type: ignore[union-attr]


def test_a_kernel_is_not_probed_again_for_each_batch() -> None:
    """A probe takes as long as a batch."""
    calls: list[int] = []

    def counting(q: Any, *rest: Any) -> Tensor:
        calls.append(len(q))
        return by_sentence(q, *rest)

    with registered(stand_in(counting)):
        run(built("llama"))
        probes = len(calls) - 4
        for _ in range(3):
            run(built("llama"))
    assert probes == 2
    assert len(calls) == 2 + 4 * 4


class Operations(TorchDispatchMode):
    """Counts the operations that torch executes."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return function(*args, **(kwargs or {}))


LENGTHS_OF_A_BATCH = (1, 3, 4, 7, 7, 8, 12, 13, 21, 40)


@pytest.mark.parametrize("rule", [Rule(causal, window) for causal in (True, False) for window in (None, 3)])
@pytest.mark.parametrize("kind", ["plain", "soft cap", "sinks"])
def test_padded_groups_give_what_one_call_per_length_gives(rule: Rule, kind: str) -> None:
    """Values and all gradients, with grouped heads; and in fewer operations."""
    packing = Packing.of_lengths(LENGTHS_OF_A_BATCH)
    torch.manual_seed(0)
    qkv = [torch.randn(1, heads, packing.tokens, 8) for heads in (4, 2, 2)]
    sinks = torch.randn(4) if kind == "sinks" else None
    softcap = 2.0 if kind == "soft cap" else None
    kernels._plan.cache_clear()
    with torch.inference_mode():
        kernels.by_group(*qkv, packing, rule, 0.4, softcap=softcap, sinks=sinks)
    results, counts = [], []
    for attend in (kernels.by_length, kernels.by_group):
        inputs = [x.clone().requires_grad_() for x in (*qkv, *([] if sinks is None else [sinks]))]
        with Operations() as operations:
            out = attend(*inputs[:3], packing, rule, 0.4, 0.0, softcap, *inputs[3:])
        weights = torch.linspace(1.0, 3.0, out.numel()).cos().view_as(out)
        results.append([out, *torch.autograd.grad((out * weights).sum(), inputs)])
        counts.append(operations.count)
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert counts[1] < counts[0] / 3


def test_groups_are_used_where_calls_are_expensive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Families with a soft cap run in groups on a GPU; here the CPU stands in for it."""
    gemma = built("gemma2")
    ids = probe_sentences.token_ids(gemma.model)
    plain = gemma(ids, probe_sentences.PACKING)
    monkeypatch.setattr(kernel_choice, "_GROUPED_DEVICES", ("cpu",))
    with registered():
        assert {kernel for kernel, _ in kernel_of(run(gemma)).values()} == {GROUPS}
        torch.testing.assert_close(gemma(ids, probe_sentences.PACKING), plain)
        one_length = Packing.of_lengths((4, 4))
        assert {kernel for kernel, _ in kernel_of(run(gemma, one_length)).values()} == {LENGTHS}
    monkeypatch.undo()
    kernel_choice._forget()
