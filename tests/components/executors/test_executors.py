"""Executors: worker processes on this machine, and scripts for Slurm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import tiny
from sltk import sweeps
from sltk.components.executors import local
from sltk.components.executors.slurm import SlurmExecutor
from sltk.errors import InvalidSpecError, UsageError
from sltk.runtime.jobs import Failure, is_disk_full

DEADLY = """
import os, signal
from pathlib import Path
from sltk import Reader, Sentence, register


@register.reader("deadly")
class Deadly(Reader):
    \"\"\"Kills its process where a file says so, as many times as the file says.\"\"\"

    victim: str = ""

    def read(self):
        file = Path(__file__).parent / f"kill_{self.victim}"
        left = int(file.read_text()) if file.exists() else 0
        if left:
            file.write_text(str(left - 1))
            os.kill(os.getpid(), signal.SIGKILL)
        yield Sentence(words=["good", "soup"], tags=["O", "B-x"])
"""


def spec(folder: Path, executor: dict[str, Any], victims: list[str]) -> dict[str, Any]:
    """A sweep over `victim` with very short runs."""
    (folder / "deadly.py").write_text(DEADLY)
    reader = {"type": "deadly"}
    return {
        **tiny.spec({"max_steps": 1}, data={"train": reader}, imports=[str(folder / "deadly.py")]),
        "sweep": {"grid": {"data.train.victim": victims}},
        "executor": executor,
    }


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_run_that_kills_its_process_twice_counts_as_failed(tmp_path: Path) -> None:
    """A run that kills its process once is repeated; the sweep continues in both cases."""
    (tmp_path / "kill_a").write_text("9")
    (tmp_path / "kill_b").write_text("1")
    plan = sweeps.plan(spec(tmp_path, {"type": "local"}, ["a", "b", "c"]))
    outcome = sweeps.run(plan, tmp_path / "sweep")
    assert [row.state for row in outcome.rows.values()] == ["failed", "done", "done"]
    assert outcome.rows["victim=a"].reason.startswith("its process was killed by SIGKILL")
    assert (tmp_path / "kill_a").read_text() == "7"
    assert (tmp_path / "kill_b").read_text() == "0"


@pytest.mark.multiprocess
def test_workers_end_with_their_sweep(tmp_path: Path) -> None:
    """Otherwise a worker of a killed sweep would write into the same folder as the next sweep."""
    job = {
        "name": "a",
        "spec": {},
        "folder": str(tmp_path),
        "log": str(tmp_path / "log"),
        "lock": str(tmp_path / "l"),
    }
    code = (
        "import subprocess, sys\n"
        "worker = subprocess.Popen([sys.executable, '-m', 'sltk.components.executors.worker'], stdin=subprocess.PIPE,"
        " stdout=subprocess.PIPE)\n"
        "print(worker.pid, flush=True)\n"
        f"worker.stdin.write({json.dumps(job)!r}.encode() + b'\\n')\n"
        "worker.stdin.flush()\n"
        "worker.wait()\n"
    )
    sweep = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert sweep.stdout is not None
    worker = int(sweep.stdout.readline())
    sweep.send_signal(signal.SIGKILL)
    sweep.wait()
    until = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists() or _lives(worker):
        assert time.monotonic() < until
        time.sleep(0.05)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return not Path("/proc").exists() or _state(process) != "Z"


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def test_one_worker_per_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker sees its own GPU; without a GPU there is one worker."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5")
    devices = local.visible_gpus()
    seen = [local._environment(number, devices, threads=3) for number in range(2)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in seen] == ["2", "5"]
    assert {each["OMP_NUM_THREADS"] for each in seen} == {"3"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert local.visible_gpus() == []


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(28, "No space left on device"), True),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), False),
        (ValueError("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (OSError(2, "No such file"), False),
    ],
)
def test_a_full_disk_is_distinguished_from_other_errors(error: Exception, full: bool) -> None:
    """A full disk is also recognized as the cause of another error."""
    assert is_disk_full(error) is full
    outer = RuntimeError("saving failed")
    outer.__cause__ = error
    assert (Failure.of(outer).kind == "disk full") is full


def test_slurm_writes_a_script_and_runs_nothing(tmp_path: Path) -> None:
    """The script is an array with one task per shard of the plan."""
    executor = {
        "type": "slurm", "shards": 2, "at_once": 1, "time": "1:00:00", "partition": "gpu", "memory": "8G",
        "options": {"qos": "long"}, "setup": ["module load cuda"],
    }  # fmt: skip
    plan = sweeps.plan(spec(tmp_path, executor, ["a", "b", "c"]))
    sweep = tmp_path / "my sweep"
    outcome = sweeps.run(plan, sweep, select=sweeps.Selection(retry=True))
    assert len(outcome.names("waiting")) == 3
    script = (sweep / "slurm/array.sh").read_text()
    for line in (
        "#SBATCH --array=1-2%1", "#SBATCH --time=1:00:00", "#SBATCH --gres=gpu:1", "#SBATCH --qos=long",
        f'#SBATCH --output="{sweep}/logs/slurm-%A_%a.out"', "module load cuda",
    ):  # fmt: skip
        assert f"\n{line}\n" in script
    assert f"--output '{sweep}' --retry --shard \"$SLURM_ARRAY_TASK_ID/2\"" in script
    subprocess.run(["bash", "-n", str(sweep / "slurm/array.sh")], check=True)


@pytest.mark.parametrize("name", ['a"b', "a\nb", "a\\b", "a\x1bb", 'x"\n#SBATCH --wrap="id'])
def test_slurm_refuses_folders_that_would_change_the_script(tmp_path: Path, name: str) -> None:
    """Line ends, quotes and control characters are refused, and no script is written."""
    plan = sweeps.plan(spec(tmp_path, {"type": "slurm"}, ["a"]))
    with pytest.raises(UsageError, match="cannot write"):
        sweeps.run(plan, tmp_path / name)
    assert not list(tmp_path.rglob("array.sh"))


def test_slurm_refuses_selections_with_line_ends(tmp_path: Path) -> None:
    """A line end in `--only` is refused; a quote is quoted."""
    executor: Any = SlurmExecutor()
    with pytest.raises(UsageError, match="cannot write"):
        executor.script(tmp_path, 1, ["--only", "name=a\nid"])
    script = tmp_path / "array.sh"
    script.write_text(executor.script(tmp_path / "it's $(id) %j", 1, ["--only", "name='$(id)"]))
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "%%j" in script.read_text()


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_task_of_the_script_does_its_shard(tmp_path: Path) -> None:
    """The script is run as Slurm would run it; after all shards, no run is left."""
    plan = sweeps.plan(spec(tmp_path, {"type": "slurm", "shards": 1, "gpus": 0}, ["a", "b"]))
    sweep = tmp_path / "sweep"
    sweeps.run(plan, sweep)
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "1"}
    subprocess.run(["bash", str(sweep / "slurm/array.sh")], env=environment, check=True)
    assert len(sweeps.read_status(plan, sweep).rows) == sweeps.read_status(plan, sweep).count("done") == 2


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        ({"type": "slurm", "partition": "gpu\n#SBATCH --x"}, "executor.partition"),
        ({"type": "slurm", "setup": ["a\nb"]}, "executor.setup.0"),
        ({"type": "lokal"}, "did you mean `local`?"),
        ({"type": "local", "workers": 0}, "1 or more"),
    ],
)
def test_options_of_executors_are_checked(tmp_path: Path, executor: dict[str, Any], message: str) -> None:
    """Options are checked before a run starts, so that no line can be injected into a script."""
    with pytest.raises(InvalidSpecError) as caught:
        sweeps.plan(spec(tmp_path, executor, ["a"]))
    assert message in str(caught.value)
