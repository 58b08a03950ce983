"""Text made safe for spreadsheets and terminals."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sltk.files.safety import csv_cell


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_formulas_in_cells_are_text(start: str) -> None:
    """A cell that a spreadsheet would compute begins with an apostrophe."""
    cell = csv_cell(f"{start}cmd|'/c calc'!A1")
    assert isinstance(cell, str)
    assert cell.startswith("'")
    assert cell.isprintable()


@pytest.mark.parametrize("number", [-1, -0.5, 2.5e-7, 0, 10**20])
def test_numbers_stay_numbers(number: float) -> None:
    """Negative numbers are not formulas."""
    assert csv_cell(number) == number


@given(st.text())
def test_cells_are_one_line_without_control_characters(text: str) -> None:
    """Any text gives a cell that is read back as it is shown."""
    cell = csv_cell(text)
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerow(["a", cell])
    assert file.getvalue().count("\n") == 1
    assert next(csv.reader(io.StringIO(file.getvalue()))) == ["a", cell]
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in str(cell))
