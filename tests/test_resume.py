"""A run that is killed goes on as if it had not been."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sltk
import tiny

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["sltk.run", "sltk.training"])

DROPOUT = {"type": "linear", "dropout": 0.3}


def small(**trainer: Any) -> dict[str, Any]:
    """Nine updates, a checkpoint after each second and after each epoch, random numbers in every update."""
    return tiny.spec({"epochs": 3, "save_every": 2, **trainer}, data=tiny.with_scores(), head=DROPOUT)


class Moments:
    """Counts the moments of a run at which it can be killed, and calls `kill` at one of them.

    A moment is an update, or one step of writing a file or a folder.
    """

    def __init__(self, at: int | None, kill: Callable[[], None]) -> None:
        self.at, self.kill = at, kill
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        self.names.append(name)
        if self.at is not None and len(self.names) > self.at:
            self.kill()

    def watch(self) -> None:
        """Have torch, safetensors and the file system report."""
        import torch

        from sltk import checkpoint, trainer

        for owner, name in (
            (torch, "save"), (trainer, "save_file"), (checkpoint, "save_file"), (os, "fsync"), (os, "replace"),
            (os, "rename"), (trainer.shutil, "rmtree"),
        ):  # fmt: skip
            setattr(owner, name, self._told(name, getattr(owner, name)))

    def _told(self, name: str, function: Any) -> Any:
        def told(*args: Any, **kwargs: Any) -> Any:
            self(name)
            return function(*args, **kwargs)

        return told


class Steps(tiny.Heard):
    """Reports updates as moments."""

    def __init__(self, moments: Moments) -> None:
        super().__init__()
        self.moments = moments

    def step(self, done: int, words: int) -> None:
        self.moments("step")


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def child(spec: dict[str, Any], folder: Path, at: int | None, resume: bool, seen: Path) -> None:
    """Train in a process of its own, killed at a moment; without one it writes down what moments there were."""
    moments = Moments(at, kill_self)
    moments.watch()
    sltk.train(spec, folder, resume=resume, progress=Steps(moments))
    seen.write_text(json.dumps(moments.names))


def run_child(spec: dict[str, Any], folder: Path, at: int | None, resume: bool = True) -> int | None:
    process = PROCESSES.Process(target=child, args=(spec, folder, at, resume, folder.with_suffix(".json")))
    process.start()
    process.join(60)
    return process.exitcode


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, never interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert run_child(small(), folder, None, resume=False) == 0
    return folder


def test_a_run_killed_again_and_again_ends_in_the_same_weights_bit_for_bit(
    whole: Path, tmp_path: Path
) -> None:
    """SIGKILL at twelve random moments, updates and writes of checkpoints among them, then a last resume."""
    names = json.loads(whole.with_suffix(".json").read_text())
    assert {"step", "save", "save_file", "fsync", "rename"} <= set(names)
    draw = random.Random(7)
    folder = tmp_path / "run"
    killed = 0
    for _ in range(12):
        code = run_child(small(), folder, draw.randrange(2, 60))
        killed += code == -signal.SIGKILL
        assert code in (0, -signal.SIGKILL)
    assert killed >= 10
    assert run_child(small(), folder, None) == 0
    assert tiny.is_same(whole, folder)
    assert json.loads((folder / "metrics.json").read_text())["train"]["steps"] == 9


@pytest.mark.parametrize("part", range(6))
def test_a_kill_while_a_checkpoint_is_written_loses_only_that_checkpoint(
    whole: Path, tmp_path: Path, part: int
) -> None:
    """Wherever in the writing of the second checkpoint the kill comes, the run goes on from a whole one."""
    names = json.loads(whole.with_suffix(".json").read_text())
    saves = [number for number, name in enumerate(names) if name == "save_file"]
    folder = tmp_path / "run"
    assert run_child(small(), folder, saves[1] + 4 * part, resume=False) == -signal.SIGKILL
    from sltk.trainer import checkpoints

    assert set(checkpoints(folder / "checkpoints")) <= {2, 3}
    heard = tiny.Heard()
    sltk.train(small(), folder, resume=True, progress=heard)
    assert "going on from checkpoint-" in " ".join(heard.notes)
    assert tiny.is_same(whole, folder)
    assert not [path for path in folder.rglob(".*") if "partial" in path.name or ".old" in path.name]


class Interrupting(tiny.Heard):
    """Ctrl-C right after an update."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def step(self, done: int, words: int) -> None:
        if done == self.after:
            raise KeyboardInterrupt


def interrupted(spec: dict[str, Any], folder: Path, *steps: int) -> tiny.Heard:
    """Train with a Ctrl-C after each of these updates, and at last to the end."""
    for number, step in enumerate(steps):
        with pytest.raises(KeyboardInterrupt):
            sltk.train(spec, folder, resume=number > 0, progress=Interrupting(step))
    heard = tiny.Heard()
    sltk.train(spec, folder, resume=bool(steps), progress=heard)
    return heard


def test_ctrl_c_leaves_a_run_that_can_be_resumed(whole: Path, tmp_path: Path) -> None:
    """Interrupted in the middle of an epoch, at its end, and in the last update."""
    heard = interrupted(small(), tmp_path / "run", 3, 5, 6, 9)
    assert "going on from checkpoint-8" in heard.notes
    assert tiny.is_same(whole, tmp_path / "run")


def test_a_resumed_run_logs_what_an_uninterrupted_one_logs(whole: Path, tmp_path: Path) -> None:
    """Losses and scores in log.jsonl, each update once, and the same metrics but for the times."""
    interrupted(small(), tmp_path / "run", 5, 8)

    def logged(folder: Path) -> list[Any]:
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return [line for line in lines if "step" in line]

    assert logged(tmp_path / "run") == logged(whole)
    ours, theirs = (json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path / "run", whole))
    assert ours["test"] == theirs["test"]
    for key in ("words", "steps", "epochs", "loss"):
        assert ours["train"][key] == theirs["train"][key]


def test_a_torn_last_line_of_the_log_is_dropped(tmp_path: Path) -> None:
    """A kill in the middle of a line leaves no line that is no JSON."""
    with pytest.raises(KeyboardInterrupt):
        sltk.train(small(), tmp_path / "run", progress=Interrupting(5))
    log = tmp_path / "run/log.jsonl"
    log.write_text(log.read_text() + '{"step": 5, "lo')
    sltk.train(small(), tmp_path / "run", resume=True)
    assert all(json.loads(line) for line in log.read_text().splitlines())


def test_resume_counts_accumulated_batches(tmp_path: Path) -> None:
    """A checkpoint in the middle of an epoch whose updates are two batches each."""
    spec = small(batch_size=2, gradient_accumulation=2, save_every=2)
    interrupted(spec, tmp_path / "whole")
    interrupted(spec, tmp_path / "run", 5, 11)
    assert tiny.is_same(tmp_path / "whole", tmp_path / "run")


def test_a_run_killed_before_its_first_checkpoint_starts_over(whole: Path, tmp_path: Path) -> None:
    """There is nothing to go on from, and it is said."""
    heard = interrupted(small(), tmp_path / "run", 1)
    assert "no checkpoint yet: starting over" in heard.notes
    assert tiny.is_same(whole, tmp_path / "run")


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_run_killed_while_its_folder_is_made_starts_over(whole: Path, tmp_path: Path, at: int) -> None:
    """Neither half a spec nor half an environment is in the way of --resume."""
    assert run_child(small(), tmp_path / "run", at, resume=False) == -signal.SIGKILL
    sltk.train(small(), tmp_path / "run", resume=True)
    assert tiny.is_same(whole, tmp_path / "run")


@pytest.mark.parametrize(
    "lost", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "session.json"]
)
def test_a_checkpoint_without_one_of_its_files_is_never_used(whole: Path, tmp_path: Path, lost: str) -> None:
    """transformers itself would go on with a fresh optimizer, quietly."""
    with pytest.raises(KeyboardInterrupt):
        sltk.train(small(), tmp_path / "run", progress=Interrupting(5))
    (tmp_path / "run/checkpoints/checkpoint-4" / lost).unlink()
    heard = tiny.Heard()
    sltk.train(small(), tmp_path / "run", resume=True, progress=heard)
    assert "no checkpoint yet: starting over" in heard.notes
    assert tiny.is_same(whole, tmp_path / "run")


def test_the_best_epoch_survives_an_interruption(tmp_path: Path) -> None:
    """With `select: best` the model is that of the best validation score, which may lie before the kill."""
    spec = small(select="best", epochs=4, learning_rate=0.03)
    interrupted(spec, tmp_path / "whole")
    heard = interrupted(spec, tmp_path / "run", 4, 7, 11)
    assert any(note.startswith("kept the best epoch") for note in heard.notes)
    assert tiny.is_same(tmp_path / "whole", tmp_path / "run")


def test_early_stopping_counts_on_after_an_interruption(tmp_path: Path) -> None:
    """Without progress for two epochs training ends, though it was interrupted between the two, or at the end."""
    spec = small(early_stopping=2, epochs=9, learning_rate=1e-9)
    metrics = sltk.train(spec, tmp_path / "whole")
    assert metrics["train"]["steps"] == 9
    interrupted(spec, tmp_path / "run", 7)
    assert json.loads((tmp_path / "run/metrics.json").read_text())["train"]["steps"] == 9
    assert tiny.is_same(tmp_path / "whole", tmp_path / "run")


class DyingAtTheEnd(tiny.Heard):
    """Stops the run after training, when the scoring begins."""

    def note(self, message: str) -> None:
        if message.startswith("scoring"):
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "trainer", [{}, {"early_stopping": 1, "epochs": 9, "learning_rate": 1e-9}, {"max_steps": 4}]
)
def test_a_run_killed_after_its_last_update_is_not_trained_further(
    tmp_path: Path, trainer: dict[str, Any]
) -> None:
    """It is scored and saved, and that is all."""
    sltk.train(small(**trainer), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        sltk.train(small(**trainer), tmp_path / "run", progress=DyingAtTheEnd())
    metrics = sltk.train(small(**trainer), tmp_path / "run", resume=True)
    assert tiny.is_same(tmp_path / "whole", tmp_path / "run")
    assert (
        metrics["train"]["steps"]
        == json.loads((tmp_path / "whole/metrics.json").read_text())["train"]["steps"]
    )


def test_resuming_a_finished_run_gives_its_metrics(whole: Path) -> None:
    """Nothing is trained or written again."""
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    assert sltk.train(small(), whole, resume=True) == json.loads((whole / "metrics.json").read_text())
    assert before == {path: path.stat().st_mtime_ns for path in whole.rglob("*")}


def test_resume_with_another_spec_is_refused_by_key(whole: Path) -> None:
    """What differs is named, old and new."""
    with pytest.raises(sltk.UsageError) as caught:
        sltk.train(small(epochs=5, learning_rate=0.02), whole, resume=True)
    assert "trainer.epochs: 3.0 → 5.0" in str(caught.value)
    assert "trainer.learning_rate: 0.01 → 0.02" in str(caught.value)


def test_resume_with_another_number_of_processes_is_refused(tmp_path: Path) -> None:
    """The batches would be others."""
    with pytest.raises(KeyboardInterrupt):
        sltk.train(small(), tmp_path / "run", progress=Interrupting(5))
    session = tmp_path / "run/checkpoints/checkpoint-4/session.json"
    session.write_text(session.read_text().replace('"processes": 1', '"processes": 2'))
    with pytest.raises(sltk.UsageError, match="a run of 2 processes, and this one has 1"):
        sltk.train(small(), tmp_path / "run", resume=True)
