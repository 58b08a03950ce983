"""A run that is killed goes on as if it had not been."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sltk
import tiny
from sltk.cli import main
from sltk.data.fingerprint import fingerprint

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["sltk.run", "sltk.training"])

DROPOUT = {"type": "linear", "dropout": 0.3}


def small(**trainer: Any) -> dict[str, Any]:
    """Nine updates, a checkpoint after each second and after each epoch, random numbers in every update."""
    return tiny.spec({"epochs": 3, "save_every": 2, **trainer}, data=tiny.all_splits(), head=DROPOUT)


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

        from sltk.models import saving
        from sltk.training import trainer

        for owner, name in (
            (torch, "save"), (trainer, "save_file"), (saving, "save_file"), (os, "fsync"), (os, "replace"),
            (os, "rename"), (trainer.shutil, "rmtree"),
        ):  # fmt: skip
            setattr(owner, name, self._told(name, getattr(owner, name)))

    def _told(self, name: str, function: Any) -> Any:
        def told(*args: Any, **kwargs: Any) -> Any:
            self(name)
            return function(*args, **kwargs)

        return told


class Steps(tiny.RecordingProgress):
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
    assert tiny.same_weights(whole, folder)
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
    from sltk.training.trainer import checkpoints

    assert set(checkpoints(folder / "checkpoints")) <= {2, 3}
    heard = tiny.RecordingProgress()
    sltk.train(small(), folder, resume=True, progress=heard)
    assert "resuming from checkpoint-" in " ".join(heard.notes)
    assert tiny.same_weights(whole, folder)
    assert not [path for path in folder.rglob(".*") if "partial" in path.name or ".old" in path.name]


def interrupted(spec: dict[str, Any], folder: Path, *steps: int) -> tiny.RecordingProgress:
    """Train with a Ctrl-C after each of these updates, and at last to the end."""
    for number, step in enumerate(steps):
        with pytest.raises(KeyboardInterrupt):
            sltk.train(spec, folder, resume=number > 0, progress=tiny.InterruptingProgress(step))
    heard = tiny.RecordingProgress()
    sltk.train(spec, folder, resume=bool(steps), progress=heard)
    return heard


def test_ctrl_c_leaves_a_run_that_can_be_resumed(whole: Path, tmp_path: Path) -> None:
    """Interrupted in the middle of an epoch, at its end, and in the last update."""
    heard = interrupted(small(), tmp_path / "run", 3, 5, 6, 9)
    assert "resuming from checkpoint-8" in heard.notes
    assert tiny.same_weights(whole, tmp_path / "run")


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
        sltk.train(small(), tmp_path / "run", progress=tiny.InterruptingProgress(5))
    log = tmp_path / "run/log.jsonl"
    log.write_text(log.read_text() + '{"step": 5, "lo')
    sltk.train(small(), tmp_path / "run", resume=True)
    assert all(json.loads(line) for line in log.read_text().splitlines())


def test_resume_counts_accumulated_batches(tmp_path: Path) -> None:
    """A checkpoint in the middle of an epoch whose updates are two batches each."""
    spec = small(batch_size=2, gradient_accumulation=2, save_every=2)
    interrupted(spec, tmp_path / "whole")
    interrupted(spec, tmp_path / "run", 5, 11)
    assert tiny.same_weights(tmp_path / "whole", tmp_path / "run")


def test_a_run_killed_before_its_first_checkpoint_starts_over(whole: Path, tmp_path: Path) -> None:
    """There is nothing to go on from, and it is said."""
    heard = interrupted(small(), tmp_path / "run", 1)
    assert "no checkpoint yet: starting over" in heard.notes
    assert tiny.same_weights(whole, tmp_path / "run")


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_run_killed_while_its_folder_is_made_starts_over(whole: Path, tmp_path: Path, at: int) -> None:
    """Neither half a spec nor half an environment is in the way of --resume."""
    assert run_child(small(), tmp_path / "run", at, resume=False) == -signal.SIGKILL
    sltk.train(small(), tmp_path / "run", resume=True)
    assert tiny.same_weights(whole, tmp_path / "run")


@pytest.mark.parametrize(
    "lost", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "session.json"]
)
def test_a_checkpoint_without_one_of_its_files_is_never_used(whole: Path, tmp_path: Path, lost: str) -> None:
    """transformers itself would go on with a fresh optimizer, quietly."""
    with pytest.raises(KeyboardInterrupt):
        sltk.train(small(), tmp_path / "run", progress=tiny.InterruptingProgress(5))
    (tmp_path / "run/checkpoints/checkpoint-4" / lost).unlink()
    heard = tiny.RecordingProgress()
    sltk.train(small(), tmp_path / "run", resume=True, progress=heard)
    assert "no checkpoint yet: starting over" in heard.notes
    assert tiny.same_weights(whole, tmp_path / "run")


def test_the_best_epoch_survives_an_interruption(tmp_path: Path) -> None:
    """With `select: best` the model is that of the best validation score, which may lie before the kill."""
    spec = small(select="best", epochs=4, learning_rate=0.03)
    interrupted(spec, tmp_path / "whole")
    heard = interrupted(spec, tmp_path / "run", 4, 7, 11)
    assert any(note.startswith("selected the best epoch") for note in heard.notes)
    assert tiny.same_weights(tmp_path / "whole", tmp_path / "run")


def test_early_stopping_counts_on_after_an_interruption(tmp_path: Path) -> None:
    """Without progress for two epochs training ends, though it was interrupted between the two, or at the end."""
    spec = small(early_stopping=2, epochs=9, learning_rate=1e-9)
    metrics = sltk.train(spec, tmp_path / "whole")
    assert metrics["train"]["steps"] == 9
    interrupted(spec, tmp_path / "run", 7)
    assert json.loads((tmp_path / "run/metrics.json").read_text())["train"]["steps"] == 9
    assert tiny.same_weights(tmp_path / "whole", tmp_path / "run")


class DyingAtTheEnd(tiny.RecordingProgress):
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
    assert tiny.same_weights(tmp_path / "whole", tmp_path / "run")
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


LINES = ["we O", "liked O", "Ada B-PER", "", "Bo B-PER", "cooks O", ""] * 6
CHANGED = {
    "another word": (
        ["he O", *LINES[1:]],
        "train: 12 sentences, 30 words as when the run began, but not the same",
    ),
    "another tag": (
        ["we B-PER", *LINES[1:]],
        "12 sentences, 30 words as when the run began, but not the same",
    ),
    "a sentence less": (
        LINES[4:],
        "train: 12 sentences, 30 words when the run began, 11 sentences, 27 words now",
    ),
    "another order": (
        LINES[4:] + LINES[:4],
        "12 sentences, 30 words as when the run began, but not the same",
    ),
}


def begun_on_file(folder: Path) -> dict[str, Any]:
    """The spec of a run on a file, trained in `folder/run` up to its first checkpoint."""
    (folder / "train.conll").write_text("\n".join(LINES))
    train = {"type": "conll", "path": str(folder / "train.conll")}
    spec = tiny.spec({"epochs": 3}, data={**tiny.all_splits(), "train": train})
    with pytest.raises(KeyboardInterrupt):
        sltk.train(spec, folder / "run", progress=tiny.InterruptingProgress(3))
    return spec


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_resume_on_other_training_data_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was read and is read is counted, the ways out are named, and the run stays as it was."""
    spec = begun_on_file(tmp_path)
    before = contents(tmp_path / "run")
    for lines, message in CHANGED.values():
        (tmp_path / "train.conll").write_text("\n".join(lines))
        with pytest.raises(sltk.UsageError) as caught:
            sltk.train(spec, tmp_path / "run", resume=True)
        assert "holds a run that started on other data" in str(caught.value)
        assert message in str(caught.value)
        assert "--force replaces the run, another --output keeps it" in str(caught.value)
    run = str(tmp_path / "run")
    assert main(["train", f"{run}/spec.yaml", "--output", run, "--resume"]) == 2
    assert "started on other data" in capsys.readouterr().err
    assert contents(tmp_path / "run") == before
    sltk.train(spec, tmp_path / "run", force=True)


def test_resume_takes_the_same_data_wherever_it_was_written_anew(tmp_path: Path) -> None:
    """Empty lines and the date of a file are not data."""
    spec = begun_on_file(tmp_path)
    (tmp_path / "train.conll").write_text("\n\n" + "\n".join(LINES) + "\n\n")
    metrics = sltk.train(spec, tmp_path / "run", resume=True)
    assert metrics["train"]["epochs"] == 3


def test_other_validation_data_is_refused_too(tmp_path: Path) -> None:
    """The best epoch would be chosen by scores of two data sets."""
    (tmp_path / "seen.conll").write_text("\n".join(LINES))
    seen = {"type": "conll", "path": str(tmp_path / "seen.conll")}
    spec = small(select="best") | {"data": {**tiny.all_splits(), "validation": seen}}
    with pytest.raises(KeyboardInterrupt):
        sltk.train(spec, tmp_path / "run", progress=tiny.InterruptingProgress(5))
    (tmp_path / "seen.conll").write_text("\n".join(LINES[4:]))
    with pytest.raises(sltk.UsageError, match="validation: 12 sentences, 30 words when the run began, 11"):
        sltk.train(spec, tmp_path / "run", resume=True)


def test_a_run_that_did_not_write_down_its_data_is_resumed(tmp_path: Path) -> None:
    """Run directories of before that was done; from now on their data is known."""
    spec = begun_on_file(tmp_path)
    path = tmp_path / "run/environment.json"
    values = json.loads(path.read_text())
    known = values.pop("data")
    path.write_text(json.dumps(values))
    sltk.train(spec, tmp_path / "run", resume=True)
    assert json.loads(path.read_text())["data"] == known


def test_data_is_known_by_what_can_be_learnt_from_it() -> None:
    """Words, tags, the text between words, documents and labels; not the file it came from."""
    sentence = sltk.Sentence(["a", "b"], ["O", "B-X"], text="a b", offsets=[(0, 1), (2, 3)], document="1")
    known = fingerprint([sentence], ["O", "B-X"])
    assert fingerprint([replace(sentence, file="elsewhere", line=9)], ["O", "B-X"]) == known
    assert (known["sentences"], known["words"]) == (1, 2)
    for other in (
        replace(sentence, words=["a", "c"]), replace(sentence, tags=["O", "O"]),
        replace(sentence, text="a  b"), replace(sentence, document="2"),
    ):  # fmt: skip
        assert fingerprint([other], ["O", "B-X"])["digest"] != known["digest"]
    assert fingerprint([sentence], ["O", "I-X"])["digest"] != known["digest"]
    assert fingerprint([sltk.Sentence(["\ud800"], ["O"])])["words"] == 1


def test_resume_with_another_number_of_processes_is_refused(tmp_path: Path) -> None:
    """The batches would be others."""
    with pytest.raises(KeyboardInterrupt):
        sltk.train(small(), tmp_path / "run", progress=tiny.InterruptingProgress(5))
    session = tmp_path / "run/checkpoints/checkpoint-4/session.json"
    session.write_text(session.read_text().replace('"processes": 1', '"processes": 2'))
    with pytest.raises(sltk.UsageError, match="a run of 2 processes, and this one has 1"):
        sltk.train(small(), tmp_path / "run", resume=True)
