"""The spec of a run directory says to every reader of it what the run was given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tiny
from sltk.errors import UsageError
from sltk.models.saving import FORMAT
from sltk.reports.run_reader import read_run
from sltk.rundir.directory import RunDirectory
from sltk.spec import loading
from sltk.spec.stored import parse_stored_spec
from sltk.spec.writing import dump_values
from sltk.sweeps.plan import PlannedRun
from sltk.sweeps.run_state import read_row

DOLLARS = st.text(st.sampled_from("${}a: -\"'\n"))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example({"a": "\x85", "b": "x\u2028y", "c": ["\u2029"]})
@given(st.dictionaries(st.sampled_from("abc"), st.text() | DOLLARS | st.lists(DOLLARS)))
def test_what_is_stored_reads_back_as_it_was(values: dict[str, object]) -> None:
    """Texts of any characters, and `${`, which a spec has to write in another way."""
    assert parse_stored_spec(dump_values(values)) == values


def test_reports_and_sweeps_read_one_spec_alike(tmp_path: Path) -> None:
    """A run that is called `a${b}` is called so in a report, and is that of its plan in a sweep."""
    loaded = loading.load(tiny.spec(name="a${b}"))
    assert loaded.spec.name == "a${b}"
    (tmp_path / "spec.yaml").write_text(loading.dump(loaded.spec))
    (tmp_path / "environment.json").write_text("{}")
    assert read_row(PlannedRun("a", {}, loaded), tmp_path, None).state == "waiting"
    (tmp_path / "metrics.json").write_text(json.dumps({"train": {}}))
    assert read_run(tmp_path).name == "a${b}"


def test_a_change_of_spec_is_told_as_the_spec_says_it(tmp_path: Path) -> None:
    """`--resume` shows the name that was given, and not how it is written in YAML."""
    (tmp_path / "spec.yaml").write_text(loading.dump(loading.load(tiny.spec(name="a${b}")).spec))
    (tmp_path / "environment.json").write_text(json.dumps({"format": FORMAT}))
    with pytest.raises(UsageError, match=r'name: "a\$\{b\}" → "tiny"'):
        RunDirectory(tmp_path).prepare(loading.load(tiny.spec()).spec, resume=True, force=False)


@pytest.mark.parametrize("name", ["imports", "environment.json", "checkpoints", "corpus"])
def test_what_a_kill_leaves_before_the_spec_is_in_nobodys_way(tmp_path: Path, name: str) -> None:
    """Neither a run nor a sweep takes it for somebody's files."""
    (tmp_path / name).mkdir()
    loaded = loading.load(tiny.spec())
    assert RunDirectory(tmp_path).prepare(loaded.spec, resume=False, force=False) is None
    assert read_row(PlannedRun("a", {}, loaded), tmp_path, None).state == "waiting"
