"""Readers of event triggers: ACE05 and MAVEN."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reading import error_message
from sltk.components.readers.ace05 import Ace05Reader
from sltk.components.readers.maven import MavenReader
from sltk.types import Span

WORDS = ["Rebels", "broke", "in", "and", "fled"]


def mention(start: int, end: int, type_: str = "Conflict:Attack") -> dict[str, Any]:
    return {"trigger": {"start": start, "end": end, "text": ""}, "event_type": type_, "arguments": []}


def ace(tmp_path: Path, *mentions: dict[str, Any], before: int = 0) -> Path:
    """A file with one object per line from line 2: sentences without mentions, then one with these."""
    rows = [{"words": ["Hm"], "golden-event-mentions": []} for _ in range(before)]
    rows.append({"sentence_id": "DOC_7_0", "words": WORDS, "golden-event-mentions": list(mentions)})
    path = tmp_path / "ace.json"
    path.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    return path


@pytest.mark.parametrize(
    ("options", "type_"),
    [
        ({}, "Conflict:Attack"),
        ({"lowercase": True}, "conflict:attack"),
        ({"types": "subtype"}, "Attack"),
        ({"types": "subtype", "lowercase": True}, "attack"),
        ({"types": "trigger"}, "trigger"),
    ],
)
def test_ace_types(tmp_path, options, type_):
    """Types as annotated, by subtype, in lower case, or a single type."""
    (sentence,) = Ace05Reader(path=ace(tmp_path, mention(1, 3)), **options).read()
    assert sentence.words == WORDS
    assert sentence.spans == [Span(1, 3, type_)]
    assert sentence.document == "DOC_7"


def test_ace_sentences_without_a_trigger_are_kept(tmp_path):
    """A sentence without events has no spans, which differs from no annotation."""
    result = list(Ace05Reader(path=ace(tmp_path, before=2)).read())
    assert [(s.spans, s.line) for s in result] == [([], 2), ([], 3), ([], 4)]


def test_a_later_mention_overwrites_an_earlier_one(tmp_path):
    """Of mentions that share words the last is kept, and the others are reported with their type."""
    path = ace(tmp_path, mention(1, 3), mention(4, 5, "Movement:Flee"), mention(2, 3, "Life:Die"), before=1)
    *_, sentence = Ace05Reader(path=path).read()
    assert sentence.spans == [Span(2, 3, "Life:Die"), Span(4, 5, "Movement:Flee")]
    assert [(item.file, item.line, item.type) for item in sentence.unused] == [
        (str(path), 3, "Conflict:Attack")
    ]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("{}", 1, "no `golden-event-mentions`"),
        ("7", 1, "expected an object, found 7"),
        ("[\n{}\n]", 2, "no `golden-event-mentions`"),
        ('[\n{"golden-event-mentions": [],\n"words": []} {', 3, "expected `,` or `]`"),
        ('[\n{"golden-event-mentions": [], "words": []}\n] 1', 3, "after the end"),
        ('[\n\n{"golden-event-mentions": [], "words": "a"}]', 3, "not a list"),
        ('[\n{"golden-event-mentions": [{"trigger": {}}], "words": []}]', 2, "no `start`"),
        ("[\n{\n'a': 1}]", 3, "not valid JSON"),
        ("[\n7]", 2, "expected an object, found 7"),
        ("[", 1, "not valid JSON"),
        ('[{"golden-event-mentions": [], "words": []},\n]', 2, "not valid JSON"),
    ],
)
def test_bad_ace_files(tmp_path, content, line, message):
    """A file that does not hold such objects is an error with file and line."""
    path = tmp_path / "ace.json"
    path.write_text(content)
    error = error_message(Ace05Reader(path=path))
    assert f"{path}:{line}" in error
    assert message in error


def test_a_trigger_outside_its_sentence(tmp_path):
    """A trigger outside its sentence is an error with file and line."""
    path = ace(tmp_path, mention(4, 6), before=1)
    error = error_message(Ace05Reader(path=path))
    assert f"{path}:3" in error
    assert "[4, 6)" in error


def maven(tmp_path: Path, **changes: Any) -> Path:
    document = {
        "id": "d1",
        "content": [{"sentence": "", "tokens": WORDS}, {"sentence": "", "tokens": ["Nothing", "else"]}],
        "events": [
            {"type": "Attack", "mention": [{"sent_id": 0, "offset": [1, 3]}]},
            {"type": "Escaping", "mention": [{"sent_id": 0, "offset": [4, 5]}]},
        ],
    }
    path = tmp_path / "maven.jsonl"
    path.write_text(
        "\n" + json.dumps({k: v for k, v in (document | changes).items() if v is not None}) + "\n"
    )
    return path


def test_maven_sentences(tmp_path):
    """The sentences of a document, each with its triggers."""
    first, second = MavenReader(path=maven(tmp_path), lowercase=True).read()
    assert first.spans == [Span(1, 3, "attack"), Span(4, 5, "escaping")]
    assert (second.words, second.spans) == (["Nothing", "else"], [])
    assert {(s.document, s.line) for s in (first, second)} == {("d1", 2)}


def test_maven_without_events_is_not_annotated(tmp_path):
    """The public test split has only candidates: its words have no annotation."""
    path = maven(tmp_path, events=None, candidates=[])
    assert [s.spans for s in MavenReader(path=path).read()] == [None, None]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"sent_id": 2, "offset": [0, 1]}, "in sentence 2, but the document has 2 sentences"),
        ({"sent_id": 0, "offset": [0]}, "not two whole numbers"),
        ({"sent_id": 1, "offset": [1, 3]}, "[1, 3)"),
    ],
)
def test_bad_maven_mentions(tmp_path, item, message):
    """A mention in no sentence is an error with file and line."""
    path = maven(tmp_path, events=[{"type": "T", "mention": [item]}])
    error = error_message(MavenReader(path=path))
    assert f"{path}:2" in error
    assert message in error
