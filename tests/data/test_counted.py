"""What a reader cannot use is counted: an example for each reader of files, as docs/reference/data_formats.md says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sltk.components.registry import registry
from sltk.components.slots import FileReader
from sltk.data.statistics import statistics

WEBANNO = "#FORMAT=WebAnno TSV 3.3\n#T_SP=x.Entity|value\n\n#Text=a b\n1-1\t0-1\ta\t*\t\n1-2\t2-3\tb\tX\t\n"
OPINION = '<Opinion target="a" category="A#B" polarity="x" from="0" to="1"/>'
NULL = '<Opinion target="NULL" category="A#B" polarity="x" from="0" to="0"/>'
REVIEWS = (
    '<Reviews><Review rid="1"><sentences><sentence id="1"><text>a b</text>'
    f"<Opinions>{OPINION}{NULL}</Opinions></sentence>"
    '<sentence id="2" OutOfScope="TRUE"><text>c</text></sentence></sentences></Review></Reviews>'
)
TERMS = "".join(f'<aspectTerm term="{t}" polarity="x" from="0" to="{len(t)}"/>' for t in ("a b", "a"))
EVENT = {"trigger": {"start": 0, "end": 1}, "event_type": "Go"}
SLEEP = {"trigger": {"start": 0, "end": 1}, "event_type": "Sleep"}
REGION = {"value": {"start": 0, "end": 1, "labels": ["X"]}, "from_name": "l", "type": "labels"}


def mention(kind: str) -> dict[str, Any]:
    return {"type": kind, "mention": [{"sent_id": 0, "offset": [0, 1]}]}


CASES: dict[str, tuple[Any, int]] = {
    "ace05": ({"words": ["a"], "golden-event-mentions": [EVENT, SLEEP]}, 1),
    "brat": ("T1\tX 0 1;4 5\ta c\nT2\tY 2 3\tb\nR1\tof Arg1:T1 Arg2:T2\n#1\tNote T1\tno\n", 3),
    "conll": ("a\tB-X\u200b\nb\tO\n", 1),
    "conllu": ("1-2\tab" + "\t_" * 8 + "\n1\ta\t_\tX" + "\t_" * 6 + "\n2\tb\t_\tX" + "\t_" * 6 + "\n", 1),
    "csv": ("tokens,tags\n\"['a']\",\"['B-X\u200b']\"\n", 1),
    "dataturks": ({"content": "a", "annotation": [{"label": [], "points": [{"start": 0, "end": 0}]}]}, 1),
    "doccano": ({"text": "a b", "label": [[0, 3, "X"], [0, 1, "Y"]]}, 1),
    "dygie": ({"sentences": [["a"]], "ner": [[[0, 0, "X"], [0, 0, "Y"]]]}, 1),
    "gliner": ({"tokenized_text": ["a", "b"], "ner": [[0, 1, "X"], [0, 0, "Y"]]}, 1),
    "jsonl": ({"words": ["a"], "tags": ["O"], "text": "b"}, 1),
    "label_studio": ({"data": {"text": "a"}, "annotations": [{"result": [REGION]}, {"result": []}]}, 1),
    "maven": ({"id": 1, "content": [{"tokens": ["a"]}], "events": [mention("X"), mention("Y")]}, 1),
    "oneie": ({"tokens": ["a"], "entity_mentions": [{"start": 0, "end": 1, "entity_type": t} for t in "XY"]}, 1),
    "prodigy": ([{"text": "a", "spans": [], "answer": answer} for answer in ("accept", "reject", "ignore")], 2),
    "semeval14": (f'<sentences><sentence id="1"><text>a b</text>{TERMS}</sentence></sentences>', 1),
    "semeval15": (REVIEWS, 2),
    "semeval16": (REVIEWS, 2),
    "spert": ({"tokens": ["a"], "entities": [{"start": 0, "end": 1, "type": t} for t in "XY"]}, 1),
    "text": (b"caf\xe9\n", 1),
    "webanno": (WEBANNO, 1),
}  # fmt: skip


def put(content: Any, reader: str, folder: Path) -> Path:
    if reader == "brat":
        (folder / "a.txt").write_text("a b c\n")
        (folder / "a.ann").write_text(content)
        return folder / "a.ann"
    path = folder / "data.file"
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("reader", CASES)
def test_what_cannot_be_used_is_counted(reader: str, tmp_path: Path) -> None:
    """Each reader counts what it cannot use or changes, with file and reason."""
    content, expected = CASES[reader]
    path = put(content, reader, tmp_path)
    counts = statistics(registry.find("reader", reader).model_validate({"path": path}))
    reports = [*counts["unused"], *counts["adjusted"]]
    assert len(reports) == expected, reports
    assert all(each["file"] == str(path) and each["reason"] for each in reports)


def test_every_reader_of_files_has_a_case() -> None:
    """There is a case for each built-in reader of files; DocBin has its own tests."""
    readers = {
        name
        for name, reader in registry.slot("reader").items()
        if issubclass(reader, FileReader) and reader.__module__.startswith("sltk.")
    }
    assert readers - {"docbin"} == set(CASES)
