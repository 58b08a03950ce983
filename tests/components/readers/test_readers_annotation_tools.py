"""Readers of the JSON of GLiNER, Dataturks, Prodigy, and old versions of doccano."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reading import accounted, error_message
from sltk.cli import main
from sltk.components.readers.dataturks import DataturksReader
from sltk.components.readers.doccano import DoccanoReader
from sltk.components.readers.dygie import DygieReader
from sltk.components.readers.gliner import GlinerReader
from sltk.components.readers.prodigy import ProdigyReader
from sltk.data.statistics import statistics
from sltk.types import Sentence

TEXT = "Mira Okafor sailed to Turku."


def put(folder: Path, *objects: Any) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in objects), encoding="utf-8")
    return path


def spans_of(sentence: Sentence) -> list[tuple[str, str]]:
    return [(" ".join(sentence.words[s.start : s.end]), s.type) for s in sentence.spans or ()]


def reasons(sentence: Sentence) -> list[str]:
    return [item.reason for item in sentence.unused]


# GLiNER

WORDS = ["Mira", "Okafor", "sailed", "to", "Turku"]


def test_gliner_spans_include_their_last_word(tmp_path: Path) -> None:
    """Spans are over words, the last one included; overlapping spans are counted, and other keys are not read."""
    path = put(
        tmp_path,
        {
            "tokenized_text": WORDS,
            "ner": [[0, 1, "person"], [0, 0, "name"], [4, 4, "place"]],
            "negatives": ["x"],
        },
        {"tokenized_text": ["Rain"], "ner": []},
    )
    one, two = GlinerReader(path=path).read()
    assert spans_of(one) == [("Mira Okafor", "person"), ("Mira", "name"), ("Turku", "place")]
    assert (two.words, two.spans, two.line) == (["Rain"], [], 2)
    assert accounted(GlinerReader(path=path)) == (2, 1)


def test_gliner_text_without_ner_is_not_annotated(tmp_path: Path) -> None:
    """An object without `ner` has no annotation, which differs from no spans."""
    (sentence,) = GlinerReader(path=put(tmp_path, {"tokenized_text": WORDS})).read()
    assert sentence.spans is None


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([[0, 5, "X"]], "ner[0]: words 0 to 5 are not in this sentence, which has words 0 to 4"),
        ([[0, 1, "X"], [-1, 1, "X"]], "ner[1]: words -1 to 1"),
        ([[2, 1, "X"]], "words 2 to 1"),
        ([[0, 1, ""]], "the span of words 0 to 1 has no type"),
        ([[0, True, "X"]], "expected [first, last, type], found [0, true"),
        ([[0, "X"]], "expected [first, last, type]"),
        ([{"start": 0}], "expected [first, last, type]"),
    ],
)
def test_bad_gliner_spans(spans: Any, message: str, tmp_path: Path) -> None:
    """A malformed span is an error with its line, or is left out and counted with `bad_annotation: skip`."""
    path = put(tmp_path, {"tokenized_text": ["a"], "ner": []}, {"tokenized_text": WORDS, "ner": spans})
    error = error_message(GlinerReader(path=path))
    assert f"{path}:2" in error
    assert message in error
    _, sentence = GlinerReader(path=path, bad_annotation="skip").read()
    assert len(sentence.spans or ()) + len(sentence.unused) == len(spans)


# Dataturks


def point(start: int, end: int, text: str | None = None) -> dict[str, Any]:
    return {"start": start, "end": end, **({} if text is None else {"text": text})}


def test_dataturks_spans_include_their_last_character(tmp_path: Path) -> None:
    """Points are spans whose end is their last character; several labels or points are several spans."""
    annotation = [
        {"label": ["PER", "SAILOR"], "points": [point(0, 10, "Mira Okafor")]},
        {"label": "LOC", "points": [point(22, 26, "Turku"), point(22, 26)]},
    ]
    path = put(
        tmp_path,
        {"content": TEXT, "annotation": annotation, "extras": None, "metadata": {"status": "done"}},
        {"content": "Rain.", "annotation": []},
    )
    one, two = DataturksReader(path=path).read()
    expected = [("Mira Okafor", "PER"), ("Mira Okafor", "SAILOR"), ("Turku", "LOC"), ("Turku", "LOC")]
    assert (spans_of(one), one.text, one.document) == (expected, TEXT, "1")
    assert (two.spans, two.document) == ([], "2")


def test_dataturks_spans_without_a_label_are_reported(tmp_path: Path) -> None:
    """A span with an empty list of labels is reported."""
    for label in ([], [""], None, ""):
        path = put(tmp_path, {"content": TEXT, "annotation": [{"label": label, "points": [point(0, 3)]}]})
        (sentence,) = DataturksReader(path=path).read()
        assert (sentence.spans, reasons(sentence)) == (
            [],
            ["annotation[0] → points[0]: the span [0, 4) has no label"],
        )


@pytest.mark.parametrize("missing", [{}, {"annotation": None}])
def test_dataturks_without_annotation(missing: dict[str, Any], tmp_path: Path) -> None:
    """A text that was not annotated has `annotation: null`."""
    (sentence,) = DataturksReader(path=put(tmp_path, {"content": TEXT, **missing})).read()
    assert sentence.spans is None


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (
            {"label": ["X"], "points": [point(0, 10, "Turku")]},
            "the text at [0, 11) is `Mira Okafor`, not `Turku`",
        ),
        ({"label": ["X"], "points": [point(0, 99)]}, "[0, 100) is not inside this text of 28 characters"),
        ({"label": ["X"], "points": [{"start": 0}]}, "annotation[0] → points[0]: no `end`"),
        ({"label": ["X"]}, "annotation[0]: no `points` in this object"),
        ({"labels": ["X"], "points": [point(0, 3)]}, "annotation[0]: no `label` in this object"),
        ({"label": [5], "points": []}, "item 1 of `label` is 5"),
        ("X", "annotation[0]: expected an object"),
    ],
)
def test_bad_dataturks_annotations(annotation: Any, message: str, tmp_path: Path) -> None:
    """A malformed annotation is an error with its line, or is left out and counted with `bad_annotation: skip`."""
    path = put(tmp_path, {"content": TEXT, "annotation": [annotation]})
    error = error_message(DataturksReader(path=path))
    assert f"{path}:1" in error
    assert message in error
    (sentence,) = DataturksReader(path=path, bad_annotation="skip").read()
    assert (sentence.spans, len(sentence.unused)) == ([], 1)


def test_dataturks_offsets_of_utf16(tmp_path: Path) -> None:
    """Offsets of a browser, which counts an emoji as two, are recognized by the texts of the spans."""
    annotation = [{"label": ["LOC"], "points": [point(3, 7, "Turku")]}]
    (sentence,) = DataturksReader(
        path=put(tmp_path, {"content": "🙂 Turku", "annotation": annotation})
    ).read()
    assert spans_of(sentence) == [("Turku", "LOC")]
    assert [item.adjusted for item in sentence.unused] == [True]


# Prodigy

TOKENS = [
    {"text": "Mira", "start": 0, "end": 4, "id": 0, "ws": True},
    {"text": "Okafor", "start": 5, "end": 11, "id": 1, "ws": True},
    {"text": "sailed", "start": 12, "end": 18, "id": 2, "ws": True},
    {"text": "to", "start": 19, "end": 21, "id": 3, "ws": True},
    {"text": "Turku.", "start": 22, "end": 28, "id": 4, "ws": False},
]
PERSON = {"start": 0, "end": 11, "token_start": 0, "token_end": 1, "label": "PER"}
PLACE = {"start": 22, "end": 27, "label": "LOC"}


def task(**more: Any) -> dict[str, Any]:
    return {"text": TEXT, "tokens": TOKENS, "spans": [PERSON], "_input_hash": 1, "answer": "accept", **more}


def test_prodigy_spans_and_tokens(tmp_path: Path) -> None:
    """Words are the tokens of the file, or those of the splitter if it has none."""
    path = put(tmp_path, task(), {"text": TEXT, "spans": [PERSON, PLACE], "answer": "accept"})
    one, two = ProdigyReader(path=path).read()
    assert (one.words, spans_of(one)) == (
        ["Mira", "Okafor", "sailed", "to", "Turku."],
        [("Mira Okafor", "PER")],
    )
    assert (two.words[-2:], spans_of(two)[-1]) == (["Turku", "."], ("Turku", "LOC"))
    assert [(each.text, each.document, each.line) for each in (one, two)] == [(TEXT, "1", 1), (TEXT, "2", 2)]


def test_prodigy_tokens_may_be_split(tmp_path: Path) -> None:
    """A span that ends inside a token is treated as `misaligned` says."""
    (sentence,) = ProdigyReader(path=put(tmp_path, task(spans=[PLACE]))).read()
    assert (sentence.words[-2:], len(sentence.unused)) == (["Turku", "."], 1)


def test_prodigy_text_outside_the_tokens_is_counted(tmp_path: Path) -> None:
    """Text that no token has is no word, which is reported."""
    (sentence,) = ProdigyReader(path=put(tmp_path, task(text=TEXT + " Ahoi!"))).read()
    assert sentence.words[-1] == "Turku."
    assert reasons(sentence) == ["5 characters are in no token, such as `Ahoi!`"]
    assert sentence.unused[0].adjusted


def test_prodigy_tokens_of_white_space_are_no_words(tmp_path: Path) -> None:
    """spaCy's tokens of white space are not words, but the numbers in spans count them."""
    tokens = [{"start": 0, "end": 1}, {"start": 1, "end": 3}, {"start": 3, "end": 6}]
    spans = [{"start": 3, "end": 6, "token_start": 2, "token_end": 2, "label": "X"}]
    path = put(tmp_path, {"text": "a\n\nbcd", "tokens": tokens, "spans": spans, "answer": "accept"})
    (sentence,) = ProdigyReader(path=path).read()
    assert (sentence.words, spans_of(sentence)) == (["a", "bcd"], [("bcd", "X")])


@pytest.mark.parametrize("answer", ["reject", "ignore"])
def test_prodigy_answers_are_counted(answer: str, tmp_path: Path) -> None:
    """Rejected and ignored objects are left out and reported with their line, wherever they are."""
    no = task(answer=answer)
    path = put(tmp_path, no, task(), no, task(spans=[]), no)
    one, two = ProdigyReader(path=path).read()
    assert [spans_of(one), spans_of(two)] == [[("Mira Okafor", "PER")], []]
    assert [[item.line for item in each.unused] for each in (one, two)] == [[1], [3, 5]]
    assert reasons(one) == [f"left out: its `answer` is `{answer}` (1 spans)"]
    assert len(statistics(ProdigyReader(path=path))["unused"]) == 3


def test_prodigy_without_an_accepted_object(tmp_path: Path) -> None:
    """Reports are not lost if every object is left out."""
    (sentence,) = ProdigyReader(path=put(tmp_path, task(answer="reject"))).read()
    assert (sentence.words, len(sentence.unused)) == ([], 1)


def test_prodigy_objects_without_spans(tmp_path: Path) -> None:
    """An accepted object without `spans` has none; one without an answer is not annotated."""
    (sentence,) = ProdigyReader(path=put(tmp_path, {"text": TEXT, "answer": "accept"})).read()
    assert sentence.spans == []
    (sentence,) = ProdigyReader(path=put(tmp_path, {"text": TEXT})).read()
    assert sentence.spans is None


@pytest.mark.parametrize(
    "more", [{"label": "SPORT"}, {"options": [{"id": "A"}], "accept": ["A"]}, {"accept": []}]
)
def test_prodigy_answers_on_categories(more: dict[str, Any], tmp_path: Path) -> None:
    """An answer on the category of a text does not say that it has no span."""
    (sentence,) = ProdigyReader(path=put(tmp_path, {"text": TEXT, "answer": "accept", **more})).read()
    assert sentence.spans is None


def test_prodigy_spans_under_another_key(tmp_path: Path) -> None:
    """Spans under an unknown key are an error, also in an accepted object."""
    path = put(tmp_path, {"text": TEXT, "answer": "accept", "span": [PLACE]})
    assert "`span` looks like annotation" in error_message(ProdigyReader(path=path))


def test_prodigy_answers_to_single_suggestions_are_reported(tmp_path: Path) -> None:
    """In the view `ner`, words outside the suggested span were not annotated."""
    for key in ({"_view_id": "ner"}, {"_is_binary": True}):
        (sentence,) = ProdigyReader(path=put(tmp_path, task(**key))).read()
        assert "nobody annotated the words outside it" in reasons(sentence)[0]
    path = put(tmp_path, task(_view_id="ner_manual", _is_binary=False))
    (sentence,) = ProdigyReader(path=path).read()
    assert sentence.unused == ()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (task(answer="yes"), '`answer` is "yes", not one of accept, reject, ignore'),
        (task(answer=1), "`answer` is 1, not a string"),
        (task(spans=[{**PERSON, "token_end": 2}]), "spans[0]: tokens 0 to 2 are not at [0, 11)"),
        (task(spans=[{**PERSON, "token_end": 9}]), "spans[0]: tokens 0 to 9"),
        (task(spans=[{"start": 0, "end": 4}]), "spans[0]: no `label`"),
        (task(spans=[{**PLACE, "text": "Graz"}]), "is `Turku`, not `Graz`"),
        (task(tokens=[TOKENS[1], TOKENS[0]]), "overlaps another, is empty or is outside the text"),
        (task(tokens=[{**TOKENS[0], "text": "Mara"}]), 'is `Mira`, not "Mara"'),
        ({"spans": [], "answer": "accept"}, "no `text` in this object; its keys: spans, answer"),
    ],
)
def test_bad_prodigy_objects(value: Any, message: str, tmp_path: Path) -> None:
    """A malformed object is an error with its line."""
    path = put(tmp_path, task(), value)
    error = error_message(ProdigyReader(path=path))
    assert f"{path}:2" in error
    assert message in error


# doccano's older export


def old(*labels: Any) -> dict[str, Any]:
    places = ((0, 11), (22, 27))
    annotations = [
        {"label": label, "start_offset": start, "end_offset": end, "user": 1}
        for label, (start, end) in zip(labels, places, strict=False)
    ]
    return {"id": 9, "text": TEXT, "meta": {}, "annotation_approver": None, "annotations": annotations}


def test_doccano_annotations_with_names(tmp_path: Path) -> None:
    """Old versions of doccano write spans as `annotations`."""
    (sentence,) = DoccanoReader(path=put(tmp_path, old("PER", "LOC"))).read()
    assert (spans_of(sentence), sentence.document) == ([("Mira Okafor", "PER"), ("Turku", "LOC")], "9")


def test_doccano_annotations_with_numbers(tmp_path: Path) -> None:
    """Labels that are numbers are types, or get their names from `label_names`."""
    path = put(tmp_path, old(3, 7))
    (sentence,) = DoccanoReader(path=path).read()
    assert [type_ for _, type_ in spans_of(sentence)] == ["3", "7"]
    (sentence,) = DoccanoReader.model_validate({"path": path, "label_names": {3: "PER", "7": "LOC"}}).read()
    assert [type_ for _, type_ in spans_of(sentence)] == ["PER", "LOC"]
    error = error_message(DoccanoReader(path=path, label_names={"3": "PER"}))
    assert "annotations[1]: label 7 is not in `label_names`, which has 3" in error


def test_doccano_label_names_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of labels are an option of the command line."""
    arguments = ["stats", str(put(tmp_path, old(3, 7))), "--reader", "doccano", "--json"]
    assert main([*arguments, "--option", "label_names={3: PER, 7: LOC}"]) == 0
    assert json.loads(capsys.readouterr().out)["spans"] == {"LOC": 1, "PER": 1}


@pytest.mark.parametrize("label", [None, True, 1.5, ["PER"], ""])
def test_doccano_labels_of_another_kind(label: Any, tmp_path: Path) -> None:
    """A label is a name or a whole number."""
    assert "annotations[0]" in error_message(DoccanoReader(path=put(tmp_path, old(label))))


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        ("gliner", {"tokenized_text": WORDS, "ner": [[0, 1, "PER"]]}),
        ("dataturks", {"content": TEXT, "annotation": [{"label": ["PER"], "points": [point(0, 10)]}]}),
        ("prodigy", task()),
        ("doccano", old("PER")),
    ],
)
def test_the_command_line_reads_all_formats(
    reader: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`convert` writes the spans of each format."""
    assert main(["convert", str(put(tmp_path, value)), "-", "--reader", reader, "--writer", "conll"]) == 0
    assert "Mira\tB-PER\nOkafor\tI-PER\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("reader", "record"),
    [
        (GlinerReader, '{"tokenized_text": ["in", "Oslo"], "ner": [[1, END, "place"]]}'),
        (DygieReader, '{"doc_key": "a", "sentences": [["in", "Oslo"]], "ner": [[[1, END, "place"]]]}'),
    ],
    ids=["gliner", "dygie"],
)
def test_an_end_after_the_last_word_says_how_ends_are_counted(
    tmp_path: Path, reader: type[GlinerReader | DygieReader], record: str
) -> None:
    """Programs that write the end as the word after the last make all spans too long; only this one can be seen."""
    path = tmp_path / "a.jsonl"
    path.write_text(record.replace("END", "2"))
    assert "are all spans here one word too long?" in error_message(reader(path=path))
    path.write_text(record.replace("END", "3"))
    assert "too long" not in error_message(reader(path=path))
    path.write_text(record.replace("END", "1"))
    (sentence,) = reader(path=path).read()
    assert spans_of(sentence) == [("Oslo", "place")]
