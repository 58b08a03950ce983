"""The tutorial works as shown: its commands run in order and print what docs/tutorial.md shows."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

import warm
from repository import ROOT

pytestmark = pytest.mark.slow

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', TUTORIAL, re.MULTILINE | re.DOTALL))
CONSOLE = "".join(re.findall(r"^```console\n(.*?)^```$", TUTORIAL, re.MULTILINE | re.DOTALL))


class Step(NamedTuple):
    """A command, the output shown below it, and the output it prints."""

    command: str
    shown: str
    printed: str


def run(command: str, folder: Path) -> str:
    """Run a shell command in which `sltk` and `python` are those of this test; return all it prints."""
    python = shlex.join(warm.python())
    program = re.sub(r"(^|\| )sltk ", rf"\1{python} -m sltk ", command)
    program = re.sub(r"^python ", f"{python} ", program)
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "toolkit"), COLUMNS="100", HF_HUB_OFFLINE="1")
    environment.pop("FORCE_COLOR", None)
    return subprocess.run(
        program,
        shell=True,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tutorial, with the files that the page shows."""
    folder = tmp_path_factory.mktemp("tutorial")
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def steps(folder: Path) -> list[Step]:
    """All commands of the page, run in order."""
    pairs = re.findall(r"^\$ ([^\n]+)\n((?:(?!\$ ).*\n)*)", CONSOLE, re.MULTILINE)
    return [Step(command, shown, run(command, folder)) for command, shown in pairs]


def comparable(output: str, folder: Path) -> str:
    """The output without outer blanks, empty lines, and what depends on the machine: paths, scores, times, memory."""
    output = re.sub(r"\d\.\d{4}", "N", output.replace(f"{folder}{os.sep}", ""))
    output = re.sub(r"in \d+ s, [\d,]+ words/s, peak memory [\d.]+ GiB", "in N s", output)
    return "\n".join(line.strip() for line in output.splitlines() if line.strip())


def test_commands_print_the_output_in_the_tutorial(steps: list[Step], folder: Path) -> None:
    """Each output is the one shown, where `…` stands for any text, and except for numbers of the machine."""
    for step in steps:
        parts = comparable(step.shown, folder).split("…")
        pattern = ".*".join(re.escape(part.strip()) for part in parts)
        printed = comparable(step.printed, folder)
        assert re.fullmatch(pattern, printed, re.DOTALL), f"$ {step.command}\n{step.printed}"


def test_only_the_unmasked_model_distinguishes_persons_from_places(steps: list[Step], folder: Path) -> None:
    """The unmasked model labels nearly every span correctly, the causal one does not."""
    assert steps
    f1 = {
        name: json.loads((folder / "runs" / name / "metrics.json").read_text())["test"]["f1"]
        for name in ("notes", "notes_causal")
    }
    assert f1["notes"] > 0.95
    assert f1["notes_causal"] < 0.9
