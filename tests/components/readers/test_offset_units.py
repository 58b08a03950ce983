"""Offsets in characters, UTF-16 units or bytes, and the texts that annotations repeat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repository import ROOT
from sltk.components.readers.brat import BratReader
from sltk.components.readers.dataturks import DataturksReader
from sltk.components.readers.doccano import DoccanoReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.components.readers.label_studio import LabelStudioReader
from sltk.components.readers.offsets import OffsetReader
from sltk.components.readers.prodigy import ProdigyReader
from sltk.components.readers.semeval14 import SemEval14Reader
from sltk.components.readers.semeval15 import SemEval15Reader
from sltk.data.statistics import statistics
from sltk.errors import DataError
from sltk.types import Sentence

UNITS = ["characters", "utf16", "bytes"]


class Marked(NamedTuple):
    """Part of a text with a type."""

    start: int
    end: int
    type: str


class Document(NamedTuple):
    """A text with marked parts."""

    text: str
    marked: list[Marked]

    def quote(self, part: Marked) -> str:
        return self.text[part.start : part.end]


def count(text: str, unit: str, joins_line_ends: bool) -> int:
    """The length of a text in a unit."""
    text = text.replace("\r\n", "\n") if joins_line_ends else text
    if unit == "bytes":
        return len(text.encode())
    return len(text.encode("utf-16-le")) // 2 if unit == "utf16" else len(text)


Count = Callable[[str], int]


def offsets_of(document: Document, part: Marked, length: Count) -> tuple[int, int]:
    return length(document.text[: part.start]), length(document.text[: part.end])


def write_jsonl(folder: Path, documents: Sequence[Document], length: Count) -> OffsetReader:
    return JsonlReader(path=_write_lines(folder, documents, length, "spans", ("start", "end", "type")))


def write_doccano(folder: Path, documents: Sequence[Document], length: Count) -> OffsetReader:
    keys = ("start_offset", "end_offset", "label")
    return DoccanoReader(path=_write_lines(folder, documents, length, "entities", keys))


def write_prodigy(folder: Path, documents: Sequence[Document], length: Count) -> OffsetReader:
    return ProdigyReader(path=_write_lines(folder, documents, length, "spans", ("start", "end", "label")))


def write_dataturks(folder: Path, documents: Sequence[Document], length: Count) -> OffsetReader:
    path = folder / "data.json"
    rows = []
    for document in documents:
        annotation = []
        for part in document.marked:
            start, end = offsets_of(document, part, length)
            point = {"start": start, "end": end - 1, "text": document.quote(part)}
            annotation.append({"label": [part.type], "points": [point]})
        rows.append(json.dumps({"content": document.text, "annotation": annotation}) + "\n")
    path.write_text("".join(rows), encoding="utf-8")
    return DataturksReader(path=path)


def _write_lines(
    folder: Path, documents: Sequence[Document], length: Count, key: str, keys: tuple[str, str, str]
) -> Path:
    path = folder / "data.jsonl"
    rows = [
        {
            "text": document.text,
            key: [
                dict(zip(keys, (*offsets_of(document, part, length), part.type), strict=True))
                | {"text": document.quote(part)}
                for part in document.marked
            ],
        }
        for document in documents
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_label_studio(folder: Path, documents: Sequence[Document], length: Count) -> OffsetReader:
    tasks = []
    for document in documents:
        result = []
        for part in document.marked:
            start, end = offsets_of(document, part, length)
            value = {"start": start, "end": end, "text": document.quote(part), "labels": [part.type]}
            result.append({"type": "labels", "from_name": "label", "value": value})
        tasks.append({"data": {"text": document.text}, "annotations": [{"result": result}]})
    path = folder / "data.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return LabelStudioReader(path=path)


def write_semeval14(folder: Path, documents: Sequence[Document], length: Count) -> OffsetReader:
    rows = []
    for document in documents:
        terms = ""
        for part in document.marked:
            start, end = offsets_of(document, part, length)
            term = quoteattr(" ".join(document.quote(part).split()))
            terms += f'<aspectTerm term={term} polarity="{part.type}" from="{start}" to="{end}"/>'
        text = escape(document.text, {"\r": "&#13;"})
        rows.append(f"<sentence><text>{text}</text><aspectTerms>{terms}</aspectTerms></sentence>")
    path = folder / "data.xml"
    path.write_text(f"<sentences>{''.join(rows)}</sentences>", encoding="utf-8")
    return SemEval14Reader(path=path)


def write_semeval15(folder: Path, documents: Sequence[Document], length: Count) -> OffsetReader:
    content = write_semeval14(folder, documents, length).path.read_text(encoding="utf-8")
    for old, new in (("aspectTerms>", "Opinions>"), ("<aspectTerm term", '<Opinion category="C#D" target')):
        content = content.replace(old, new)
    path = folder / "data.xml"
    path.write_text(f'<Reviews><Review rid="1">{content}</Review></Reviews>', encoding="utf-8")
    return SemEval15Reader(path=path)


def write_brat(
    folder: Path, documents: Sequence[Document], length: Count, line_end: str = " "
) -> OffsetReader:
    folder = folder / "brat"
    folder.mkdir(exist_ok=True)
    for number, document in enumerate(documents):
        (folder / f"{number}.txt").write_text(document.text, encoding="utf-8", newline="")
        lines = []
        for index, part in enumerate(document.marked):
            start, end = offsets_of(document, part, length)
            quoted = document.quote(part).replace("\r\n", "\n").replace("\n", line_end)
            lines.append(f"T{index}\t{part.type} {start} {end}\t{quoted}\n")
        (folder / f"{number}.ann").write_text("".join(lines), encoding="utf-8", newline="")
    return BratReader(path=folder)


def write_brat_with_line_ends(folder: Path, documents: Sequence[Document], length: Count) -> OffsetReader:
    return write_brat(folder, documents, length, "\n")


FORMATS = [
    write_jsonl,
    write_doccano,
    write_label_studio,
    write_semeval14,
    write_semeval15,
    write_prodigy,
    write_dataturks,
    write_brat,
    write_brat_with_line_ends,
]
each_format = pytest.mark.parametrize("write", FORMATS, ids=lambda write: write.__name__[6:])


def marked_texts(sentences: Sequence[Sentence]) -> list[tuple[str, str]]:
    """The text and type of each span."""
    result = []
    for sentence in sentences:
        assert sentence.text is not None
        assert sentence.offsets is not None
        for span in sentence.spans or ():
            start, end = sentence.offsets[span.start][0], sentence.offsets[span.end - 1][1]
            result.append((sentence.text[start:end], span.type))
    return result


def changes(sentences: Sequence[Sentence]) -> list[str]:
    return [item.reason for sentence in sentences for item in sentence.unused]


@st.composite
def documents(draw: st.DrawFn) -> list[Document]:
    """Texts with emoji, combining characters and line ends; every word is unique."""
    result, number = [], 0
    for _ in range(draw(st.integers(1, 3))):
        text, places = draw(st.sampled_from(["", "😀 ", "\r\n", "é "])), []
        for stem in draw(
            st.lists(st.sampled_from(["a", "😀", "e\u0301", "ß", "東", "👩🏽\u200d🚀"]), max_size=6)
        ):
            word = f"{stem}{number:02d}"
            places.append((len(text), len(text) + len(word)))
            text += word + draw(st.sampled_from([" ", "\r\n", "\n", " 🙂 ", " e\u0301 "]))
            number += 1
        marked = []
        for first in range(len(places)):
            if draw(st.booleans()):
                last = draw(st.integers(first, min(first + 1, len(places) - 1)))
                marked.append(Marked(places[first][0], places[last][1], f"T{first}"))
        result.append(Document(text, marked))
    return result


@given(documents(), st.sampled_from(UNITS), st.booleans())
@each_format
def test_the_unit_is_recognized(
    write: Any, tmp_path_factory: Any, documents: list[Document], unit: str, joins: bool
) -> None:
    """Spans in any unit are those in characters, if annotations repeat their text; conversions are counted."""
    folder = tmp_path_factory.mktemp("units")
    reader = write(folder, documents, lambda text: count(text, unit, joins))
    sentences = list(reader.read())
    expected = [(each.quote(part), part.type) for each in documents for part in each.marked]
    assert sorted(marked_texts(sentences)) == sorted(expected)
    converted = [
        part
        for each in documents
        for part in each.marked
        if offsets_of(each, part, lambda text: count(text, unit, joins)) != (part.start, part.end)
    ]
    counted = [int(reason.split()[2]) for reason in changes(sentences)]
    assert sum(counted) == len(converted)


EMOJI = Document("😀 Kai met Vera.", [Marked(2, 5, "PER")])
UMLAUT = Document("Ä! Kai met Vera.", [Marked(3, 6, "PER")])


@each_format
def test_a_file_has_one_unit(write: Any, tmp_path: Path) -> None:
    """If no unit fits all annotations of a file, offsets count characters, and the others are errors."""
    text = "😀 Kai and 😀 Vera"
    mixed = Document(text, [Marked(2, 5, "PER"), Marked(12, 16, "PER")])
    lengths = iter([len] * 2 + [lambda part: count(part, "utf16", False)] * 2)
    reader = write(tmp_path, [mixed], lambda part: next(lengths)(part))
    with pytest.raises(
        DataError,
        match="if offsets count UTF-16 units; those of this file are read as characters",
    ):
        list(reader.read())
    (sentence,) = reader.model_copy(update={"bad_annotation": "skip"}).read()
    assert marked_texts([sentence]) == [("Kai", "PER")]
    assert [(item.type, item.reason.startswith("left out: ")) for item in sentence.unused] == [("PER", True)]


@each_format
def test_a_wrong_text_is_an_error(write: Any, tmp_path: Path) -> None:
    """A span whose text is nowhere near its offsets is an error with its place, or left out and counted."""
    reader = write(
        tmp_path, [Document("Vera met Kai.", [Marked(0, 4, "PER")]), EMOJI], lambda text: len(text)
    )
    path = next(path for path in [reader.path, *reader.path.rglob("0.ann")] if path.is_file())
    content = path.read_text(encoding="utf-8")
    for before, after in (('"text": "', '"'), ('term="', '"'), ('target="', '"'), ("4\t", "\n")):
        content = content.replace(f"{before}Vera{after}", f"{before}Kai{after}")
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"the text at \[0, 4\) is `Vera`, not `Kai`") as caught:
        list(reader.read())
    assert str(path) in str(caught.value)
    first, second = reader.model_copy(update={"bad_annotation": "skip"}).read()
    assert marked_texts([first, second]) == [("Kai", "PER")]
    assert [(item.type, item.adjusted) for item in first.unused] == [("PER", False)]
    assert statistics(reader.model_copy(update={"bad_annotation": "skip"}))["spans"] == {"PER": 2}


def write_bare(folder: Path, documents: Sequence[Document], unit: str) -> Path:
    """JSON lines whose spans do not repeat their text."""
    path = folder / "bare.jsonl"
    rows = []
    for each in documents:
        spans = [
            [*offsets_of(each, part, lambda text: count(text, unit, False)), part.type]
            for part in each.marked
        ]
        rows.append(json.dumps({"text": each.text, "label": spans}) + "\n")
    path.write_text("".join(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_may_be_declared(tmp_path: Path, unit: Any) -> None:
    """Without repeated text, `offsets` declares the unit, which is characters by default."""
    path = write_bare(tmp_path, [UMLAUT, EMOJI], unit)
    assert marked_texts(list(DoccanoReader(path=path, offsets=unit).read())) == [("Kai", "PER")] * 2
    spans_field = "label"
    assert marked_texts(list(JsonlReader(path=path, spans_field=spans_field, offsets=unit).read()))[1:] == [
        ("Kai", "PER")
    ]
    if unit == "characters":
        assert marked_texts(list(DoccanoReader(path=path).read())) == [("Kai", "PER")] * 2


def test_a_declared_unit_is_checked(tmp_path: Path) -> None:
    """Offsets in another unit than the declared one are errors if the text shows it, or if they split a character."""
    path = write_jsonl(tmp_path, [EMOJI], len).path
    with pytest.raises(DataError, match="is there if offsets count characters"):
        list(JsonlReader(path=path, offsets="utf16").read())
    path = write_bare(tmp_path, [Document("😀😀", [Marked(0, 1, "E")])], "characters")
    with pytest.raises(DataError, match=r"if offsets count characters, set `offsets: characters`"):
        list(DoccanoReader(path=path, offsets="utf16").read())


def test_offsets_outside_the_text_suggest_a_unit(tmp_path: Path) -> None:
    """An offset behind the end of the text that another unit would explain is an error that names the unit."""
    path = write_bare(tmp_path, [Document("😀 Kai", [Marked(2, 5, "PER")])], "utf16")
    with pytest.raises(DataError, match="if offsets count UTF-16 units, set `offsets: utf16`"):
        list(DoccanoReader(path=path).read())


def test_a_unit_that_shows_late_counts_for_the_whole_file(tmp_path: Path) -> None:
    """Spans that fit two units by chance are read in the unit that fits the whole file."""
    text = "😀 aaa"
    chance = Document(text, [Marked(2, 3, "A")])  # offset 3 in UTF-16, where characters have another `a`
    length = lambda part: count(part, "utf16", False)  # noqa: E731
    for write in (write_jsonl, write_label_studio, write_semeval14):
        for late in (EMOJI, Document("😀 Kai", [Marked(2, 5, "PER")])):
            sentences = list(write(tmp_path, [chance, Document("plain", []), late], length).read())
            first = sentences[0].spans
            assert first is not None
            assert sentences[0].offsets is not None
            assert sentences[0].offsets[first[0].start][0] == 2
            assert marked_texts(sentences)[1] == ("Kai", "PER")


def test_piped_offsets_are_recognized(tmp_path: Path) -> None:
    """The unit is recognized in input that can be read only once."""
    chance = Document("😀 aaa", [Marked(2, 3, "A")])
    path = write_jsonl(tmp_path, [chance, EMOJI], lambda part: count(part, "utf16", False)).path
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "toolkit"))
    command = [sys.executable, "-m", "sltk", "convert", "-", "-", "--reader", "jsonl", "--writer", "jsonl"]
    done = subprocess.run(command, input=path.read_bytes(), capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    rows = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert [row["spans"][0]["start"] for row in rows] == [2, 2]
    assert "count UTF-16 units: converted to characters" in " ".join(done.stderr.decode().split())


class _Counted(JsonlReader):
    """Counts how often the file is gone through."""

    def texts(self) -> Any:
        _PASSES.append(self.path)
        return super().texts()


_PASSES: list[Path] = []


@pytest.mark.parametrize(("unit", "passes"), [("characters", 1), ("utf16", 2)])
def test_only_other_units_read_the_file_twice(tmp_path: Path, unit: str, passes: int) -> None:
    """A file in characters is read once, as long as nothing shows another unit."""
    path = write_jsonl(tmp_path, [UMLAUT, EMOJI, EMOJI], lambda text: count(text, unit, False)).path
    _PASSES.clear()
    assert marked_texts(list(_Counted(path=path).read())) == [("Kai", "PER")] * 3
    assert len(_PASSES) == passes


@each_format
def test_accents_are_compared_as_letters(write: Any, tmp_path: Path) -> None:
    """A letter with an accent may be one character in the annotation and two in the text."""
    document = Document("Ze\u0301 left", [Marked(0, 3, "PER")])
    reader = write(tmp_path, [document], len)
    for path in [reader.path, *reader.path.rglob("*.ann")]:
        if path.is_file():
            content = path.read_text(encoding="utf-8").replace("\tZe\u0301", "\tZ\u00e9")
            for name in ("term", "target"):
                content = content.replace(f'{name}="Ze\u0301"', f'{name}="Z\u00e9"')
            content = content.replace('"text": "Ze\\u0301"', '"text": "Z\\u00e9"')
            path.write_text(content, encoding="utf-8")
            assert "Z\u00e9" in content or "Z\\u00e9" in content
    assert marked_texts(list(reader.read())) == [("Ze\u0301", "PER")]


@pytest.mark.parametrize(("start", "end"), [(10, 13), (9, 11)])
def test_the_error_says_where_the_text_is(tmp_path: Path, start: int, end: int) -> None:
    """Offsets from 1, or with the last character included, are errors that name the right place."""
    path = tmp_path / "a.jsonl"
    span = {"start": start, "end": end, "type": "PER", "text": "Kai"}
    path.write_text(json.dumps({"text": "Kai! Yes Kai left.", "spans": [span]}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"`Kai` is at \[9, 12\)"):
        list(JsonlReader(path=path).read())
