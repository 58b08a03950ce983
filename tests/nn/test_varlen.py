"""Kernels for many lengths in one call are compared with plain attention before they are used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sltk.nn import varlen
from sltk.nn.kernel_choice import registered
from sltk.nn.kernels import by_length
from sltk.nn.packing import Packing, Rule
from sltk.nn.varlen import Call, VarlenKernel

CPU = torch.device("cpu")
CALL = Call(CPU, torch.float32, 4, 2, 64, 64, causal=True, windowed=False, scaling=None)
CALLS = [
    CALL._replace(causal=causal, windowed=windowed) for causal in (True, False) for windowed in (True, False)
]


def for_cpu(compute: varlen.Compute, **limits: Any) -> VarlenKernel:
    return VarlenKernel("stand-in", compute, ("cpu",), (torch.float32,), **limits)


def kernel(*, causal: bool | None = None, windows: bool = True, by_sentence: bool = True) -> VarlenKernel:
    """A kernel with the signature of the real ones; the arguments make it faulty."""

    def run(
        q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, longest: int, window: Any, scaling: Any
    ) -> Tensor:
        lengths = bounds.diff().tolist() if by_sentence else [int(bounds[-1])]
        assert longest == max(bounds.diff().tolist())
        reach = window[0] + 1 if windows and window[0] >= 0 else None
        rule = Rule(window[1] == 0 if causal is None else causal, reach)
        packed = (x.transpose(0, 1).unsqueeze(0) for x in (q, k, v))
        return by_length(*packed, Packing.of_lengths(lengths), rule, scaling)[0]

    return for_cpu(run)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("shape", [(4, 2, 64), (3, 3, 8), (8, 1, 128)])
def test_a_correct_kernel_agrees_with_plain_attention(call: Call, shape: tuple[int, int, int]) -> None:
    """Outputs and gradients agree, with and without causal mask and window, with the heads of the model."""
    heads, key_heads, size = shape
    call = call._replace(heads=heads, key_heads=key_heads, size=size, value_size=size, scaling=0.3)
    assert varlen.difference(kernel(), call) < 1e-5
    assert varlen.fault(kernel(), call) is None


@pytest.mark.parametrize(
    ("wrong", "call"),
    [
        (kernel(causal=True), CALL._replace(causal=False)),
        (kernel(causal=False), CALL),
        (kernel(windows=False), CALL._replace(windowed=True)),
        (kernel(windows=False), CALL._replace(windowed=True, causal=False)),
        (kernel(by_sentence=False), CALL._replace(causal=False)),
    ],
)
def test_a_kernel_that_ignores_mask_window_or_sentences_is_rejected(wrong: VarlenKernel, call: Call) -> None:
    """The difference is far larger than rounding in half precision."""
    assert varlen.difference(wrong, call) > 0.1
    assert "differs from plain attention by" in str(varlen.fault(wrong, call))


def test_a_kernel_that_gives_no_numbers_is_rejected() -> None:
    """NaN compares as neither larger nor smaller."""
    correct = kernel()
    broken = for_cpu(lambda *arguments: correct.compute(*arguments) * float("nan"))
    assert varlen.fault(broken, CALL) == "differs from plain attention by inf%"


def test_a_kernel_is_tested_in_inference_mode_too() -> None:
    """The proof of the mask calls it first, without gradients; the cached tensors must work in training."""
    cached_bounds = []
    correct = kernel()

    def watching(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, *rest: Any) -> Tensor:
        cached_bounds.append(bounds)
        return correct.compute(q, k, v, bounds, *rest)

    x = torch.randn(1, 2, 11, 64)
    call = CALL._replace(heads=2, key_heads=2)
    with registered(for_cpu(watching)), torch.inference_mode():
        usable = varlen.usable_kernel(call)
        assert usable is not None
        varlen.attend(usable, x, x, x, Packing.of_lengths((5, 6)), Rule(True, None), None)
    assert len(cached_bounds) == 2
    assert not any(bounds.is_inference() for bounds in cached_bounds)


def test_no_kernel_is_usable_on_a_cpu() -> None:
    """`fault` gives the reason."""
    call = CALL._replace(dtype=torch.bfloat16)
    assert varlen.usable_kernel(call) is None
    assert not varlen.exist_for(CPU)
    on_gpu = call._replace(device=torch.device("cuda", 0))
    assert varlen.exist_for(on_gpu.device)
    torch_kernel = varlen.KERNELS[0]
    assert torch_kernel.unsupported(on_gpu) is None
    cases = {
        "needs bfloat16 or float16, not float32": {"dtype": torch.float32},
        "the head size 20 is not among the multiples of 8 up to 256": {"size": 20, "value_size": 20},
        "the head size 288 is not among the multiples of 8 up to 256": {"size": 288, "value_size": 288},
        "values have 32 numbers per head, and keys 64": {"value_size": 32},
        "has no soft cap on scores": {"softcap": 50.0},
    }
    for reason, change in cases.items():
        assert varlen.fault(torch_kernel, on_gpu._replace(**change)) == reason  # type: ignore[arg-type]


def reference(q: Any, k: Any, v: Any, bounds: Any, is_causal: bool, scale: Any, window: Any) -> Tensor:
    packed = (x.transpose(0, 1).unsqueeze(0) for x in (q, k, v))
    reach = window[0] + 1 if window[0] >= 0 else None
    packing = Packing.of_lengths(bounds.diff().tolist())
    return by_length(*packed, packing, Rule(is_causal, reach), scale)[0]


def of_2_10(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, return_aux=None) -> Tensor:  # type: ignore[no-untyped-def]
    assert query.shape[1] == key.shape[1]
    return reference(query, key, value, cu_seq_q, is_causal, None, (-1, -1))


def of_2_11(
    query, key, value, cu_seq_q, cu_seq_k, max_q, max_k,
    *, return_aux=None, scale=None, window_size=(-1, -1),
) -> Tensor:  # type: ignore[no-untyped-def]  # fmt: skip
    assert query.shape[1] == key.shape[1]
    return reference(query, key, value, cu_seq_q, window_size[1] == 0, scale, window_size)


def of_2_13(
    query, key, value, cu_seq_q, cu_seq_k, max_q, max_k,
    *, return_aux=None, scale=None, window_size=(-1, -1), enable_gqa=False, seqused_k=None,
    block_table=None, num_splits=None,
) -> Tensor:  # type: ignore[no-untyped-def]  # fmt: skip
    assert num_splits == 1
    assert enable_gqa or query.shape[1] == key.shape[1]
    return reference(query, key, value, cu_seq_q, window_size[1] == 0, scale, window_size)


@pytest.mark.parametrize("version", [of_2_10, of_2_11, of_2_13])
@pytest.mark.parametrize("call", CALLS)
def test_each_version_of_torch_is_called_with_the_arguments_it_has(version: Any, call: Call) -> None:
    """Its result is that of plain attention, or it says what it lacks: 2.10 has no windows."""
    of_version = for_cpu(lambda *arguments: varlen.call_torch(version, *arguments))
    has_fault = version is of_2_10 and call.windowed
    expected = "ValueError: varlen_attn of this version of torch has no windows" if has_fault else None
    assert varlen.fault(of_version, call._replace(scaling=0.2)) == expected


def test_the_installed_torch_has_a_known_signature() -> None:
    """A later version with other required arguments must be looked at before it is used."""
    import inspect

    from torch.nn.attention.varlen import varlen_attn

    parameters = inspect.signature(varlen_attn).parameters.values()
    required = [p.name for p in parameters if p.default is p.empty]
    assert required == ["query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k"]
    assert {p.name for p in parameters} <= set(inspect.signature(of_2_13).parameters)
