"""A killed run can be resumed, and ends with the results of an uninterrupted run."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
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
PROCESSES.set_forkserver_preload(["sltk.training.fit", "sltk.training.labelling_run"])

DROPOUT = {"type": "linear", "dropout": 0.3}


def small(**trainer: Any) -> dict[str, Any]:
    """Nine updates with dropout and two learning rates, and a checkpoint every two updates and after each epoch."""
    settings = {"epochs": 3, "save_every": 2, "head_learning_rate": 0.02, "layer_decay": 0.5}
    return tiny.spec({**settings, **trainer}, data=tiny.all_splits(), head=DROPOUT)


class Events:
    """Counts the events of a run at which it can be killed, and calls `kill` from one of them on.

    An event is an update, or one step of writing a file or a folder.
    """

    def __init__(self, at: int | None, kill: Callable[[], None]) -> None:
        self.at, self.kill = at, kill
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        self.names.append(name)
        if self.at is not None and len(self.names) > self.at:
            self.kill()

    def patch(self) -> None:
        """Patch functions of torch, safetensors and the file system to count their calls."""
        import torch

        from sltk.models import saving
        from sltk.training import checkpointed_trainer

        for owner, name in (
            (torch, "save"), (checkpointed_trainer, "save_file"), (saving, "save_file"), (os, "fsync"), (os, "replace"),
            (os, "rename"), (shutil, "rmtree"),
        ):  # fmt: skip
            setattr(owner, name, self._counted(name, getattr(owner, name)))

    def _counted(self, name: str, function: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self(name)
            return function(*args, **kwargs)

        return counted


class CountingProgress(tiny.RecordingProgress):
    """Counts updates as events."""

    def __init__(self, events: Events) -> None:
        super().__init__()
        self.events = events

    def step(self, done: int, words: int) -> None:
        self.events("step")


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train_until(spec: dict[str, Any], folder: Path, at: int | None, resume: bool, names: Path) -> None:
    """Train until this process is killed at event `at`; if it is not, write the names of all events to a file."""
    events = Events(at, kill_self)
    events.patch()
    sltk.train(spec, folder, resume=resume, progress=CountingProgress(events))
    names.write_text(json.dumps(events.names))


def train_in_process(spec: dict[str, Any], folder: Path, at: int | None, resume: bool = True) -> int | None:
    """Train in a new process, killed at event `at`, and return its exit code."""
    process = PROCESSES.Process(target=train_until, args=(spec, folder, at, resume, event_file(folder)))
    process.start()
    process.join(60)
    return process.exitcode


def event_file(folder: Path) -> Path:
    return folder.with_suffix(".json")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of `small()`, never interrupted."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert train_in_process(small(), folder, None, resume=False) == 0
    return folder


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_run_killed_many_times_ends_with_the_same_weights(uninterrupted: Path, tmp_path: Path) -> None:
    """Weights are equal bit for bit after SIGKILL at twelve random events, in updates and while writing."""
    names = json.loads(event_file(uninterrupted).read_text())
    assert {"step", "save", "save_file", "fsync", "rename"} <= set(names)
    rng = random.Random(7)
    folder = tmp_path / "run"
    killed = 0
    for _ in range(12):
        code = train_in_process(small(), folder, rng.randrange(2, 60))
        killed += code == -signal.SIGKILL
        assert code in (0, -signal.SIGKILL)
    assert killed >= 10
    assert train_in_process(small(), folder, None) == 0
    assert tiny.same_weights(uninterrupted, folder)
    assert json.loads((folder / "metrics.json").read_text())["train"]["steps"] == 9


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.parametrize("part", range(6))
def test_a_kill_while_a_checkpoint_is_written_loses_only_that_checkpoint(
    uninterrupted: Path, tmp_path: Path, part: int
) -> None:
    """At whatever step of writing it is killed, the run resumes from a complete checkpoint."""
    names = json.loads(event_file(uninterrupted).read_text())
    saves = [number for number, name in enumerate(names) if name == "save_file"]
    folder = tmp_path / "run"
    assert train_in_process(small(), folder, saves[1] + 4 * part, resume=False) == -signal.SIGKILL
    from sltk.training.checkpoints import checkpoints

    assert set(checkpoints(folder / "checkpoints")) <= {2, 3}
    progress = tiny.RecordingProgress()
    sltk.train(small(), folder, resume=True, progress=progress)
    assert progress.has_note("resuming from checkpoint-")
    assert tiny.same_weights(uninterrupted, folder)
    assert not [path for path in folder.rglob(".*") if "partial" in path.name or ".old" in path.name]


def train_interrupted(spec: dict[str, Any], folder: Path, *steps: int) -> tiny.RecordingProgress:
    """Train with a KeyboardInterrupt after each of these updates, then to the end."""
    for number, step in enumerate(steps):
        with pytest.raises(KeyboardInterrupt):
            sltk.train(spec, folder, resume=number > 0, progress=tiny.InterruptingProgress(step))
    progress = tiny.RecordingProgress()
    sltk.train(spec, folder, resume=bool(steps), progress=progress)
    return progress


@pytest.mark.multiprocess
def test_ctrl_c_leaves_a_run_that_can_be_resumed(uninterrupted: Path, tmp_path: Path) -> None:
    """An interrupt may come within an epoch, at its end, or after the last update."""
    progress = train_interrupted(small(), tmp_path / "run", 3, 5, 6, 9)
    assert "resuming from checkpoint-8" in progress.notes
    assert tiny.same_weights(uninterrupted, tmp_path / "run")


@pytest.mark.multiprocess
def test_a_resumed_run_has_the_log_of_an_uninterrupted_one(uninterrupted: Path, tmp_path: Path) -> None:
    """log.jsonl has the same losses and scores, each update once; metrics are the same except for times."""
    train_interrupted(small(), tmp_path / "run", 5, 8)

    def logged(folder: Path) -> list[Any]:
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return [line for line in lines if "step" in line]

    assert logged(tmp_path / "run") == logged(uninterrupted)
    actual, expected = read_metrics(tmp_path / "run"), read_metrics(uninterrupted)
    assert actual["test"] == expected["test"]
    for key in ("words", "steps", "epochs", "loss"):
        assert actual["train"][key] == expected["train"][key]


def read_metrics(run: Path) -> Any:
    return json.loads((run / "metrics.json").read_text())


def test_an_incomplete_last_line_of_the_log_is_removed(tmp_path: Path) -> None:
    """If the run is killed while writing a line, log.jsonl is still valid JSON after resuming."""
    with pytest.raises(KeyboardInterrupt):
        sltk.train(small(), tmp_path / "run", progress=tiny.InterruptingProgress(5))
    log = tmp_path / "run/log.jsonl"
    log.write_text(log.read_text() + '{"step": 5, "lo')
    sltk.train(small(), tmp_path / "run", resume=True)
    assert all(json.loads(line) for line in log.read_text().splitlines())


def test_resume_counts_accumulated_batches(tmp_path: Path) -> None:
    """A run with two batches per update resumes in the middle of an epoch with the same weights."""
    spec = small(batch_size=2, gradient_accumulation=2, save_every=2)
    train_interrupted(spec, tmp_path / "uninterrupted")
    train_interrupted(spec, tmp_path / "run", 5, 11)
    assert tiny.same_weights(tmp_path / "uninterrupted", tmp_path / "run")


@pytest.mark.multiprocess
def test_a_run_killed_before_its_first_checkpoint_starts_over(uninterrupted: Path, tmp_path: Path) -> None:
    """A note says that there is no checkpoint."""
    progress = train_interrupted(small(), tmp_path / "run", 1)
    assert "no checkpoint yet: starting over" in progress.notes
    assert tiny.same_weights(uninterrupted, tmp_path / "run")


@pytest.mark.multiprocess
@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_run_killed_while_its_folder_is_created_starts_over(
    uninterrupted: Path, tmp_path: Path, at: int
) -> None:
    """An incomplete spec.yaml or environment.json does not prevent resuming."""
    assert train_in_process(small(), tmp_path / "run", at, resume=False) == -signal.SIGKILL
    sltk.train(small(), tmp_path / "run", resume=True)
    assert tiny.same_weights(uninterrupted, tmp_path / "run")


@pytest.mark.multiprocess
@pytest.mark.parametrize(
    "missing", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "session.json"]
)
def test_an_incomplete_checkpoint_is_never_used(uninterrupted: Path, tmp_path: Path, missing: str) -> None:
    """Without this check, transformers would silently resume with a new optimizer."""
    with pytest.raises(KeyboardInterrupt):
        sltk.train(small(), tmp_path / "run", progress=tiny.InterruptingProgress(5))
    (tmp_path / "run/checkpoints/checkpoint-4" / missing).unlink()
    progress = tiny.RecordingProgress()
    sltk.train(small(), tmp_path / "run", resume=True, progress=progress)
    assert "no checkpoint yet: starting over" in progress.notes
    assert tiny.same_weights(uninterrupted, tmp_path / "run")


def test_the_best_epoch_survives_an_interruption(tmp_path: Path) -> None:
    """With `select: best`, the saved model may be from an epoch before the interrupt."""
    spec = small(select="best", epochs=4, learning_rate=0.03)
    train_interrupted(spec, tmp_path / "uninterrupted")
    progress = train_interrupted(spec, tmp_path / "run", 4, 7, 11)
    assert any(note.startswith("selected the best epoch") for note in progress.notes)
    assert tiny.same_weights(tmp_path / "uninterrupted", tmp_path / "run")


def test_early_stopping_survives_an_interruption(tmp_path: Path) -> None:
    """Training ends after two epochs without improvement, even if it is interrupted between them."""
    spec = small(early_stopping=2, epochs=9, learning_rate=1e-9)
    metrics = sltk.train(spec, tmp_path / "uninterrupted")
    assert metrics["train"]["steps"] == 9
    train_interrupted(spec, tmp_path / "run", 7)
    assert read_metrics(tmp_path / "run")["train"]["steps"] == 9
    assert tiny.same_weights(tmp_path / "uninterrupted", tmp_path / "run")


class InterruptingAtScoring(tiny.RecordingProgress):
    """Raises KeyboardInterrupt after training, when scoring starts."""

    def note(self, message: str) -> None:
        if message.startswith("scoring"):
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "trainer", [{}, {"early_stopping": 1, "epochs": 9, "learning_rate": 1e-9}, {"max_steps": 4}]
)
def test_a_run_killed_after_its_last_update_is_not_trained_further(
    tmp_path: Path, trainer: dict[str, Any]
) -> None:
    """Resuming it only scores and saves the model."""
    sltk.train(small(**trainer), tmp_path / "uninterrupted")
    with pytest.raises(KeyboardInterrupt):
        sltk.train(small(**trainer), tmp_path / "run", progress=InterruptingAtScoring())
    metrics = sltk.train(small(**trainer), tmp_path / "run", resume=True)
    assert tiny.same_weights(tmp_path / "uninterrupted", tmp_path / "run")
    assert metrics["train"]["steps"] == read_metrics(tmp_path / "uninterrupted")["train"]["steps"]


@pytest.mark.multiprocess
def test_resuming_a_finished_run_returns_its_metrics(uninterrupted: Path) -> None:
    """Nothing is trained or written again."""
    before = {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*")}
    assert sltk.train(small(), uninterrupted, resume=True) == read_metrics(uninterrupted)
    assert before == {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*")}


@pytest.mark.multiprocess
def test_resuming_with_another_spec_is_rejected(uninterrupted: Path) -> None:
    """The error lists each key that differs, with its old and new value."""
    with pytest.raises(sltk.UsageError) as caught:
        sltk.train(small(epochs=5, learning_rate=0.02), uninterrupted, resume=True)
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
    "a sentence removed": (
        LINES[4:],
        "train: 12 sentences, 30 words when the run began, 11 sentences, 27 words now",
    ),
    "another order": (
        LINES[4:] + LINES[:4],
        "12 sentences, 30 words as when the run began, but not the same",
    ),
}


def interrupt_on_file(folder: Path) -> dict[str, Any]:
    """Train on a file in `folder/run` up to the first checkpoint, and return the spec."""
    (folder / "train.conll").write_text("\n".join(LINES))
    train = {"type": "conll", "path": str(folder / "train.conll")}
    spec = tiny.spec({"epochs": 3}, data={**tiny.all_splits(), "train": train})
    with pytest.raises(KeyboardInterrupt):
        sltk.train(spec, folder / "run", progress=tiny.InterruptingProgress(3))
    return spec


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_resuming_with_other_training_data_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error counts old and new data and names the options; the run is not changed."""
    spec = interrupt_on_file(tmp_path)
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


def test_resuming_accepts_a_rewritten_file_with_the_same_data(tmp_path: Path) -> None:
    """Empty lines and file dates do not count as a change."""
    spec = interrupt_on_file(tmp_path)
    (tmp_path / "train.conll").write_text("\n\n" + "\n".join(LINES) + "\n\n")
    metrics = sltk.train(spec, tmp_path / "run", resume=True)
    assert metrics["train"]["epochs"] == 3


def test_resuming_with_other_validation_data_is_rejected(tmp_path: Path) -> None:
    """Otherwise the best epoch would be selected by scores on two data sets."""
    path = tmp_path / "validation.conll"
    path.write_text("\n".join(LINES))
    data = {**tiny.all_splits(), "validation": {"type": "conll", "path": str(path)}}
    spec = small(select="best") | {"data": data}
    with pytest.raises(KeyboardInterrupt):
        sltk.train(spec, tmp_path / "run", progress=tiny.InterruptingProgress(5))
    path.write_text("\n".join(LINES[4:]))
    with pytest.raises(sltk.UsageError, match="validation: 12 sentences, 30 words when the run began, 11"):
        sltk.train(spec, tmp_path / "run", resume=True)


def test_a_run_without_a_data_digest_is_resumed(tmp_path: Path) -> None:
    """The digest is added to the environment.json of runs that an older version wrote."""
    spec = interrupt_on_file(tmp_path)
    path = tmp_path / "run/environment.json"
    values = json.loads(path.read_text())
    expected = values.pop("data")
    path.write_text(json.dumps(values))
    sltk.train(spec, tmp_path / "run", resume=True)
    assert json.loads(path.read_text())["data"] == expected


def test_the_data_digest_depends_on_content_not_on_files() -> None:
    """The digest depends on words, tags, the text between words, documents and labels."""
    sentence = sltk.Sentence(["a", "b"], ["O", "B-X"], text="a b", offsets=[(0, 1), (2, 3)], document="1")
    expected = fingerprint([sentence], ["O", "B-X"])
    assert fingerprint([replace(sentence, file="elsewhere", line=9)], ["O", "B-X"]) == expected
    assert (expected["sentences"], expected["words"]) == (1, 2)
    for other in (
        replace(sentence, words=["a", "c"]), replace(sentence, tags=["O", "O"]),
        replace(sentence, text="a  b"), replace(sentence, document="2"),
    ):  # fmt: skip
        assert fingerprint([other], ["O", "B-X"])["digest"] != expected["digest"]
    assert fingerprint([sentence], ["O", "I-X"])["digest"] != expected["digest"]
    assert fingerprint([sltk.Sentence(["\ud800"], ["O"])])["words"] == 1


def test_resuming_with_another_number_of_processes_is_rejected(tmp_path: Path) -> None:
    """The number of processes determines the batches."""
    with pytest.raises(KeyboardInterrupt):
        sltk.train(small(), tmp_path / "run", progress=tiny.InterruptingProgress(5))
    session = tmp_path / "run/checkpoints/checkpoint-4/session.json"
    session.write_text(session.read_text().replace('"processes": 1', '"processes": 2'))
    (session.parent / "manifest.json").unlink()  # else the edit is found first
    with pytest.raises(sltk.UsageError, match="a run with 2 processes, and this one has 1"):
        sltk.train(small(), tmp_path / "run", resume=True)
