"""Runs logged to TensorBoard, W&B and MLflow for real, offline, and read back with each library."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sltk
import tiny

TRACKERS = ["tensorboard", "wandb", "mlflow"]
SPEC = tiny.spec({"epochs": 2, "log_to": TRACKERS}, data=tiny.all_splits())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home, and the environment of a user without accounts."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_"))]:
            patch.delenv(name)
        patch.setenv("HOME", str(folder))
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # to read the files back
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def resumed(
    home: Path, tmp_path_factory: pytest.TempPathFactory,
    tensorboard_library: ModuleType, wandb_library: ModuleType, mlflow_library: ModuleType,
) -> tuple[Path, dict[str, Any]]:  # fmt: skip
    """A run that was interrupted after update 4 of 6 and resumed after update 3, and its metrics."""
    folder = tmp_path_factory.mktemp("tracked") / "run"
    with pytest.raises(KeyboardInterrupt):
        sltk.train(SPEC, folder, progress=tiny.InterruptingProgress(after=4))
    return folder, sltk.train(SPEC, folder, resume=True)


def test_tensorboard_shows_each_update_once(resumed: tuple[Path, dict[str, Any]]) -> None:
    """Losses and scores are scalars, and the final scores are there for each split."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, metrics = resumed
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [3, 6]
    assert [event.step for event in events.Scalars("eval/f1")] == [3, 6]
    for split in ("validation", "test"):
        (event,) = events.Scalars(f"{split}/accuracy")
        assert event.value == pytest.approx(metrics[split]["accuracy"])


def test_mlflow_has_one_run_with_settings_and_scores(
    resumed: tuple[Path, dict[str, Any]], mlflow_library: Any
) -> None:
    """The resumed run continues the first: its name, its keys of the spec, numbers by update, final scores."""
    folder, metrics = resumed
    client = mlflow_library.MlflowClient(tracking_uri=(folder / "mlflow").as_uri())
    experiment = client.get_experiment_by_name("sltk")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("tiny", "FINISHED")
    assert run.data.params["trainer.learning_rate"] == "0.01"
    assert run.data.params["backbone.unmask"] == "01"
    assert {entry.step for entry in client.get_metric_history(run.info.run_id, "train/loss")} == {3, 6}
    for split in ("validation", "test"):
        assert run.data.metrics[f"{split}/accuracy"] == pytest.approx(metrics[split]["accuracy"])
    assert run.data.metrics["cost/steps"] == 6


def test_wandb_keeps_the_run_in_its_offline_files(resumed: tuple[Path, dict[str, Any]]) -> None:
    """Both parts have one id, so `wandb sync --append` joins them; the last part has the final scores."""
    folder, metrics = resumed
    files = sorted(
        (folder / "wandb").glob("offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime
    )
    assert len(files) == 2
    assert len({file.name for file in files}) == 1
    records = [record for file in files for record in wandb_records(file)]
    runs = [record.run for record in records if record.HasField("run")]
    assert {(run.display_name, run.project) for run in runs} == {("tiny", "sltk")}
    logged = [
        {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    losses = [(entry["step"], entry["train/loss"]) for entry in logged if "train/loss" in entry]
    assert [step for step, _ in losses] == ["3", "6"]
    assert float(logged[-1]["test/accuracy"]) == pytest.approx(metrics["test"]["accuracy"])
    assert [record.exit.exit_code for record in records if record.HasField("exit")] == [1, 0]


def wandb_records(file: Path) -> Iterator[Any]:
    """The records of an offline file: protocol buffers in the log format of LevelDB, in blocks of 32 KiB."""
    from wandb.proto import wandb_internal_pb2

    data, position, parts = file.read_bytes(), 7, b""
    while position < len(data):
        left = 2**15 - position % 2**15
        if left < 7:
            position += left
            continue
        length, kind = int.from_bytes(data[position + 4 : position + 6], "little"), data[position + 6]
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


def test_everything_lies_in_the_run_directory(resumed: tuple[Path, dict[str, Any]], home: Path) -> None:
    """Neither the home nor the working directory gets a file, and `--force` removes those of an old run."""
    folder, _ = resumed
    assert list(home.iterdir()) == []
    assert {"tensorboard", "wandb", "mlflow", "trackers.json"} <= {path.name for path in folder.iterdir()}
    sltk.train(tiny.spec({"max_steps": 1}), folder, force=True)
    assert not {"tensorboard", "wandb", "mlflow", "trackers.json"} & {path.name for path in folder.iterdir()}


class RemovingProgress(tiny.RecordingProgress):
    """Removes the files of MLflow after the first update."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def step(self, done: int, words: int) -> None:
        if done == 1:
            shutil.rmtree(self.folder / "mlflow")


def test_a_tracker_that_fails_does_not_end_the_run(home: Path, tmp_path: Path, mlflow_library: Any) -> None:
    """The failure is one note, and the run finishes."""
    progress = RemovingProgress(tmp_path / "run")
    spec = tiny.spec({"max_steps": 3, "log_to": ["mlflow"]})
    assert sltk.train(spec, tmp_path / "run", progress=progress)["train"]["steps"] == 3
    assert len([note for note in progress.notes if "nothing more is logged to mlflow" in note]) == 1


def test_a_tracker_that_cannot_be_opened_is_one_clear_error(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_library: Any
) -> None:
    """Nothing is trained if the store does not exist."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://store")
    with pytest.raises(sltk.UsageError, match="cannot log to mlflow"):
        sltk.train(tiny.spec({"log_to": ["mlflow"]}), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()
