"""Every format that is read can be written as JSON lines without losing a word, a span or its text."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz_cases import VALID_FILES, ValidFile
from sltk.components.readers.jsonl import JsonlReader
from sltk.components.slots import Reader
from sltk.components.writers import JsonlWriter
from sltk.data.conversion import Conversion
from sltk.types import Sentence


def contents(reader: Reader) -> list[tuple[object, ...]]:
    return [(each.words, spans_of(each), each.text, each.offsets) for each in reader.read() if each.words]


def spans_of(sentence: Sentence) -> list[tuple[int, int, str]]:
    return sorted({(span.start, span.end, span.type) for span in sentence.spans or ()})


@pytest.mark.parametrize("valid", [each for each in VALID_FILES if each.span[0]], ids=lambda each: each.name)
def test_spans_of_every_format_survive_json_lines(valid: ValidFile, tmp_path: Path) -> None:
    """Words and spans, nested ones too, are the same after writing and reading JSON lines; so is a text."""
    reader = valid.open(valid.put(tmp_path, valid.text.encode()))
    path = tmp_path / "out.jsonl"
    JsonlWriter().save(Conversion(reader).predictions(), path)
    expected = contents(reader)
    again = contents(JsonlReader(path=path))
    assert [(words, spans) for words, spans, _, _ in again] == [
        (words, spans) for words, spans, _, _ in expected
    ]
    for (words, _, text, offsets), (_, _, other, others) in zip(expected, again, strict=True):
        assert (other, others) == ((text, offsets) if text is not None else (" ".join(words), others))
