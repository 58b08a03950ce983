"""The writer `label_studio`: the form of Label Studio's documentation, its units, and the same spans when read back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from label_studio_format import TASKS, check
from sltk.cli import main
from sltk.components.readers.label_studio import LabelStudioReader
from sltk.components.writers import LabelStudioWriter
from sltk.errors import DataError
from sltk.types import Prediction, Sentence, Span

PIECES = st.sampled_from(
    [
        "Mira",
        " ",
        "😀",
        "👩\u200d🚒",
        "שלום",
        "\u200f",
        "\x00",
        "\ud800",
        "\r\n",
        "\t",
        "é",
        "e\u0301",
        "<b>",
        '"',
        "&",
    ]
)
FAMILY = "\U0001f469\u200d\U0001f692"


def tasks(writer: LabelStudioWriter, *predictions: Prediction) -> list[dict]:
    """What is written, checked against the schema of Label Studio's import."""
    document = json.loads("".join(writer.render(predictions)))
    check(document, TASKS)
    return document


def of_text(text: str, *spans: tuple[int, int, str, float | None]) -> Prediction:
    """A prediction whose words are the characters of a text, so that spans count characters."""
    offsets = [(place, place + 1) for place in range(len(text))]
    words = list(text)
    return Prediction(
        Sentence(words, text=text, offsets=offsets), ["O"] * len(words), None, [Span(*span) for span in spans]
    )


@st.composite
def predictions(draw: st.DrawFn) -> Prediction:
    text = "".join(draw(st.lists(PIECES | st.text(max_size=3), max_size=8)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6, unique=True)))
    types = st.sampled_from(["PER", "a b", "Ü"])
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    return of_text(text, *((a, b, draw(types), draw(st.none() | st.floats(0, 1))) for a, b in pairs))


def test_a_task_has_text_and_scored_regions() -> None:
    """Each sentence is a task; a region has the names of the project's tags, offsets, text, label and score."""
    sentence = Sentence(["Mira", "met", "Kai"])
    spans = [Span(0, 1, "PER", 0.9), Span(2, 3, "PER", 0.7)]
    prediction = Prediction(sentence, ["B-PER", "O", "B-PER"], [0.9, 0.6, 0.7], spans)
    writer = LabelStudioWriter(from_name="ner", to_name="doc", text_field="body", model_version="run 3")
    assert tasks(writer, prediction) == [
        {
            "data": {"body": "Mira met Kai"},
            "predictions": [
                {
                    "model_version": "run 3",
                    "score": 0.6,
                    "result": [
                        {
                            "id": f"span-{number}",
                            "from_name": "ner",
                            "to_name": "doc",
                            "type": "labels",
                            "value": {"start": start, "end": end, "text": text, "labels": ["PER"]},
                            "score": score,
                        }
                        for number, start, end, text, score in (
                            (1, 0, 4, "Mira", 0.9),
                            (2, 9, 12, "Kai", 0.7),
                        )
                    ],
                }
            ],
        }
    ]


@pytest.mark.parametrize(
    ("scores", "spans", "expected"),
    [
        ([0.9, 0.4], [], {"score": 0.4}),
        (None, [Span(0, 1, "X", 0.3), Span(1, 2, "X", 0.5)], {"score": 0.3}),
        (None, [Span(0, 1, "X")], {}),
    ],
)
def test_the_score_of_a_task_is_the_lowest(
    scores: list[float] | None, spans: list[Span], expected: dict[str, float]
) -> None:
    """It is the lowest probability of a word, else of a span, else absent: tasks in doubt sort first."""
    (task,) = tasks(LabelStudioWriter(), Prediction(Sentence(["a", "b"]), ["O", "O"], scores, spans))
    (prediction,) = task["predictions"]
    assert {key: value for key, value in prediction.items() if key == "score"} == expected


@pytest.mark.parametrize("doubts", [[0.9, 0.2, 0.0], [1.7, 0.4]])
def test_ranked_tasks_are_sorted_by_their_score_too(doubts: list[float]) -> None:
    """The most doubtful task has the lowest score, whatever the measure of doubt."""
    batch = [Prediction(Sentence(["a"]), ["O"], [0.5], uncertainty=doubt) for doubt in doubts]
    scores = [task["predictions"][0]["score"] for task in tasks(LabelStudioWriter(), *batch)]
    assert scores == sorted(scores)
    assert all(0 < score <= 1 for score in scores)


@pytest.mark.parametrize(("offsets", "start", "end"), [("characters", 8, 12), ("utf16", 11, 15)])
def test_offsets_count_characters_unless_asked(offsets: str, start: int, end: int) -> None:
    """Label Studio counts characters since 1.4, before that UTF-16 units, in which an emoji is two."""
    text = f"{FAMILY} 😀 — Mira"
    prediction = of_text(text, (text.index("Mira"), len(text), "PER", 0.5))
    (task,) = tasks(LabelStudioWriter(offsets=offsets), prediction)  # type: ignore[arg-type]
    value = task["predictions"][0]["result"][0]["value"]
    assert (value["start"], value["end"], value["text"]) == (start, end, "Mira")


def test_annotations_are_written_on_request() -> None:
    """`kind: annotations` writes finished annotation, which has neither scores nor a model."""
    (task,) = tasks(LabelStudioWriter(kind="annotations"), of_text("ab", (0, 1, "X", None)))
    assert list(task) == ["data", "annotations"]
    assert list(task["annotations"][0]) == ["result"]


def test_plain_tags_are_regions_of_one_word() -> None:
    """Part-of-speech tags form no spans, so each tagged word is a region with the word's score."""
    prediction = Prediction(Sentence(["birds", "sing"]), ["NOUN", "VERB"], [0.5, 0.75], scheme="plain")
    (task,) = tasks(LabelStudioWriter(), prediction)
    regions = task["predictions"][0]["result"]
    assert [(each["value"]["labels"], each["score"]) for each in regions] == [
        (["NOUN"], 0.5),
        (["VERB"], 0.75),
    ]


def test_no_sentences_are_an_empty_list() -> None:
    """The output is JSON also without any sentence."""
    assert tasks(LabelStudioWriter()) == []


def test_what_databases_refuse_is_replaced_and_reported() -> None:
    """NUL and half surrogate pairs become symbols of the same length, in texts, quotes and types."""
    prediction = Prediction(Sentence(["a\x00", "\udc00b"]), ["O", "O"], None, [Span(0, 2, "T\x00")])
    (task,) = tasks(LabelStudioWriter(), prediction)
    assert task["data"]["text"] == "a␀ \ufffdb"
    assert task["predictions"][0]["result"][0]["value"] == {
        "start": 0,
        "end": 5,
        "text": "a␀ \ufffdb",
        "labels": ["T␀"],
    }
    assert [each.reason[:4] for each in LabelStudioWriter().changes(prediction)] == ["`a␀`", "`\ufffdb`"]


@pytest.mark.parametrize("kind", ["predictions", "annotations"])
@pytest.mark.parametrize("offsets", ["characters", "utf16"])
@given(batch=st.lists(predictions(), min_size=1, max_size=3))
@example(batch=[of_text("😀\r\nMira", (3, 7, "PER", 0.5)), of_text("")])
@settings(max_examples=12)
def test_spans_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, kind: str, offsets: str, batch: list[Prediction]
) -> None:
    """The reader gives the same texts, and spans of the same characters and types, in both units."""
    path = tmp_path_factory.mktemp("tasks") / "tasks.json"
    LabelStudioWriter(kind=kind, offsets=offsets).save(batch, path)  # type: ignore[arg-type]
    check(json.loads(path.read_text(encoding="utf-8")), TASKS)
    reader = LabelStudioReader(path=path, kind=kind, offsets=offsets)  # type: ignore[arg-type]
    for sentence, prediction in zip(reader.read(), batch, strict=True):
        assert sentence.text == re.sub("[\ud800-\udfff]", "\ufffd", prediction.text.replace("\x00", "␀"))
        assert sentence.offsets is not None
        read = [
            (sentence.offsets[span.start][0], sentence.offsets[span.end - 1][1], span.type)
            for span in sentence.spans or ()
        ]
        assert sorted(read) == sorted(kept(sentence, prediction))


def kept(sentence: Sentence, prediction: Prediction) -> list[tuple[int, int, str]]:
    """The spans of a prediction, without the white space at their ends; those of white space alone are left out."""
    assert sentence.offsets is not None
    places = []
    for span in prediction.spans:
        inside = [(a, b) for a, b in sentence.offsets if span.start <= a and b <= span.end]
        if inside:
            places.append((inside[0][0], inside[-1][1], span.type))
    return places


def test_predictions_are_read_by_model(tmp_path: Path) -> None:
    """`kind: predictions` reads the first prediction, or that of the `model_version` in `annotator`."""
    path = tmp_path / "export.json"
    region = {"from_name": "label", "to_name": "text", "type": "labels"}
    results = {
        name: [{**region, "value": {"start": 0, "end": 4, "labels": [type_]}}]
        for name, type_ in (("old", "LOC"), ("new", "PER"))
    }
    task = {
        "id": 7,
        "data": {"text": "Mira left."},
        "annotations": [{"completed_by": 1, "result": []}],
        "predictions": [{"model_version": name, "result": result} for name, result in results.items()],
    }
    path.write_text(json.dumps([task]))
    types = {
        name: [span.type for sentence in reader.read() for span in sentence.spans or ()]
        for name, reader in {
            "annotation": LabelStudioReader(path=path),
            "first": LabelStudioReader(path=path, kind="predictions"),
            "new": LabelStudioReader(path=path, kind="predictions", annotator="new"),
        }.items()
    }
    assert types == {"annotation": [], "first": ["LOC"], "new": ["PER"]}
    (sentence,) = LabelStudioReader(path=path, kind="predictions", annotator="new").read()
    assert "by old with 1 spans" in sentence.unused[0].reason


def test_tasks_with_predictions_alone_say_how_to_read_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By default annotation is read, of which there is none."""
    path = tmp_path / "tasks.json"
    LabelStudioWriter().save([of_text("Kai", (0, 3, "PER", None))], path)
    assert main(["convert", str(path), "-", "--reader", "label_studio", "--writer", "jsonl"]) == 2
    assert "`kind: predictions` reads the predictions of a model" in capsys.readouterr().err


def test_json_min_has_no_predictions(tmp_path: Path) -> None:
    """The error says which export has them."""
    path = tmp_path / "min.json"
    path.write_text('[{"id": 1, "text": "Mira left."}]')
    with pytest.raises(DataError, match="`kind: predictions` reads the JSON export"):
        list(LabelStudioReader(path=path, kind="predictions").read())
