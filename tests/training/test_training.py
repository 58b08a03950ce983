"""What an update is, and what stops a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
    ours, theirs = tiny.weights(left), tiny.weights(right)
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("head", ["linear", "crf"])
def test_two_batches_of_four_accumulated_are_one_batch_of_eight(tmp_path: Path, head: str) -> None:
    """Weights after six updates, the last of each epoch ragged, agree to 1e-5: words weigh the same in both."""
    part = {"head": {"type": head, "dropout": 0.0}}
    sltk.train(tiny.spec(**part), tmp_path / "8")
    metrics = sltk.train(tiny.spec({"batch_size": 4, "gradient_accumulation": 2}, **part), tmp_path / "2x4")
    assert metrics["train"]["steps"] == 6
    assert_close(tmp_path / "8", tmp_path / "2x4")


def test_gradient_checkpointing_trains_the_same(tmp_path: Path) -> None:
    """Activations computed again give the same weights."""
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
    """21 sentences; a last batch, or a last accumulation, that is not full makes an update of its own."""
    assert sltk.train(tiny.spec(trainer), tmp_path / "run")["train"]["steps"] == steps


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    """Bit for bit, with dropout; another seed gives others."""
    head = {"type": "linear", "dropout": 0.3}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        sltk.train(tiny.spec(head=head, seed=seed), tmp_path / name)
    assert tiny.same_weights(tmp_path / "a", tmp_path / "b")
    assert not tiny.same_weights(tmp_path / "a", tmp_path / "c")


def test_evaluating_while_training_changes_nothing(tmp_path: Path) -> None:
    """With and without validation, with and without a checkpoint every update: the same weights."""
    head = {"type": "mlp", "dropout": 0.3}
    sltk.train(tiny.spec(head=head), tmp_path / "a")
    sltk.train(tiny.spec({"save_every": 1}, head=head, data=tiny.all_splits()), tmp_path / "b")
    assert tiny.same_weights(tmp_path / "a", tmp_path / "b")


def test_data_seed_changes_the_order_of_sentences_alone(tmp_path: Path) -> None:
    """Unset it is the seed."""
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
    """Four updates, in shares of the peak rate: what the optimizer itself has before each."""
    rates: list[float] = []
    watch_optimizer(lambda optimizer: rates.append(optimizer.param_groups[0]["lr"]))
    try:
        sltk.train(tiny.spec({"max_steps": 4, "schedule": schedule, "warmup": warmup}), tmp_path / "run")
    finally:
        watch_optimizer(None)
    assert [rate / 0.01 for rate in rates] == pytest.approx(expected, abs=1e-5)


def watch_optimizer(hear: Any) -> None:
    """Have `hear` called with the optimizer before each of its steps."""
    for handle in _handles:
        handle.remove()
    _handles.clear()
    if hear is not None:
        _handles.append(register_optimizer_step_pre_hook(lambda optimizer, *_: hear(optimizer)))


_handles: list[Any] = []

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": tiny.LLAMA,
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2},
    "gemma2": {**tiny.LLAMA, "model_type": "gemma2", "head_dim": 16, "num_key_value_heads": 2},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_biases_and_norms_do_not_decay(tmp_path: Path, family: str) -> None:
    """All other weights do: two groups of parameters, and every trained one in one of them."""
    groups: dict[int, dict[str, Any]] = {}
    watch_optimizer(lambda optimizer: groups.update(enumerate(optimizer.param_groups)))
    try:
        backbone = tiny.backbone(config=FAMILIES[family])
        sltk.train(tiny.spec({"max_steps": 1, "weight_decay": 0.1}, backbone=backbone), tmp_path / "run")
    finally:
        watch_optimizer(None)
    decaying, still = groups[0], groups[1]
    assert (decaying["weight_decay"], still["weight_decay"]) == (0.1, 0.0)
    assert all(parameter.dim() >= 2 for parameter in decaying["params"])
    assert all(parameter.dim() == 1 for parameter in still["params"])
    saved = sum(value.numel() for value in tiny.weights(tmp_path / "run").values())
    assert sum(p.numel() for group in groups.values() for p in group["params"]) == saved


@pytest.mark.parametrize("optimizer", ["adamw_8bit", "paged_adamw_8bit"])
def test_an_8_bit_optimizer_without_a_gpu_is_adamw_and_says_so(tmp_path: Path, optimizer: str) -> None:
    """The run is that of adamw, and the note is in its log."""
    if torch.cuda.is_available():
        expected = None
    else:
        expected = f"{optimizer} needs a GPU: using adamw"
        sltk.train(tiny.spec(), tmp_path / "plain")
    heard = tiny.RecordingProgress()
    sltk.train(tiny.spec({"optimizer": optimizer}), tmp_path / "run", progress=heard)
    if expected is not None:
        assert expected in heard.notes
        assert expected in (tmp_path / "run/log.jsonl").read_text()
        assert tiny.same_weights(tmp_path / "plain", tmp_path / "run")


@register.aligner("spoilt_after_one_epoch")
class SpoiltAligner(Aligner):
    """Word vectors that are no numbers from the fourth update on."""

    def build(self) -> nn.Module:
        class Spoilt(FirstSubwordPooling):
            calls = 0

            def forward(self, *args: Any) -> Any:
                vectors = super().forward(*args)
                self.calls += self.training
                return vectors * float("nan") if self.calls > 3 else vectors

        return Spoilt()


def test_a_loss_that_is_not_a_number_ends_the_run(tmp_path: Path) -> None:
    """The update and the sentences of its batch are named, exit code 1; no model is left, and the checkpoint is."""
    with pytest.raises(sltk.RunError) as caught:
        sltk.train(tiny.spec(aligner={"type": "spoilt_after_one_epoch"}), tmp_path / "run")
    assert caught.value.exit_code == 1
    first, *sentences = str(caught.value).splitlines()
    assert "the loss became nan at update 4" in first
    assert len(sentences) == 8
    assert all(line.startswith("  grammar (train):") for line in sentences)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"spec.yaml", "environment.json", "log.jsonl", "checkpoints"}


@register.aligner("spoilt_gradient")
class SpoiltGradient(Aligner):
    """Word vectors that are numbers, with a gradient that is none."""

    def build(self) -> nn.Module:
        class Spoilt(FirstSubwordPooling):
            def forward(self, *args: Any) -> Any:
                vectors = super().forward(*args)
                return (
                    vectors + (vectors - vectors.detach()).abs().sqrt()
                )  # the slope of sqrt at 0 is infinite

        return Spoilt()


@pytest.mark.parametrize("clip", [1.0, None])
def test_a_gradient_that_is_not_a_number_ends_the_run(tmp_path: Path, clip: float | None) -> None:
    """Before it spoils a weight."""
    with pytest.raises(sltk.RunError, match="norm of the gradient became nan at update 1") as caught:
        sltk.train(tiny.spec({"clip": clip}, aligner={"type": "spoilt_gradient"}), tmp_path / "run")
    assert len(str(caught.value).splitlines()) == 9
    assert not (tmp_path / "run/model").exists()


@register.reader("parts_of_speech")
class PartsOfSpeech(Reader):
    """One plain tag a word."""

    def read(self) -> Iterator[Sentence]:
        for subject in ("birds", "fish", "some"):
            for verb in ("sing", "swim", "sleep"):
                yield Sentence([subject, verb, "."], ["NOUN", "VERB", "PUNCT"])


def test_plain_tags_are_trained_and_scored_by_accuracy(tmp_path: Path) -> None:
    """With `scheme: plain` the first metric is accuracy, which also chooses the best epoch."""
    data = {split: {"type": "parts_of_speech"} for split in ("train", "validation", "test")}
    spec = tiny.spec({"epochs": 8, "select": "best"}, scheme="plain", data=data)
    metrics = sltk.train(spec, tmp_path / "run")
    assert metrics["test"]["accuracy"] == 1.0
    assert sltk.load(tmp_path / "run").predict([["fish", "sing", "."]])[0].tags == ["NOUN", "VERB", "PUNCT"]
    assert (tmp_path / "run/predictions/test.conll").read_text().startswith("birds\tNOUN\tNOUN\n")


def test_the_best_epoch_is_kept_where_it_is_wanted(tmp_path: Path) -> None:
    """A rate that goes on to spoil the model: `select: best` keeps an earlier epoch, `last` the last."""
    trainer = {"epochs": 4, "learning_rate": 1e-9}
    for select in ("best", "last"):
        heard = tiny.RecordingProgress()
        sltk.train(
            tiny.spec({**trainer, "select": select}, data=tiny.all_splits()),
            tmp_path / select,
            progress=heard,
        )
    assert not tiny.same_weights(tmp_path / "best", tmp_path / "last")
    checkpoints = {path.name for path in (tmp_path / "best/checkpoints").iterdir()}
    assert checkpoints == {"checkpoint-3", "checkpoint-12"}
    assert {path.name for path in (tmp_path / "last/checkpoints").iterdir()} == {"checkpoint-12"}


@pytest.mark.parametrize(("select", "passes"), [("last", 4), ("best", 5)])
def test_the_last_evaluation_is_not_made_twice(
    select: str, passes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its predictions are the final ones, unless an earlier epoch is kept; the scores are those of the saved model."""
    labelled = []
    stream = Labeller.stream
    monkeypatch.setattr(
        Labeller, "stream", lambda self, data: labelled.append(data.name) or stream(self, data)
    )
    trainer = {"epochs": 4, "learning_rate": 1e-9, "select": select}
    metrics = sltk.train(tiny.spec(trainer, data=tiny.all_splits()), tmp_path / "run")
    assert labelled.count("validation") == passes
    assert evaluate(tmp_path / "run", split="validation").scores == metrics["validation"]


def test_progress_and_log_say_loss_rate_and_scores(tmp_path: Path) -> None:
    """What the command line shows is what log.jsonl keeps."""
    heard = tiny.RecordingProgress()
    sltk.train(tiny.spec(data=tiny.all_splits()), tmp_path / "run", progress=heard)
    assert heard.start == (6, 0)
    assert heard.done == 6
    logged = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line for line in logged if "step" in line] == heard.logs
    assert [line["step"] for line in heard.logs if "loss" in line] == [3, 6]
    assert [line["step"] for line in heard.logs if "eval_f1" in line] == [3, 6]
