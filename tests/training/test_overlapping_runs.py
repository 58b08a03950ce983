"""Runs of heads whose spans may overlap: from YAML to predictions, on nested spans written for the test."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import sltk
import tiny
from sltk import schemes
from sltk.cli.app import main
from sltk.components.readers.jsonl import JsonlReader
from sltk.data import datasets

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
