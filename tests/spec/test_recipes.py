"""Training recipes: gradients of accumulated batches, and the length of the schedule."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

import sltk
import tiny
from sltk.data.splits import load_splits
from sltk.models.tagging import build, encode
from sltk.nn.batching import pack
from sltk.runtime.progress import Progress
from sltk.spec import loading
from sltk.spec.recipes import RECIPES, RecipeName
from sltk.subwords.samples import Sample
from sltk.training.epoch_batches import EpochBatches

PAPER = [("NER", 14041, 1100, 4390), ("ACE", 14672, 1150, 4585), ("ABSA", 2737, 215, 860)]
ACCUMULATED = {"batch_size": 4, "gradient_accumulation": 3, "clip": None}


class RecordedSteps:
    """Records the gradient and the learning rate of each optimizer step."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.gradients: list[torch.Tensor] = []
        self.norms: list[float] = []

    def __call__(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])
        gradients = [
            p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        self.norms.append(float(torch.cat([gradient.flatten() for gradient in gradients]).norm()))
        self.gradients.append(torch.cat(sorted((g.abs().sum()[None] for g in gradients), key=float)))


@pytest.fixture
def recorded_steps() -> Iterator[RecordedSteps]:
    hear = RecordedSteps()
    handle = register_optimizer_step_pre_hook(hear)
    yield hear
    handle.remove()


def expected(spec: dict[str, Any], parts: list[list[int]], divisor: float) -> torch.Tensor:
    """Summed absolute gradient per weight of the mean loss over these samples, divided by `divisor`."""
    experiment = loading.load(spec).spec
    training = load_splits(experiment.data, experiment.scheme)["train"]
    model = build(experiment, training)
    samples = encode(training, model, Progress())
    model.network.train()
    words = sum(_words(samples[number]) for part in parts for number in part)
    for part in parts:
        batch = pack([samples[number] for number in part])
        (model.network(**batch, num_items_in_batch=words)["loss"] / divisor).backward()
    gradients = [p.grad for p in model.network.parameters() if p.grad is not None]
    return torch.cat(sorted((gradient.abs().sum()[None] for gradient in gradients), key=float))


def _words(sample: Sample) -> int:
    return len(sample.tags)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_gradient_of_an_update(tmp_path: Path, recorded_steps: RecordedSteps, recipe: RecipeName) -> None:
    """With `as_released`, the gradient is that of the last of three micro-batches, divided by three."""
    spec = tiny.spec({**ACCUMULATED, "max_steps": 1, "recipe": recipe})
    sltk.train(spec, tmp_path / "run")
    order = list(EpochBatches(21, 4, seed=120))[:3]
    reference = expected(spec, order[-1:], 3) if recipe == "as_released" else expected(spec, order, 1)
    torch.testing.assert_close(recorded_steps.gradients[0], reference, rtol=1e-4, atol=1e-6)


def test_the_last_update_of_an_epoch_is_scaled_like_the_others(
    tmp_path: Path, recorded_steps: RecordedSteps
) -> None:
    """21 sentences in batches of six, two per update: with `as_released`, the fourth has three sentences, over two."""
    trainer = {"batch_size": 6, "gradient_accumulation": 2, "clip": None, "recipe": "as_released"}
    spec = tiny.spec({**trainer, "epochs": 1, "learning_rate": 1e-30})  # weights stay as they are
    sltk.train(spec, tmp_path / "run")
    first, second = recorded_steps.gradients
    order = list(EpochBatches(21, 6, seed=120))
    torch.testing.assert_close(first, expected(spec, [order[1]], 2), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(second, expected(spec, [order[3]], 2), rtol=1e-4, atol=1e-6)


def test_as_released_scales_before_it_clips(tmp_path: Path, recorded_steps: RecordedSteps) -> None:
    """A gradient above `clip` whose third is below it is divided by three, and not clipped."""
    spec = {**ACCUMULATED, "max_steps": 1, "recipe": "as_released"}
    sltk.train(tiny.spec(spec), tmp_path / "unclipped")
    third = recorded_steps.norms[0]
    sltk.train(tiny.spec({**spec, "clip": 2 * third}), tmp_path / "clipped")
    assert recorded_steps.norms[1] == pytest.approx(third, rel=1e-5)


@pytest.mark.parametrize("recipe", RECIPES)
def test_without_accumulation_all_recipes_are_the_same(tmp_path: Path, recipe: RecipeName) -> None:
    """With one micro-batch per update, no gradient is dropped, and the schedules have the same length."""
    sltk.train(tiny.spec(), tmp_path / "plain")
    sltk.train(tiny.spec({"recipe": recipe}), tmp_path / recipe)
    assert tiny.same_weights(tmp_path / "plain", tmp_path / recipe)


@pytest.mark.parametrize(("task", "sentences", "updates", "horizon"), PAPER)
def test_horizons_of_the_paper(task: str, sentences: int, updates: int, horizon: int) -> None:
    """Batches of 16, four per update, five epochs: the table of section 3."""
    batches = -(-sentences // 16)
    assert updates == 5 * -(-batches // 4), task
    assert RECIPES["as_released"].horizon(updates, batches, 4) == horizon
    assert RECIPES["true_accumulation"].horizon(updates, batches, 4) == horizon
    assert RECIPES["corrected"].horizon(updates, batches, 4) == updates


@pytest.mark.parametrize("recipe", RECIPES)
def test_learning_rates_of_the_paper_on_absa(
    tmp_path: Path, recorded_steps: RecordedSteps, recipe: RecipeName
) -> None:
    """172 micro-batches make 215 updates; the rate ends at 0.853 of its peak in two recipes, at 0 in the third."""
    trainer = {"epochs": 5, "batch_size": 1, "gradient_accumulation": 4, "learning_rate": 2e-4}
    tiniest = {**tiny.LLAMA, "hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1}
    spec = tiny.spec(
        {**trainer, "recipe": recipe},
        data={"train": {"type": "grammar", "count": 172}},
        backbone=tiny.backbone(config={**tiniest, "num_attention_heads": 1}, unmask="0"),
    )
    metrics = sltk.train(spec, tmp_path / "run")
    rates = [rate / 2e-4 for rate in recorded_steps.rates]
    assert metrics["train"]["steps"] == len(rates) == 215
    assert rates[0] == 1.0
    if recipe == "corrected":
        assert rates[-1] == pytest.approx(0.0, abs=1e-4)
    else:
        assert rates[-1] == pytest.approx(0.8548, abs=1e-4)  # and .8536 after the last update
        assert rates == sorted(rates, reverse=True)


def test_the_mean_loss_per_word_is_logged(tmp_path: Path) -> None:
    """`as_released` divides the loss before the backward pass; the log shows it undivided."""
    for recipe in RECIPES:
        trainer = {**ACCUMULATED, "learning_rate": 1e-30, "max_steps": 2, "recipe": recipe}
        sltk.train(tiny.spec(trainer), tmp_path / recipe)
    losses = [_loss(tmp_path / recipe) for recipe in RECIPES]
    assert losses == pytest.approx([losses[0]] * 3, rel=0.05)


def _loss(run: Path) -> float:
    return float(json.loads((run / "metrics.json").read_text())["train"]["loss"])


def test_a_run_as_released_can_be_resumed(tmp_path: Path) -> None:
    """A resumed run ends with the weights of the run that was not interrupted."""

    class Interrupting(tiny.RecordingProgress):
        def step(self, done: int, words: int) -> None:
            if done == 3:
                raise KeyboardInterrupt

    spec = tiny.spec({"batch_size": 4, "gradient_accumulation": 2, "recipe": "as_released", "save_every": 2})
    sltk.train(spec, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        sltk.train(spec, tmp_path / "run", progress=Interrupting())
    sltk.train(spec, tmp_path / "run", resume=True)
    assert tiny.same_weights(tmp_path / "whole", tmp_path / "run")
