"""Searches over values of keys that train: stopped trials, resuming, the result, and the files of the search."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

import sltk
import tiny
from sltk import sweeps
from sltk.components.executors.execution import execute
from sltk.components.registry import register
from sltk.components.slots import Executor
from sltk.errors import RunError, UsageError
from sltk.reports.assembly import write_report
from sltk.runtime.jobs import Work, dispatch
from sltk.search import tuning

pytestmark = pytest.mark.usefixtures("optuna_library")
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["sltk.training.fit", "sltk.training.labelling_run", "sltk.sweeps"])
HERE = {"type": "local", "isolated": False}


def spec(**search: Any) -> dict[str, Any]:
    """Five trials, of which those with the low learning rate are stopped after the first epoch."""
    trainer = {"epochs": 2, "select": "best"}
    base = tiny.spec(trainer, data=tiny.all_splits(), metrics=[{"type": "accuracy"}])
    space = {
        "trainer.learning_rate": {"choice": [0.02, 1e-7]},
        "trainer.batch_size": {"choice": [8, 11]},
        "head.dropout": {"uniform": [0, 0.5]},
    }
    settings = {"space": space, "strategy": "random", "trials": 5, "seed": 3, "pruning": {"startup": 1}}
    return {**base, "search": {**settings, **search}, "executor": HERE}


@register.executor("steps")
class StepExecutor(Executor):
    """Takes several jobs before it executes the first; Ctrl-C comes after an evaluation of one of them."""

    at_once: int = 1
    interrupted: str = ""
    epochs: int = 2

    def execute(self, work: Work) -> None:
        while jobs := [job for _ in range(self.at_once) if (job := work.next()) is not None]:
            for job in jobs:
                scores: list[float] = []

                def emit(
                    event: Mapping[str, Any], name: str = job.name, scores: list[float] = scores
                ) -> None:
                    scores += (
                        [event["values"]["eval_score"]] if "eval_score" in event.get("values", {}) else []
                    )
                    if name == self.interrupted and len(scores) == self.epochs:
                        raise KeyboardInterrupt

                dispatch(execute(job, emit), job.name, work)


class Recorder(sweeps.Watcher):
    """Records what ended."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def ended(self, row: sweeps.Row, status: sweeps.Status) -> None:
        self.names.append(row.name)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuning.TuningResult, Path]:
    """The result and the folder of a finished search."""
    folder = tmp_path_factory.mktemp("tuning") / "search {of} 100% ?"
    return tuning.run(tuning.plan(spec()), folder), folder


def stored(folder: Path) -> list[tuple[Any, ...]]:
    """What Optuna's file says of each trial, in its own words, read without Optuna."""
    with closing(sqlite3.connect(folder / "optuna.sqlite")) as connection:
        return connection.execute("SELECT number, state FROM trials ORDER BY number").fetchall()


def test_trials_are_ordinary_runs_and_hopeless_ones_are_stopped(
    found: tuple[tuning.TuningResult, Path],
) -> None:
    """A stopped trial has neither model nor checkpoints, and none was stopped in its last epoch."""
    result, folder = found
    assert (result.count("done"), result.count("pruned"), len(result.trials)) == (2, 3, 5)
    for trial in result.trials:
        run = folder / "runs" / trial["name"]
        assert json.loads((run / "trial.json").read_text())["parameters"] == trial["parameters"]
        rate = trial["parameters"]["trainer.learning_rate"]
        if trial["state"] == "pruned":
            assert rate != "0.02"
            assert {path.name for path in run.iterdir()} == {
                "spec.yaml",
                "environment.json",
                "log.jsonl",
                "trial.json",
            }
            assert (len(trial["scores"]), trial["validation"]) == (1, None)
        else:
            assert len(trial["scores"]) == 2
            assert not (run / "checkpoints").exists()
            metrics = json.loads((run / "metrics.json").read_text())
            assert trial["validation"] == metrics["validation"]["accuracy"] == max(trial["scores"])
    states = {"done": "COMPLETE", "pruned": "PRUNED"}
    assert stored(folder) == [(number, states[trial["state"]]) for number, trial in enumerate(result.trials)]


def test_the_best_spec_is_the_spec_of_the_best_trial(
    found: tuple[tuning.TuningResult, Path], tmp_path: Path
) -> None:
    """`best.yaml` is complete, names its origin, and trains the same model; the best has the best validation score."""
    result, folder = found
    text = (folder / "best.yaml").read_text()
    assert text.startswith("# The best of 5 trials of `sltk search` by validation accuracy")
    assert result.best is not None
    assert result.best in text
    assert result.validation == max(each["validation"] or 0 for each in result.trials)
    run = folder / "runs" / result.best
    assert yaml.safe_load(text) == yaml.safe_load((run / "spec.yaml").read_text())
    assert (
        sltk.train(folder / "best.yaml", tmp_path / "again")["validation"]
        == (json.loads((run / "metrics.json").read_text())["validation"])
    )
    assert tiny.same_weights(run, tmp_path / "again")


def test_an_interrupted_search_resumes_to_the_same_list(
    found: tuple[tuning.TuningResult, Path], tmp_path: Path
) -> None:
    """With one worker, all values and scores are those of an uninterrupted search, bit for bit."""
    result, _ = found
    third = [each["name"] for each in result.trials if each["state"] == "done"][1]
    watcher, folder = Recorder(), tmp_path / "search"
    with pytest.raises(KeyboardInterrupt):
        tuning.run(tuning.plan(spec()), folder, watcher=watcher, executor=StepExecutor(interrupted=third))
    assert list((folder / "runs" / third / "checkpoints").iterdir())
    assert third not in watcher.names
    (folder / "optuna.sqlite").write_bytes(b"damaged" * 100)  # the run directories are enough
    again = Recorder()
    resumed = tuning.run(tuning.plan(spec()), folder, watcher=again)
    assert any("optuna.sqlite.damaged" in note for note in again.notes)
    assert again.names[0] == third
    assert not set(again.names) & set(watcher.names)
    assert resumed.trials == result.trials
    assert len(stored(folder)) == 5


def _run(folder: Path) -> None:
    tuning.run(tuning.plan(spec()), folder)


@pytest.mark.multiprocess
def test_a_killed_search_loses_and_doubles_no_trial(
    found: tuple[tuning.TuningResult, Path], tmp_path: Path
) -> None:
    """After SIGKILL within a trial, the same call ends with the same list."""
    folder = tmp_path / "search"
    process = PROCESSES.Process(target=_run, args=(folder,))
    process.start()
    while not list((folder / "runs").glob("trial-0001/trial.json")) and process.is_alive():
        time.sleep(0.01)
    process.kill()
    process.join()
    assert tuning.run(tuning.plan(spec()), folder).trials == found[0].trials


def test_the_report_draws_the_search(found: tuple[tuning.TuningResult, Path], tmp_path: Path) -> None:
    """History, slices and a table of all trials; only validation scores of trials, and no tests between them.

    Trials have their names everywhere, in their order, and the best is that of the search.
    """
    result, folder = found
    report = write_report(folder, tmp_path / "report")
    figures = {path.stem for path in (tmp_path / "report/figures").iterdir()}
    assert {"search_history", "search_slices"} <= figures
    assert not {"configurations", "slices"} & figures
    text = (tmp_path / "report/report.md").read_text()
    done, pruned = result.count("done"), result.count("pruned")
    assert f"5 trials by random (seed 3): {done} finished, {pruned} stopped early." in text
    assert all(trial["name"] in text for trial in result.trials)
    assert "differences between them are not tested" in text
    assert "Differences" not in text
    assert [task.splits for task in report.tasks] == [["validation"]]
    finished = [trial["name"] for trial in result.trials if trial["state"] == "done"]
    assert [each.label for each in report.tasks[0].configurations] == finished
    assert report.tasks[0].best("validation").label == result.best
    assert any(f"{pruned} early stopped runs left out" in note for note in report.runs.notes)


def test_a_finished_search_trains_nothing_and_more_trials_extend_it(
    found: tuple[tuning.TuningResult, Path],
) -> None:
    """Without its index and Optuna's file, too; other values of the spec are refused, with what differs."""
    result, folder = found
    for name in ("index.sqlite", "optuna.sqlite"):
        (folder / name).unlink()
    watcher = Recorder()
    assert tuning.run(tuning.plan(spec()), folder, watcher=watcher).trials == result.trials
    assert watcher.names == []
    with pytest.raises(UsageError, match="was started with another spec") as caught:
        tuning.run(tuning.plan(spec(seed=4)), folder)
    assert "search.seed: 3 → 4" in str(caught.value)
    with pytest.raises(
        UsageError, match=r"not a search over a `space` and holds other files \(environment.json"
    ):
        tuning.run(tuning.plan(spec()), folder / "runs" / str(result.best))
    more = tuning.run(tuning.plan(spec(trials=6)), folder, watcher=watcher)
    assert watcher.names == ["trial-0005"]
    assert more.trials[:5] == result.trials


def test_parallel_workers_try_different_values(tmp_path: Path) -> None:
    """There are exactly as many trials as asked for, even if several wait for their scores."""
    result = tuning.run(
        tuning.plan(spec(trials=3, strategy="tpe", random_trials=1, pruning="none")),
        tmp_path / "s",
        executor=StepExecutor(at_once=2),
    )
    assert [trial["state"] for trial in result.trials] == ["done"] * 3
    assert len({json.dumps(trial["parameters"]) for trial in result.trials}) == 3


def test_a_search_whose_trials_all_fail_ends_early(tmp_path: Path) -> None:
    """After three failures without a success, with the reason; `retry` tries them again."""
    whole = spec(trials=8)
    whole["data"]["train"] = {"type": "conll", "path": str(tmp_path / "missing.conll")}
    watcher = Recorder()
    with pytest.raises(RunError, match=r"no trial was finished, of 3") as caught:
        tuning.run(tuning.plan(whole), tmp_path / "search", watcher=watcher)
    assert "missing.conll" in str(caught.value)
    with pytest.raises(RunError, match="of 3"):
        tuning.run(tuning.plan(whole), tmp_path / "search", watcher=watcher)
    assert len(watcher.names) == 3
