"""Sweeps on Ray: a real cluster of two workers on this machine, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sltk
import tiny
from sltk import sweeps
from sltk.errors import UsageError

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]

LONG = {"epochs": 60, "save_every": 12, "batch_size": 8, "learning_rate": 0.01}


def spec(executor: dict[str, Any]) -> dict[str, Any]:
    """Two runs of 180 updates, long enough that one is in progress when `Killer` acts, even on a busy machine."""
    return {
        **tiny.spec(
            LONG, data={"train": {"type": "grammar", "count": 21}, "test": {"type": "grammar", "count": 8}}
        ),
        "sweep": {"grid": {"seed": [1, 2]}},
        "executor": executor,
    }


class Killer(sweeps.Watcher):
    """Kills the process of the first run that has a checkpoint, once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.killed: str | None = None
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def show(self, status: sweeps.Status) -> None:
        for run in status.running:
            checkpoints = list((self.folder / "runs" / run.name / "checkpoints").glob("checkpoint-*"))
            if self.killed is None and checkpoints:
                self.killed = run.name
                holder = json.loads((self.folder / ".locks" / f"run.{run.name}").read_text())
                os.kill(holder["process"], signal.SIGKILL)


def test_the_run_of_a_killed_worker_resumes_from_its_last_checkpoint(
    ray_library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All runs end as they would alone, and the driver has their logs."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # more than the CPUs of a run, and inherited by the workers
    ray_library.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False,
        object_store_memory=80 * 2**20,
    )  # fmt: skip
    killer = Killer(tmp_path / "sweep")
    try:
        plan = sweeps.plan(spec({"type": "ray", "gpus": 0}))
        outcome = sweeps.run(plan, tmp_path / "sweep", watcher=killer)
    finally:
        ray_library.shutdown()
    assert [row.state for row in outcome.rows.values()] == ["done"] * 2
    assert killer.killed is not None
    assert outcome.rows[killer.killed].deaths == 0
    assert any("its Ray worker was lost" in note for note in killer.notes)
    assert any(f"{killer.killed}: resuming from checkpoint-" in note for note in killer.notes)
    assert (tmp_path / "sweep/logs" / f"{killer.killed}.log").exists()
    alone = next(run for run in plan.runs if run.name == killer.killed)
    sltk.train(alone.experiment, tmp_path / "alone")
    assert tiny.same_weights(tmp_path / "alone", tmp_path / "sweep/runs" / killer.killed)
    environment = json.loads((tmp_path / "sweep/runs" / killer.killed / "environment.json").read_text())
    assert environment["threads"] == 1


LISTENERS = """
import json, sys
import psutil
from contextlib import suppress
from pathlib import Path
from sltk import sweeps


class Listening(sweeps.Watcher):
    addresses = set()

    def show(self, status):
        driver = psutil.Process()
        for process in [driver, *driver.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):  # a worker may end between the list and the look
                for each in process.net_connections("inet"):
                    if each.status == psutil.CONN_LISTEN:
                        self.addresses.add(each.laddr.ip.removeprefix("::ffff:"))


watcher = Listening()
outcome = sweeps.run(sweeps.plan(json.loads(sys.argv[1])), sys.argv[2], watcher=watcher)
print(json.dumps([[row.state for row in outcome.rows.values()], sorted(watcher.addresses)]))
"""


def test_ray_without_an_address_is_for_this_machine_and_ignores_the_working_directory(
    ray_library: Any, tmp_path: Path
) -> None:
    """It listens on the loopback interface, and executes no file in the folder that the sweep is started from."""
    hostile = tmp_path / "theirs"
    hostile.mkdir()
    for name in ("torch", "sltk", "random", "yaml"):
        (hostile / f"{name}.py").write_text(
            f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
        )
    settings = {
        **tiny.spec({"max_steps": 20}, data=tiny.all_splits()),
        "sweep": {"grid": {"seed": [1, 2]}},
        "executor": {"type": "ray", "gpus": 0},
    }
    removed = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")
    environment = {name: value for name, value in os.environ.items() if name not in removed}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-P", "-c", LISTENERS, json.dumps(settings), str(tmp_path / "sweep")]
    done = subprocess.run(
        command, cwd=hostile, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    states, addresses = json.loads(done.stdout.splitlines()[-1])
    assert states == ["done", "done"]
    assert addresses == ["127.0.0.1"]
    assert not (tmp_path / "ran").exists()


def test_a_run_that_needs_more_than_the_cluster_has_is_rejected(ray_library: Any, tmp_path: Path) -> None:
    """Ray itself would wait forever."""
    ray_library.init(
        num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False,
        object_store_memory=80 * 2**20,
    )  # fmt: skip
    try:
        with pytest.raises(UsageError, match="a run needs 8 CPUs, but the Ray cluster has 1 CPUs"):
            sweeps.run(sweeps.plan(spec({"type": "ray", "cpus": 8})), tmp_path / "sweep")
    finally:
        ray_library.shutdown()
