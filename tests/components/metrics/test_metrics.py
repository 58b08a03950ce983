"""Metrics: all counts equal seqeval's; scores of plain tags."""

from __future__ import annotations

import json
import math
import re
from importlib.metadata import version

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from seqeval.metrics import accuracy_score
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as lenient_scores
from seqeval.metrics.v1 import precision_recall_fscore_support as strict_scores
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES
from sklearn.metrics import accuracy_score as share_of_right_words
from sklearn.metrics import f1_score

from repository import ROOT
from sltk import schemes
from sltk.components.metrics import AccuracyMetric, PartialMetric, SeqevalMetric, SpansMetric
from sltk.components.metrics.seqeval import EQUAL_TO
from sltk.errors import SpecError

SEQEVAL = {"IOB1": IOB1, "IOB2": IOB2, "BIOES": IOBES, "BILOU": BILOU}
TYPES = ["A", "B", "x-y"]
# seqeval warns of types that were never predicted; that is a result here.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")


@st.composite
def tagged(draw: st.DrawFn, scheme: str) -> tuple[list[list[str]], list[list[str]]]:
    """Gold and predicted tags of a few sentences, including ill-formed ones, often equal."""
    tags = st.sampled_from(schemes.tags_of(TYPES, scheme))
    pair = tags.flatmap(lambda tag: st.tuples(st.just(tag), st.one_of(st.just(tag), tags)))
    sentences = draw(st.lists(st.lists(pair, min_size=1, max_size=8), min_size=1, max_size=7))
    gold, predicted = ([[pair[side] for pair in sentence] for sentence in sentences] for side in (0, 1))
    return gold, predicted


def assert_equal_to_seqeval(ours, gold, predicted, theirs, **settings):
    """Compare with seqeval: scores per type and micro scores exactly, averages up to rounding.

    Averages are computed from seqeval's scores per type, because calling seqeval for each would double the time.
    """
    names = sorted(ours["per_type"])
    if not names:
        assert (ours["precision"], ours["recall"], ours["f1"]) == (0, 0, 0)
        return
    columns = [
        [ours["per_type"][name][key] for name in names] for key in ("precision", "recall", "f1", "support")
    ]
    per_type = theirs(gold, predicted, average=None, **settings)
    assert [list(column) for column in per_type] == columns
    micro = theirs(gold, predicted, average="micro", **settings)
    assert (ours["precision"], ours["recall"], ours["f1"], ours["support"]) == tuple(micro)
    f1, support = per_type[2], per_type[3]
    assert math.isclose(ours["macro_f1"], f1.mean(), abs_tol=1e-12)
    assert math.isclose(ours["weighted_f1"], (f1 * support).sum() / max(support.sum(), 1), abs_tol=1e-12)
    assert math.isclose(ours["accuracy"], accuracy_score(gold, predicted))


@pytest.mark.parametrize("scheme", SEQEVAL)
@given(st.data())
def test_strict_equals_seqeval_strict(scheme, data):
    """In every scheme of seqeval, strict scores of any sequences equal seqeval's."""
    gold, predicted = data.draw(tagged(scheme))
    ours = SeqevalMetric().compute(gold, predicted, scheme)
    assert_equal_to_seqeval(ours, gold, predicted, strict_scores, scheme=SEQEVAL[scheme])


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "IO", "BIOES"])
@given(st.data())
def test_conlleval_equals_seqeval_without_a_mode(scheme, data):
    """In conlleval mode, scores of any sequences equal those of seqeval's default mode."""
    gold, predicted = data.draw(tagged(scheme))
    ours = SeqevalMetric(mode="conlleval").compute(gold, predicted, scheme)
    assert_equal_to_seqeval(ours, gold, predicted, lenient_scores)


def renamed(sentences: list[list[str]], letters: dict[str, str]) -> list[list[str]]:
    return [[letters.get(tag[0], tag[0]) + tag[1:] for tag in tags] for tags in sentences]


@pytest.mark.parametrize(
    ("scheme", "letters", "mode"),
    [
        ("BMES", {"M": "I"}, "strict"),
        ("BMES", {"M": "I"}, "conlleval"),
        ("BILOU", {"L": "E", "U": "S"}, "conlleval"),
    ],
)
@settings(max_examples=40)
@given(st.data())
def test_other_letters_equal_seqeval_under_its_own(scheme, letters, mode, data):
    """For schemes that seqeval lacks, scores equal its scores of the same tags written as BIOES."""
    gold, predicted = data.draw(tagged(scheme))
    ours = SeqevalMetric(mode=mode).compute(gold, predicted, scheme)
    as_bioes = renamed(gold, letters), renamed(predicted, letters)
    if mode == "strict":
        assert_equal_to_seqeval(ours, *as_bioes, strict_scores, scheme=IOBES)
    else:
        assert_equal_to_seqeval(ours, *as_bioes, lenient_scores)


@settings(max_examples=40)
@given(st.data())
def test_strict_io_equals_seqeval_strict_iob1(data):
    """Tags in IO are tags in IOB1 without B-, and have the same scores."""
    gold, predicted = data.draw(tagged("IO"))
    ours = SeqevalMetric().compute(gold, predicted, "IO")
    assert_equal_to_seqeval(ours, gold, predicted, strict_scores, scheme=IOB1)


def test_the_signature_names_the_tested_release_of_seqeval():
    """The release of seqeval in signatures is the one these tests compare with."""
    assert f"seqeval-{version('seqeval')}" == EQUAL_TO


def test_averages_equal_seqeval():
    """Macro and weighted F1 equal seqeval's."""
    ours = SeqevalMetric().compute(GOLD, PREDICTED, "IOB2")
    for average in ("macro", "weighted"):
        f1 = strict_scores(GOLD, PREDICTED, average=average, scheme=IOB2)[2]
        assert math.isclose(ours[f"{average}_f1"], f1)


GOLD = [["B-A", "I-A", "O", "B-B"], ["O", "B-A"]]
PREDICTED = [["B-A", "I-A", "O", "B-A"], ["I-B", "B-A"]]


def test_scores_by_hand():
    """Two of three gold spans are among three predicted ones; a stray I- is not a span."""
    scores = SeqevalMetric().compute(GOLD, PREDICTED, "IOB2")
    assert (scores["correct"], scores["predicted"], scores["support"]) == (2, 3, 3)
    assert scores["precision"] == scores["recall"] == scores["f1"] == pytest.approx(2 / 3)
    assert scores["accuracy"] == pytest.approx(4 / 6)
    assert (scores["sentences"], scores["words"]) == (2, 6)
    assert scores["per_type"]["A"] == {
        "precision": pytest.approx(2 / 3), "recall": 1.0, "f1": pytest.approx(0.8), "support": 2,
        "predicted": 3, "correct": 2,
    }  # fmt: skip
    assert scores["per_type"]["B"]["f1"] == 0
    assert scores["macro_f1"] == pytest.approx(0.4)
    assert scores["weighted_f1"] == pytest.approx(0.8 * 2 / 3)


def test_conlleval_counts_the_stray_word():
    """In conlleval mode the stray I- is a fourth predicted span."""
    scores = SeqevalMetric(mode="conlleval").compute(GOLD, PREDICTED, "IOB2")
    assert (scores["correct"], scores["predicted"]) == (2, 4)


def test_conlleval_reads_b_i_e_s_under_any_of_their_schemes():
    """The conlleval script ignores schemes, so it reads E- and S- in IOB2 data; strict mode raises an error."""
    gold, predicted = [["B-A", "E-A", "S-A"]], [["B-A", "I-A", "S-A"]]
    scores = SeqevalMetric(mode="conlleval").compute(gold, predicted, "IOB2")
    assert (scores["correct"], scores["support"]) == (2, 2)
    with pytest.raises(schemes.SchemeError, match="`E-A` is not a tag of IOB2"):
        SeqevalMetric().compute(gold, predicted, "IOB2")


def test_two_spans_are_not_one():
    """Two adjacent gold spans and one predicted span over both have no correct span."""
    gold, predicted = [["B-A", "E-A", "B-A", "E-A"]], [["B-A", "I-A", "I-A", "E-A"]]
    for mode in ("strict", "conlleval"):
        assert SeqevalMetric(mode=mode).compute(gold, predicted, "BIOES")["f1"] == 0


@pytest.mark.parametrize("mode", ["strict", "conlleval"])
@given(st.data())
def test_another_scheme_gives_the_same_counts(mode, data):
    """Conversion to another scheme before counting changes the signature but no count."""
    gold, predicted = data.draw(tagged("BIOES"))
    own = SeqevalMetric(mode=mode, verify="never").compute(gold, predicted, "BIOES")
    other = SeqevalMetric(mode=mode, scheme="IOB2").compute(gold, predicted, "BIOES")
    assert f"scheme:IOB2|converted-from:BIOES|mode:{mode}" in other.pop("signature")
    assert f"scheme:BIOES|mode:{mode}" in own.pop("signature")
    assert own == other


@pytest.mark.parametrize(
    ("scheme", "mode", "claims"),
    [
        ("IOB2", "strict", True),
        ("BILOU", "strict", True),
        ("BMES", "strict", False),
        ("IO", "strict", False),
        ("IO", "conlleval", True),
        ("BIOES", "conlleval", True),
        ("BILOU", "conlleval", False),
    ],
)
def test_the_signature_claims_seqeval_only_where_seqeval_has_the_scheme(scheme, mode, claims):
    """Signatures claim equality with seqeval only for schemes that seqeval has."""
    signature = SeqevalMetric(mode=mode).compute([["O"]], [["O"]], scheme)["signature"]
    assert signature.startswith(f"seqeval|scheme:{scheme}|mode:{mode}|")
    assert (EQUAL_TO in signature) == claims
    assert "|sltk:" in signature


def test_no_spans_at_all_score_zero():
    """Without gold or predicted spans, or without words, scores are 0."""
    for sentences in ([["O", "O"]], [[]], []):
        scores = SeqevalMetric().compute(sentences, sentences, "IOB2")
        assert (scores["f1"], scores["macro_f1"], scores["per_type"]) == (0, 0, {})


@pytest.mark.parametrize("metric", [SeqevalMetric(), AccuracyMetric()])
@pytest.mark.parametrize(
    ("gold", "predicted", "message"),
    [
        ([["O"]], [["O"], ["O"]], "1 gold sentences but 2 predicted"),
        ([["O"], ["O", "O"]], [["O"], ["O"]], "sentence 2 has 2 gold tags but 1 predicted"),
    ],
)
def test_lengths_must_match(metric, gold, predicted, message):
    """A word without a counterpart is an error."""
    with pytest.raises(ValueError, match=message):
        metric.compute(gold, predicted, "IOB2")


def test_spans_are_not_counted_in_plain_tags():
    """The metric seqeval rejects plain tags and suggests `accuracy`."""
    with pytest.raises(SpecError, match="metric `accuracy`"):
        SeqevalMetric().compute([["NOUN"]], [["NOUN"]], "plain")
    with pytest.raises(ValidationError, match="IOB2"):
        SeqevalMetric(scheme="plain")


def test_accuracy_of_plain_tags():
    """Accuracy is the share of correct words; F1 is reported per tag and averaged in two ways."""
    scores = AccuracyMetric().compute([["N", "V"], ["N", "N"]], [["N", "N"], ["N", "X"]], "plain")
    assert scores["accuracy"] == 0.5
    assert list(scores["per_type"]) == ["N", "V", "X"]
    nouns = scores["per_type"]["N"]
    assert nouns["precision"] == nouns["recall"] == nouns["f1"] == pytest.approx(2 / 3)
    assert (nouns["support"], nouns["predicted"], nouns["correct"]) == (3, 3, 2)
    assert scores["macro_f1"] == pytest.approx(2 / 9)
    assert scores["weighted_f1"] == pytest.approx(0.5)
    assert (scores["sentences"], scores["words"]) == (2, 4)
    assert scores["signature"].startswith("accuracy|scheme:plain|sltk:")


@given(st.lists(st.tuples(st.sampled_from("NVX"), st.sampled_from("NVA")), min_size=1, max_size=12))
def test_accuracy_and_f1_of_plain_tags_equal_scikit_learn(pairs):
    """Accuracy, macro and weighted F1 over tags equal scikit-learn's."""
    gold, predicted = [tag for tag, _ in pairs], [tag for _, tag in pairs]
    scores = AccuracyMetric().compute([gold], [predicted], "plain")
    assert scores["accuracy"] == pytest.approx(share_of_right_words(gold, predicted))
    for average in ("macro", "weighted"):
        theirs = f1_score(gold, predicted, average=average, zero_division=0)
        assert scores[f"{average}_f1"] == pytest.approx(theirs)


def test_the_numbers_of_the_guide_are_computed_by_the_code():
    """The example of docs/reference/metrics.md has the numbers and signatures that the metrics compute."""
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    gold, predicted = (
        [re.search(rf"^{side} +(.*)$", page, re.MULTILINE)[1].split()] for side in ("gold", "predicted")
    )
    partial = PartialMetric().compute(gold, predicted, "IOB2")
    for name, row in partial["table"].items():
        counts = [row[key] for key in ("correct", "incorrect", "partial", "missed", "spurious")]
        shown = " | ".join([f"`{name}`", *map(str, counts), f"{row['f1']:.4f}"])
        assert f"| {shown} |" in page
    spans = SpansMetric().compute(gold, predicted, "IOB2")
    assert f"`types` is `{json.dumps(spans['confusion']['types'])}`" in page
    assert spans["confusion"]["missed"] == spans["confusion"]["spurious"] == {"ORG": 1}
    assert f"so F1 is {spans['boundaries']['f1']:.4f}." in page
    words = AccuracyMetric().compute(gold, predicted, "plain")
    assert f"here 6 of 8, or {words['accuracy']:.4f}." in page
    exact = SeqevalMetric().compute(gold, predicted, "IOB2")
    assert (exact["correct"], exact["predicted"], exact["support"]) == (1, 3, 3)
    for scores in (partial, spans, words, exact):
        assert f"Signature: `{scores['signature']}`." in page
