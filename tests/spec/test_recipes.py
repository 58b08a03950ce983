"""What each recipe makes of accumulated batches and of the schedule."""

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
from sltk.nn.batching import Sample, pack
from sltk.runtime.progress import Progress
from sltk.spec import loading
from sltk.spec.recipes import RECIPES, RecipeName
from sltk.training.trainer import EpochBatches

PAPER = [("NER", 14041, 1100, 4390), ("ACE", 14672, 1150, 4585), ("ABSA", 2737, 215, 860)]
ACCUMULATED = {"batch_size": 4, "gradient_accumulation": 3, "clip": None}


class Watched:
    """The gradient and the learning rate of each step of any optimizer."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.gradients: list[torch.Tensor] = []
        self.norms: list[float] = []

    def __call__(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])
        found = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self.norms.append(float(torch.cat([gradient.flatten() for gradient in found]).norm()))
        self.gradients.append(torch.cat(sorted((g.abs().sum()[None] for g in found), key=float)))


@pytest.fixture
def watched() -> Iterator[Watched]:
    hear = Watched()
    handle = register_optimizer_step_pre_hook(hear)
    yield hear
    handle.remove()


def expected(spec: dict[str, Any], parts: list[list[int]], divisor: float) -> torch.Tensor:
    """Sums of the absolute gradient of each weight, of the mean loss over these samples, over `divisor`."""
    experiment = loading.load(spec).spec
    training = load_splits(experiment.data, experiment.scheme)["train"]
    model = build(experiment, training)
    samples = encode(training, model, Progress())
    model.tagger.train()
    words = sum(_words(samples[number]) for part in parts for number in part)
    for part in parts:
        batch = pack([samples[number] for number in part])
        (model.tagger(**batch, num_items_in_batch=words)["loss"] / divisor).backward()
    found = [p.grad for p in model.tagger.parameters() if p.grad is not None]
    return torch.cat(sorted((gradient.abs().sum()[None] for gradient in found), key=float))


def _words(sample: Sample) -> int:
    return len(sample.tags)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_gradient_of_an_update(tmp_path: Path, watched: Watched, recipe: RecipeName) -> None:
    """As released it is that of the last of three micro-batches over three; else of all their words."""
    spec = tiny.spec({**ACCUMULATED, "max_steps": 1, "recipe": recipe})
    sltk.train(spec, tmp_path / "run")
    order = list(EpochBatches(21, 4, seed=120))[:3]
    wanted = expected(spec, order[-1:], 3) if recipe == "as_released" else expected(spec, order, 1)
    torch.testing.assert_close(watched.gradients[0], wanted, rtol=1e-4, atol=1e-6)


def test_the_last_update_of_an_epoch_is_scaled_as_the_others(tmp_path: Path, watched: Watched) -> None:
    """21 sentences in sixes, two to an update: the fourth micro-batch of three sentences, over two, as released."""
    trainer = {"batch_size": 6, "gradient_accumulation": 2, "clip": None, "recipe": "as_released"}
    spec = tiny.spec({**trainer, "epochs": 1, "learning_rate": 1e-30})  # weights stay as they are
    sltk.train(spec, tmp_path / "run")
    first, second = watched.gradients
    order = list(EpochBatches(21, 6, seed=120))
    torch.testing.assert_close(first, expected(spec, [order[1]], 2), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(second, expected(spec, [order[3]], 2), rtol=1e-4, atol=1e-6)


def test_as_released_scales_before_it_clips(tmp_path: Path, watched: Watched) -> None:
    """A gradient longer than `clip`, a third of which is shorter, is a third of itself and not clipped."""
    spec = {**ACCUMULATED, "max_steps": 1, "recipe": "as_released"}
    sltk.train(tiny.spec(spec), tmp_path / "unclipped")
    third = watched.norms[0]
    sltk.train(tiny.spec({**spec, "clip": 2 * third}), tmp_path / "clipped")
    assert watched.norms[1] == pytest.approx(third, rel=1e-5)


@pytest.mark.parametrize("recipe", RECIPES)
def test_without_accumulation_all_recipes_are_one(tmp_path: Path, recipe: RecipeName) -> None:
    """One micro-batch an update: nothing is thrown away, and the horizons are equal."""
    sltk.train(tiny.spec(), tmp_path / "plain")
    sltk.train(tiny.spec({"recipe": recipe}), tmp_path / recipe)
    assert tiny.same_weights(tmp_path / "plain", tmp_path / recipe)


@pytest.mark.parametrize(("task", "sentences", "updates", "horizon"), PAPER)
def test_horizons_of_the_paper(task: str, sentences: int, updates: int, horizon: int) -> None:
    """Batches of 16, four to an update, five epochs: the table of section 3."""
    batches = -(-sentences // 16)
    assert updates == 5 * -(-batches // 4), task
    assert RECIPES["as_released"].horizon(updates, batches, 4) == horizon
    assert RECIPES["true_accumulation"].horizon(updates, batches, 4) == horizon
    assert RECIPES["corrected"].horizon(updates, batches, 4) == updates


@pytest.mark.parametrize("recipe", RECIPES)
def test_learning_rates_of_the_paper_on_absa(tmp_path: Path, watched: Watched, recipe: RecipeName) -> None:
    """172 micro-batches make 215 updates; the rate ends at .853 of its peak in two recipes, at 0 in the third."""
    trainer = {"epochs": 5, "batch_size": 1, "gradient_accumulation": 4, "learning_rate": 2e-4}
    tiniest = {**tiny.LLAMA, "hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1}
    spec = tiny.spec(
        {**trainer, "recipe": recipe},
        data={"train": {"type": "grammar", "count": 172}},
        backbone=tiny.backbone(config={**tiniest, "num_attention_heads": 1}, unmask="0"),
    )
    metrics = sltk.train(spec, tmp_path / "run")
    rates = [rate / 2e-4 for rate in watched.rates]
    assert metrics["train"]["steps"] == len(rates) == 215
    assert rates[0] == 1.0
    if recipe == "corrected":
        assert rates[-1] == pytest.approx(0.0, abs=1e-4)
    else:
        assert rates[-1] == pytest.approx(0.8548, abs=1e-4)  # and .8536 after the last update
        assert rates == sorted(rates, reverse=True)


def test_what_is_logged_is_the_mean_loss_of_a_word(tmp_path: Path) -> None:
    """As released divides the loss before the backward pass, which is no reason to show a third of it."""
    for recipe in RECIPES:
        trainer = {**ACCUMULATED, "learning_rate": 1e-30, "max_steps": 2, "recipe": recipe}
        sltk.train(tiny.spec(trainer), tmp_path / recipe)
    losses = [_loss(tmp_path / recipe) for recipe in RECIPES]
    assert losses == pytest.approx([losses[0]] * 3, rel=0.05)


def _loss(run: Path) -> float:
    return float(json.loads((run / "metrics.json").read_text())["train"]["loss"])


def test_a_run_as_released_can_be_resumed(tmp_path: Path) -> None:
    """It ends in the weights of the run that was not interrupted."""

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
