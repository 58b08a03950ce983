"""The readers read the examples in docs/guides/data.md."""

from __future__ import annotations

import json
import re

import pytest

from repository import ROOT
from sltk.cli import main
from sltk.components.registry import registry

PAGE = ROOT / "docs" / "guides" / "data.md"
_EXAMPLE = re.compile(r"^```text (\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_NAMES = {"doc.txt", "doc.ann"}


def examples() -> dict[str, list[tuple[list[str], str]]]:
    """Examples by reader: the words after its name, and the file content."""
    by_reader: dict[str, list[tuple[list[str], str]]] = {}
    for reader, rest, content in _EXAMPLE.findall(PAGE.read_text(encoding="utf-8")):
        by_reader.setdefault(reader, []).append((rest.split(), content))
    return by_reader


@pytest.mark.parametrize("reader", examples())
def test_examples_are_read(reader, tmp_path, capsys):
    """Each example is a valid file, and its annotation is used unless it is plain text."""
    for words, content in examples()[reader]:
        name = next(iter(_FILE_NAMES & set(words)), "file")
        (tmp_path / name).write_text(content, encoding="utf-8")
        if name == "doc.txt":
            continue
        options = [part for word in words if "=" in word for part in ("--option", word)]
        assert main(["stats", str(tmp_path / name), "--reader", reader, "--json", *options]) == 0
        counts = json.loads(capsys.readouterr().out)
        assert counts["sentences"] > 0
        assert bool(counts["tags"] or counts["spans"]) == (reader != "text")


def built_in_readers() -> list[str]:
    """The names of the readers of the package."""
    readers = registry.slot("reader").items()
    return [name for name, reader in readers if reader.__module__.startswith("sltk.")]


def test_every_reader_is_on_the_page():
    """The table lists every built-in reader."""
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in built_in_readers() if f"`{name}`" not in page] == []


def test_every_reader_has_a_row_on_what_it_accepts():
    """docs/reference/data_formats.md has one complete row for each built-in reader, in order."""
    page = (ROOT / "docs" / "reference" / "data_formats.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| `")]
    assert [row[0].strip(" `") for row in rows] == sorted(built_in_readers())
    assert all(len(row) == 4 and all(cell.strip() for cell in row) for row in rows)
