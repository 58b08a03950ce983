"""The lock of a run directory: one process at a time writes a run, and a killed process frees it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import sltk
import tiny
import warm
from repository import ROOT
from sltk.cli import main
from sltk.files import locking
from sltk.rundir.directory import RunDirectory

RUNS = ROOT / "tests" / "stored_runs"
HOLDER = """
import sys, time
from pathlib import Path
from sltk.rundir.directory import RunDirectory
with RunDirectory(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(600)
"""
PRETRAINING = """
name: tiny
corpus: {type: text, path: corpus.txt}
objective: clm
block_size: 16
backbone:
  type: decoder
  init: random
  config: {model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2}
  tokenizer: {type: train, vocab_size: 300}
trainer: {max_steps: 1}
"""


def start_holder(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lock of a run directory."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", HOLDER, str(folder)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A finished run whose directory another process holds, and the number of that process."""
    folder = tmp_path_factory.mktemp("held") / "run"
    shutil.copytree(RUNS / "tagger", folder)
    process = start_holder(folder)
    yield folder, process.pid
    process.kill()
    process.wait()


@pytest.mark.parametrize("option", [[], ["--force"], ["--resume"]])
@pytest.mark.parametrize("command", ["train", "pretrain"])
def test_a_second_training_is_refused(
    command: str,
    option: list[str],
    held: tuple[Path, int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The message names the process; nothing in the directory changes."""
    folder, process = held
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    spec = folder / "spec.yaml"
    if command == "pretrain":
        spec = tmp_path / "pretrain.yaml"
        spec.write_text(PRETRAINING)
    assert main([command, str(spec), "--output", str(folder), *option]) == 2
    printed = capsys.readouterr().err
    assert f"process {process} on " in printed
    assert f"holds `{folder}`" in printed
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_scores_are_not_written_beside_a_training(
    held: tuple[Path, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """`evaluate --output` into the directory waits for its turn; elsewhere, it works."""
    folder, process = held
    inside, outside = folder / "scores" / "test.json", folder.parent / "scores.json"
    assert main(["evaluate", str(folder), "--output", str(inside)]) == 2
    assert f"process {process} on " in capsys.readouterr().err
    assert not inside.exists()
    assert main(["evaluate", str(folder), "--output", str(outside)]) == 0
    assert json.loads(outside.read_text())["f1"] >= 0


@pytest.mark.parametrize("existing", [True, False])
def test_a_killed_holder_frees_the_run(existing: bool, tmp_path: Path) -> None:
    """After SIGKILL the next process takes the lock, and the file of the lock is no foreign file."""
    folder = tmp_path / "run"
    if existing:
        folder.mkdir()
    process = start_holder(folder)
    with pytest.raises(sltk.UsageError, match=f"process {process.pid}"):
        sltk.train(tiny.spec({"max_steps": 1}), folder)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / ".lock").exists()
    sltk.train(tiny.spec({"max_steps": 1}), folder)
    assert not (folder / ".lock").exists()


@pytest.mark.parametrize("error", ["data", "resume"])
def test_a_refused_run_leaves_no_folder(error: str, tmp_path: Path) -> None:
    """Folders that were created for the lock are removed if no run starts."""
    spec = tiny.spec({"max_steps": 1})
    if error == "data":
        spec["data"] = {"train": {"type": "conll", "path": str(tmp_path / "missing")}}
    with pytest.raises(sltk.InputError):
        sltk.train(spec, tmp_path / "new" / "run", resume=error == "resume", force=error == "resume")
    assert not (tmp_path / "new").exists()


def test_other_processes_of_a_run_take_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a launcher, only the main process holds the directory."""
    run = RunDirectory(tmp_path / "run")
    with run.locked():
        for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}.items():
            monkeypatch.setenv(name, value)
        with run.locked():
            pass
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(sltk.UsageError, match="holds"), run.locked():
            pass


def test_two_evaluations_share_a_run(tmp_path: Path) -> None:
    """Shared locks exclude a training, also after one of them has ended."""
    shutil.copytree(RUNS / "tagger", tmp_path / "run")
    run = RunDirectory(tmp_path / "run")
    with run.locked(shared=True):
        with run.locked(shared=True):
            pass
        with pytest.raises(sltk.UsageError, match="another process holds"), run.locked():
            pass
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_lock_is_no_link(tmp_path: Path) -> None:
    """A planted link is not followed, so its target keeps its content."""
    (tmp_path / "target").write_text("text")
    (tmp_path / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"), locking.lock(tmp_path / "lock"):
        pass
    assert (tmp_path / "target").read_text() == "text"


RACER = """
import sys, time
from pathlib import Path
from sltk.errors import UsageError
from sltk.files.locking import lock
folder = Path(sys.argv[1])
end, taken = time.monotonic() + 2, 0
while time.monotonic() < end:
    try:
        with lock(folder / "lock", temporary=True):
            (folder / "inside").touch(exist_ok=False)
            taken += 1
            (folder / "inside").unlink()
    except UsageError:
        pass
print(taken)
"""


@pytest.mark.multiprocess
def test_a_lock_that_is_removed_is_held_by_one_process(tmp_path: Path) -> None:
    """Four processes that take and remove a lock without a pause are never inside together."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [*warm.python(), "-c", RACER, str(tmp_path)]
    racers = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    outputs = [racer.communicate() for racer in racers]
    assert all(error == "" for _, error in outputs), outputs
    assert sum(int(output) for output, _ in outputs) > 0


@pytest.mark.multiprocess
def test_two_trainings_of_one_spec_do_not_mix(tmp_path: Path) -> None:
    """Of two trainings with different specs, started together, one wins and the other is refused."""
    script = (
        "import sys, tiny, sltk; seed = int(sys.argv[2]);"
        "sltk.train(tiny.spec({'epochs': seed}, seed=seed), sys.argv[1])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    folder = tmp_path / "run"
    processes = []
    for seed in (3, 4):
        command = [*warm.python(), "-c", script, str(folder), str(seed)]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        time.sleep(0.05)
    errors = [process.communicate()[1] for process in processes]
    won = [process.returncode == 0 for process in processes]
    assert won.count(True) == 1, errors
    assert any(text in errors[won.index(False)] for text in ("holds `", "holds a finished run"))
    seed = 3 if won[0] else 4
    assert f"seed: {seed}\n" in (folder / "spec.yaml").read_text()
    assert json.loads((folder / "metrics.json").read_text())["train"]["epochs"] == seed


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks_trains_with_a_warning(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lustre mounted without `flock` and NFS without a lock manager refuse every lock."""

    def flock(file: object, kind: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    spec, folder = tmp_path / "spec.yaml", tmp_path / "run"
    spec.write_text(yaml.safe_dump(tiny.spec({"max_steps": 1})))
    assert main(["train", str(spec), "--output", str(folder)]) == 0
    printed = capsys.readouterr().err
    assert f"warning: the file system of `{folder}` has no locks ({os.strerror(code)})" in printed
    assert printed.count("no locks") == 1
    assert ".py" not in printed.split("no locks")[0].splitlines()[-1]
    assert (folder / "metrics.json").exists()
    assert not (folder / ".lock").exists()


@pytest.mark.parametrize("command", ["train", "sweep", "export"])
def test_a_folder_that_models_cannot_be_written_to_is_refused_first(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tokenizers and safetensors take only paths in UTF-8, which would otherwise show after training."""
    folder = tmp_path / os.fsdecode(b"run\xff")
    source = tmp_path / "spec.yaml"
    spec = tiny.spec({"max_steps": 1})
    if command == "sweep":
        spec["sweep"] = {"grid": {"seed": [1, 2]}}
    source.write_text(yaml.safe_dump(spec))
    arguments = [source, "--output", folder] if command != "export" else [RUNS / "tagger", folder]
    assert main([command, *map(str, arguments)]) == 2
    printed = capsys.readouterr().err
    assert "is not valid UTF-8: models cannot be written there" in printed
    assert not folder.exists()
