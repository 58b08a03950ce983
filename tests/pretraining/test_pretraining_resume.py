"""An interrupted pre-training run ends like one that was not, whatever happened to its text in between."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import damage
import sltk
import tiny
from sltk.pretraining.corpus import write_blocks
from sltk.pretraining.corpus_text import sources
from sltk.pretraining.snapshots import snapshots
from sltk.run import pretrain
from tiny_pretraining import (
    backbone,
    build_model,
    load_spec,
    spec,
)


@pytest.mark.parametrize("objective", ["clm", "mlm"])
def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path, objective: str) -> None:
    """After two interruptions, model and snapshots equal those of an uninterrupted run."""
    values = spec(tmp_path, objective, {"save_every": 2, "batch_size": 4}, snapshots=2)
    pretrain(values, tmp_path / "whole")
    for number, at in enumerate((3, 7)):
        with pytest.raises(KeyboardInterrupt):
            pretrain(values, tmp_path / "run", resume=number > 0, progress=tiny.InterruptingProgress(at))
    pretrain(values, tmp_path / "run", resume=True)
    for folder in ("model", *(f"steps/{path.name}" for path in snapshots(tmp_path / "whole"))):
        ours = load_file(tmp_path / "run" / folder / "model.safetensors")
        theirs = load_file(tmp_path / "whole" / folder / "model.safetensors")
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), folder
    assert not (tmp_path / "run/corpus").exists()


def interrupted_spec(base: Path, folder: Path) -> Any:
    """The spec of a run in `folder/run` with the tokenizer of `base`, interrupted after its third update."""
    decoder = {"type": "decoder", "name": str(base)}
    values = spec(folder, trainer={"save_every": 2}, backbone=decoder, boundaries="none")
    with pytest.raises(KeyboardInterrupt):
        pretrain(values, folder / "run", progress=tiny.InterruptingProgress(3))
    return values


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change_text(folder: Path) -> None:
    (folder / "text.txt").write_text(OTHER_TEXT, encoding="utf-8")


OTHER_TEXT = "\n".join(["soup and bread and soup again", "they paid for nothing at all ."] * 15)


def test_a_rejected_spec_does_not_overwrite_a_run(base: Path, tmp_path: Path) -> None:
    """`--force` with an invalid spec changes nothing, and the interrupted run can still be resumed."""
    values = interrupted_spec(base, tmp_path)
    before = contents(tmp_path / "run")
    (tmp_path / "other.txt").write_text(OTHER_TEXT, encoding="utf-8")
    other_spec = {**values, "corpus": {"type": "text", "path": str(tmp_path / "other.txt")}}
    with pytest.raises(sltk.SpecError, match=r"has only .* updates"):
        pretrain({**other_spec, "snapshots": 5000}, tmp_path / "run", force=True)
    with pytest.raises(sltk.DataError, match="fewer than one block"):
        pretrain({**other_spec, "block_size": 2000}, tmp_path / "run", force=True)
    assert contents(tmp_path / "run") == before
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "spec.yaml", "environment.json", "log.jsonl", "checkpoints", "corpus"
    }  # fmt: skip
    resumed = pretrain(values, tmp_path / "run", resume=True)
    assert resumed["corpus"] == pretrain(values, tmp_path / "whole")["corpus"]
    assert tiny.same_weights(tmp_path / "run", tmp_path / "whole")


def test_force_replaces_the_corpus_too(base: Path, tmp_path: Path) -> None:
    """No text of the old run remains, not even its validation text."""
    values = interrupted_spec(base, tmp_path)
    (tmp_path / "run/corpus/validation").mkdir()
    change_text(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        pretrain(values, tmp_path / "run", force=True, progress=tiny.InterruptingProgress(3))
    assert [path.name for path in (tmp_path / "run/corpus").iterdir()] == ["corpus"]
    pretrain(values, tmp_path / "run", resume=True)
    pretrain(values, tmp_path / "whole")
    assert tiny.same_weights(tmp_path / "run", tmp_path / "whole")


def test_a_resumed_run_ignores_the_corpus_of_another_spec(base: Path, tmp_path: Path) -> None:
    """A corpus written for another spec or tokenizer is replaced."""
    values = interrupted_spec(base, tmp_path)
    pretrain(values, tmp_path / "whole")
    (tmp_path / "other.txt").write_text(OTHER_TEXT, encoding="utf-8")
    for change in (
        {"corpus": {"type": "text", "path": str(tmp_path / "other.txt")}},
        {"backbone": backbone(type="decoder", config=tiny.LLAMA)},
    ):
        settings = load_spec({**values, **change})
        tokenizer = build_model({**values, **change}).network.backbone.tokenizer
        write_blocks(sources(settings)["corpus"](), tokenizer, settings, tmp_path / "run/corpus/corpus")
        progress = tiny.InterruptingProgress(5)
        with pytest.raises(KeyboardInterrupt):
            pretrain(values, tmp_path / "run", resume=True, progress=progress)
        assert any(note.startswith("corpus: 30 sentences") for note in progress.notes)
    pretrain(values, tmp_path / "run", resume=True)
    assert tiny.same_weights(tmp_path / "run", tmp_path / "whole")


def test_a_resumed_run_uses_its_stored_corpus(base: Path, tmp_path: Path) -> None:
    """A changed text file is ignored if the run has its corpus, and rejected otherwise."""
    values = interrupted_spec(base, tmp_path)
    pretrain(values, tmp_path / "whole")
    change_text(tmp_path)
    shutil.copytree(tmp_path / "run", tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare/corpus")
    before = contents(tmp_path / "bare")
    with pytest.raises(
        sltk.UsageError, match=r"corpus: 30 sentences, .* tokens when the run began, 30 sentences,"
    ):
        pretrain(values, tmp_path / "bare", resume=True)
    assert contents(tmp_path / "bare") == before
    pretrain(values, tmp_path / "run", resume=True)
    assert tiny.same_weights(tmp_path / "run", tmp_path / "whole")


def test_a_changed_text_is_rejected_if_the_tokenizer_is_trained_on_it(tmp_path: Path) -> None:
    """The tokenizer of the stored token ids cannot be trained again on the changed text."""
    values = spec(tmp_path, trainer={"save_every": 2})
    with pytest.raises(KeyboardInterrupt):
        pretrain(values, tmp_path / "run", progress=tiny.InterruptingProgress(3))
    change_text(tmp_path)
    with pytest.raises(sltk.UsageError, match="holds a run that started on other data"):
        pretrain(values, tmp_path / "run", resume=True)


def test_resuming_a_finished_run_removes_its_corpus(tmp_path: Path) -> None:
    """`--resume` returns the same metrics and leaves no text behind."""
    values = spec(tmp_path, trainer={"max_steps": 1})
    metrics = pretrain(values, tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    for name in ("corpus", ".corpus.partial-next"):
        (tmp_path / "run" / name / "corpus").mkdir(parents=True)
    assert pretrain(values, tmp_path / "run", resume=True) == metrics
    assert {path.name for path in (tmp_path / "run").iterdir()} == names


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tokens.bin", "account.json", "written_for.txt"])
@pytest.mark.parametrize("kind", ["truncated", "bit flipped", "deleted", "pipe", "deep JSON"])
def test_a_damaged_corpus_is_written_again_when_the_run_resumes(tmp_path: Path, name: str, kind: str) -> None:
    """The run ends with the weights of an uninterrupted one."""
    values = spec(tmp_path, trainer={"max_steps": 4, "save_every": 2})
    pretrain(values, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        pretrain(values, tmp_path / "run", progress=tiny.InterruptingProgress(3))
    damage.DAMAGE[kind](tmp_path / "run/corpus/corpus" / name)
    pretrain(values, tmp_path / "run", resume=True)
    assert tiny.same_weights(tmp_path / "whole", tmp_path / "run")
