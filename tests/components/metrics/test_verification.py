"""Final scores are compared with those of the package seqeval."""

from __future__ import annotations

import importlib.metadata
import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import sltk
import tiny
from sltk.cli import main
from sltk.components.metrics.seqeval import SeqevalMetric
from sltk.components.metrics.verification import Verifier
from sltk.errors import RunError
from sltk.models.evaluation import selection_scores
from sltk.spec import loading
from sltk.types import Prediction, Sentence

RELEASE = f"seqeval {importlib.metadata.version('seqeval')}"
TYPES = st.sampled_from(["A", "B", "-", "A-", "-A", "a b", "_", "micro avg", "O", "T0"])
LETTERS = {"IOB1": "BI", "IOB2": "BI", "BIOES": "BIES", "BILOU": "BILU"}


@st.composite
def tagged(draw):
    """A scheme, and gold and predicted tags of any kind."""
    scheme = draw(st.sampled_from([*LETTERS]))
    tag = st.just("O") | st.builds("{}-{}".format, st.sampled_from(LETTERS[scheme]), TYPES)
    pairs = draw(st.lists(st.lists(st.tuples(tag, tag), max_size=5), max_size=4))
    gold = [[one for one, _ in pair] for pair in pairs]
    return scheme, gold, [[other for _, other in pair] for pair in pairs]


@pytest.mark.filterwarnings("ignore")
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=200)
@given(tagged())
@example(("IOB2", [], []))
@example(("IOB2", [["O"]], [["O"]]))
@example(("IOB2", [["I-A"]], [["I-B"]]))
@example(("IOB1", [["I-A-"]], [["I--A"]]))
def test_any_tags_have_the_same_scores(data):
    """In every scheme of seqeval, for any types, the scores are equal; the comparison is reported."""
    scheme, gold, predicted = data
    scores = SeqevalMetric(verify="always").compute(gold, predicted, scheme)
    has_types = any(tag != "O" for tags in (*gold, *predicted) for tag in tags)
    assert scores["verified_by"] == (RELEASE if has_types else None)


KEYS = ["precision", "recall", "f1", "support", "macro_f1", "weighted_f1"]


@pytest.mark.parametrize("key", [*KEYS, *(f"per_type.PER.{key}" for key in KEYS[:4]), "per_type.PER"])
def test_a_difference_is_an_error(key):
    """Any other score, or a type that is not there, is an error that names the key and both values."""
    gold, predicted = (
        [["B-PER", "I-PER", "O"], ["B-LOC", "O", "O"]],
        [["B-PER", "O", "B-PER"], ["B-LOC", "O", "O"]],
    )
    scores = SeqevalMetric(verify="never").compute(gold, predicted, "IOB2")
    verifier = Verifier("IOB2", "auto")
    for right, guess in zip(gold, predicted, strict=True):
        verifier.add(right, guess)
    assert verifier.verify(scores) == RELEASE
    *path, last = key.split(".")
    part = scores
    for step in path:
        part = part[step]
    if isinstance(part[last], dict):
        del part[last]
    else:
        part[last] += 0.001
    with pytest.raises(RunError, match=key.replace(".", r"\.")):
        verifier.verify(scores)


@pytest.mark.parametrize(
    "metric",
    [SeqevalMetric(verify="never"), SeqevalMetric(mode="conlleval"), SeqevalMetric(scheme="BIOES")],
)
def test_what_is_not_compared_is_said(metric):
    """Other modes and converted schemes are not compared."""
    assert metric.compute([["B-A"]], [["B-A"]], "IOB2")["verified_by"] is None


@pytest.mark.parametrize("scheme", ["IO", "BMES"])
def test_schemes_that_seqeval_lacks_are_not_compared(scheme):
    """They have no counterpart."""
    tag = "I-A" if scheme == "IO" else "S-A"
    assert SeqevalMetric(verify="always").compute([[tag]], [[tag]], scheme)["verified_by"] is None


@pytest.mark.parametrize(
    ("words", "types", "expected"), [(40_000, 4, True), (200_000, 4, False), (20_000, 300, False)]
)
def test_the_bound_is_about_a_second(words, types, expected):
    """Large data and many types are compared only on request."""
    sentence = [f"B-{number % types}" for number in range(50)]
    gold = [
        [f"B-{(number * 50 + place) % types}" for place in range(len(sentence))]
        for number in range(words // 50)
    ]
    start = time.process_time()
    scores = SeqevalMetric().compute(gold, gold, "IOB2")
    assert (scores["verified_by"] is not None) == expected
    assert time.process_time() - start < 10  # far above the bound: this machine may be busy


def test_scores_of_epochs_are_not_compared():
    """Only final scores are, because the comparison takes time."""
    experiment = loading.load(tiny.spec(metrics=[{"type": "seqeval", "verify": "always"}])).spec
    predictions = [Prediction(Sentence(["a"], tags=["B-A"]), ["B-A"])]
    assert selection_scores(experiment, predictions)["f1"] == 1
    assert experiment.metrics[0].score(predictions, "IOB2")["verified_by"] == RELEASE


def test_train_evaluate_and_score_compare(tmp_path: Path, capsys) -> None:
    """All three say by which version their scores were verified."""
    metrics = sltk.train(tiny.spec(data=tiny.all_splits()), tmp_path / "run")
    assert metrics["test"]["verified_by"] == RELEASE
    stored = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert stored["validation"]["verified_by"] == RELEASE
    assert sltk.evaluate(tmp_path / "run").scores["verified_by"] == RELEASE
    capsys.readouterr()
    assert main(["score", str(tmp_path / "run" / "predictions" / "test.conll"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified_by"] == RELEASE
