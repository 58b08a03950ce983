"""The loop of docs/guides/label_studio.md: its commands run as shown, with the part of Label Studio played here."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import known_names
from label_studio_format import TASKS, check
from repository import ROOT
from sltk.cli import main

PAGE = (ROOT / "docs" / "guides" / "label_studio.md").read_text(encoding="utf-8")
TITLED = re.compile(r'^ *```\w+ title="([^"]+)"\n(.*?)^ *```$', re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^ *```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
PEOPLE, PLACES = {"Kai", "Mira", "Ada", "Ben"}, {"Oslo", "Rome", "Turku"}


def annotate(task: dict[str, Any], number: int) -> dict[str, Any]:
    """The task as Label Studio 1.23 exports it after a person has corrected the spans and pressed Submit."""
    text = task["data"]["text"]
    regions = [
        {
            "value": {"start": m.start(), "end": m.end(), "text": m[0], "labels": [label]},
            "id": f"x{m.start()}",
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "origin": "manual",
        }
        for m in re.finditer(r"\w+", text)
        for label, known in (("PER", PEOPLE), ("LOC", PLACES))
        if m[0] in known
    ]
    prediction = {"id": number, **task["predictions"][0], "created_ago": "2 minutes", "task": number}
    annotation = {
        "id": number,
        "completed_by": 1,
        "result": regions,
        "was_cancelled": False,
        "ground_truth": False,
        "lead_time": 2.5,
        "prediction": prediction,
        "result_count": 0,
    }
    return {
        "id": number,
        "annotations": [annotation],
        "drafts": [],
        "predictions": [prediction],
        "data": task["data"],
    }


def run(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command of the page in this process, and return what it prints."""
    words = shlex.split(command)
    if words[0] == "python":
        return subprocess.run(
            [sys.executable, *words[1:2]], capture_output=True, text=True, check=True
        ).stdout
    assert main(words[1:]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


@pytest.mark.slow
def test_the_loop_works_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tasks come in the order of doubt, the corrected ones become data, and the next model is trained on all."""
    monkeypatch.chdir(tmp_path)
    for name, content in TITLED.findall(PAGE):
        Path(name).write_text(textwrap.dedent(content), encoding="utf-8")
    Path("first.conll").write_text(known_names.sentences(), encoding="utf-8")
    Path("data").mkdir()
    run("sltk convert first.conll data/first.jsonl --reader conll --writer jsonl", capsys)
    for block in CONSOLE.findall(PAGE):
        for step in re.split(r"^ *\$ ", block, flags=re.MULTILINE)[1:]:
            command = step.strip()
            printed = run(command, capsys)
            if "tasks.json" in command:
                tasks = json.loads(Path("tasks.json").read_text(encoding="utf-8"))
                export = [annotate(task, number) for number, task in enumerate(tasks, 1)]
                Path("export.json").write_text(json.dumps(export), encoding="utf-8")
    check(tasks, TASKS)
    scores = [task["predictions"][0]["score"] for task in tasks]
    assert scores == sorted(scores)
    assert len(scores) == 3
    rest = printed.splitlines()
    assert sorted([*rest, *(task["data"]["text"] for task in tasks)]) == sorted(
        Path("pool.txt").read_text().splitlines()
    )
    assert Path("runs/second/metrics.json").is_file()
