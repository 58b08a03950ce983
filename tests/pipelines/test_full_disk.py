"""A full disk: recognized behind every error, named with its file system, and not a failure of a run."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml

import sltk
import tiny
import warm
from repository import ROOT
from sltk import sweeps
from sltk.cli import main
from sltk.components.backbones.fetching import fetch
from sltk.errors import DiskFullError
from sltk.files import atomic
from sltk.files.disk_space import disk_errors, is_disk_full, shortage
from sltk.runtime.jobs import Failure

if TYPE_CHECKING:
    from conftest import SmallDisk

RUNS = ROOT / "tests" / "stored_runs"
ENOUGH = 100_000


def spec() -> dict[str, Any]:
    """A run with two checkpoints, of which one takes about 1.2 MB."""
    made = tiny.spec({"max_steps": 4, "save_every": 2}, data=tiny.all_splits())
    made["backbone"]["config"] = {**made["backbone"]["config"], "hidden_size": 48, "intermediate_size": 128}
    return made


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a disk with enough space."""
    folder = tmp_path_factory.mktemp("complete") / "run"
    sltk.train(spec(), folder)
    return folder


def bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 1.0, 1.15, 1.3, 1.45])
def test_a_run_on_a_full_disk_can_be_resumed(
    share: float, complete: Path, small_disk: SmallDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever the space runs out, one error names the file system; with space, the run ends as if it never had."""
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec()))
    run = small_disk.folder / "run"
    small_disk.resize(int(share * bytes_of(complete)) // 1024)
    command = ["train", str(tmp_path / "spec.yaml"), "--output", str(run)]
    assert main(command) == 1
    error = capsys.readouterr().err.partition("error: ")[2]
    assert error.startswith(f"no space left on device: cannot write in `{run}")
    assert f"file system `{small_disk.folder}`" in error
    assert "--resume" in error
    assert "bug" not in error
    small_disk.resize(ENOUGH)
    assert main([*command, "--resume"]) == 0
    assert tiny.same_weights(complete, run)
    assert not list(run.rglob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("share", "isolated"),
    [*((share, False) for share in (0.0, 0.1, 0.5, 1.1, 1.6)), (0.1, True), (1.1, True)],
)
def test_a_sweep_on_a_full_disk_blames_no_run(
    share: float,
    isolated: bool,
    complete: Path,
    small_disk: SmallDisk,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It stops; no run has failed; and the same command completes it."""
    settings = {
        **spec(),
        "sweep": {"grid": {"seed": [1, 2]}},
        "executor": {"type": "local", "isolated": isolated},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(settings))
    folder = small_disk.folder / "study"
    small_disk.resize(max(8, int(share * bytes_of(complete)) // 1024))
    command = ["sweep", str(tmp_path / "study.yaml"), "--output", str(folder)]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "no space left on device" in error.lower()
    assert f"file system `{small_disk.folder}`" in error or "index.sqlite" in error
    assert "bug" not in error
    small_disk.resize(ENOUGH)
    rows = sweeps.read_status(sweeps.plan(settings), folder).rows
    assert not {row.state for row in rows.values()} & {"failed", "damaged"}
    assert main(command) == 0
    assert "2 runs: 2 done" in capsys.readouterr().out


def fill(folder: Path) -> None:
    """Leave no space."""
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


COMMANDS: dict[str, Callable[[Path, Path], list[str]]] = {
    "export": lambda data, disk: ["export", str(RUNS / "tagger"), str(disk / "exported")],
    "evaluate": lambda data, disk: ["evaluate", str(RUNS / "tagger"), "--output", str(disk / "x.json")],
    "predict": lambda data, disk: ["predict", str(RUNS / "tagger"), str(data), "--output", str(disk / "x.txt")],
    "convert": lambda data, disk: [
        "convert", str(RUNS / "tagger/predictions/test.conll"), str(disk / "x.jsonl"), "--reader", "conll",
        "--writer", "jsonl",
    ],
    "report": lambda data, disk: ["report", str(RUNS / "tagger"), "--output", str(disk / "report")],
    "records": lambda data, disk: [
        "report", str(RUNS / "tagger"), "--records", str(disk / "x.jsonl"), "--output", str(data.parent / "report")
    ],
    "pretrain": lambda data, disk: [
        "pretrain", str(data.parent / "pretrain.yaml"), "--output", str(disk / "run")
    ],
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_names_the_full_disk(
    command: str, small_disk: SmallDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, the folder and the file system; no half-written output stays."""
    data = tmp_path / "text.txt"
    data.write_text("Mia met Ali.\n" * 200)
    text = (RUNS / "pretraining" / "spec.yaml").read_text()
    (tmp_path / "pretrain.yaml").write_text(text)
    fill(small_disk.folder)
    assert main(COMMANDS[command](data, small_disk.folder)) == 1
    error = capsys.readouterr().err.partition("error: ")[2]
    assert error.startswith("no space left on device: cannot write in `")
    assert f"file system `{small_disk.folder}`" in error
    assert [path.name for path in small_disk.folder.iterdir()] == ["filler"]


def raised_in(folder: Path, error: Exception) -> Exception:
    """What a caller sees of an error while something is written in a folder."""
    with pytest.raises(Exception) as caught, disk_errors(folder):  # noqa: PT011  (any error is the point)
        raise error
    return caught.value


def caused_by(cause: Exception) -> Exception:
    outer = ValueError("saving failed")
    outer.__cause__ = cause
    return outer


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), errno.EDQUOT),
        (OSError(errno.EFBIG, "File too large"), errno.EFBIG),
        (RuntimeError("I/O error: No space left on device (os error 28)"), errno.ENOSPC),
        (RuntimeError("Erreur: plus de place (os error 28)"), errno.ENOSPC),
        (RuntimeError("quota (os error 122)"), errno.EDQUOT),
        (sqlite3.OperationalError("database or disk is full"), errno.ENOSPC),
        (caused_by(OSError(errno.ENOSPC, "")), errno.ENOSPC),
        (caused_by(caused_by(RuntimeError("(os error 27)"))), errno.EFBIG),
    ],
)
def test_a_full_disk_is_recognized_by_number_or_message(error: Exception, code: int, tmp_path: Path) -> None:
    """The number counts, also of a cause; a message counts where a library gives no number."""
    assert is_disk_full(error)
    shown = raised_in(tmp_path, error)
    assert isinstance(shown, DiskFullError)
    assert shown.errno == code
    assert str(tmp_path) in str(shown)
    assert isinstance(shown, sltk.RunError)
    assert Failure.of(shown).kind == "disk full"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EACCES, "Permission denied"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
        RuntimeError("lost node 128 (os error 13)"),
        sltk.UsageError("`No space left on device` is no reader"),
        sltk.RunError("the loss is not a number"),
    ],
)
def test_other_errors_stay(error: Exception, tmp_path: Path) -> None:
    """With space left, an error is what it was."""
    assert raised_in(tmp_path, error) is error


@pytest.mark.parametrize(
    "text",
    [
        "[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0",
        "basic_ios::clear: iostream error",
    ],
)
def test_an_error_without_a_reason_on_a_full_disk(text: str, small_disk: SmallDisk) -> None:
    """torch does not say why it cannot write; the folder does."""
    assert shortage(small_disk.folder) is not None
    small_disk.resize(ENOUGH)
    assert shortage(small_disk.folder) is None
    assert not isinstance(raised_in(small_disk.folder, RuntimeError(text)), DiskFullError)
    fill_all_but(small_disk.folder, 4096)
    assert isinstance(raised_in(small_disk.folder, RuntimeError(text)), DiskFullError)
    assert isinstance(raised_in(small_disk.folder / "new" / "folder", RuntimeError(text)), DiskFullError)


def test_a_download_on_a_full_disk(small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that does not fit into the cache of the hub is not called unavailable."""
    monkeypatch.setenv("HF_HUB_CACHE", str(small_disk.folder))
    fill(small_disk.folder)

    def download() -> None:
        try:
            (small_disk.folder / "model.safetensors").write_bytes(bytes(10**5))
        except OSError as error:
            raise OSError("Can't load the model for 'some/model'") from error

    with pytest.raises(DiskFullError, match=f"cannot write in `{small_disk.folder}`"):
        fetch("some/model", download)


def fill_all_but(folder: Path, left: int) -> None:
    free = shutil.disk_usage(folder).free - left
    (folder / "filler").write_bytes(bytes(free))


def test_a_new_folder_reports_before_it_is_cleared(small_disk: SmallDisk) -> None:
    """The check comes before the partial folder, which filled the disk, is removed."""
    small_disk.resize(300)
    with pytest.raises(DiskFullError), atomic.new_folder(small_disk.folder / "new") as partial:
        torch.save({"weights": torch.zeros(10**6)}, partial / "weights.pt")
    assert list(small_disk.folder.iterdir()) == []


LIMITED = """
import resource, sys, yaml
from sltk.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", [600, 100_000, 550_000])
def test_a_limit_for_files_is_recognized(limit: int, complete: Path, tmp_path: Path) -> None:
    """`ulimit -f` is like a full disk, also where torch gives no reason."""
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec()))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "SLTK_CACHE": "off"}
    arguments = ["train", str(tmp_path / "spec.yaml"), "--output", str(tmp_path / "run")]
    command = [*warm.python(), "-c", LIMITED, str(limit), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    largest = max(path.stat().st_size for path in complete.rglob("*") if path.is_file())
    assert largest > limit
    assert done.returncode == 1, done.stderr
    assert f"error: file too large: cannot write in `{tmp_path / 'run'}" in done.stderr
    assert main([*arguments, "--resume"]) == 0
