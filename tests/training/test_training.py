"""Training: updates, schedules, optimizers, selection of the best epoch, and runs that fail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

import sltk
import tiny
from sltk import Sentence, register
from sltk.components.slots import Aligner, Reader
from sltk.models.labeller import Labeller
from sltk.nn.pooling import FirstSubwordPooling
from sltk.run import evaluate


def assert_close(left: Path, right: Path) -> None:
    """Compare the saved weights of two runs."""
    actual, expected = tiny.weights(left), tiny.weights(right)
    assert actual.keys() == expected.keys()
    for name in actual:
        torch.testing.assert_close(actual[name], expected[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("head", ["linear", "crf"])
def test_two_accumulated_batches_of_four_equal_one_batch_of_eight(tmp_path: Path, head: str) -> None:
    """After six updates, some with incomplete batches, the weights agree to 1e-5: each word has the same weight."""
    part = {"head": {"type": head, "dropout": 0.0}}
    sltk.train(tiny.spec(**part), tmp_path / "8")
    metrics = sltk.train(tiny.spec({"batch_size": 4, "gradient_accumulation": 2}, **part), tmp_path / "2x4")
    assert metrics["train"]["steps"] == 6
    assert_close(tmp_path / "8", tmp_path / "2x4")


def test_gradient_checkpointing_does_not_change_training(tmp_path: Path) -> None:
    """Weights with recomputed activations agree to 1e-5."""
    sltk.train(tiny.spec(), tmp_path / "a")
    sltk.train(tiny.spec({"gradient_checkpointing": True}), tmp_path / "b")
    assert_close(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(
    ("trainer", "steps"),
    [
        ({"epochs": 2}, 6),
        ({"epochs": 0.5}, 2),
        ({"epochs": 1.34}, 5),
        ({"max_steps": 4}, 4),
        ({"batch_size": 4, "gradient_accumulation": 4}, 4),
        ({"batch_size": 100}, 2),
    ],
)
def test_number_of_updates(tmp_path: Path, trainer: dict[str, Any], steps: int) -> None:
    """With 21 sentences, an incomplete last batch or accumulation counts as an update."""
    assert sltk.train(tiny.spec(trainer), tmp_path / "run")["train"]["steps"] == steps


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    """With dropout, weights are equal bit for bit; another seed gives other weights."""
    head = {"type": "linear", "dropout": 0.3}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        sltk.train(tiny.spec(head=head, seed=seed), tmp_path / name)
    assert tiny.same_weights(tmp_path / "a", tmp_path / "b")
    assert not tiny.same_weights(tmp_path / "a", tmp_path / "c")


def test_validation_and_checkpoints_do_not_change_training(tmp_path: Path) -> None:
    """Weights are the same with validation and a checkpoint after every update as without."""
    head = {"type": "mlp", "dropout": 0.3}
    sltk.train(tiny.spec(head=head), tmp_path / "a")
    sltk.train(tiny.spec({"save_every": 1}, head=head, data=tiny.all_splits()), tmp_path / "b")
    assert tiny.same_weights(tmp_path / "a", tmp_path / "b")


def test_the_data_seed_defaults_to_the_seed(tmp_path: Path) -> None:
    """Another `data_seed` gives other weights."""
    for name, trainer in (("a", {}), ("b", {"data_seed": 120}), ("c", {"data_seed": 5})):
        sltk.train(tiny.spec(trainer), tmp_path / name)
    assert tiny.same_weights(tmp_path / "a", tmp_path / "b")
    assert not tiny.same_weights(tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 0, [1, 1, 1, 1]),
        ("linear", 0, [1, 0.75, 0.5, 0.25]),
        ("linear", 2, [0, 0.5, 1, 0.5]),
        ("cosine", 0.5, [0, 0.5, 1, 0.5]),
        ("cosine", 0, [1, 0.853553, 0.5, 0.146447]),
    ],
)
def test_learning_rate_of_each_update(
    tmp_path: Path, schedule: str, warmup: float, expected: list[float]
) -> None:
    """The optimizer's learning rate before each of four updates, as a fraction of the peak rate."""
    rates: list[float] = []
    with optimizer_hook(lambda optimizer: rates.append(optimizer.param_groups[0]["lr"])):
        sltk.train(tiny.spec({"max_steps": 4, "schedule": schedule, "warmup": warmup}), tmp_path / "run")
    assert [rate / 0.01 for rate in rates] == pytest.approx(expected, abs=1e-5)


@contextmanager
def optimizer_hook(hook: Callable[[Any], object]) -> Iterator[None]:
    """Call `hook` with the optimizer before each of its steps."""
    handle = register_optimizer_step_pre_hook(lambda optimizer, *_: hook(optimizer))
    try:
        yield
    finally:
        handle.remove()


FAMILIES: dict[str, dict[str, Any]] = {
    "llama": tiny.LLAMA,
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2},
    "gemma2": {**tiny.LLAMA, "model_type": "gemma2", "head_dim": 16, "num_key_value_heads": 2},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_biases_and_norms_do_not_decay(tmp_path: Path, family: str) -> None:
    """All other trained weights do."""
    groups: dict[int, dict[str, Any]] = {}
    backbone = tiny.backbone(config=FAMILIES[family])
    with optimizer_hook(lambda optimizer: groups.update(enumerate(optimizer.param_groups))):
        sltk.train(tiny.spec({"max_steps": 1, "weight_decay": 0.1}, backbone=backbone), tmp_path / "run")
    decaying, constant = groups[0], groups[1]
    assert (decaying["weight_decay"], constant["weight_decay"]) == (0.1, 0.0)
    assert all(parameter.dim() >= 2 for parameter in decaying["params"])
    assert all(parameter.dim() == 1 for parameter in constant["params"])
    saved = sum(value.numel() for value in tiny.weights(tmp_path / "run").values())
    assert sum(p.numel() for group in groups.values() for p in group["params"]) == saved


@pytest.mark.parametrize("optimizer", ["adamw_8bit", "paged_adamw_8bit"])
def test_8_bit_optimizers_fall_back_to_adamw_without_a_gpu(tmp_path: Path, optimizer: str) -> None:
    """The weights are those of adamw, and a note in the log reports it."""
    if torch.cuda.is_available():
        expected = None
    else:
        expected = f"{optimizer} needs a GPU: using adamw"
        sltk.train(tiny.spec(), tmp_path / "plain")
    progress = tiny.RecordingProgress()
    sltk.train(tiny.spec({"optimizer": optimizer}), tmp_path / "run", progress=progress)
    if expected is not None:
        assert expected in progress.notes
        assert expected in (tmp_path / "run/log.jsonl").read_text()
        assert tiny.same_weights(tmp_path / "plain", tmp_path / "run")


@register.aligner("nan_after_one_epoch")
class NanAligner(Aligner):
    """Word vectors that are NaN from the fourth update on."""

    def build(self) -> nn.Module:
        class NanPooling(FirstSubwordPooling):
            calls = 0

            def forward(self, *args: Any) -> Any:
                vectors = super().forward(*args)
                self.calls += self.training
                return vectors * float("nan") if self.calls > 3 else vectors

        return NanPooling()


def test_a_nan_loss_ends_the_run(tmp_path: Path) -> None:
    """The error names the update and the sentences of its batch; checkpoints are kept, but no model is saved."""
    with pytest.raises(sltk.RunError) as caught:
        sltk.train(tiny.spec(aligner={"type": "nan_after_one_epoch"}), tmp_path / "run")
    assert caught.value.exit_code == 1
    first, *sentences = str(caught.value).splitlines()
    assert "the loss became nan at update 4" in first
    assert len(sentences) == 8
    assert all(line.startswith("  grammar (train):") for line in sentences)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"spec.yaml", "environment.json", "log.jsonl", "checkpoints"}


@register.aligner("nan_gradient")
class NanGradientAligner(Aligner):
    """Finite word vectors with a NaN gradient."""

    def build(self) -> nn.Module:
        class NanGradientPooling(FirstSubwordPooling):
            def forward(self, *args: Any) -> Any:
                vectors = super().forward(*args)
                zero = (vectors - vectors.detach()).abs().sqrt()  # the slope of sqrt at 0 is infinite
                return vectors + zero

        return NanGradientPooling()


@pytest.mark.parametrize("clip", [1.0, None])
def test_a_nan_gradient_ends_the_run(tmp_path: Path, clip: float | None) -> None:
    """The run ends before the update, with an error, and saves no model."""
    with pytest.raises(sltk.RunError, match="norm of the gradient became nan at update 1") as caught:
        sltk.train(tiny.spec({"clip": clip}, aligner={"type": "nan_gradient"}), tmp_path / "run")
    assert len(str(caught.value).splitlines()) == 9
    assert not (tmp_path / "run/model").exists()


@register.reader("parts_of_speech")
class PartsOfSpeech(Reader):
    """One plain tag per word."""

    def read(self) -> Iterator[Sentence]:
        for subject in ("birds", "fish", "some"):
            for verb in ("sing", "swim", "sleep"):
                yield Sentence([subject, verb, "."], ["NOUN", "VERB", "PUNCT"])


def test_plain_tags_are_scored_by_accuracy(tmp_path: Path) -> None:
    """With `scheme: plain`, the first metric is accuracy, which also selects the best epoch."""
    data = {split: {"type": "parts_of_speech"} for split in ("train", "validation", "test")}
    spec = tiny.spec({"epochs": 8, "select": "best"}, scheme="plain", data=data)
    metrics = sltk.train(spec, tmp_path / "run")
    assert metrics["test"]["accuracy"] == 1.0
    assert sltk.load(tmp_path / "run").predict([["fish", "sing", "."]])[0].tags == ["NOUN", "VERB", "PUNCT"]
    assert (tmp_path / "run/predictions/test.conll").read_text().startswith("birds\tNOUN\tNOUN\n")


def test_select_best_keeps_the_best_epoch(tmp_path: Path) -> None:
    """If validation scores do not improve, `select: best` keeps an earlier epoch, `select: last` the last."""
    trainer = {"epochs": 4, "learning_rate": 1e-9}
    for select in ("best", "last"):
        sltk.train(tiny.spec({**trainer, "select": select}, data=tiny.all_splits()), tmp_path / select)
    assert not tiny.same_weights(tmp_path / "best", tmp_path / "last")
    checkpoints = {path.name for path in (tmp_path / "best/checkpoints").iterdir()}
    assert checkpoints == {"checkpoint-3", "checkpoint-12"}
    assert {path.name for path in (tmp_path / "last/checkpoints").iterdir()} == {"checkpoint-12"}


@pytest.mark.parametrize(("select", "passes"), [("last", 4), ("best", 5)])
def test_the_last_evaluation_is_not_repeated(
    select: str, passes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last epoch's predictions are the final ones, unless an earlier epoch is selected."""
    splits = []
    stream = Labeller.stream
    monkeypatch.setattr(Labeller, "stream", lambda self, data: splits.append(data.name) or stream(self, data))
    trainer = {"epochs": 4, "learning_rate": 1e-9, "select": select}
    metrics = sltk.train(tiny.spec(trainer, data=tiny.all_splits()), tmp_path / "run")
    assert splits.count("validation") == passes
    assert evaluate(tmp_path / "run", split="validation").scores == metrics["validation"]


def test_progress_and_log_get_the_same_values(tmp_path: Path) -> None:
    """Losses and validation scores are reported to `progress` and written to log.jsonl."""
    progress = tiny.RecordingProgress()
    sltk.train(tiny.spec(data=tiny.all_splits()), tmp_path / "run", progress=progress)
    assert progress.start == (6, 0)
    assert progress.done == 6
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line for line in lines if "step" in line] == progress.logs
    assert [line["step"] for line in progress.logs if "loss" in line] == [3, 6]
    assert [line["step"] for line in progress.logs if "eval_f1" in line] == [3, 6]
