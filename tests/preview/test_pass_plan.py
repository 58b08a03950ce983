"""What `auto` means on a GPU: subwords per forward pass, and gradient checkpointing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from repository import ROOT
from sltk.preview import pass_plan
from sltk.preview.estimate import estimate_run, training_memory
from sltk.preview.memory import TrainingMemory, largest_batch, largest_pass
from sltk.preview.pass_plan import PassPlan
from sltk.spec import loading
from sltk.spec.trainer_settings import TrainerSpec

GIB = 2**30
LLAMA = {
    "type": "decoder",
    "name": "meta-llama/Llama-2-7b-hf",
    "quantization": {"type": "nf4"},
    "lora": {"r": 64, "target_modules": ["q_proj", "v_proj"]},
}


def memory(backbone: dict[str, Any] = LLAMA, language_model: bool = False, **trainer: Any) -> TrainingMemory:
    """The memory of a 7B model with QLoRA on a GPU, or of another backbone."""
    values = {"name": "x", "data": {"train": {"type": "grammar"}}, "backbone": backbone, "trainer": trainer}
    spec = loading.load(values).spec
    found = training_memory(spec.backbone, spec.trainer, "gpu", language_model=language_model)
    assert found is not None
    return found


def batches(sentences: int) -> int:
    return largest_batch(sentences, None)


def test_more_free_memory_means_more_subwords_until_a_gpu_is_busy() -> None:
    """The passes grow with the free memory, and fit into it by the estimate."""
    run = memory(gradient_checkpointing=False)
    budgets = []
    for free in (4, 8, 16, 64):
        budget = pass_plan.for_gpu(run, batches, free * GIB).micro_batch_tokens
        assert budget is not None
        budgets.append(budget)
        assert run.peak(budget, checkpointing=False) - run.weights() <= free * GIB
    assert budgets == sorted(set(budgets))
    assert budgets[-1] == pass_plan.for_gpu(run, batches, 640 * GIB).micro_batch_tokens == 8192


def test_checkpointing_is_turned_on_where_a_batch_does_not_fit() -> None:
    """`auto` recomputes activations only then, and says why; true and false are obeyed."""
    few, many = 2 * GIB, 16 * GIB
    plan = pass_plan.for_gpu(memory(), batches, few)
    assert plan.gradient_checkpointing
    assert plan.reason is not None
    assert plan.reason.startswith(f"{batches(16)} subwords in one forward pass need it")
    assert not pass_plan.for_gpu(memory(), batches, many).gradient_checkpointing
    assert not pass_plan.for_gpu(memory(gradient_checkpointing=False), batches, few).gradient_checkpointing
    assert not pass_plan.for_gpu(memory(), batches, few, can_checkpoint=False).gradient_checkpointing
    plan = pass_plan.for_gpu(memory(gradient_checkpointing=True), batches, many)
    assert (plan.gradient_checkpointing, plan.reason) == (True, None)


def test_smaller_passes_need_no_checkpointing() -> None:
    """The spec's own `micro_batch_tokens` is what has to fit."""
    plan = pass_plan.for_gpu(memory(micro_batch_tokens=150), batches, 2 * GIB)
    assert plan == PassPlan(150, gradient_checkpointing=False)


def test_the_released_recipe_keeps_its_batches() -> None:
    """Its micro-batches are part of the recipe."""
    assert pass_plan.for_gpu(memory(recipe="as_released"), batches, 64 * GIB).micro_batch_tokens is None


def test_a_cpu_keeps_the_batches_of_the_spec() -> None:
    """So runs on a CPU have the numbers that they had before there were budgets."""
    assert pass_plan.as_in_spec(TrainerSpec()) == PassPlan(None, gradient_checkpointing=False)
    trainer = TrainerSpec(micro_batch_tokens=64, gradient_checkpointing=True)
    assert pass_plan.as_in_spec(trainer) == PassPlan(64, gradient_checkpointing=True)


@pytest.mark.parametrize(
    ("trainer", "expected"),
    [
        ({}, batches(16)),
        ({"gradient_accumulation": 4}, batches(16)),
        ({"gradient_accumulation": 4, "micro_batch_tokens": 100}, 100),
        ({"gradient_accumulation": 4, "micro_batch_tokens": 10**6}, batches(64)),
        ({"gradient_accumulation": 4, "recipe": "as_released"}, batches(16)),
    ],
)
def test_the_largest_pass(trainer: dict[str, Any], expected: int) -> None:
    """The estimate is for a batch, or for as many sentences of an update as `micro_batch_tokens` allows."""
    assert largest_pass(TrainerSpec(**trainer), batches) == expected


def estimated(lower: Callable[..., Any], **trainer: Any) -> int:
    values = {
        "name": "x",
        "data": {"train": {"type": "grammar"}},
        "backbone": {"type": "encoder", "name": "FacebookAI/roberta-large"},
        "trainer": {"batch_size": 64, **trainer},
    }
    result = estimate_run(loading.load(values).spec)
    assert result is not None
    value = lower(result)
    assert value is not None
    return int(value)


@pytest.mark.parametrize(
    "less",
    [{"micro_batch_tokens": 300}, {"gradient_checkpointing": True}, {"precision": "bf16"}],
    ids=["smaller passes", "checkpointing", "bf16"],
)
def test_the_estimate_knows_what_saves_activations(less: dict[str, Any]) -> None:
    """On a GPU, smaller passes, recomputed activations and products in 16 bits take less memory."""
    plain = estimated(lambda result: result.memory_gpu_bytes, precision="fp32")
    assert estimated(lambda result: result.memory_gpu_bytes, **{"precision": "fp32", **less}) < plain


def test_auto_checkpointing_has_both_estimates() -> None:
    """With `auto`, `sltk check` shows the memory without and with checkpointing."""
    plain = estimated(lambda result: result.memory_gpu_bytes)
    saving = estimated(lambda result: result.memory_gpu_checkpointing_bytes)
    assert saving == estimated(lambda result: result.memory_gpu_bytes, gradient_checkpointing=True) < plain


TABLE = re.compile(r"^\| (.+?) \| (8|24|48|80) GB \| (.+?) \| (.+?) \|$", re.MULTILINE)
RUNS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "Llama-2-7B, QLoRA": (LLAMA, {"optimizer": "paged_adamw_8bit"}, 0),
    "the same, instruction-tuned": (LLAMA, {"optimizer": "paged_adamw_8bit"}, 130),
    "Llama-2-7B, LoRA": ({**LLAMA, "quantization": None}, {}, 0),
    "RoBERTa-large, all weights": ({"type": "encoder", "name": "FacebookAI/roberta-large"}, {}, 0),
    "Llama-3.2-1B, all weights": ({"type": "decoder", "name": "meta-llama/Llama-3.2-1B"}, {}, 0),
}
"""Backbone, trainer, and subwords of a prompt in addition to the sentence, of each row."""


def row(run: str, card: int) -> tuple[str, str]:
    """Subwords per pass and checkpointing, on a card of this many GiB; 4 batches of 16 sentences."""
    backbone, trainer, prompt = RUNS[run]
    needed = memory(backbone, bool(prompt), batch_size=16, gradient_accumulation=4, **trainer)
    plan = pass_plan.for_card(needed, lambda sentences: batches(sentences) + prompt * sentences, card * GIB)
    if plan is None:
        return "does not fit", "–"
    return f"{plan.micro_batch_tokens:,}", "on" if plan.gradient_checkpointing else "off"


def test_the_table_of_cards_is_the_estimate() -> None:
    """Each row of docs/guides/training.md is what `auto` chooses on an empty card of this size."""
    rows = TABLE.findall((ROOT / "docs/guides/training.md").read_text(encoding="utf-8"))
    assert rows == [(run, str(card), *row(run, card)) for run in RUNS for card in (8, 24, 48, 80)]
