"""The report on context: its comparisons are those of its sweep, and its tables follow from the records."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest
import yaml

import study_records
from repository import ROOT
from sltk.reports.run_records import read_records

FIGURE = "figure cost F1 by cost"
PAGE = ROOT / "docs" / "reports" / "context.md"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """docs/context.py, without running it."""
    found = importlib.util.spec_from_file_location("context_report", ROOT / "docs" / "context.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_page_compares_what_the_sweep_declares(script: ModuleType) -> None:
    """So that the page and `sltk report` correct for the same number of comparisons."""
    sweep = yaml.safe_load((ROOT / "experiments/context/sweep.yaml").read_text(encoding="utf-8"))["sweep"]
    assert set(script.comparisons_of(PAGE.read_text(encoding="utf-8"))) == set(map(str, sweep["compare"]))


def test_the_parts_of_the_page_are_filled_in(script: ModuleType) -> None:
    """Each part has the tables of all data sets; questions have the rows that they name, with p corrected for all."""
    text = "".join(
        f"<!-- records: {name} -->\nstale\n<!-- end -->\n"
        for name in (
            "budget",
            "scores",
            "comparisons 0011:1111",
            "comparisons repeat_1:1111 0011:0000",
            FIGURE,
        )
    )
    records = [*study_records.named_arms(), *study_records.named_arms(data="books")]
    tasks = script.arranged(records, script.comparisons_of(text))
    filled = script.filled(text, tasks)
    assert "stale" not in filled
    assert filled.count("| 0011 − 1111 |") == 2
    assert filled.count("**context_books**") == 3
    assert "correction over 3 comparisons" in filled
    assert "| context_news | 21 | 120–122 | 60 | 60 |" in filled
    assert "![F1 by cost](figures/context_cost.png)" in filled
    assert script.filled(filled, tasks) == filled


def test_the_page_is_current(script: ModuleType) -> None:
    """The parts that need no resampling follow from the committed records, once there are any."""
    files = sorted((PAGE.parent / "records").glob("context_*.jsonl"))
    text = PAGE.read_text(encoding="utf-8")
    records = [record for path in files for record in read_records(path)]
    tasks = script.arranged(records, script.comparisons_of(text)) if records else []
    cheap = re.compile(r"<!-- records: (?:budget|cost|learning|figure [^>]*) -->.*?<!-- end -->", re.DOTALL)
    assert len(cheap.findall(text)) == 7
    assert cheap.findall(text) == [script.filled(part, tasks) for part in cheap.findall(text)]
