"""Running sweeps: finished runs are kept, whatever happens in between."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import sltk
import tiny
from sltk import sweeps
from sltk.errors import UsageError
from sltk.files import locking
from sltk.runtime import run_cache
from sltk.sweeps.index import Index

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["sltk.run", "sltk.training", "sltk.sweeps"])
KILLS = int(os.environ.get("SLTK_KILLS", "6"))

HERE = {"type": "local", "isolated": False}
GRID = {"grid": {"backbone.unmask": ["01", "11"], "seed": [120, 121]}}


def spec(sweep: Mapping[str, Any] = GRID, **changes: Any) -> dict[str, Any]:
    """Four runs of six updates each, with a checkpoint every two updates, in this process."""
    trainer = {"epochs": 2, "save_every": 2}
    return {**tiny.spec(trainer, data=tiny.all_splits(), **changes), "sweep": sweep, "executor": HERE}


SHORT = {"trainer": {"max_steps": 3, "learning_rate": 0.01}}


def scores(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics that do not depend on the machine."""
    counted = ("words", "epochs", "steps", "loss", "parameters", "trained_parameters")
    return {**metrics, "train": {key: metrics["train"][key] for key in counted}}


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
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed sweep."""
    folder = tmp_path_factory.mktemp("whole") / "sweep"
    outcome = sweeps.run(sweeps.plan(spec()), folder)
    assert len(outcome.names("done")) == 4
    return folder


@pytest.fixture
def sweep(whole: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be disturbed."""
    shutil.copytree(whole, tmp_path / "sweep")
    return tmp_path / "sweep"


def states(folder: Path, plan: sweeps.Plan | None = None) -> dict[str, str]:
    return {
        name: row.state for name, row in sweeps.read_status(plan or sweeps.plan(spec()), folder).rows.items()
    }


@pytest.mark.slow
def test_a_run_of_a_sweep_is_the_run_alone(whole: Path, tmp_path: Path) -> None:
    """Weights, scores, log and spec are the same bit for bit, although runs share loaded data and models."""
    for run in sweeps.plan(spec()).runs:
        sltk.train(run.experiment, tmp_path / run.name)
        inside = whole / "runs" / run.name
        assert tiny.same_weights(inside, tmp_path / run.name)
        for name in ("spec.yaml", "log.jsonl", "predictions/test.conll", "model/sltk.json"):
            assert (inside / name).read_text() == (tmp_path / run.name / name).read_text(), name
        alone, within = (json.loads((f / "metrics.json").read_text()) for f in (tmp_path / run.name, inside))
        assert scores(alone) == scores(within)


@pytest.mark.slow
@pytest.mark.parametrize("quantization", [None, {"type": "nf4"}, {"type": "int8"}])
def test_adapters_on_shared_weights_are_those_of_a_run_alone(
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


def test_nothing_is_done_twice(sweep: Path) -> None:
    """A second call changes no file of a finished run."""
    before = {path: path.stat().st_mtime_ns for path in (sweep / "runs").rglob("*")}
    outcome = sweeps.run(sweeps.plan(spec()), sweep)
    assert len(outcome.names("done")) == 4
    assert before == {path: path.stat().st_mtime_ns for path in (sweep / "runs").rglob("*")}


def work(spec: dict[str, Any], folder: Path) -> None:
    sweeps.run(sweeps.plan(spec), folder)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_sweep_killed_at_random_moments_gives_the_same_results(whole: Path, tmp_path: Path) -> None:
    """After SLTK_KILLS times SIGKILL at random moments, metrics, predictions and weights are the same."""
    rng = random.Random(5)
    killed = 0
    for _ in range(4 * KILLS):
        process = PROCESSES.Process(target=work, args=(spec(), tmp_path / "sweep"))
        process.start()
        process.join(rng.uniform(0.05, 0.7))  # shorter than the sweep, however fast the machine is
        if process.exitcode is None:
            os.kill(process.pid or 0, signal.SIGKILL)
            killed += 1
        process.join()
        if killed == KILLS or process.exitcode == 0:
            break
    assert killed >= 3
    outcome = sweeps.run(sweeps.plan(spec()), tmp_path / "sweep")
    assert len(outcome.names("done")) == 4
    assert results(tmp_path / "sweep") == results(whole)
    for name in outcome.rows:
        assert tiny.same_weights(whole / "runs" / name, tmp_path / "sweep/runs" / name)


def test_the_index_is_rebuilt_from_the_run_directories(sweep: Path) -> None:
    """Nothing is lost with the index; a damaged index is moved aside and reported."""
    for path in sweep.glob("index.sqlite*"):
        path.unlink()
    assert set(states(sweep).values()) == {"done"}
    (sweep / "index.sqlite").write_bytes(b"this is no database" * 100)
    notes = Notes()
    outcome = sweeps.run(sweeps.plan(spec()), sweep, watcher=notes)
    assert len(outcome.names("done")) == 4
    assert any("index was damaged" in note for note in notes.notes)
    assert (sweep / "index.sqlite.damaged").exists()


class Notes(sweeps.Watcher):
    """Records what a watcher is told."""

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
def test_a_damaged_run_is_reported_and_repeated_on_request(whole: Path, sweep: Path, name: str) -> None:
    """A damaged run is neither trusted nor overwritten without `retry`."""
    plan = sweeps.plan(spec())
    first = plan.runs[0].name
    content, reason = DAMAGES[name]
    path = sweep / "runs" / first / name
    path.unlink() if content is None else path.write_text(content)
    outcome = sweeps.run(plan, sweep)
    assert outcome.names("damaged") == [first]
    assert reason in outcome.rows[first].reason
    again = sweeps.run(plan, sweep, select=sweeps.Selection(retry=True))
    assert len(again.names("done")) == 4
    assert results(sweep) == results(whole)


def test_metrics_changed_by_hand_are_noticed(sweep: Path) -> None:
    """The index has the hash of the metrics; a changed spec is noticed too."""
    one, other = (run.name for run in sweeps.plan(spec()).runs[:2])
    path = sweep / "runs" / one / "metrics.json"
    path.write_text(path.read_text().replace('"f1": 0', '"f1": 1'))
    text = (sweep / "runs" / other / "spec.yaml").read_text()
    (sweep / "runs" / other / "spec.yaml").write_text(text.replace("seed: 121", "seed: 999"))
    rows = sweeps.read_status(sweeps.plan(spec()), sweep).rows
    assert rows[one].reason == "metrics.json has been changed"
    assert rows[other].reason == "its spec.yaml differs from the plan: seed: 999 → 121"


def test_a_run_whose_folder_was_removed_is_repeated(whole: Path, sweep: Path) -> None:
    """A removed run is waiting."""
    shutil.rmtree(sweep / "runs" / sweeps.plan(spec()).runs[2].name)
    assert list(states(sweep).values()).count("waiting") == 1
    sweeps.run(sweeps.plan(spec()), sweep)
    assert results(sweep) == results(whole)


def test_a_changed_sweep_is_refused_with_its_differences_and_a_choice(sweep: Path) -> None:
    """The choice is to continue with the old plan, or to extend it."""
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


def test_extending_keeps_what_the_new_spec_no_longer_names(sweep: Path) -> None:
    """Finished runs remain part of the sweep."""
    other = sweeps.plan(spec({"grid": {"backbone.unmask": ["10"], "seed": [120, 121]}}))
    assert len(sweeps.run(other, sweep, on_change="extend", select=sweeps.Selection(limit=1)).rows) == 6


def test_extending_never_mixes_two_specs_under_one_name(sweep: Path) -> None:
    """Existing runs keep their settings; the error says what differs."""
    longer = sweeps.plan(
        {**spec(), "trainer": {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "save_every": 2}}
    )
    with pytest.raises(UsageError, match=r"trainer.epochs: 2.0 → 3.0"):
        sweeps.run(longer, sweep)
    with pytest.raises(UsageError, match="cannot be extended"):
        sweeps.run(longer, sweep, on_change="extend")
    assert set(states(sweep).values()) == {"done"}


def test_two_processes_do_not_work_on_one_sweep(sweep: Path) -> None:
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


def test_shards_together_are_the_sweep(whole: Path, tmp_path: Path) -> None:
    """After all shards, the whole sweep is finished."""
    for part in (1, 2, 3):
        sweeps.run(sweeps.plan(spec()), tmp_path / "s", select=sweeps.Selection(shard=(part, 3)))
    assert set(states(tmp_path / "s").values()) == {"done"}
    assert results(tmp_path / "s") == results(whole)


FAILING = """
import os
from pathlib import Path
from sltk import Reader, Sentence, register


@register.reader("troubled_{name}")
class Troubled(Reader):
    \"\"\"Does what a file tells it to do.\"\"\"

    trouble: str = ""

    def read(self):
        exec_by = Path(__file__).parent / f"trouble_{{self.trouble}}"
        if exec_by.exists():
            {trouble}
        yield Sentence(words=["good", "soup"], tags=["O", "B-x"])
"""


def troubled(folder: Path, name: str, trouble: str, values: list[str]) -> dict[str, Any]:
    """A sweep over `trouble`; a run fails as long as the file `trouble_VALUE` exists."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.py").write_text(FAILING.format(name=name, trouble=trouble))
    reader = {"type": f"troubled_{name}"}
    return {
        **tiny.spec({"epochs": 1}, data={"train": reader, "test": reader}, imports=[str(folder / "mine.py")]),
        "sweep": {"grid": {"data.train.trouble": values}},
        "executor": HERE,
    }


def test_a_failing_run_does_not_stop_the_others(tmp_path: Path) -> None:
    """A failed run is repeated only with `retry`; its traceback is in its log."""
    whole = troubled(tmp_path, "raising", 'raise ValueError("spilt milk")', ["a", "b", "c"])
    (tmp_path / "trouble_b").touch()
    outcome = sweeps.run(sweeps.plan(whole), tmp_path / "sweep")
    assert [row.state for row in outcome.rows.values()] == ["done", "failed", "done"]
    assert outcome.rows["trouble=b"].reason == "ValueError: spilt milk"
    assert "mine.py" in (tmp_path / "sweep/logs/trouble=b.log").read_text()
    (tmp_path / "trouble_b").unlink()
    assert sweeps.run(sweeps.plan(whole), tmp_path / "sweep").names("failed") == ["trouble=b"]
    again = sweeps.run(sweeps.plan(whole), tmp_path / "sweep", select=sweeps.Selection(retry=True))
    assert len(again.names("done")) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_stops_the_sweep_which_can_be_resumed(tmp_path: Path) -> None:
    """No run counts as failed, and no further run is started."""
    trouble = 'open("/dev/full", "w").write("x" * 10**6)'
    whole = troubled(tmp_path, "full", trouble, ["a", "b", "c"])
    (tmp_path / "trouble_b").touch()
    outcome = sweeps.run(sweeps.plan(whole), tmp_path / "sweep")
    assert [row.state for row in outcome.rows.values()] == ["done", "waiting", "waiting"]
    assert outcome.stopped is not None
    assert "No space left on device" in outcome.stopped
    (tmp_path / "trouble_b").unlink()
    assert len(sweeps.run(sweeps.plan(whole), tmp_path / "sweep").names("done")) == 3


def test_ctrl_c_ends_the_sweep_and_leaves_the_run_waiting(tmp_path: Path) -> None:
    """The interrupted run is waiting, and can be resumed."""
    whole = troubled(tmp_path, "interrupting", "raise KeyboardInterrupt", ["a", "b"])
    (tmp_path / "trouble_b").touch()
    with pytest.raises(KeyboardInterrupt):
        sweeps.run(sweeps.plan(whole), tmp_path / "sweep")
    rows = sweeps.read_status(sweeps.plan(whole), tmp_path / "sweep").rows
    assert [(row.state, row.interruptions) for row in rows.values()] == [("done", 0), ("waiting", 0)]


def test_a_run_during_which_the_sweep_died_twice_comes_last(tmp_path: Path) -> None:
    """The run may have ended the sweep, so the others come first."""
    plan = sweeps.plan(spec())
    first, *others = plan.runs
    (tmp_path / "sweep").mkdir()
    index = Index(tmp_path / "sweep/index.sqlite")
    index.put(sweeps.Row(first.name, first.digest, "running", interruptions=1))
    index.close()
    notes = Notes()
    sweeps.run(plan, tmp_path / "sweep", watcher=notes)
    assert notes.order == [*(run.name for run in others), first.name]


def test_limit_and_only_select_runs(tmp_path: Path) -> None:
    """Runs that are not selected keep waiting."""
    plan = sweeps.plan(spec())
    outcome = sweeps.run(plan, tmp_path / "s", select=sweeps.Selection(only=["seed=121"], limit=1))
    assert {name: row.state for name, row in outcome.rows.items()} == {
        "unmask=01,seed=121": "done", "unmask=11,seed=121": "waiting",
    }  # fmt: skip
    assert list(states(tmp_path / "s").values()).count("done") == 1


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    """Other files are left alone."""
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"notes\.txt"):
        sweeps.run(sweeps.plan(spec()), tmp_path)


def test_time_and_disk_are_estimated_from_finished_runs(sweep: Path) -> None:
    """There is no estimate before the first run is finished."""
    status = sweeps.read_status(sweeps.plan(spec()), sweep)
    assert status.seconds_left == 0
    assert (status.seconds_per_run or 0) > 0
    assert (status.bytes_per_run or 0) > 10_000
    assert status.best is not None
    nothing = sweeps.read_status(sweeps.plan(spec()), sweep / "elsewhere")
    assert (nothing.seconds_left, nothing.bytes_left, nothing.best) == (None, None, None)
