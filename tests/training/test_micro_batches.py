"""Forward passes of an update: any division gives the same gradient, and too little memory gives another division."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import sltk
import tiny
from sltk import register
from sltk.components.slots import Aligner
from sltk.errors import OutOfMemoryError
from sltk.nn import short_sentences
from sltk.nn.pooling import FirstSubwordPooling
from sltk.spec import loading
from sltk.spec.writing import digest
from sltk.training import pass_choice
from sltk.training.trainer import PackedTrainer

DATA = {"train": {"type": "grammar", "count": 64}}
INSTRUCT = {
    "instruction": "name the dishes",
    "options": {"positive": "good", "negative": "bad", "neutral": "so so"},
}


def spec(kind: str, **trainer: Any) -> dict[str, Any]:
    """A spec with at least 64 samples and no dropout."""
    backbone = tiny.backbone(unmask="none", config={**tiny.LLAMA, "max_position_embeddings": 512})
    settings = {"learning_rate": 0.01, "max_steps": 1, **trainer}
    if kind == "pretraining":
        corpus = {"type": "grammar", "count": 90}
        blocks = {"corpus": corpus, "block_size": 16, "objective": "clm", "boundaries": "both"}
        return {"name": "tiny", "backbone": backbone, "trainer": settings, **blocks}
    if kind == "instruct":
        values = tiny.spec(settings, data=DATA, backbone=backbone, type="instruct", instruct=INSTRUCT)
        del values["head"]
        return values
    return tiny.spec(settings, data=DATA, head={"type": kind, "dropout": 0.0})


@contextmanager
def during_first_update(look: Callable[[Any], None]) -> Iterator[None]:
    """Calls `look` with the trainer when the gradients of the first update are complete."""
    clip = PackedTrainer._clip_grad_norm

    def clip_and_look(trainer: Any, model: nn.Module) -> Any:
        if trainer.state.global_step == 0:
            look(trainer)
        return clip(trainer, model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PackedTrainer, "_clip_grad_norm", clip_and_look)
        yield


def gradients(trainer: Any) -> dict[str, torch.Tensor]:
    named = trainer.model.named_parameters()
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


def passes(trainer: Any) -> list[int]:
    """The subwords of each pass of the current update."""
    return [len(batch["ids_T"]) for batch in trainer._update.passes]


@pytest.mark.parametrize("kind", ["linear", "crf", "instruct", "pretraining"])
def test_four_batches_of_16_equal_one_of_64(tmp_path: Path, kind: str) -> None:
    """The gradients of an update agree to 1e-5, whether its 64 samples take four passes, one, or many."""
    checked: list[str] = []

    def look(trainer: Any) -> None:
        expected, subwords = gradients(trainer), passes(trainer)
        assert len(subwords) == 4
        for budget in (sum(subwords), 150):
            trainer.model.zero_grad()
            trainer.micro_batches.budget = budget
            batches, words = trainer.get_batch_samples(iter(trainer._update.batches), 4, None)
            for batch in batches:
                trainer.training_step(trainer.model, batch, words)
            assert sum(passes(trainer)) == sum(subwords)
            assert len(passes(trainer)) == 1 if budget > 150 else len(passes(trainer)) > 5
            for name, value in gradients(trainer).items():
                error = (value - expected[name]).norm() / expected[name].norm().clamp(min=1e-12)
                assert error <= 1e-5, name
                checked.append(name)

    train: Any = sltk.pretrain if kind == "pretraining" else sltk.train
    with during_first_update(look):
        train(spec(kind, batch_size=16, gradient_accumulation=4), tmp_path / "run")
    assert len(checked) > 20


class LimitedAligner(Aligner):
    """First subwords; fails like a GPU without memory."""

    def build(self) -> nn.Module:
        aligner = self

        class Pooling(FirstSubwordPooling):
            passes = 0

            def forward(self, vectors_TH: Any, *args: Any) -> Any:
                self.passes += self.training
                if self.training and aligner.fails(self.passes, len(vectors_TH)):
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
                return super().forward(vectors_TH, *args)

        return Pooling()

    def fails(self, passes: int, tokens: int) -> bool:
        """Whether this pass fails."""
        raise NotImplementedError


@register.aligner("fails_in_pass")
class FailsInPass(LimitedAligner):
    """Fails in passes with these numbers."""

    numbers: tuple[int, ...]

    def fails(self, passes: int, tokens: int) -> bool:
        return passes in self.numbers


@register.aligner("limited_tokens")
class LimitedTokens(LimitedAligner):
    """Fails with more subwords than this in one pass."""

    most: int

    def fails(self, passes: int, tokens: int) -> bool:
        return tokens > self.most


def dropout_spec(budget: Any, aligner: dict[str, Any], **trainer: Any) -> dict[str, Any]:
    """Two accumulated batches of four sentences, with dropout in adapters and head."""
    lora = tiny.backbone(lora={"r": 4, "dropout": 0.2})
    settings = {"batch_size": 4, "gradient_accumulation": 2, "micro_batch_tokens": budget, "epochs": 1}
    head = {"type": "linear", "dropout": 0.3}
    data = {"train": {"type": "grammar", "count": 16}}
    return tiny.spec({**settings, **trainer}, data=data, head=head, backbone=lora, aligner=aligner)


PLAIN = {"type": "fails_in_pass", "numbers": []}


@pytest.mark.parametrize("failing", [1, 2], ids=["first pass", "second pass"])
def test_an_update_without_memory_is_repeated_in_smaller_passes(tmp_path: Path, failing: int) -> None:
    """The budget is halved with a note, and the run ends with the weights of a run with that budget, bit for bit."""
    progress = tiny.RecordingProgress()
    failed = {"type": "fails_in_pass", "numbers": [failing]}
    subwords: list[int] = []
    with during_first_update(lambda trainer: subwords.extend(passes(trainer))):
        sltk.train(dropout_spec(160, failed), tmp_path / "run", progress=progress)
    (note,) = (note for note in progress.notes if "out of memory" in note)
    halved = int(note.split()[-1])
    assert max(subwords) <= halved <= 80
    assert training(tmp_path / "run")["micro_batch_tokens"] == halved
    metrics = sltk.train(dropout_spec(halved, PLAIN), tmp_path / "halved")
    assert tiny.same_weights(tmp_path / "run", tmp_path / "halved")
    assert (
        metrics["train"]["words"] == json.loads((tmp_path / "run/metrics.json").read_text())["train"]["words"]
    )


def test_memory_that_runs_out_twice_ends_the_run(tmp_path: Path) -> None:
    """The error has the usual advice, and so has that of a pass with a single sentence."""
    for name, budget in (("twice", 10**6), ("single", 1)):
        with pytest.raises(OutOfMemoryError, match="lower `trainer") as caught:
            sltk.train(dropout_spec(budget, {"type": "limited_tokens", "most": 5}), tmp_path / name)
        assert "2.00 GiB could not be allocated" in str(caught.value)


def test_the_released_recipe_keeps_its_batches(tmp_path: Path) -> None:
    """`as_released` uses the last of the accumulated batches as it is, so it is never divided."""
    with pytest.raises(sltk.InputError, match="keeps its batches: leave out `micro_batch_tokens`"):
        sltk.train(dropout_spec(100, PLAIN, recipe="as_released"), tmp_path / "refused")
    limited = {"type": "limited_tokens", "most": 20}
    with pytest.raises(OutOfMemoryError) as caught:
        sltk.train(dropout_spec("auto", limited, recipe="as_released"), tmp_path / "limited")
    assert "micro_batch_tokens" not in str(caught.value)


@register.aligner("nan_in_second_pass")
class NanAligner(Aligner):
    """Word vectors that are NaN in the second pass."""

    def build(self) -> nn.Module:
        class NanPooling(FirstSubwordPooling):
            calls = 0

            def forward(self, *args: Any) -> Any:
                self.calls += self.training
                return super().forward(*args) * (float("nan") if self.calls == 2 else 1)

        return NanPooling()


def test_a_loss_that_is_not_a_number_names_the_sentences_of_its_pass(tmp_path: Path) -> None:
    """Losses are read once per update, and the error still names the four sentences of the second batch only."""
    with pytest.raises(sltk.RunError) as caught:
        sltk.train(dropout_spec("auto", {"type": "nan_in_second_pass"}), tmp_path / "run")
    first, *sentences = str(caught.value).splitlines()
    assert "the loss became nan at update 1" in first
    assert len(sentences) == 4


class Counted(TorchDispatchMode):
    """Counts operations that wait for a device, and all operations."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = self.all = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.all += 1
        self.waiting += func.overloadpacket.__name__ in ("_local_scalar_dense", "nonzero", "is_nonzero")
        return func(*args, **(kwargs or {}))


def test_no_pass_waits_for_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the forward nor the backward passes of an update read a value, however many there are."""
    counts: list[tuple[int, int, int]] = []
    step = PackedTrainer.training_step

    def counted_step(trainer: Any, model: Any, inputs: Any, words: Any = None) -> Any:
        with Counted() as counted:
            loss = step(trainer, model, inputs, words)
        if inputs is not None:
            counts.append((len(trainer._update.passes), counted.all, counted.waiting))
        return loss

    monkeypatch.setattr(PackedTrainer, "training_step", counted_step)
    monkeypatch.setattr(short_sentences, "supports", lambda *_: False)  # plans on the CPU itself
    sltk.train(dropout_spec(60, PLAIN, max_steps=1), tmp_path / "run")
    ((number, operations, waiting),) = counts
    assert number > 3
    assert operations > 500
    assert waiting == 0


def with_free_memory(patch: pytest.MonkeyPatch, free: int) -> None:
    """Take the CPU for a GPU with this much free memory."""
    patch.setattr(pass_choice, "free_bytes", lambda _: free)


def training(run: Path) -> Any:
    return json.loads((run / "environment.json").read_text())["training"]


def test_auto_is_decided_by_free_memory_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Little memory turns checkpointing on and divides updates; notes and environment.json say so."""
    spec = dropout_spec("auto", PLAIN, max_steps=1)
    sltk.train(spec, tmp_path / "cpu")
    assert training(tmp_path / "cpu") == {"micro_batch_tokens": None, "gradient_checkpointing": False}
    progress, subwords = tiny.RecordingProgress(), []

    def look(trainer: Any) -> None:
        subwords.extend(passes(trainer))
        assert trainer.model.backbone.model.get_base_model().is_activation_checkpointing

    with_free_memory(monkeypatch, 2 * 10**5)
    with during_first_update(look):
        sltk.train(spec, tmp_path / "little", progress=progress)
    assert training(tmp_path / "little") == {"micro_batch_tokens": 128, "gradient_checkpointing": True}
    assert len(subwords) > 1
    assert max(subwords) <= 128
    assert progress.has_note("forward passes of at most 128 subwords (`micro_batch_tokens: auto`)")
    assert progress.has_note("gradient checkpointing is on (`auto`):")
    with_free_memory(monkeypatch, 10**10)
    sltk.train(spec, tmp_path / "much")
    assert training(tmp_path / "much") == {"micro_batch_tokens": 8192, "gradient_checkpointing": False}


def test_a_resumed_run_keeps_its_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if other memory is free by then, and those of the spec if it began before there were budgets."""
    spec = dropout_spec("auto", PLAIN, save_every=1)
    for old in (False, True):
        with_free_memory(monkeypatch, 2 * 10**5)
        kept, run = tmp_path / f"kept-{old}", tmp_path / f"run-{old}"
        if old:
            monkeypatch.undo()  # on a CPU, as it was
        sltk.train(spec, kept)
        with pytest.raises(KeyboardInterrupt):
            sltk.train(spec, run, progress=tiny.InterruptingProgress(2))
        if old:
            (session,) = run.glob("checkpoints/*/session.json")
            values = json.loads(session.read_text())
            assert values.pop("micro_batch_tokens") is None
            session.write_text(json.dumps(values))
            (session.parent / "manifest.json").unlink()  # which has the digest of the file
        with_free_memory(monkeypatch, 10**10)
        sltk.train(spec, run, resume=True)
        assert tiny.same_weights(run, kept)


def test_a_run_from_before_auto_checkpointing_is_resumed(tmp_path: Path) -> None:
    """Its spec has the default of that time, which `auto` means on a CPU; `true` is another spec."""
    now = dropout_spec("auto", PLAIN)
    with pytest.raises(KeyboardInterrupt):
        sltk.train(now, tmp_path / "run", progress=tiny.InterruptingProgress(1))
    stored = tmp_path / "run" / "spec.yaml"
    text = stored.read_text()
    assert "gradient_checkpointing: auto" in text
    old = text.replace("gradient_checkpointing: auto", "gradient_checkpointing: false")
    stored.write_text(old.replace("  micro_batch_tokens: auto\n", ""))
    with pytest.raises(sltk.UsageError) as caught:
        sltk.train(dropout_spec("auto", PLAIN, gradient_checkpointing=True), tmp_path / "run", resume=True)
    assert "trainer.gradient_checkpointing: false → true" in str(caught.value)
    sltk.train(now, tmp_path / "run", resume=True)


def test_the_digest_of_a_spec_ignores_defaults_of_all_times() -> None:
    """So checkpoints from before `gradient_checkpointing: auto` still belong to their spec."""
    plain, false, true = (
        digest(loading.load(tiny.spec(trainer)).spec)
        for trainer in ({}, {"gradient_checkpointing": False}, {"gradient_checkpointing": True})
    )
    assert plain == false != true
