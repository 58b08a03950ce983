"""The output of a command never replaces its input, whatever name it has, and goes where the shell says."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import sltk
import tiny
import warm
from sltk.cli.app import main

COLUMNS = "Ada NNP B-PER\nleft VBD O\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("run")
    sltk.train(tiny.spec({"epochs": 1}), folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a file, other names of it, and a pair of brat."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/a.conll").write_text(COLUMNS)
    os.link("data/a.conll", "hard")
    Path("soft").symlink_to("data/a.conll")
    Path("linked").symlink_to("data")
    Path("b.txt").write_text("Ada left.\n")
    Path("b.ann").write_text("T1\tPER 0 3\tAda\n")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


CONVERSIONS = [
    ("data/a.conll", "data/a.conll", "conll"),
    ("data/a.conll", "./data/../data/a.conll", "jsonl"),
    ("data/a.conll", "hard", "jsonl"),
    ("data/a.conll", "soft", "text"),
    ("soft", "data/a.conll", "html"),
    ("data", "data/a.conll", "conll"),
    ("data", "linked/a.conll", "spans"),
    ("data/*.conll", "hard", "conll"),
]


@pytest.mark.parametrize(("source", "output", "writer"), CONVERSIONS)
def test_convert_replaces_no_input(folder: Path, source: str, output: str, writer: str) -> None:
    """Also if the output is another name of a file, or one of the files of a folder."""
    before = contents(folder)
    assert main(["convert", source, output, "--reader", "conll", "--writer", writer]) == 2
    assert contents(folder) == before


@pytest.mark.parametrize("output", ["b.txt", "b.ann"])
def test_a_pair_of_files_replaces_no_input(folder: Path, output: str) -> None:
    """The writer `brat` writes both files of a pair, whichever is named."""
    before = contents(folder)
    assert main(["convert", "b.txt", output, "--reader", "text", "--writer", "brat"]) == 2
    assert contents(folder) == before


@pytest.mark.parametrize("options", [[], ["--reader", "conll"]], ids=["lines", "reader"])
def test_predict_and_evaluate_replace_no_input(folder: Path, run: Path, options: list[str]) -> None:
    """Nor is the model loaded first."""
    before = contents(folder)
    for output in ("data/a.conll", "hard", "soft"):
        assert main(["predict", str(run), "b.txt", "data/a.conll", "-o", output, *options]) == 2
    assert main(["evaluate", str(run), "--data", "data", "--reader", "conll", "-o", "hard"]) == 2
    assert contents(folder) == before


@pytest.mark.parametrize(
    "name", ["metrics.json", "spec.yaml", "log.jsonl", "model/sltk.json", "model/manifest.json"]
)
def test_a_run_is_not_overwritten_by_its_own_output(folder: Path, run: Path, name: str) -> None:
    """`evaluate --output RUN/metrics.json` would replace the scores and times of training."""
    before = contents(run)
    assert main(["evaluate", str(run), "--data", "data", "--reader", "conll", "-o", str(run / name)]) == 2
    assert main(["predict", str(run), "b.txt", "-o", str(run / name)]) == 2
    if name.startswith("model/"):
        assert main(["predict", str(run / "model"), "b.txt", "-o", str(run / name)]) == 2
    assert contents(run) == before


def test_other_files_in_a_run_may_be_replaced(folder: Path, run: Path) -> None:
    """Such as the output of an earlier command."""
    for _ in range(2):
        for name in ("scores.json", "predictions/other.json"):
            output = str(run / name)
            assert main(["evaluate", str(run), "--data", "data", "--reader", "conll", "-o", output]) == 0


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the shell, in which `sltk` is this one."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    script = f'sltk() {{ {shlex.join(warm.python())} -m sltk "$@"; }}\n{command}'
    return subprocess.run(
        ["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    "redirection", ["- >> data/a.conll", "/dev/stdout >> data/a.conll", "- < b.txt 1<> b.txt"]
)
def test_streams_replace_no_input(folder: Path, redirection: str) -> None:
    """A command that appends to what it reads would never end."""
    before = contents(folder)
    source = "-" if "<" in redirection.replace("<>", "") else "data/a.conll"
    reader = "text" if source == "-" else "conll"
    completed = shell(f"sltk convert {source} --reader {reader} --writer conll {redirection}")
    assert completed.returncode == 2
    assert "is a file that is read" in completed.stderr
    assert contents(folder) == before


@pytest.mark.parametrize("output", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_an_open_stream_keeps_what_others_write_to_it(folder: Path, output: str) -> None:
    """The file behind `/dev/stdout` is not replaced, and its other content stays."""
    command = f"sltk convert data/a.conll {output} --reader conll --writer conll"
    completed = shell(f"(echo before; {command}; echo after) > all")
    assert completed.returncode == 0, completed.stderr
    assert Path("all").read_text() == "before\nAda\tB-PER\nleft\tO\n\nafter\n"


def test_devices_are_written_to(folder: Path) -> None:
    """Also by users who may not create files next to them."""
    assert not main(["convert", "data/a.conll", "/dev/null", "--reader", "conll", "--writer", "conll"])
    assert not Path("/dev/null").is_file()
