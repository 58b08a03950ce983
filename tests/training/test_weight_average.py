"""`trainer.ema`: the moving average is written out, evaluated, saved and resumed; training itself stays the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import TrainerCallback

import sltk
import tiny
from sltk.errors import InvalidSpecError
from sltk.run import evaluate
from sltk.spec import loading

DECAY = 0.2
"""The limit from the second update on; d of the first is 2 / 11."""


def spec(ema: float | None = DECAY, **trainer: Any) -> dict[str, Any]:
    """Nine updates, with dropout, and a checkpoint every two updates and after each epoch."""
    averaged = {} if ema is None else {"ema": ema}
    settings = {"epochs": 3, "save_every": 2, **averaged, **trainer}
    return tiny.spec(settings, data=tiny.all_splits(), head={"type": "linear", "dropout": 0.3})


class Weights(TrainerCallback):  # type: ignore[misc]
    """Copies of the weights before training and after each update."""

    def __init__(self) -> None:
        self.copies: list[dict[str, Tensor]] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Copy the initial weights."""
        self.copies.append({name: p.detach().clone() for name, p in model.named_parameters()})

    on_step_end = on_train_begin


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Weights, tiny.RecordingProgress]:
    """A run with an average, `averaged`, and the same run without, `plain`."""
    folder = tmp_path_factory.mktemp("runs")
    weights, progress = Weights(), tiny.RecordingProgress()
    sltk.train(spec(select="best"), folder / "averaged", callbacks=[weights], progress=progress)
    sltk.train(spec(None), folder / "plain")
    return folder, weights, progress


def test_the_average_follows_the_formula(runs: tuple[Path, Weights, tiny.RecordingProgress]) -> None:
    """average = d average + (1 - d) weights after update t, with d = min(ema, (1 + t) / (10 + t)); best epoch."""
    folder, weights, progress = runs
    best = next(
        match[1] for note in progress.notes if (match := re.search(r"best epoch .* update (\d+)", note))
    )
    average = {name: value.double() for name, value in weights.copies[0].items()}
    for update, copy in enumerate(weights.copies[1 : int(best) + 1], 1):
        decay = min(DECAY, (1 + update) / (10 + update))
        average = {name: decay * average[name] + (1 - decay) * copy[name].double() for name in average}
    saved = tiny.weights(folder / "averaged")
    assert len(weights.copies) == 10
    assert len(saved) == len(average)
    for name, value in saved.items():
        part, _, key = name.partition("/")
        own = f"backbone.model.{key}" if part == "base" else key if key in average else f"head.{key}"
        torch.testing.assert_close(value.double(), average[own], atol=1e-6, rtol=1e-5, msg=name)


def test_training_itself_is_not_changed(runs: tuple[Path, Weights, Any]) -> None:
    """The weights of training are those of a run without an average, bit for bit; the saved ones differ."""
    folder, weights, _ = runs
    plain = tiny.weights(folder / "plain")
    for name, value in plain.items():
        part, _, key = name.partition("/")
        own = f"backbone.model.{key}" if part == "base" else key
        assert torch.equal(value, weights.copies[-1].get(own, weights.copies[-1].get(f"head.{key}")))
    assert not tiny.same_weights(folder / "plain", folder / "averaged")


def test_scores_are_those_of_the_average(runs: tuple[Path, Weights, Any]) -> None:
    """The best of the evaluations during training gives the scores of the saved model."""
    folder, _, progress = runs
    logged = [values["eval_f1"] for values in progress.logs if "eval_f1" in values]
    assert len(logged) == 3
    assert evaluate(folder / "averaged", split="validation").scores["f1"] == pytest.approx(max(logged))


def test_a_resumed_run_has_the_same_average(runs: tuple[Path, Weights, Any], tmp_path: Path) -> None:
    """Interrupted between two checkpoints; weights and average go on, bit for bit."""
    with pytest.raises(KeyboardInterrupt):
        sltk.train(spec(select="best"), tmp_path / "run", progress=tiny.InterruptingProgress(5))
    sltk.train(spec(select="best"), tmp_path / "run", resume=True)
    assert tiny.same_weights(runs[0] / "averaged", tmp_path / "run")


@pytest.mark.parametrize(
    ("trainer", "backbone"),
    [({"ema": 1.0}, {}), ({"ema": 0.9, "sharding": "full"}, {}), ({"ema": 0.9}, {"dtype": "bfloat16"})],
)
def test_averages_that_do_not_work_are_refused(trainer: dict[str, Any], backbone: dict[str, Any]) -> None:
    """A decay of 1 never moves; shards and weights of 16 bits are not averaged."""
    with pytest.raises(InvalidSpecError) as caught:
        loading.load(tiny.spec(trainer, backbone=tiny.backbone(**backbone)))
    assert caught.value.problems[0].path in ("trainer.ema", "trainer.sharding")
