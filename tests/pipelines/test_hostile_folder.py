"""Commands in a working directory that somebody else filled: nothing in it is executed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sltk
import tiny
from repository import ROOT

SWEEP = """
name: tiny
data:
  train: {type: grammar, part: train, count: 12}
  validation: {type: grammar, part: validation, count: 4}
backbone:
  type: decoder
  init: random
  config: {model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2}
  tokenizer: {type: train, vocab_size: 300}
trainer: {max_steps: 1}
sweep: {grid: {seed: [1, 2]}}
"""


def hostile_repository(folder: Path) -> Path:
    """Make a folder a git repository whose configuration names programs; returns the file that they create."""
    mark = folder.parent / "ran"
    program = folder / "program.sh"
    folder.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    program.chmod(0o755)
    (folder / "words.txt").write_text("Mia\n")
    (folder / ".gitattributes").write_text("*.txt filter=theirs diff=theirs\n")

    def git(*words: str) -> None:
        command = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@y", *words]
        subprocess.run(command, check=True, capture_output=True)

    git("init", "-q")
    git("add", "words.txt", ".gitattributes")
    git("commit", "-qm", "Add words")
    hooks = (
        "core.fsmonitor",
        "filter.theirs.clean",
        "filter.theirs.smudge",
        "diff.theirs.textconv",
        "diff.external",
    )
    for setting in hooks:
        git("config", setting, str(program))
    (folder / "words.txt").write_text("Ali\n")
    os.utime(folder / "words.txt", (0, 0))
    assert not mark.exists()
    return mark


@pytest.mark.parametrize("variable", [None, "GIT_DIR"])
def test_a_hostile_repository_runs_nothing(
    variable: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training records the revision of sltk, and git does not look at the working directory."""
    folder = tmp_path / "theirs"
    mark = hostile_repository(folder)
    if variable is not None:
        monkeypatch.setenv(variable, str(folder / ".git"))
    monkeypatch.chdir(folder)
    sltk.train(tiny.spec({"max_steps": 1}), tmp_path / "run")
    assert not mark.exists()
    theirs = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    recorded = json.loads((tmp_path / "run" / "environment.json").read_text())["git_revision"]
    assert recorded is None or theirs not in recorded


@pytest.mark.slow
def test_the_repository_of_sltk_runs_no_monitor(tmp_path: Path) -> None:
    """Even the configuration of sltk's own repository starts no monitor and no program for differences."""
    root = tmp_path / "copy"
    shutil.copytree(ROOT / "toolkit", root / "toolkit", ignore=shutil.ignore_patterns("__pycache__"))
    mark = hostile_repository(root)
    script = "import sltk, sys, tiny; sltk.train(tiny.spec({'max_steps': 1}), sys.argv[1])"
    paths = [str(root / "toolkit"), str(ROOT / "tests")]
    done = run_python(["-c", script, str(tmp_path / "run")], tmp_path, PYTHONPATH=os.pathsep.join(paths))
    assert done.returncode == 0, done.stderr
    recorded = json.loads((tmp_path / "run" / "environment.json").read_text())["git_revision"]
    assert recorded.endswith("-dirty")
    assert not mark.exists()


@pytest.mark.multiprocess
@pytest.mark.parametrize("module", ["random", "json", "torch", "sltk"])
def test_the_workers_of_a_sweep_ignore_the_working_directory(module: str, tmp_path: Path) -> None:
    """A file with the name of a module that a worker imports is not executed."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / f"{module}.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()\n")
    (tmp_path / "study.yaml").write_text(SWEEP)
    arguments = ["-P", "-m", "sltk", "sweep", str(tmp_path / "study.yaml"), "--output", str(tmp_path / "out")]
    done = run_python(arguments, folder, PYTHONPATH=str(Path(sltk.__file__).parents[1]))
    assert done.returncode == 0, done.stderr
    assert "2 runs: 2 done" in done.stdout
    assert not (tmp_path / "ran").exists()


def run_python(arguments: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder."""
    environment = {**os.environ, **variables}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
