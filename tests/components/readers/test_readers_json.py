"""Readers of the JSON formats of annotation tools and information extraction projects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reading import accounted, error_message
from repository import ROOT
from sltk.components.readers.doccano import DoccanoReader
from sltk.components.readers.dygie import DygieReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.components.readers.label_studio import LabelStudioReader
from sltk.components.readers.oneie import OneIEReader
from sltk.components.readers.spert import SpertReader
from sltk.components.registry import registry
from sltk.data.datasets import load
from sltk.data.statistics import statistics
from sltk.types import Sentence, Span

Write = Callable[..., Path]


@pytest.fixture
def lines(tmp_path: Path) -> Write:
    """A function that writes objects, one per line from line 1."""

    def write(*objects: Any) -> Path:
        path = tmp_path / "data.jsonl"
        path.write_text("".join(f"{json.dumps(item)}\n" for item in objects), encoding="utf-8")
        return path

    return write


@pytest.fixture
def array(tmp_path: Path) -> Write:
    """A function that writes an array of objects, one per line from line 2."""

    def write(*objects: Any) -> Path:
        path = tmp_path / "data.json"
        path.write_text("[\n" + ",\n".join(map(json.dumps, objects)) + "\n]\n", encoding="utf-8")
        return path

    return write


def spans_of(sentence: Sentence) -> list[tuple[str, str]]:
    return [(" ".join(sentence.words[s.start : s.end]), s.type) for s in sentence.spans or ()]


# doccano

TEXT = "Mira Okafor sailed to Turku."
PERSON, PLACE = (0, 11, "PER"), (22, 27, "LOC")


@pytest.mark.parametrize("key", ["label", "labels", "entities"])
@pytest.mark.parametrize("form", ["list", "object"])
def test_doccano_spans(lines: Write, key: str, form: str) -> None:
    """Spans are under any of three keys, as lists or as objects."""
    keys = ("start_offset", "end_offset", "label")
    spans = [list(span) if form == "list" else dict(zip(keys, span, strict=True)) for span in (PERSON, PLACE)]
    path = lines({"id": 7, "text": TEXT, key: spans, "Comments": [], "relations": []})
    (sentence,) = DoccanoReader(path=path).read()
    assert spans_of(sentence) == [("Mira Okafor", "PER"), ("Turku", "LOC")]
    assert (sentence.document, sentence.line, sentence.text) == ("7", 1, TEXT)


def test_doccano_nested_spans_are_counted(lines: Write) -> None:
    """Of overlapping spans the longest is used; the others are listed and counted."""
    path = lines({"text": TEXT, "label": [[0, 11, "PER"], [0, 4, "FIRST"], [5, 11, "LAST"], [22, 27, "LOC"]]})
    assert accounted(DoccanoReader(path=path)) == (2, 2)


def test_doccano_without_a_key_is_not_annotated(lines: Write) -> None:
    """Text without a key of spans has no annotation, which differs from no spans."""
    assert [s.spans for s in DoccanoReader(path=lines({"text": "a"}, {"text": "a"})).read()] == [None, None]
    assert [s.spans for s in DoccanoReader(path=lines({"text": "a", "label": []})).read()] == [[]]


def test_doccano_keys_are_options(lines: Write) -> None:
    """The keys of text and spans are options; if two of the default keys have spans, one must be chosen."""
    path = lines({"data": TEXT, "label": [PLACE], "entities": [PERSON]})
    assert "both `label` and `entities`" in error_message(DoccanoReader(path=path, text_field="data"))
    (sentence,) = DoccanoReader(path=path, text_field="data", label_field="entities").read()
    assert spans_of(sentence) == [("Mira Okafor", "PER")]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"text": 7}, "`text` is 7, not a string"),
        ({"label": []}, "no `text` in this object"),
        ({"text": "a b", "label": ["pos"]}, 'label[0] is "pos", not [start, end, type]'),
        ({"text": "a b", "label": [[0, 1, "X"], [0, 1, 5]]}, "label[1] is [0, 1, 5]"),
        ({"text": "a b", "label": [[True, 1, "X"]]}, "label[0] is [true, 1"),
        ({"text": "a b", "label": [[0, 1, ""]]}, "label[0] has no type"),
        ({"text": "a b", "label": [[1, 0, "X"]]}, "[1, 0) is not inside this text"),
        ({"text": "a b", "label": [[-1, 2, "X"]]}, "[-1, 2) is not inside this text"),
        ({"text": "a b", "label": [[0, 4, "X"]]}, "[0, 4) is not inside this text of 3 characters"),
        ({"text": "a b", "entities": [{"label": "X", "start_offset": 0}]}, "entities[0]: no `end_offset`"),
        ({"text": "a b", "entities": {}}, "`entities` is {}, not a list"),
    ],
)
def test_bad_doccano_objects(lines: Write, value: Any, message: str) -> None:
    """A malformed object is an error with its line."""
    path = lines({"text": "fine", "label": []}, value)
    error = error_message(DoccanoReader(path=path))
    assert f"{path}:2" in error
    assert message in error


# Label Studio


def region(start: int, end: int, *labels: str, **more: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": list(labels), **more}
    return {"value": value, "id": "r", "from_name": "label", "to_name": "text", "type": "labels"}


def task(text: str, *annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": 31, "data": {"text": text}, "annotations": list(annotations), **more}


def by(annotator: Any, *regions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": 1, "completed_by": annotator, "was_cancelled": False, "result": list(regions), **more}


def test_label_studio_spans(array: Write) -> None:
    """Labelled regions are spans; choices, relations and predictions are not."""
    choice = {"value": {"choices": ["sport"]}, "from_name": "topic", "type": "choices"}
    relation = {"type": "relation", "from_id": "r", "to_id": "r", "direction": "right"}
    result = by(1, region(0, 11, "PER", text="Mira Okafor"), choice, region(22, 27, "LOC"), relation)
    path = array(task(TEXT, result, predictions=[{"result": [region(12, 18, "X")]}]))
    (sentence,) = LabelStudioReader(path=path).read()
    assert spans_of(sentence) == [("Mira Okafor", "PER"), ("Turku", "LOC")]
    assert (sentence.document, sentence.line, sentence.unused) == ("31", 2, ())


def test_label_studio_minimal_export(array: Write) -> None:
    """In JSON-MIN, the text and the labelling tags are keys of the task."""
    regions = [{"start": 0, "end": 11, "text": "Mira Okafor", "labels": ["PER"]}]
    path = array(
        {"text": TEXT, "id": 1, "annotator": 1, "annotation_id": 9, "label": regions},
        {"text": "Rain.", "id": 2, "annotator": 1, "annotation_id": 10},
    )
    assert [spans_of(s) for s in LabelStudioReader(path=path).read()] == [[("Mira Okafor", "PER")], []]


def test_several_labels_of_a_region_are_several_spans(array: Write) -> None:
    """One span is used, the other is listed; a region without a label is reported."""
    path = array(task(TEXT, by(1, region(0, 4, "PER", "SAILOR"), region(22, 27))))
    assert accounted(LabelStudioReader(path=path)) == (1, 1)
    reasons = [item.reason for item in load(LabelStudioReader(path=path), "IOB2").unused]
    assert reasons[0] == "item 1 → annotations[0] → result[1] → value: `Turku` has no label"


def test_one_annotator_is_read(array: Write) -> None:
    """By default the ground truth, otherwise the first annotation that was not cancelled; or that of `annotator`."""
    first, second = by(1, region(0, 4, "A")), by({"id": 2, "email": "eva@x.example"}, region(0, 4, "B"))
    path = array(task(TEXT, by(0, region(0, 4, "Z"), was_cancelled=True), first, second))
    (sentence,) = LabelStudioReader(path=path).read()
    assert spans_of(sentence) == [("Mira", "A")]
    assert [item.reason.split(": ", 1)[1] for item in sentence.unused] == [
        "an annotation by 0 with 1 spans is left out: it was cancelled",
        "an annotation by eva@x.example with 1 spans is left out: "
        "one annotation per task is read (option `annotator`)",
    ]
    for name in ("2", "eva@x.example"):
        (sentence,) = LabelStudioReader(path=path, annotator=name).read()
        assert spans_of(sentence) == [("Mira", "B")]
    (sentence,) = LabelStudioReader(path=array(task(TEXT, first, second | {"ground_truth": True}))).read()
    assert spans_of(sentence) == [("Mira", "B")]
    assert "no task here has an annotation by `7`" in error_message(
        LabelStudioReader(path=path, annotator="7")
    )


def test_one_annotator_of_a_minimal_export(array: Write) -> None:
    """JSON-MIN repeats a task for each annotation; its text is read once."""
    items = [
        {"text": TEXT, "id": 1, "annotator": n, "label": [{"start": 0, "end": 4, "labels": [label]}]}
        for n, label in ((5, "A"), (6, "B"))
    ]
    path = array(*items)
    (sentence,) = LabelStudioReader(path=path).read()
    assert spans_of(sentence) == [("Mira", "A")]
    assert "an annotation by 6 with 1 spans" in sentence.unused[0].reason
    (sentence,) = LabelStudioReader(path=path, annotator="6").read()
    assert spans_of(sentence) == [("Mira", "B")]


def test_tasks_without_annotation(array: Write) -> None:
    """In a file with annotated tasks they are left out and reported; otherwise they are text."""
    bare, done = task("Two words"), task("Rain", by(1))
    for order in ([bare, done], [done, bare]):
        (sentence,) = LabelStudioReader(path=array(*order)).read()
        assert sentence.words == ["Rain"]
        assert "with 2 words is left out" in sentence.unused[0].reason
    assert [s.spans for s in LabelStudioReader(path=array(bare, bare)).read()] == [None, None]


def test_label_studio_counts_emoji_as_two(array: Write) -> None:
    """Offsets in UTF-16 units, as browsers count, are recognized by the quoted text."""
    path = array(task("😀 Mira 🙂 left", by(1, region(3, 7, "PER", text="Mira"))))
    (sentence,) = LabelStudioReader(path=path).read()
    assert spans_of(sentence) == [("Mira", "PER")]


def test_label_studio_quotes_line_ends(array: Write) -> None:
    """A line end is quoted as a backslash and an n."""
    path = array(task("New\n York", by(1, region(0, 9, "LOC", text="New\\n York"))))
    (sentence,) = LabelStudioReader(path=path).read()
    assert spans_of(sentence) == [("New York", "LOC")]


def test_one_labelling_tag(array: Write) -> None:
    """`from_name` reads the spans of one tag."""
    other = region(22, 27, "LOC") | {"from_name": "places"}
    path = array(task(TEXT, by(1, region(0, 4, "PER"), other)))
    (sentence,) = LabelStudioReader(path=path, from_name="places").read()
    assert spans_of(sentence) == [("Turku", "LOC")]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"data": {}}, "item 2 → data: no `text`"),
        ({"data": {"text": "a"}, "annotations": [5]}, "item 2 → annotations[0]: expected an object, found 5"),
        (
            task("a b", by(1, region(0, 3, "X", text="a"))),
            "result[0] → value: the text at [0, 3) is `a b`, not `a`",
        ),
        (task("a b", by(1, region(0, 9, "X", text="a"))), "[0, 9) is not inside this text of 3 characters"),
        (task("a b", by(1, region(0, 9, "X"))), "[0, 9) is not inside this text"),
        (task("a b", by(1, region(2, 1, "X"))), "result[0] → value: [2, 1) is not inside this text"),
        (
            task("a", by(1, {"value": {"start": "/p[1]", "end": 3, "labels": ["X"]}})),
            'is "/p[1]", not a whole',
        ),
        (task("a", by(1, {"value": {"start": 0, "end": 1, "labels": [1]}})), "item 1 of `labels` is 1"),
    ],
)
def test_bad_label_studio_tasks(array: Write, value: Any, message: str) -> None:
    """A malformed task is an error with line and path."""
    path = array(task("fine", by(1)), value)
    error = error_message(LabelStudioReader(path=path))
    assert f"{path}:3" in error
    assert message in error


# SpERT, DyGIE++, OneIE

WORDS = ["Mira", "Okafor", "sailed", "home"]


def test_spert_sentences(array: Write) -> None:
    """Entities are half-open over the tokens; nested ones are counted."""
    entities = [{"type": "PER", "start": 0, "end": 2}, {"type": "FIRST", "start": 0, "end": 1}]
    reader = SpertReader(path=array({"tokens": WORDS, "entities": entities, "relations": [], "orig_id": 4}))
    (sentence,) = reader.read()
    assert (sentence.words, sentence.spans) == (WORDS, [Span(0, 2, "PER"), Span(0, 1, "FIRST")])
    assert accounted(reader) == (1, 1)


@pytest.mark.parametrize(
    ("entity", "message"),
    [
        ({"type": "X", "start": 3, "end": 5}, "[3, 5) are not in this sentence, which has 4 words"),
        ({"type": "X", "start": 2, "end": 2}, "[2, 2) are not in this sentence"),
        ({"type": "X", "start": -1, "end": 2}, "[-1, 2) are not in this sentence"),
        ({"type": "", "start": 0, "end": 2}, "has no type"),
        ({"type": "X", "start": "0", "end": 2}, 'item 2 → entities[0]: `start` is "0"'),
        ({"type": "X", "start": 0}, "item 2 → entities[0]: no `end`"),
        (7, "item 2 → entities[0]: expected an object, found 7"),
    ],
)
def test_bad_spert_entities(array: Write, entity: Any, message: str) -> None:
    """An entity outside its sentence is an error with line and path."""
    path = array({"tokens": ["ok"], "entities": []}, {"tokens": WORDS, "entities": [entity]})
    error = error_message(SpertReader(path=path))
    assert f"{path}:3" in error
    assert message in error


def dygie(**changes: Any) -> dict[str, Any]:
    document = {
        "doc_key": "d1",
        "sentences": [WORDS, ["She", "slept"]],
        "ner": [[[0, 1, "PER"], [0, 0, "FIRST"]], [[4, 4, "PER"]]],
        "events": [[[[2, "Move"], [0, 1, "Agent"]]], [[[4, 5, "Rest"]], [[5, "Sleep"]]]],
        "clusters": [],
    }
    return {key: value for key, value in (document | changes).items() if value is not None}


def test_dygie_entities(lines: Write) -> None:
    """Indices count the words of the document, and include the last word."""
    reader = DygieReader(path=lines(dygie()))
    first, second = reader.read()
    assert first.spans == [Span(0, 2, "PER"), Span(0, 1, "FIRST")]
    assert second.spans == [Span(0, 1, "PER")]
    assert {sentence.document for sentence in (first, second)} == {"d1"}
    assert accounted(reader) == (2, 1)


def test_dygie_events(lines: Write) -> None:
    """Triggers have one index, or a first and a last; a later trigger replaces an earlier one."""
    reader = DygieReader(path=lines(dygie()), annotation="events", lowercase=True)
    first, second = reader.read()
    assert (first.spans, second.spans) == ([Span(2, 3, "move")], [Span(1, 2, "sleep")])
    assert accounted(reader) == (2, 1)


def test_dygie_without_the_key_is_not_annotated(lines: Write) -> None:
    """A document without `ner` has no annotation."""
    assert [s.spans for s in DygieReader(path=lines(dygie(ner=None))).read()] == [None, None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ner": [[]]}, "2 sentences but 1 lists in `ner`"),
        ({"ner": [[], 5]}, "ner[1] is 5, not a list"),
        ({"ner": [[[0, "PER"]], []]}, "ner[0][0]: expected [first, last, type]"),
        ({"ner": [[[0, 1.0, "PER"]], []]}, "ner[0][0]: expected [first, last, type]"),
        ({"ner": [[], [[3, 4, "X"]]]}, "ner[1][0]: words 3 to 4 of the document are not in this sentence"),
        ({"ner": [[[1, 0, "X"]], []]}, "ner[0][0]: words 1 to 0"),
        ({"ner": [[[0, 1, ""]], []]}, "has no type"),
        ({"sentences": [["a"], "b"]}, 'sentences[1] is "b", not a list'),
        ({"sentences": [["a"], ["b", 3]]}, "item 2 of `sentences[1]` is 3"),
    ],
)
def test_bad_dygie_documents(lines: Write, changes: Any, message: str) -> None:
    """A span outside its sentence is an error with line and path."""
    path = lines(dygie(), dygie(**changes))
    error = error_message(DygieReader(path=path))
    assert f"{path}:2" in error
    assert message in error


@pytest.mark.parametrize("event", [[], [[]], [[0]], [[0, 1]], [["a", "T"]], 3, [[True, "T"]]])
def test_bad_dygie_events(lines: Write, event: Any) -> None:
    """An event without a trigger is an error with its path."""
    path = lines(dygie(events=[[], [event]]))
    assert "events[1][0]: expected [[word, type], …]" in error_message(
        DygieReader(path=path, annotation="events")
    )


def oneie(**changes: Any) -> dict[str, Any]:
    sentence = {
        "doc_id": "d2",
        "sent_id": "d2-1",
        "tokens": WORDS,
        "entity_mentions": [
            {"id": "e1", "entity_type": "PER", "mention_type": "NAM", "start": 0, "end": 2, "text": ""}
        ],
        "relation_mentions": [],
        "event_mentions": [
            {"event_type": "Movement:Sail", "trigger": {"start": 2, "end": 3, "text": ""}, "arguments": []}
        ],
    }
    return {key: value for key, value in (sentence | changes).items() if value is not None}


def test_oneie_entities_and_events(lines: Write) -> None:
    """`annotation` selects entities or events; `types` shortens the types of triggers."""
    path = lines(oneie())
    (entities,) = OneIEReader(path=path).read()
    (events,) = OneIEReader(path=path, annotation="events", types="subtype").read()
    assert (entities.spans, events.spans) == ([Span(0, 2, "PER")], [Span(2, 3, "Sail")])
    assert (entities.document, entities.line) == ("d2", 1)


def test_types_of_entities_are_as_annotated(lines: Write) -> None:
    """`types` is rejected for entities, where it would have no effect."""
    with pytest.raises(ValidationError, match="needs `annotation: events`"):
        OneIEReader(path=lines(oneie()), types="subtype")


@pytest.mark.parametrize(
    ("annotation", "changes", "message"),
    [
        ("ner", {"entity_mentions": [{"start": 0, "end": 1}]}, "entity_mentions[0]: no `entity_type`"),
        ("events", {"event_mentions": [{"event_type": "T"}]}, "event_mentions[0]: no `trigger`"),
        ("ner", {"tokens": ["one"]}, "[0, 2) are not in this sentence"),
        ("events", {"tokens": ["one"]}, "[2, 3) are not in this sentence, which has 1 words"),
        ("ner", {"tokens": None}, "no `tokens`"),
    ],
)
def test_bad_oneie_lines(lines: Write, annotation: Any, changes: Any, message: str) -> None:
    """A mention outside its sentence is an error with line and path."""
    path = lines(oneie(), oneie(**changes))
    error = error_message(OneIEReader(path=path, annotation=annotation))
    assert f"{path}:2" in error
    assert message in error


# JSON


PAGE = ROOT / "docs" / "reference" / "formats_json.md"
EXAMPLES = re.findall(r"^## (\w+)\n.*?^```json\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize(
    ("name", "options", "sentences", "spans"),
    [
        ("doccano", {}, 5, {"LOC": 2, "PER": 3}),
        ("prodigy", {}, 5, {"LOC": 2, "PER": 2}),
        ("dataturks", {}, 5, {"LOC": 1, "PER": 2}),
        ("gliner", {}, 5, {"person": 2, "place": 2}),
        ("label_studio", {}, 3, {"LOC": 1, "PER": 1}),
        ("spert", {}, 3, {"LOC": 2, "PER": 1}),
        ("dygie", {}, 6, {"LOC": 2, "PER": 2}),
        ("dygie", {"annotation": "events"}, 6, {"Fire": 1, "Leave": 1, "Wait": 1}),
        ("oneie", {}, 5, {"GPE": 1, "PER": 1}),
        ("oneie", {"annotation": "events"}, 5, {"Conflict:Attack": 1}),
    ],
)
def test_the_documented_examples_are_read(
    tmp_path: Path, name: str, options: dict[str, str], sentences: int, spans: dict[str, int]
) -> None:
    """Each example of docs/reference/formats_json.md is a valid file in which every span is used."""
    path = tmp_path / "example"
    path.write_text(dict(EXAMPLES)[name], encoding="utf-8")
    counts = statistics(registry.find("reader", name).model_validate({"path": path, **options}))
    assert (counts["sentences"], counts["spans"], counts["unused"]) == (sentences, spans, [])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a", "text": "b"}', 'the key "text" twice'),
        (
            '{"text": "a", "spans": [{"start": 0, "start": 0, "end": 1, "type": "X"}]}',
            'the key "start" twice',
        ),
        ('{"text": "a", "n": %s}' % ("9" * 5000), "not valid JSON"),
        ('{"text": %s' % ("[" * 100_000), "nested too deeply"),
        ('{"text": NaN}', "`text` is NaN, not a string"),
    ],
)
def test_json_that_loses_or_explodes(tmp_path: Path, line: str, message: str) -> None:
    """Repeated keys, very long numbers and deep nesting are errors with their line."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "fine"}\n' + line + "\n")
    error = error_message(JsonlReader(path=path))
    assert f"{path}:2" in error
    assert message in error
