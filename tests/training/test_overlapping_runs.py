"""Runs of heads whose spans may overlap: from YAML to predictions, on nested spans written for the test."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sltk
import tiny
from sltk import schemes, sweeps
from sltk.cli.app import main
from sltk.components.readers.brat import BratReader
from sltk.components.readers.conll import ConllReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.components.readers.label_studio import LabelStudioReader
from sltk.components.slots import Reader
from sltk.components.writers.jsonl import prediction_record
from sltk.data import datasets
from sltk.models.whole_text import label_texts

HEADS: dict[str, dict[str, Any]] = {
    "span": {"type": "span", "size": 16, "negatives": 0.5},
    "layered": {"type": "layered"},
}


def write_data(path: Path, count: int, seed: int) -> Path:
    """Sentences such as `the university of Oslo hired Ada .`, with a LOC inside an ORG; and some without spans."""
    numbers = random.Random(seed)
    lines = []
    for _ in range(count):
        city = numbers.choice(["Oslo", "New Delhi", "Porto", "Lima"]).split()
        who = numbers.choice(["Ada", "Ben Lee"]).split()
        words = ["the", "university", "of", *city, "hired", *who, "."]
        place, person = (3, 3 + len(city), "LOC"), (4 + len(city), len(words) - 1, "PER")
        spans = [(1, place[1], "ORG"), place, person]
        if numbers.random() < 0.3:
            words, spans = ["it", "rained", "."], []
        text = " ".join(words)
        starts = [len(" ".join(words[:number])) + (number > 0) for number in range(len(words))]
        ends = [start + len(word) for start, word in zip(starts, words, strict=True)]
        lines.append(
            {
                "text": text,
                "words": [
                    {"text": w, "start": s, "end": e} for w, s, e in zip(words, starts, ends, strict=True)
                ],
                "spans": [{"start": starts[s], "end": ends[e - 1], "type": type_} for s, e, type_ in spans],
            }
        )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("data")
    return {
        split: {"type": "jsonl", "path": str(write_data(folder / f"{split}.jsonl", count, seed))}
        for seed, (split, count) in enumerate({"train": 48, "validation": 8, "test": 16}.items())
    }


@pytest.fixture(scope="module", params=HEADS)
def run(
    request: pytest.FixtureRequest, data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run that has learnt the data, with a checkpoint after its first epoch."""
    folder = tmp_path_factory.mktemp("runs") / request.param
    spec = tiny.spec({"epochs": 4}, data=data, head=HEADS[request.param])
    sltk.train(sltk.Experiment.model_validate(spec), folder)
    return folder


def gold(data: dict[str, Any]) -> list[sltk.Sentence]:
    return datasets.load(JsonlReader(path=data["test"]["path"]), "layers").sentences


def test_nested_spans_are_learnt_stored_and_scored(run: Path, data: dict[str, Any]) -> None:
    """The loaded model predicts what the run has written, whose scores count every nested span."""
    metrics = json.loads((run / "metrics.json").read_text())
    sentences = gold(data)
    assert metrics["test"]["support"] == sum(len(each.spans or ()) for each in sentences) > 16
    assert metrics["test"]["f1"] > 0.9
    assert sltk.evaluate(run).scores == metrics["test"]
    written = (run / "predictions" / "test.conll").read_text().strip().split("\n\n")
    tags = [[line.split("\t")[2] for line in block.split("\n")] for block in written]
    bare = [each.words for each in sentences]
    predictions = sltk.load(run).predict(bare)
    assert [each.tags for each in predictions] == tags
    assert any("|" in tag for own in tags for tag in own)
    for prediction in predictions:
        assert schemes.decode(prediction.tags, "layers", "error").spans == sorted(prediction.spans)
        assert all(0 <= (span.score or -1) <= 1 for span in prediction.spans)
        assert prediction.scores is not None
        assert all(0 <= score <= 1 for score in prediction.scores)


def test_a_sentence_alone_is_labelled_as_in_a_batch(run: Path, data: dict[str, Any]) -> None:
    """Batches of one sentence and of all give the same spans, and the same scores up to rounding."""
    words = [each.words for each in gold(data)]
    alone, together = (sltk.load(run, batch_tokens=tokens).predict(words) for tokens in (1, 4096))
    for one, other in zip(alone, together, strict=True):
        assert (one.tags, one.spans) == (other.tags, other.spans)
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


def test_what_was_learnt_from_the_data_is_stored(run: Path) -> None:
    """`sltk.json` has the tags of one layer, and numbers instead of `auto`."""
    stored = json.loads((run / "model" / "sltk.json").read_text())
    assert stored["scheme"] == "layers"
    assert stored["labels"] == ["O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER"]
    head = stored["components"]["head"]
    expected = {"max_width": 4, "combinations": []} if head["type"] == "span" else {"layers": 2}
    assert {key: head[key] for key in expected} == expected


def test_scores_decide_about_each_span(run: Path, data: dict[str, Any], tmp_path: Path) -> None:
    """`predict` leaves out spans below a minimum score, orders by uncertainty, and writes nested spans."""
    output = tmp_path / "out.jsonl"
    options = [
        "--reader",
        "jsonl",
        "--min-score",
        "0.2",
        "--rank",
        "uncertainty",
        "--measure",
        "entropy",
        "--format",
        "jsonl",
    ]
    assert main(["predict", str(run), data["test"]["path"], "--output", str(output), *options]) == 0
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    values = [line["uncertainty"] for line in lines]
    assert values == sorted(values, reverse=True)
    nested = [line for line in lines if {span["type"] for span in line["spans"]} >= {"ORG", "LOC"}]
    assert nested
    assert all(span["score"] >= 0.2 for line in lines for span in line["spans"])


def test_constraints_are_for_tags(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--decode constrained` compares layers with what they were without it, and is refused for spans."""
    code = main(["evaluate", str(run), "--decode", "constrained"])
    if run.name == "layered":
        assert code == 0
        return
    assert code == 2
    assert "this model chooses spans, not tags" in capsys.readouterr().err


def test_a_resumed_run_has_the_same_weights(run: Path, data: dict[str, Any], tmp_path: Path) -> None:
    """An interrupted run goes on with the same sampled negatives, and ends with the same weights."""
    if run.name == "layered":
        return  # it has no random numbers of its own
    spec = sltk.Experiment.model_validate(tiny.spec({"epochs": 4}, data=data, head=HEADS["span"]))
    with pytest.raises(KeyboardInterrupt):
        sltk.train(spec, tmp_path / "again", progress=tiny.InterruptingProgress(8))
    sltk.train(spec, tmp_path / "again", resume=True)
    assert tiny.same_weights(run, tmp_path / "again")


def texts(data: dict[str, Any]) -> list[str]:
    """Four sentences, at least two of which have a span inside another."""
    own = [" ".join(sentence.words) for sentence in gold(data)]
    return [text for text in own if "Delhi" in text][:2] + [text for text in own if "Delhi" not in text][:2]


def places(spans: list[sltk.Span] | None) -> list[tuple[int, int, str]]:
    return sorted((span.start, span.end, span.type) for span in spans or ())


def readers(folder: Path) -> dict[str, Reader]:
    """The formats of which sltk reads spans again."""
    return {
        "conll": ConllReader(path=folder / "conll.txt", separator="tab", document_marker=None),
        "jsonl": JsonlReader(path=folder / "jsonl.txt"),
        "brat": BratReader(path=folder / "brat.txt"),
        "label_studio": LabelStudioReader(path=folder / "label_studio.txt", kind="predictions"),
    }


def test_every_format_has_every_predicted_span(run: Path, data: dict[str, Any], tmp_path: Path) -> None:
    """`predict` writes spans inside others in each format; those that sltk reads are read again as predicted."""
    source = tmp_path / "in.txt"
    source.write_text("\n".join(texts(data)) + "\n")
    expected = [places(prediction.spans) for prediction in sltk.load(run).predict(texts(data))]
    count = sum(map(len, expected))
    for form in (*readers(tmp_path), "spans", "text", "html"):
        output = tmp_path / f"{form}.txt"
        assert main(["predict", str(run), str(source), "--output", str(output), "--format", form]) == 0
        if form in readers(tmp_path):
            read = datasets.load(readers(tmp_path)[form], "layers")
            assert [places(sentence.spans) for sentence in read] == expected, form
    assert len((tmp_path / "spans.txt").read_text().splitlines()) == 1 + count
    assert (tmp_path / "text.txt").read_text().count("](") == count
    assert "[University of [New Delhi](LOC)](ORG)".lower() in (tmp_path / "text.txt").read_text().lower()
    assert (tmp_path / "html.txt").read_text().count(">LOC<") >= 2


def test_a_server_answers_with_every_span(run: Path, data: dict[str, Any], serve_library: ModuleType) -> None:
    """`/predict` has the records of the model, in the scheme that `/info` names; Label Studio gets all regions."""
    from starlette.testclient import TestClient

    from served import make_app
    from sltk.serving.model_facts import describe_model

    labeller = sltk.load(run)
    about = describe_model(run)
    records = [prediction_record(each) for each in label_texts(labeller, texts(data))]
    interface = (
        '<View><Labels name="label" toName="text"><Label value="ORG"/><Label value="LOC"/><Label value="PER"/></Labels>'
        '<Text name="text" value="$text"/></View>'
    )
    tasks = [{"id": number, "data": {"text": text}} for number, text in enumerate(texts(data))]
    with TestClient(make_app(labeller, about=about), base_url="http://localhost") as client:
        answers = client.post("/predict", json={"texts": texts(data)}).json()["predictions"]
        sure = client.post("/predict", json={"texts": texts(data), "min_score": 1}).json()["predictions"]
        info = client.get("/info").json()
        body = {"tasks": tasks, "label_config": interface}
        results = client.post("/label-studio/predict", json=body).json()["results"]
    assert (info["scheme"], info["types"]) == ("layers", ["LOC", "ORG", "PER"])
    assert not any(answer["spans"] for answer in sure)
    assert {word["tag"] for answer in sure for word in answer["words"]} == {"O"}
    for record, answer, result in zip(records, answers, results, strict=True):
        assert [word["tag"] for word in answer["words"]] == [word["tag"] for word in record["words"]]
        expected = sorted((span["start"], span["end"], span["type"]) for span in record["spans"])
        assert sorted((span["start"], span["end"], span["type"]) for span in answer["spans"]) == expected
        values = [region["value"] for region in result["result"]]
        assert sorted((value["start"], value["end"], *value["labels"]) for value in values) == expected
    assert any("|" in word["tag"] for answer in answers for word in answer["words"])


def test_spacy_keeps_the_longest_entity_or_a_group_of_all(
    run: Path, data: dict[str, Any], spacy_library: ModuleType
) -> None:
    """`ents` lists the spans inside entities as left out; `spans` has all of them, with their scores."""
    import importlib

    importlib.import_module("sltk.integrations.spacy_component")
    nlp = spacy_library.blank("en")
    nlp.add_pipe("sltk", name="ents", config={"model": str(run)})
    nlp.add_pipe("sltk", name="spans", config={"model": str(run), "target": "spans"})
    sentence = next(each for each in gold(data) if "Delhi" in each.words)
    doc = nlp(" ".join(sentence.words))
    (prediction,) = sltk.load(run).predict([sentence.words])
    assert [token.text for token in doc] == sentence.words
    assert sorted((span.start, span.end, span.label_) for span in doc.spans["sltk"]) == places(
        prediction.spans
    )
    assert [(entity.text, entity.label_) for entity in doc.ents if entity.label_ != "PER"] == [
        ("university of New Delhi", "ORG")
    ]
    (inside,) = doc._.sltk_left_out
    assert (doc.text[inside[0] : inside[1]], inside[2]) == ("New Delhi", "LOC")
    assert all(0 < span._.sltk_score <= 1 for span in doc.spans["sltk"])


def test_a_sweep_has_flat_and_overlapping_heads(data: dict[str, Any], tmp_path: Path) -> None:
    """Each run has the scheme of its head, and equals the run alone."""
    heads = [{"name": head["type"], "head": head} for head in ({"type": "linear"}, *HEADS.values())]
    spec = tiny.spec({"max_steps": 2, "epochs": 1}, data=data)
    plan = sweeps.plan({**spec, "sweep": {"list": heads}, "executor": {"type": "local", "isolated": False}})
    outcome = sweeps.run(plan, tmp_path / "sweep")
    assert len(outcome.names("done")) == 3
    folders = {folder.name: folder for folder in (tmp_path / "sweep" / "runs").iterdir()}
    stored = {
        name: json.loads((folder / "model" / "sltk.json").read_text()) for name, folder in folders.items()
    }
    assert {name: each["scheme"] for name, each in stored.items()} == {
        "linear": "IOB2", "span": "layers", "layered": "layers"
    }  # fmt: skip
    support = {
        name: json.loads((folder / "metrics.json").read_text())["test"]["support"]
        for name, folder in folders.items()
    }
    assert support["linear"] < support["span"] == support["layered"]
    alone = sltk.Experiment.model_validate({**spec, "head": HEADS["span"]})
    sltk.train(alone, tmp_path / "alone")
    assert tiny.same_weights(tmp_path / "alone", folders["span"])
