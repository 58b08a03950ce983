"""JSON files are objects one per line, over several lines each, or in one array; every reader of JSON reads them."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz_cases import VALID_FILES, ValidFile
from sltk.components.readers.doccano import DoccanoReader
from sltk.components.readers.json_records import JsonReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.components.registry import registry
from sltk.errors import DataError

LAYOUTS: dict[str, Callable[[list[Any]], str]] = {
    "lines": lambda items: "".join(f"{json.dumps(each)}\n" for each in items),
    "lines-with-blanks": lambda items: "\n\n".join(f"  {json.dumps(each)} " for each in items),
    "one-line": lambda items: "".join(json.dumps(each) for each in items),
    "indented": lambda items: "".join(f"{json.dumps(each, indent=2)}\n" for each in items),
    "unindented": lambda items: "\n".join(json.dumps(each, indent=0) for each in items),
    "array": lambda items: json.dumps(items),
    "array-of-lines": lambda items: "[\n" + ",\n".join(map(json.dumps, items)) + "\n]\n",
    "indented-array": lambda items: json.dumps(items, indent=4, ensure_ascii=False),
    "commas-first": lambda items: "\n[ " + "\n, ".join(map(json.dumps, items)) + "\n]",
}
JSON_FILES = [valid for valid in VALID_FILES if issubclass(registry.find("reader", valid.reader), JsonReader)]


def items_of(text: str) -> list[Any]:
    """The objects of a valid file."""
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


def lines_of(path: Path) -> list[tuple[int, dict[str, Any]]]:
    return [(record.line, record.value) for record in DoccanoReader(path=path).records()]


def error_message(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        lines_of(path)
    return str(caught.value)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("valid", JSON_FILES, ids=lambda valid: valid.name)
def test_every_reader_reads_every_layout(valid: ValidFile, layout: str, tmp_path: Path) -> None:
    """The layout of a JSON file does not change its sentences, documents or reports."""
    expected = list(valid.open(valid.put(tmp_path, valid.text.encode())).read())
    items = items_of(valid.text)
    sentences = list(valid.open(valid.put(tmp_path, LAYOUTS[layout](items).encode())).read())
    assert len(sentences) == len(expected) > 0
    for sentence, other in zip(sentences, expected, strict=True):
        unused = tuple(
            replace(item, line=before.line)
            for item, before in zip(sentence.unused, other.unused, strict=True)
        )
        assert replace(sentence, line=other.line, unused=unused) == other


@pytest.mark.parametrize("layout", LAYOUTS)
def test_documents_without_a_name_differ(layout: str, tmp_path: Path) -> None:
    """An object without an id is a document of its own, wherever it begins."""
    path = tmp_path / "a.json"
    path.write_text(LAYOUTS[layout]([{"text": "a", "label": []}] * 3))
    assert [each.document for each in DoccanoReader(path=path).read()] == ["1", "2", "3"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=3), VALUES, max_size=4), max_size=5)


@given(items=OBJECTS, layout=st.sampled_from(sorted(LAYOUTS)))
@settings(max_examples=200)
def test_any_objects_are_read_in_any_layout(items: list[Any], layout: str, tmp_path_factory: Any) -> None:
    """Values are those of the file, and each line is that where its object begins."""
    path = tmp_path_factory.mktemp("layouts") / "a.json"
    text = LAYOUTS[layout](items)
    path.write_text(text, encoding="utf-8", newline="")
    read = lines_of(path)
    assert [value for _, value in read] == items
    starts = [line for line, _ in read]
    assert starts == sorted(starts)
    lines = text.split("\n")
    assert all("{" in lines[line - 1] for line in starts)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ('{\n  "text": "a"\n}\n{\n  "text": b\n}\n', 5, "not valid JSON: Expecting value (column 11)"),
        ('{"text": "a"}\n{"text": "a",\n', 2, "not valid JSON"),
        ('{"text": "a", "x": [\n{"text": "b"}\n{"text": "c"}\n', 3, "the object that begins in line 1"),
        ('{"text": "a\n"}', 1, "Invalid control character"),
        ('{"text": "a"},\n{"text": "b"}\n', 1, "more text after the object, at column 14"),
        ('{"text": "a"}\n,{"text": "b"}\n', 2, "need `[` and `]` around them"),
        ('{"text": "a"} {"text": "b"} ]', 1, "more text after the object, at column 29"),
        ('{"text": "a"}\n[{"text": "b"}]\n', 2, "expected an object, found [{"),
        ('[{"text": "a"} {"text": "b"}]', 1, "expected `,` or `]`"),
        ('[\n{"text": "a"},\n', 2, "not valid JSON: Expecting value"),
        ('[\n{"text": "a"}\n', 2, "expected `,` or `]`"),
        ('[{"text": "a"}]\n[{"text": "b"}]\n', 2, "more text after the end of the array"),
        ("{'text': 'a'}\n", 1, "single quotes are the notation of Python"),
        ('{"a": 1,\n\n "a": 2}', 1, 'an object has the key "a" twice'),
        ('{"a":\n\n"\\ud83d"}', 1, "surrogate"),
        ("{" * 3, 1, "not valid JSON"),
        ('{"a": 1e5, "b": [' + '{"a": [' * 50_000, 1, "nested too deeply"),
    ],
)
def test_errors_name_the_line(content: str, line: int, message: str, tmp_path: Path) -> None:
    """An error names the line of the fault, and where its object begins if that is another line."""
    path = tmp_path / "a.json"
    path.write_text(content)
    error = error_message(path)
    assert f"{path}:{line}\n" in f"{error}\n"
    assert message in error


@pytest.mark.parametrize("layout", ["array-of-lines", "indented-array", "indented", "lines"])
def test_objects_are_read_one_at_a_time(layout: str, tmp_path: Path) -> None:
    """A file with line ends between its objects is not held in memory."""
    path = tmp_path / "a.json"
    path.write_text(LAYOUTS[layout]([{"words": ["word"] * 20, "tags": ["O"] * 20}] * 10_000))
    tracemalloc.start()
    try:
        assert sum(1 for _ in JsonlReader(path=path).read()) == 10_000
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 10
    finally:
        tracemalloc.stop()


def test_an_array_on_one_line_is_read_in_pieces(tmp_path: Path) -> None:
    """A line of many objects is not held in memory, and errors in it name the column."""
    path = tmp_path / "a.json"
    item = {"words": ["wörd", "\U0001f642", "\u2028"] * 9, "tags": ["O"] * 27, "n": [-1.25e-7, True, None]}
    text = json.dumps([item] * 30_000)
    path.write_text(text)
    tracemalloc.start()
    try:
        assert sum(1 for _ in JsonlReader(path=path).read()) == 30_000
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 3
    finally:
        tracemalloc.stop()
    path.write_text(text[:-1] + ", {]")
    assert f"(column {len(text) + 3})" in error_message(path)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64])
def test_pieces_may_end_anywhere(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values are the same wherever a piece of a line ends."""
    monkeypatch.setattr("sltk.components.readers.json_text._PIECE", size)
    items = [
        {"text": '\U0001f642\\"\n', "a": [-1.5e-7, True, False, None, {}, [[]]]},
        {"b": ""},
        {"text": "é"},
    ]
    path = tmp_path / "a.json"
    for layout in LAYOUTS.values():
        path.write_text("\ufeff" + layout(items), encoding="utf-8")
        assert [value for _, value in lines_of(path)] == items


def test_replaced_bytes_are_reported_once_each(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are reported with their line, in every layout."""
    path = tmp_path / "a.json"
    path.write_bytes(b'[\n{\n"text":\n"a\xff"\n},\n{"text": "b\xff"}]')
    sentences = list(DoccanoReader(path=path, encoding_errors="replace").read())
    assert [[item.line for item in each.unused] for each in sentences] == [[4], [6]]
