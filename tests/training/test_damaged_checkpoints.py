"""A damaged checkpoint is never used: `--resume` goes back to an older one, or says how to start over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import damage
import sltk
import tiny
from sltk.cli import main
from sltk.files import manifest
from sltk.training.checkpoints import checkpoints

SPEC = tiny.spec({"epochs": 3, "save_every": 2, "max_steps": 8}, data=tiny.all_splits())
NAMES = (
    "manifest.json", "optimizer.pt", "rng_state.pth", "scheduler.pt", "session.json", "trained.safetensors",
    "trainer_state.json",
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never interrupted, and one that was, with checkpoints of updates 4 and 6."""
    folder = tmp_path_factory.mktemp("runs")
    sltk.train(SPEC, folder / "whole")
    with pytest.raises(KeyboardInterrupt):
        sltk.train(SPEC, folder / "run", progress=tiny.InterruptingProgress(5))
    older = shutil.copytree(folder / "run/checkpoints/checkpoint-4", folder / "older")
    with pytest.raises(KeyboardInterrupt):
        sltk.train(SPEC, folder / "run", resume=True, progress=tiny.InterruptingProgress(7))
    shutil.move(older, folder / "run/checkpoints/checkpoint-4")
    assert list(checkpoints(folder / "run/checkpoints")) == [4, 6]
    return folder


@pytest.fixture
def run(runs: Path, tmp_path: Path) -> Path:
    """A copy of the interrupted run."""
    return Path(shutil.copytree(runs / "run", tmp_path / "run"))


def resume(run: Path) -> tiny.RecordingProgress:
    progress = tiny.RecordingProgress()
    sltk.train(SPEC, run, resume=True, progress=progress)
    return progress


def without_manifests(run: Path) -> None:
    """Make the checkpoints like those of an earlier version."""
    for path in run.glob(f"checkpoints/*/{manifest.NAME}"):
        path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", damage.DAMAGE)
def test_resume_goes_back_to_the_newest_undamaged_checkpoint(
    runs: Path, run: Path, name: str, kind: str
) -> None:
    """A note names the file, and the weights are those of an uninterrupted run."""
    damage.DAMAGE[kind](run / "checkpoints/checkpoint-6" / name)
    progress = resume(run)
    if (name, kind) == (manifest.NAME, "deleted"):
        assert progress.has_note("has no manifest.json")
    else:
        notes = [note for note in progress.notes if note.startswith("checkpoint-6 ")]
        assert len(notes) == 1
        assert name in notes[0]
        assert progress.has_note("resuming from checkpoint-4")
    assert tiny.same_weights(run, runs / "whole")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("with_manifest", [True, False], ids=["manifest", "no manifest"])
def test_without_an_undamaged_checkpoint_the_error_says_how_to_start_over(
    run: Path, name: str, with_manifest: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names each damaged file; nothing is trained."""
    for step in (4, 6):
        path = run / "checkpoints" / f"checkpoint-{step}" / name
        path.write_bytes(path.read_bytes()[:5])
        if not with_manifest:
            (path.parent / manifest.NAME).unlink(missing_ok=True)
    before = damage.files(run)
    if name == manifest.NAME and not with_manifest:
        return
    assert main(["train", str(run / "spec.yaml"), "--output", str(run), "--resume"]) == 2
    error = capsys.readouterr().err
    for step in (4, 6):
        assert f"checkpoint-{step}/{name}" in error
    assert "`--force` starts the run over" in error
    assert "this is a bug" not in error
    assert damage.files(run) == before


def edit_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def edit_weights(path: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(str(path))
    change(tensors)
    save_file(tensors, str(path))


def edit_torch(path: Path, change: Callable[[Any], Any]) -> None:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def first(tensors: dict[str, torch.Tensor]) -> str:
    return max(tensors, key=lambda name: tensors[name].ndim)


EDITS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "another step": ("trainer_state.json", lambda p: edit_json(p, lambda d: d.update(global_step=3))),
    "step is text": ("trainer_state.json", lambda p: edit_json(p, lambda d: d.update(global_step="6"))),
    "no history": ("trainer_state.json", lambda p: edit_json(p, lambda d: d.pop("log_history"))),
    "no control": ("trainer_state.json", lambda p: edit_json(p, lambda d: d.update(stateful_callbacks={}))),
    "negative words": ("session.json", lambda p: edit_json(p, lambda d: d.update(words=-1))),
    "no processes": ("session.json", lambda p: edit_json(p, lambda d: d.pop("processes"))),
    "a cut weight": (
        "trained.safetensors", lambda p: edit_weights(p, lambda t: t.update({first(t): t[first(t)][:1].clone()})),
    ),
    "a missing weight": ("trained.safetensors", lambda p: edit_weights(p, lambda t: t.pop(first(t)))),
    "another weight": ("trained.safetensors", lambda p: edit_weights(p, lambda t: t.update(x=torch.ones(1)))),
    "a flipped bit": ("optimizer.pt", damage.DAMAGE["bit flipped"]),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", EDITS)
def test_an_edited_checkpoint_without_a_manifest_is_not_used(run: Path, case: str) -> None:
    """Types, names, shapes, checksums of archives, and the number of the update are checked."""
    name, edit = EDITS[case]
    without_manifests(run)
    edit(run / "checkpoints/checkpoint-6" / name)
    notes = resume(run).notes
    assert any(note.startswith("checkpoint-6 cannot be used") and name in note for note in notes)
    assert "resuming from checkpoint-4" in notes


def cut_moment(state: dict[str, Any]) -> None:
    moments = next(each for each in state["state"].values() if each["exp_avg"].ndim > 1)
    moments["exp_avg"] = moments["exp_avg"][:1].clone()


def drop_group(state: dict[str, Any]) -> None:
    state["param_groups"].pop()


@pytest.mark.parametrize("change", [cut_moment, drop_group])
def test_moments_of_other_shapes_are_refused(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """torch would repeat the values of a smaller tensor."""
    without_manifests(run)
    edit_torch(run / "checkpoints/checkpoint-6/optimizer.pt", change)
    with pytest.raises(sltk.UsageError, match=r"optimizer\.pt"):
        resume(run)


def test_weights_that_are_not_finite_are_refused(run: Path) -> None:
    """The error names the weight, and not the sentences of the next batch."""
    without_manifests(run)
    path = run / "checkpoints/checkpoint-6/trained.safetensors"
    edit_weights(path, lambda t: t[first(t)].fill_(float("nan")))
    with pytest.raises(sltk.UsageError, match=r"contains NaN[\s\S]*trained\.safetensors"):
        resume(run)


def test_an_optimizer_of_another_checkpoint_is_not_used(runs: Path, run: Path) -> None:
    """It has the right form, but another digest."""
    damage.swap(run / "checkpoints/checkpoint-6", run / "checkpoints/checkpoint-4", "optimizer.pt")
    progress = resume(run)
    assert progress.has_note("checkpoint-6 cannot be used")
    assert tiny.same_weights(run, runs / "whole")


def test_a_checkpoint_of_another_spec_is_not_used(run: Path, tmp_path: Path) -> None:
    """Its manifest has the digest of the spec it was trained with."""
    other = {**SPEC, "seed": 7}
    with pytest.raises(KeyboardInterrupt):
        sltk.train(other, tmp_path / "other", progress=tiny.InterruptingProgress(7))
    shutil.rmtree(run / "checkpoints/checkpoint-6")
    shutil.move(tmp_path / "other/checkpoints/checkpoint-6", run / "checkpoints/checkpoint-6")
    progress = resume(run)
    assert progress.has_note("the checkpoint is from a run with another spec")
    assert progress.has_note("resuming from checkpoint-4")


def test_other_files_beside_the_checkpoints_are_ignored(runs: Path, run: Path) -> None:
    """A folder or a file with a similar name is not a checkpoint, and stays."""
    for name in ("checkpoint-abc", "checkpoint-", "checkpoint-9x", "notes"):
        (run / "checkpoints" / name).mkdir()
    (run / "checkpoints/checkpoint-99").write_text("")
    assert "resuming from checkpoint-6" in resume(run).notes
    assert (run / "checkpoints/checkpoint-abc").is_dir()
    assert tiny.same_weights(run, runs / "whole")


def test_a_file_in_the_place_of_the_checkpoints_is_named(run: Path) -> None:
    """The error does not come after training."""
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").write_text("")
    with pytest.raises(sltk.UsageError, match=r"expected a folder[\s\S]*checkpoints"):
        resume(run)


def test_a_damaged_best_checkpoint_is_found_when_the_run_resumes(tmp_path: Path) -> None:
    """With `select: best`, its weights are needed at the end."""
    spec = tiny.spec(
        {"epochs": 4, "select": "best", "learning_rate": 1e-9}, data=tiny.all_splits(), name="best"
    )
    with pytest.raises(KeyboardInterrupt):
        sltk.train(spec, tmp_path / "run", progress=tiny.InterruptingProgress(10))
    assert list(checkpoints(tmp_path / "run/checkpoints")) == [3, 9]
    damage.DAMAGE["bit flipped"](tmp_path / "run/checkpoints/checkpoint-3/trained.safetensors")
    with pytest.raises(sltk.UsageError, match=r"checkpoint-3/trained\.safetensors"):
        sltk.train(spec, tmp_path / "run", resume=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", [b"{", b"[1]", b"\xff\xfe", b'{"step": "one"}', b"[" * 100_000, b'{"step": NaN']
)
def test_a_damaged_log_is_kept_beside_the_lines_that_can_be_read(run: Path, line: bytes) -> None:
    """A note names file and line; the run goes on."""
    log = run / "log.jsonl"
    lines = log.read_bytes().splitlines()
    log.write_bytes(b"\n".join([lines[0], line, *lines[1:]]) + b"\n")
    before = log.read_bytes()
    progress = resume(run)
    assert progress.has_note("log.jsonl:2 is damaged")
    assert (run / "log.jsonl.damaged").read_bytes() == before
    assert json.loads(log.read_bytes().splitlines()[0]) == json.loads(lines[0])
    assert all(isinstance(json.loads(each), dict) for each in log.read_bytes().splitlines())


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "[" * 100_000, '{"format": 1, "data": []}', '{"format": 1, "data": {"train": 3}}',
     '{"format": 1, "data": {"train": {"words": "many", "digest": "x"}}}',
     '{"format": 1, "data": {"train": {"words": 1}}}', '{"format": "one"}'],
)  # fmt: skip
def test_an_odd_environment_is_named(run: Path, text: str) -> None:
    """The error names environment.json; nothing is trained."""
    (run / "environment.json").write_text(text)
    with pytest.raises(sltk.InputError, match=r"environment\.json"):
        resume(run)


@pytest.mark.parametrize("name", ["environment.json", "log.jsonl", "spec.yaml"])
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_only_regular_files_of_a_run_are_opened(run: Path, name: str, kind: str) -> None:
    """A folder or a pipe in the place of a file is an error that names it, and nothing waits for it."""
    damage.DAMAGE[kind](run / name)
    with pytest.raises(sltk.InputError, match=name.replace(".", r"\.")):
        resume(run)
