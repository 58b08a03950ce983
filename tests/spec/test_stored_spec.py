"""Stored specs: run directories, reports and sweeps read the same values back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tiny
from sltk.errors import UsageError
from sltk.models.description import FORMAT
from sltk.reports.run_reader import read_run
from sltk.rundir.directory import RunDirectory
from sltk.spec import loading
from sltk.spec.stored import parse_stored_spec
from sltk.spec.writing import dump_values
from sltk.sweeps.plan import PlannedRun
from sltk.sweeps.run_state import read_row

DOLLARS = st.text(st.sampled_from("${}a: -\"'\n"))


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@example({"a": "\x85", "b": "x\u2028y", "c": ["\u2029"]})
@given(st.dictionaries(st.sampled_from("abc"), st.text() | DOLLARS | st.lists(DOLLARS)))
def test_stored_values_round_trip(values: dict[str, object]) -> None:
    """Text with any characters, including `${`, which is escaped in a spec."""
    assert parse_stored_spec(dump_values(values)) == values


def test_reports_and_sweeps_read_the_same_spec(tmp_path: Path) -> None:
    """A run named `a${b}` has this name in a report, and matches its plan in a sweep."""
    loaded = loading.load(tiny.spec(name="a${b}"))
    assert loaded.spec.name == "a${b}"
    (tmp_path / "spec.yaml").write_text(loading.dump(loaded.spec))
    (tmp_path / "environment.json").write_text("{}")
    assert read_row(PlannedRun("a", {}, loaded), tmp_path, None).state == "waiting"
    (tmp_path / "metrics.json").write_text(json.dumps({"train": {}}))
    assert read_run(tmp_path).name == "a${b}"


def test_a_changed_spec_is_reported_without_escapes(tmp_path: Path) -> None:
    """`--resume` shows the name itself, not its escaped form in YAML."""
    (tmp_path / "spec.yaml").write_text(loading.dump(loading.load(tiny.spec(name="a${b}")).spec))
    (tmp_path / "environment.json").write_text(json.dumps({"format": FORMAT}))
    with pytest.raises(UsageError, match=r'name: "a\$\{b\}" → "tiny"'):
        RunDirectory(tmp_path).prepare(loading.load(tiny.spec()).spec, resume=True, force=False)


def stored_by_an_earlier_version(spec) -> str:
    """The stored spec without keys that were added since, at several depths."""
    values = parse_stored_spec(loading.dump(spec))
    for part, key in (
        (values["data"]["train"], "repair"),
        (values["metrics"][0], "mode"),
        (values, "on_overflow"),
    ):
        del part[key]
    return dump_values(values)


def test_keys_of_later_versions_are_no_change(tmp_path: Path) -> None:
    """A run of an earlier version can be resumed if the keys that it lacks have their defaults."""
    data = {"train": {"type": "conll", "path": str(tmp_path / "a")}}
    spec = loading.load(tiny.spec(data=data)).spec
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "spec.yaml").write_text(stored_by_an_earlier_version(spec))
    (tmp_path / "run" / "environment.json").write_text(json.dumps({"format": FORMAT}))
    run = RunDirectory(tmp_path / "run")
    assert run.prepare(spec, resume=True, force=False) is None
    loaded = loading.load(tiny.spec(data=data))
    assert read_row(PlannedRun("a", {}, loaded), run.folder, None).state == "waiting"
    data["train"]["repair"] = "drop"
    with pytest.raises(UsageError, match=r"data\.train\.repair"):
        run.prepare(loading.load(tiny.spec(data=data)).spec, resume=True, force=False)


@pytest.mark.parametrize("name", ["imports", "environment.json", "checkpoints", "corpus"])
def test_files_of_a_killed_run_do_not_block_a_new_one(tmp_path: Path, name: str) -> None:
    """Files written before the spec are not mistaken for files of the user, neither by a run nor by a sweep."""
    (tmp_path / "environment.json").touch()  # a run writes it first
    if name != "environment.json":
        (tmp_path / name).mkdir()
    loaded = loading.load(tiny.spec())
    assert RunDirectory(tmp_path).prepare(loaded.spec, resume=False, force=False) is None
    assert read_row(PlannedRun("a", {}, loaded), tmp_path, None).state == "waiting"
