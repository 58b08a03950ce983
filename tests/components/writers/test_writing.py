"""Output paths: links and pipes stay what they are, and unwritable paths are rejected before anything is read."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sltk.cli import main

DATA = "Mia B-PER\nmet O\nAli B-PER\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A one-sentence CoNLL file."""
    path = tmp_path / "in.conll"
    path.write_text(DATA, encoding="utf-8")
    return path


def convert(data: Path, output: str) -> int:
    return main(["convert", str(data), output, "--reader", "conll", "--writer", "conll"])


def test_the_target_of_a_link_is_replaced(data: Path, tmp_path: Path) -> None:
    """The link is kept, and its target has the new text."""
    target, link = tmp_path / "target.conll", tmp_path / "link.conll"
    target.write_text("before", encoding="utf-8")
    link.symlink_to(target)
    assert convert(data, str(link)) == 0
    assert link.is_symlink()
    assert "Mia" in target.read_text(encoding="utf-8")


def test_a_pipe_is_written_into(data: Path, tmp_path: Path) -> None:
    """The reading end receives the text, and the path is still a pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text(encoding="utf-8")))
    reader.start()
    assert convert(data, str(pipe)) == 0
    reader.join()
    assert "Mia" in got[0]
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (".", "`.` is a folder: name a file"),
        ("", "`.` is a folder: name a file"),
        ("in.conll/x", "in.conll` is not a directory"),
        ("x" * 300, "is too long for a file"),
    ],
)
def test_a_place_that_holds_no_file_is_rejected(
    output: str, message: str, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One message, and nothing is written."""
    monkeypatch.chdir(data.parent)
    assert convert(data, output) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in data.parent.iterdir()] == ["in.conll"]


def test_a_name_may_be_as_long_as_the_file_system_allows(data: Path, tmp_path: Path) -> None:
    """Temporary files do not need longer names."""
    name = "x" * 249 + ".conll"
    assert convert(data, str(tmp_path / name)) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"in.conll", name}


def test_an_unwritable_path_of_a_run_is_rejected_before_reading(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder cannot be created inside a file."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: x\ndata: {train: {type: conll, path: absent.conll}}\n"
        "backbone: {type: encoder, name: nowhere}\n",
        encoding="utf-8",
    )
    assert main(["train", str(spec), "--output", str(data / "run")]) == 2
    assert "in.conll` is not a directory" in capsys.readouterr().err
