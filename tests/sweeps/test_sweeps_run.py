"""Running sweeps: resuming, failures, damaged runs, extending, and locks."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import damage
import sltk
import tiny
from sltk import sweeps
from sltk.errors import RunError, UsageError
from sltk.files import locking
from sltk.runtime import run_cache
from sltk.sweeps.index import Index

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["sltk.training.fit", "sltk.training.labelling_run", "sltk.sweeps"])
KILLS = int(os.environ.get("SLTK_KILLS", "6"))

IN_PROCESS = {"type": "local", "isolated": False}
GRID = {"grid": {"backbone.unmask": ["01", "11"], "seed": [120, 121]}}


def spec(sweep: Mapping[str, Any] = GRID, **changes: Any) -> dict[str, Any]:
    """Four runs of six updates each, with a checkpoint every two updates, in this process."""
    trainer = {"epochs": 2, "save_every": 2}
    return {**tiny.spec(trainer, data=tiny.all_splits(), **changes), "sweep": sweep, "executor": IN_PROCESS}


SHORT = {"trainer": {"max_steps": 3, "learning_rate": 0.01}}


def scores(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics that do not depend on the machine."""
    names = ("words", "epochs", "steps", "loss", "parameters", "trained_parameters")
    return {**metrics, "train": {key: metrics["train"][key] for key in names}}


def results(folder: Path) -> dict[str, Any]:
    """Metrics and predictions of each run."""
    return {
        run.name: (
            scores(json.loads((run / "metrics.json").read_text())),
            (run / "predictions/test.conll").read_text(),
        )
        for run in sorted((folder / "runs").iterdir())
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished sweep, shared by all tests."""
    folder = tmp_path_factory.mktemp("reference") / "sweep"
    outcome = sweeps.run(sweeps.plan(spec()), folder)
    assert len(outcome.names("done")) == 4
    return folder


@pytest.fixture
def sweep(reference: Path, tmp_path: Path) -> Path:
    """A copy of the finished sweep for a test to change."""
    shutil.copytree(reference, tmp_path / "sweep")
    return tmp_path / "sweep"


def states(folder: Path, plan: sweeps.Plan | None = None) -> dict[str, str]:
    return {
        name: row.state for name, row in sweeps.read_status(plan or sweeps.plan(spec()), folder).rows.items()
    }


@pytest.mark.slow
def test_a_run_of_a_sweep_equals_a_separate_run(reference: Path, tmp_path: Path) -> None:
    """Weights, scores, log and spec are identical, although runs share loaded data and models."""
    for run in sweeps.plan(spec()).runs:
        sltk.train(run.experiment, tmp_path / run.name)
        inside = reference / "runs" / run.name
        assert tiny.same_weights(inside, tmp_path / run.name)
        for name in ("spec.yaml", "log.jsonl", "predictions/test.conll", "model/sltk.json"):
            assert (inside / name).read_text() == (tmp_path / run.name / name).read_text(), name
        separate, within = (
            json.loads((f / "metrics.json").read_text()) for f in (tmp_path / run.name, inside)
        )
        assert scores(separate) == scores(within)


@pytest.mark.slow
@pytest.mark.parametrize("quantization", [None, {"type": "nf4"}, {"type": "int8"}])
def test_adapters_on_shared_weights_equal_those_of_a_separate_run(
    tmp_path: Path, quantization: dict[str, Any] | None
) -> None:
    """Base weights are loaded once and shared; masks, adapters, heads and random numbers are not."""
    base = tiny.save_base(tmp_path / "base")
    adapted = {
        "type": "decoder", "name": str(base), "unmask": "01", "quantization": quantization,
        "lora": {"r": 4, "dropout": 0.1},
    }  # fmt: skip
    head = {"type": "linear", "dropout": 0.3}
    varied = {"backbone.unmask": ["10", "01", "01"], "seed": [1, 2, 1], "backbone.lora.r": [2, 4, 4]}
    plan = sweeps.plan({**spec({"zip": varied}, backbone=adapted, head=head), **SHORT})
    run_cache.clear()
    sweeps.run(plan, tmp_path / "sweep")
    assert ("weights" in run_cache._caches) == (quantization != {"type": "int8"})
    for run in plan.runs[1:]:
        sltk.train(run.experiment, tmp_path / run.name)
        assert tiny.same_weights(tmp_path / "sweep/runs" / run.name, tmp_path / run.name)


def test_finished_runs_are_not_repeated(sweep: Path) -> None:
    """Running a finished sweep again changes no file."""
    before = {path: path.stat().st_mtime_ns for path in (sweep / "runs").rglob("*")}
    outcome = sweeps.run(sweeps.plan(spec()), sweep)
    assert len(outcome.names("done")) == 4
    assert before == {path: path.stat().st_mtime_ns for path in (sweep / "runs").rglob("*")}


def run_sweep(spec: dict[str, Any], folder: Path) -> None:
    sweeps.run(sweeps.plan(spec), folder)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_sweep_killed_at_random_times_gives_the_same_results(reference: Path, tmp_path: Path) -> None:
    """Metrics, predictions and weights are the same after SIGKILL at SLTK_KILLS random times."""
    rng = random.Random(5)
    kills = 0
    for _ in range(4 * KILLS):
        process = PROCESSES.Process(target=run_sweep, args=(spec(), tmp_path / "sweep"))
        process.start()
        process.join(rng.uniform(0.05, 0.7))  # shorter than the sweep, however fast the machine is
        if process.exitcode is None:
            os.kill(process.pid or 0, signal.SIGKILL)
            kills += 1
        process.join()
        if kills == KILLS or process.exitcode == 0:
            break
    assert kills >= 3
    outcome = sweeps.run(sweeps.plan(spec()), tmp_path / "sweep")
    assert len(outcome.names("done")) == 4
    assert results(tmp_path / "sweep") == results(reference)
    for name in outcome.rows:
        assert tiny.same_weights(reference / "runs" / name, tmp_path / "sweep/runs" / name)


def test_the_index_is_rebuilt_from_the_run_directories(sweep: Path) -> None:
    """A missing index is rebuilt; a damaged index is moved aside and reported."""
    for path in sweep.glob("index.sqlite*"):
        path.unlink()
    assert set(states(sweep).values()) == {"done"}
    (sweep / "index.sqlite").write_bytes(b"this is no database" * 100)
    watcher = RecordingWatcher()
    outcome = sweeps.run(sweeps.plan(spec()), sweep, watcher=watcher)
    assert len(outcome.names("done")) == 4
    assert any("index was damaged" in note for note in watcher.notes)
    assert (sweep / "index.sqlite.damaged").exists()


class RecordingWatcher(sweeps.Watcher):
    """A watcher that records notes and the order of finished runs."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.order: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def began(self, status: sweeps.Status) -> None:
        self.first = status

    def ended(self, row: sweeps.Row, status: sweeps.Status) -> None:
        self.order.append(row.name)

    def show(self, status: sweeps.Status) -> None:
        self.last = status


DAMAGES = {
    "metrics.json": ('{"validation": {"f1"', "metrics.json is not JSON"),
    "spec.yaml": ("name: [", "spec.yaml cannot be read"),
    "model/sltk.json": (None, "model/sltk.json is missing"),
    "predictions/test.conll": (None, "predictions/test.conll is missing"),
    "environment.json": (None, "environment.json is missing"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run_is_reported_and_repeated_on_request(reference: Path, sweep: Path, name: str) -> None:
    """A damaged run is neither counted as done nor overwritten without `retry`."""
    plan = sweeps.plan(spec())
    first = plan.runs[0].name
    content, reason = DAMAGES[name]
    path = sweep / "runs" / first / name
    path.unlink() if content is None else path.write_text(content)
    outcome = sweeps.run(plan, sweep)
    assert outcome.names("damaged") == [first]
    assert reason in outcome.rows[first].reason
    repeated = sweeps.run(plan, sweep, select=sweeps.Selection(retry=True))
    assert len(repeated.names("done")) == 4
    assert results(sweep) == results(reference)


ODD_METRICS = (
    '{"validation": 3, "test": [], "train": null}',
    '{"validation": {"f1": "x"}, "train": {"seconds": "a"}}',
)


@pytest.mark.parametrize("kind", ["folder", "pipe", "deep JSON", "odd JSON", "a list", *ODD_METRICS])
@pytest.mark.parametrize("name", ["metrics.json", "spec.yaml"])
@pytest.mark.parametrize("indexed", [True, False])
def test_any_damage_to_metrics_or_spec_is_the_state_of_the_run(
    sweep: Path, name: str, kind: str, indexed: bool
) -> None:
    """The status says so, and the other runs are not affected."""
    plan = sweeps.plan(spec())
    first = plan.runs[0].name
    path = sweep / "runs" / first / name
    damage.DAMAGE[kind](path) if kind in damage.DAMAGE else path.write_text(kind)
    if not indexed:
        (sweep / "index.sqlite").unlink()
    rows = sweeps.read_status(plan, sweep).rows
    assert rows[first].state == "damaged"
    assert name in rows[first].reason
    assert [row.state for row in rows.values()].count("done") == 3


def test_changed_metrics_and_specs_are_detected(sweep: Path) -> None:
    """The status shows which file or setting changed."""
    one, other = (run.name for run in sweeps.plan(spec()).runs[:2])
    path = sweep / "runs" / one / "metrics.json"
    path.write_text(path.read_text().replace('"f1": 0', '"f1": 1'))
    text = (sweep / "runs" / other / "spec.yaml").read_text()
    (sweep / "runs" / other / "spec.yaml").write_text(text.replace("seed: 121", "seed: 999"))
    rows = sweeps.read_status(sweeps.plan(spec()), sweep).rows
    assert rows[one].reason == "metrics.json has been changed"
    assert rows[other].reason == "its spec.yaml differs from the plan: seed: 999 → 121"


def test_a_run_whose_folder_was_removed_is_repeated(reference: Path, sweep: Path) -> None:
    """A run without folder has the state `waiting`."""
    shutil.rmtree(sweep / "runs" / sweeps.plan(spec()).runs[2].name)
    assert list(states(sweep).values()).count("waiting") == 1
    sweeps.run(sweeps.plan(spec()), sweep)
    assert results(sweep) == results(reference)


def test_a_changed_sweep_is_rejected_with_its_differences(sweep: Path) -> None:
    """The error suggests `--old-plan`, which keeps the old plan, and `--extend`, which adds the new runs."""
    wider = sweeps.plan(spec({"grid": {"backbone.unmask": ["01", "11"], "seed": [120, 121, 122]}}))
    with pytest.raises(UsageError) as caught:
        sweeps.run(wider, sweep)
    assert "new: unmask=01,seed=122, unmask=11,seed=122" in str(caught.value)
    assert "--extend" in str(caught.value)
    assert "--old-plan" in str(caught.value)
    assert len(sweeps.run(wider, sweep, on_change="old").rows) == 4
    outcome = sweeps.run(wider, sweep, on_change="extend")
    assert len(outcome.names("done")) == 6
    assert len(sweeps.run(wider, sweep).rows) == 6


def test_extending_keeps_runs_that_the_new_spec_lacks(sweep: Path) -> None:
    """Finished runs remain part of the sweep."""
    other = sweeps.plan(spec({"grid": {"backbone.unmask": ["10"], "seed": [120, 121]}}))
    assert len(sweeps.run(other, sweep, on_change="extend", select=sweeps.Selection(limit=1)).rows) == 6


def test_extending_rejects_changed_settings(sweep: Path) -> None:
    """Existing runs keep their settings, and the error shows the difference."""
    longer = sweeps.plan(
        {**spec(), "trainer": {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "save_every": 2}}
    )
    with pytest.raises(UsageError, match=r"trainer.epochs: 2.0 → 3.0"):
        sweeps.run(longer, sweep)
    with pytest.raises(UsageError, match="cannot be extended"):
        sweeps.run(longer, sweep, on_change="extend")
    assert set(states(sweep).values()) == {"done"}


def test_a_sweep_is_locked_while_it_runs(sweep: Path) -> None:
    """The error names the process that holds the lock; different shards can run at the same time."""
    with (
        locking.lock(sweep / ".locks" / "sweep"),
        pytest.raises(UsageError, match=f"process {os.getpid()} on"),
    ):
        sweeps.run(sweeps.plan(spec()), sweep)
    with locking.lock(sweep / ".locks" / "sweep", shared=True):
        shard = sweeps.Selection(shard=(1, 2))
        assert len(sweeps.run(sweeps.plan(spec()), sweep, select=shard).rows) == 2
        with pytest.raises(UsageError):
            sweeps.run(sweeps.plan(spec()), sweep)


def test_all_shards_together_finish_the_sweep(reference: Path, tmp_path: Path) -> None:
    """The results are those of the sweep in one process."""
    for part in (1, 2, 3):
        sweeps.run(sweeps.plan(spec()), tmp_path / "s", select=sweeps.Selection(shard=(part, 3)))
    assert set(states(tmp_path / "s").values()) == {"done"}
    assert results(tmp_path / "s") == results(reference)


FAILING_READER = """
import os
from pathlib import Path
from sltk import Reader, Sentence, register


@register.reader("failing_{name}")
class FailingReader(Reader):
    \"\"\"Fails while the file trouble_VALUE exists.\"\"\"

    trouble: str = ""

    def read(self):
        path = Path(__file__).parent / f"trouble_{{self.trouble}}"
        if path.exists():
            {trouble}
        yield Sentence(words=["good", "soup"], tags=["O", "B-x"])
"""


def failing_spec(folder: Path, name: str, trouble: str, values: list[str]) -> dict[str, Any]:
    """A sweep over `data.train.trouble`; a run fails while the file `trouble_VALUE` exists."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.py").write_text(FAILING_READER.format(name=name, trouble=trouble))
    reader = {"type": f"failing_{name}"}
    return {
        **tiny.spec({"epochs": 1}, data={"train": reader, "test": reader}, imports=[str(folder / "mine.py")]),
        "sweep": {"grid": {"data.train.trouble": values}},
        "executor": IN_PROCESS,
    }


def test_a_failing_run_does_not_stop_the_others(tmp_path: Path) -> None:
    """A failed run is repeated only with `retry`, and its log has the traceback."""
    settings = failing_spec(tmp_path, "raising", 'raise ValueError("spilt milk")', ["a", "b", "c"])
    (tmp_path / "trouble_b").touch()
    outcome = sweeps.run(sweeps.plan(settings), tmp_path / "sweep")
    assert [row.state for row in outcome.rows.values()] == ["done", "failed", "done"]
    assert outcome.rows["trouble=b"].reason == "ValueError: spilt milk"
    assert "mine.py" in (tmp_path / "sweep/logs/trouble=b.log").read_text()
    (tmp_path / "trouble_b").unlink()
    assert sweeps.run(sweeps.plan(settings), tmp_path / "sweep").names("failed") == ["trouble=b"]
    repeated = sweeps.run(sweeps.plan(settings), tmp_path / "sweep", select=sweeps.Selection(retry=True))
    assert len(repeated.names("done")) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_stops_the_sweep(tmp_path: Path) -> None:
    """No run counts as failed, no other run is started, and the sweep can be resumed."""
    trouble = 'open("/dev/full", "w").write("x" * 10**6)'
    settings = failing_spec(tmp_path, "full", trouble, ["a", "b", "c"])
    (tmp_path / "trouble_b").touch()
    outcome = sweeps.run(sweeps.plan(settings), tmp_path / "sweep")
    assert [row.state for row in outcome.rows.values()] == ["done", "waiting", "waiting"]
    assert outcome.stopped is not None
    assert "No space left on device" in outcome.stopped
    (tmp_path / "trouble_b").unlink()
    assert len(sweeps.run(sweeps.plan(settings), tmp_path / "sweep").names("done")) == 3


def test_ctrl_c_stops_the_sweep(tmp_path: Path) -> None:
    """The interrupted run has the state `waiting`."""
    settings = failing_spec(tmp_path, "interrupting", "raise KeyboardInterrupt", ["a", "b"])
    (tmp_path / "trouble_b").touch()
    with pytest.raises(KeyboardInterrupt):
        sweeps.run(sweeps.plan(settings), tmp_path / "sweep")
    rows = sweeps.read_status(sweeps.plan(settings), tmp_path / "sweep").rows
    assert [(row.state, row.interruptions) for row in rows.values()] == [("done", 0), ("waiting", 0)]


def test_a_run_interrupted_twice_is_started_last(tmp_path: Path) -> None:
    """A run that may have killed the sweep is started after all others."""
    plan = sweeps.plan(spec())
    first, *others = plan.runs
    (tmp_path / "sweep").mkdir()
    index = Index(tmp_path / "sweep/index.sqlite")
    index.put(sweeps.Row(first.name, first.digest, "running", interruptions=1))
    index.close()
    watcher = RecordingWatcher()
    sweeps.run(plan, tmp_path / "sweep", watcher=watcher)
    assert watcher.order == [*(run.name for run in others), first.name]


def test_limit_and_only_select_runs(tmp_path: Path) -> None:
    """Runs that are not selected have the state `waiting`."""
    plan = sweeps.plan(spec())
    outcome = sweeps.run(plan, tmp_path / "s", select=sweeps.Selection(only=["seed=121"], limit=1))
    assert {name: row.state for name, row in outcome.rows.items()} == {
        "unmask=01,seed=121": "done", "unmask=11,seed=121": "waiting",
    }  # fmt: skip
    assert list(states(tmp_path / "s").values()).count("done") == 1


def test_a_folder_with_other_files_is_rejected(tmp_path: Path) -> None:
    """The error names a file that is not part of a sweep."""
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"notes\.txt"):
        sweeps.run(sweeps.plan(spec()), tmp_path)


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time of the last change and content of each file."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize(
    "state", ["closed", "in use", "locked", "damaged", "of another version", "read-only"]
)
def test_reading_the_status_writes_nothing(sweep: Path, state: str) -> None:
    """Whatever the state of the index is; if it cannot be read, that is noted, and the folders are."""
    path, notes = sweep / "index.sqlite", []
    name = next(iter(states(sweep)))
    with closing(Index(path)) as index:
        index.put(replace(index.rows()[name], reason="kept"))
    connection = sqlite3.connect(path, isolation_level=None)
    if state == "in use":
        connection.execute("UPDATE runs SET seconds = seconds + 1")  # in the write-ahead log
    elif state == "locked":
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
    elif state == "of another version":
        connection.execute("PRAGMA user_version=99")
    elif state == "damaged":
        connection.close()
        path.write_bytes(b"not a database" * 100)
    elif state == "read-only":
        connection.close()
        for each in (path, sweep):
            each.chmod(0o500)
    before = files_of(sweep)
    watcher = sweeps.Watcher()
    watcher.note = notes.append  # type: ignore[method-assign]
    status = sweeps.read_status(sweeps.plan(spec()), sweep, None, watcher)
    assert files_of(sweep) == before
    assert status.count("done") == 4
    is_readable = state not in ("damaged", "of another version")
    assert (status.rows[name].reason == "kept") is is_readable
    assert ["cannot be read" in note for note in notes] == [True] * (not is_readable)
    connection.close()
    sweep.chmod(0o700)


def test_a_locked_index_is_an_ordinary_error(sweep: Path) -> None:
    """A program that holds the index open for writing stops the sweep with a message that names the file."""
    with closing(sqlite3.connect(sweep / "index.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RunError, match=r"index\.sqlite.*locked"):
            sweeps.run(sweeps.plan(spec()), sweep)


def test_time_and_disk_are_estimated_from_finished_runs(sweep: Path) -> None:
    """Before the first run is finished, there is no estimate."""
    status = sweeps.read_status(sweeps.plan(spec()), sweep)
    assert status.seconds_left == 0
    assert (status.seconds_per_run or 0) > 0
    assert (status.bytes_per_run or 0) > 10_000
    assert status.best is not None
    unstarted = sweeps.read_status(sweeps.plan(spec()), sweep / "elsewhere")
    assert (unstarted.seconds_left, unstarted.bytes_left, unstarted.best) == (None, None, None)
