"""The JSON Schema with which editors validate specs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from repository import ROOT
from sltk.yamltree.extends import read
from sltk.yamltree.scalars import plain

FOLDER = ROOT / "experiments"
TASKS = sorted(path.stem for path in FOLDER.glob("paper/tasks/*.yaml"))
SPECS = sorted(
    path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("[a-z]*.yaml") if path.parent.name != "tasks"
)
RUN = "{name: a, data: {train: {type: conll, path: a}}, backbone: {type: decoder, name: b}"
FOLDS = RUN.replace("data: {", "data: {folds: {k: 5}, ")
PRETRAIN = "{name: a, objective: clm, corpus: {type: text, path: a}, backbone: {type: decoder, name: b}"


@cache
def validator() -> Draft202012Validator:
    """The validator; a separate process knows no component that another test has registered."""
    command = [sys.executable, "-m", "sltk", "schema"]
    schema = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def wrong(value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in validator().iter_errors(plain(value))]


class Editor(yaml.SafeLoader):
    """A YAML parser that reads `2e-4` as a number, like YAML 1.2."""


Editor.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def parsed(text: str) -> Any:
    """Parse a spec like an editor: without `extends:`, and without replacing variables."""
    return yaml.load(text, Editor)


@pytest.mark.parametrize("name", SPECS)
def test_every_shipped_spec_is_valid_as_an_editor_sees_it(name: str) -> None:
    """The first line names the schema; the spec is valid alone, and with everything it extends."""
    path = FOLDER / name
    first, _, text = path.read_text(encoding="utf-8").partition("\n")
    place = "../" * name.count("/") + "sltk.schema.json"
    assert first == f"# yaml-language-server: $schema={place}"
    assert (path.parent / place).is_file()
    assert wrong(parsed(text)) == []
    assert wrong(read(path).tree.plain()) == []


@pytest.mark.parametrize("task", TASKS)
def test_every_task_of_the_paper_is_valid_with_a_model(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task is valid together with the spec that extends it, and alone if it names the schema."""
    first, _, text = (FOLDER / f"paper/tasks/{task}.yaml").read_text(encoding="utf-8").partition("\n")
    if "schema" in first:
        assert wrong(parsed(text)) == []
    monkeypatch.setenv("TASK", task.removeprefix("small_"))
    spec = "fig3_small" if task.startswith("small_") else "llama2_7b"
    assert wrong(read(FOLDER / f"paper/{spec}.yaml").tree.plain()) == []


@pytest.mark.parametrize(
    "text",
    [
        RUN + "}",
        RUN + ", trainer: {epochs: '${EPOCHS:-3}', learning_rate: 2e-4}}",
        PRETRAIN + ", snapshots: 2, validation: {type: holdout}}",
        RUN + ", sweep: {grid: {seed: [1, 2]}}, executor: {type: local}}",
        RUN + ", search: {strategy: shared, masks: {every: 4}}}",
        FOLDS + ", executor: {type: local, workers: 2}}",
        "{extends: a.yaml, objective: mlm, backbone: {unmask: all}}",
        "{extends: a.yaml, trainer: {epochs: 1}}",
    ],
)
def test_specs_of_all_kinds_are_valid(text: str) -> None:
    """The schema accepts runs, pre-training, sweeps, searches, and specs that extend another spec."""
    assert wrong(parsed(text)) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (RUN + ", objektive: clm}", "$: "),
        (RUN + ", snapshots: 2}", "$: "),
        (PRETRAIN + ", head: {type: linear}}", "$: "),
        (PRETRAIN + ", snapshots: often}", "$.snapshots: "),
        (PRETRAIN.replace("clm", "cml") + "}", "$.objective: "),
        (PRETRAIN + ", trainer: {epoch: 2}}", "$.trainer: "),
        ("{name: a, corpus: {type: text, path: a}, backbone: {type: decoder, name: b}}", "$: 'objective'"),
        (RUN + ", sweep: {grid: {seed: []}}}", "$.sweep.grid.seed: "),
        (RUN + ", search: {strategy: lucky}}", "$.search.strategy: "),
        ("{extends: a.yaml, objektive: mlm}", "$: "),
        (RUN + ", executor: {type: local}}", "$.data: 'folds'"),
    ],
)
def test_errors_in_a_spec_are_marked(text: str, place: str) -> None:
    """A key of another kind of spec, a misspelt name or a value of the wrong type is marked at its position."""
    assert any(each.startswith(place) for each in wrong(parsed(text))), wrong(parsed(text))
