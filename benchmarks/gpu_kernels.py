"""Attention kernels against plain attention, and whole models with them against the same models in float32."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from gpu_run import Run
from shared import seconds, sentences
from sltk.data import datasets
from sltk.data.raw import RawDataset
from sltk.models import tagging
from sltk.nn import kernel_choice
from sltk.nn.autocast import full_float32
from sltk.nn.batching import pack
from sltk.nn.kernels import by_length
from sltk.nn.mask_proof import relative_difference
from sltk.nn.packing import Packing, Rule
from sltk.runtime.progress import Progress
from sltk.schemes.detection import TagReading
from sltk.spec.experiment import Experiment

TOLERANCE = 2e-2
"""Largest difference of a kernel, relative to the largest value; bfloat16 has 8 bits of precision."""
MODEL_TOLERANCE = 0.1
"""Largest norm of the difference of a model, relative to the norm: errors add up over blocks."""


CAUSAL, UNMASKED = Rule(True, None), Rule(False, None)


@dataclass(frozen=True)
class Case:
    """An attention call."""

    heads: int = 32
    key_heads: int = 32
    size: int = 128
    rule: Rule = CAUSAL
    softcap: float | None = None
    has_sinks: bool = False
    scaling: float | None = None


_PLAIN = Case()
CASES: Mapping[str, Case] = {
    "causal": _PLAIN,
    "unmasked": replace(_PLAIN, rule=UNMASKED),
    "grouped queries": replace(_PLAIN, key_heads=8),
    "grouped queries, unmasked": replace(_PLAIN, key_heads=8, rule=UNMASKED),
    "one key head": Case(heads=8, key_heads=1, size=256),
    "window": replace(_PLAIN, rule=Rule(True, 8)),
    "window, unmasked": replace(_PLAIN, rule=Rule(False, 8)),
    "own scale": replace(_PLAIN, scaling=0.05),
    "head size 64": Case(heads=12, key_heads=12, size=64),
    "head size 80": Case(heads=20, key_heads=20, size=80),
    "head size 96": Case(heads=32, key_heads=32, size=96),
    "head size 256": Case(heads=8, key_heads=4, size=256),
    "head size 32": Case(heads=12, key_heads=12, size=32),
    "soft cap": Case(heads=8, key_heads=4, size=256, softcap=50.0),
    "soft cap, window": Case(heads=8, key_heads=4, size=256, softcap=50.0, rule=Rule(True, 8)),
    "sinks": Case(heads=64, key_heads=8, size=64, has_sinks=True),
    "sinks, window, unmasked": Case(heads=64, key_heads=8, size=64, has_sinks=True, rule=Rule(False, 8)),
}
_MODEL: Mapping[str, Any] = {
    "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 64, "vocab_size": 600, "max_position_embeddings": 256, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_NO_GROUPS = {key: value for key, value in _MODEL.items() if key not in ("num_key_value_heads", "head_dim")}
_GPT2 = {
    "n_embd": 256, "n_layer": 4, "n_head": 4, "n_positions": 256, "vocab_size": 600, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_MIXED = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"] * 2}
_EXPERTS = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 128}
FAMILIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("0110", _MODEL),
    "qwen3": ("0110", _MODEL),  # norms of queries and keys
    "olmo2": ("0110", _MODEL),
    "mistral": ("0110", {**_MODEL, "sliding_window": 8}),
    "gemma2": ("0110", {**_MODEL, **_MIXED, "attn_logit_softcapping": 50.0}),
    "gemma3_text": ("0110", {**_MODEL, **_MIXED}),
    "gpt_oss": ("0110", {**_MODEL, **_MIXED, **_EXPERTS}),
    "phi": ("0110", _NO_GROUPS),  # rotates a part of each head
    "gpt_neox": ("0110", _NO_GROUPS),
    "gpt2": ("0110", _GPT2),
    "bert": ("all", _NO_GROUPS),
    "modernbert": ("all", {**_NO_GROUPS, "local_attention": 16}),
    "deberta-v2": ("all", _NO_GROUPS),  # its own attention, on padded batches
}
"""Families that differ in kind: mask, and changes of `_MODEL`."""
_ENCODERS = ("bert", "modernbert", "deberta-v2")


def measure(run: Run) -> dict[str, Any]:
    """The section `kernels`."""
    cases = dict(list(CASES.items())[:2]) if run.is_tiny else CASES
    families = ("gemma2",) if run.is_tiny else tuple(FAMILIES)
    result = run.partial
    result |= {"calls": {}, "families": {}}
    for name, case in cases.items():
        result["calls"][name] = _attempt(run, lambda case=case: measure_call(run, case))
    for name in families:
        result["families"][name] = _attempt(run, lambda name=name: measure_family(run, name))
    return result


def _attempt(run: Run, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """One failure says something about one kernel or family, and does not end the section."""
    run.require(5)
    try:
        return work()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}


def measure_call(run: Run, case: Case) -> dict[str, Any]:
    """Values, gradients and time of the kernel that sltk chooses for a call, against plain attention in float32."""
    count = 4 if run.is_tiny else 64
    packing = Packing.of_lengths(sorted(len(sentence.words) + 2 for sentence in sentences(count, None)))
    dtype = torch.bfloat16 if run.is_gpu else torch.float32
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, heads, packing.tokens, case.size) for heads in (case.heads, case.key_heads, case.key_heads)]
    inputs = [torch.randn(shape, generator=generator).to(run.device, dtype) for shape in shapes]
    if case.has_sinks:
        inputs.append(torch.randn(case.heads, generator=generator).to(run.device, dtype))
    record = kernel_choice.KernelRecord()

    def chosen(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None = None) -> Tensor:
        return kernel_choice.attend(
            record, q, k, v, packing, case.rule, case.scaling, 0.0, case.softcap, sinks
        )

    def plain(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None = None) -> Tensor:
        return by_length(q, k, v, packing, case.rule, case.scaling, softcap=case.softcap, sinks=sinks)

    results = _value_and_gradients(chosen, inputs)
    with full_float32():
        expected = _value_and_gradients(plain, [x.float() for x in inputs])
    errors = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(results, expected, strict=True)]
    (kernel,) = record.as_json().values()
    return {
        "kernel": kernel["kernel"],
        "reason": kernel["reason"],
        "difference": max(errors),
        "agrees": max(errors) <= TOLERANCE,
        "milliseconds": _milliseconds(run, lambda: _value_and_gradients(chosen, inputs)),
        "plain_milliseconds": _milliseconds(run, lambda: _value_and_gradients(plain, inputs)),
    }


def _value_and_gradients(compute: Callable[..., Tensor], inputs: list[Tensor]) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in inputs]
    out = compute(*leaves)
    weights = torch.linspace(0, 9, out.numel(), device=out.device).cos().reshape(out.shape)
    gradients = torch.autograd.grad((out.float() * weights).sum(), leaves)
    return [x.detach().float() for x in (out, *gradients)]


def _milliseconds(run: Run, work: Callable[[], object]) -> float:
    work()
    times = [seconds(work, run.device) for _ in range(2 if run.is_tiny else 10)]
    return round(1000 * statistics.median(times), 3)


def measure_family(run: Run, name: str) -> dict[str, Any]:
    """A model of a family in the precision of the device against itself in float32 with plain attention.

    Building it proves its mask, and that it equals the stock model, which `stock_difference` measures.
    """
    mask, config = FAMILIES[name]
    is_encoder = name in _ENCODERS
    corpus = sentences(8 if run.is_tiny else 48, None)
    spec = Experiment.model_validate(
        {
            "name": "gpu", "data": {"train": {"type": "grammar"}},
            "backbone": {
                "type": "encoder" if is_encoder else "decoder", "unmask": mask, "init": "random",
                "config": {"model_type": name, **config}, "tokenizer": {"type": "train", "vocab_size": 600},
            },
        }
    )  # fmt: skip
    training = datasets.to_dataset(RawDataset(spec.data.train, corpus, TagReading("IOB2")), "IOB2")
    model = tagging.build(spec, training)
    samples = tagging.encode(training, model, Progress())
    network = model.network.eval()
    precision = network.backbone.precision
    batch = {
        key: value.to(run.device) if isinstance(value, Tensor) else value
        for key, value in pack(samples).items()
    }
    vectors, gradient = _vectors_and_gradient(network, batch)
    kernels = copy.deepcopy(network.backbone.kernels.as_json())
    network.backbone.precision = "fp32"
    plain = kernel_choice.Choice(kernel_choice.LENGTHS, None, False)
    with full_float32(), mock.patch.object(kernel_choice, "_choose", return_value=plain):
        expected_vectors, expected_gradient = _vectors_and_gradient(network, batch)
    difference = relative_difference(vectors, expected_vectors)
    gradient_difference = float((gradient - expected_gradient).norm() / expected_gradient.norm())
    return {
        "precision": precision,
        "kernels": {kind: each["kernel"] for kind, each in kernels.items()},
        "reasons": {kind: each["reason"] for kind, each in kernels.items() if each["reason"]},
        "difference": difference,
        "gradient_difference": gradient_difference,
        "agrees": max(difference, gradient_difference) <= MODEL_TOLERANCE,
        "stock_difference": network.backbone.proof.stock_difference,
    }


def _vectors_and_gradient(network: Any, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Vectors of the words, and the gradient of the embedding of subwords."""
    embedding = network.backbone.model.get_input_embeddings().weight
    vectors_WH = network.word_vectors(batch["ids_T"], batch["packing"], batch["first_W"], batch["last_W"])
    weights = torch.linspace(0, 9, vectors_WH.numel(), device=vectors_WH.device).cos()
    (gradient,) = torch.autograd.grad(
        (vectors_WH.float() * weights.reshape(vectors_WH.shape)).sum(), embedding
    )
    return vectors_WH.detach().float(), gradient.float()
