"""Counts of annotation that was left out or changed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sltk.cli import main
from sltk.data import changes as module
from sltk.data.changes import Changes
from sltk.types import Unused


def uncovered(number: int) -> Unused:
    return Unused("a.jsonl", number, f"`word {number}` (T{number}) covers no word of {number}", f"T{number}")


def test_few_changes_are_listed() -> None:
    """Up to the requested number, every change is shown with file, line and reason."""
    changes = Changes([uncovered(2), Unused("b.conll", None, "3 bytes replaced", adjusted=True)])
    assert list(changes.lines(2)) == [
        "a.jsonl:2: `word 2` (T2) covers no word of 2",
        "b.conll: 3 bytes replaced",
    ]


def test_many_changes_are_counted_by_reason() -> None:
    """More changes are counted by reason, whatever the words and numbers in it, with the place of the first."""
    changes = Changes(map(uncovered, range(1, 1001)))
    changes.add([Unused("b.conll", 7, "an odd line")])
    changes.add(Unused("c.conll", number, f"`x` overlaps `{number}`") for number in range(3))
    assert changes.count == 1004
    assert list(changes.lines(2)) == [
        "1,000 × `…` covers no word of …; the first at a.jsonl:1",
        "3 × `…` overlaps `…`; the first at c.conll:0",
        "… and 1 more, for 1 other reasons",
    ]
    assert list(changes.lines(3))[2] == "b.conll:7: an odd line"


def test_the_same_reason_of_what_is_used_and_what_is_not() -> None:
    """What is left out and what is used after a change are counted apart."""
    changes = Changes([Unused("a", 1, "odd"), Unused("a", 2, "odd", adjusted=True)])
    counts = changes.as_json()
    assert [len(counts["unused"]), len(counts["adjusted"])] == [1, 1]
    assert [(item["count"], item["adjusted"]) for item in counts["changes"]] == [(1, False), (1, True)]


@given(st.lists(st.text(max_size=8), max_size=40))
def test_nothing_is_lost(reasons: list[str]) -> None:
    """The counts of all reasons add up to the number of changes, also of those that are shown."""
    changes = Changes(Unused("a", number, reason) for number, reason in enumerate(reasons))
    assert sum(item["count"] for item in changes.as_json()["changes"]) == changes.count == len(reasons)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million changes for as many reasons need no more memory than a few."""
    monkeypatch.setattr(module, "LISTED", 20)
    changes = Changes(Unused("a", 1, f"{letters}: odd {letters}x") for letters in map(hex, range(100_000)))
    assert changes.count == 100_000
    assert len(changes.reasons) <= 201
    assert len(changes.left_out) == 20
    assert sum(reason.count for reason in changes.reasons) == 100_000
    assert sys.getsizeof(changes._reasons) < 50_000


def test_commands_count_by_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`stats` and `convert` show the counts by reason, and both the same."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a b", "spans": [{"start": 1, "end": 2, "type": "X"}]}\n' * 30)
    assert main(["stats", str(path), "--reader", "jsonl"]) == 0
    shown = capsys.readouterr().err
    assert "annotations left out or changed: 30\n  30 × `…` covers no word; the first at" in shown
    target = ["convert", str(path), str(tmp_path / "b.conll"), "--reader", "jsonl", "--writer", "conll"]
    assert main(target) == 0
    assert capsys.readouterr().err == shown
