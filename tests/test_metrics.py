"""Metrics: every count equal to seqeval's, and what plain tags are scored by."""

from __future__ import annotations

import math
from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from seqeval.metrics import accuracy_score
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as lenient_scores
from seqeval.metrics.v1 import precision_recall_fscore_support as strict_scores
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES

from sltk import schemes
from sltk.metrics import AccuracyMetric, SeqevalMetric
from sltk.metrics.seqeval import EQUAL_TO

SEQEVAL = {"IOB1": IOB1, "IOB2": IOB2, "BIOES": IOBES, "BILOU": BILOU}
TYPES = ["A", "B", "x-y"]
# seqeval warns of types that were never predicted; that is a result here.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")


@st.composite
def tagged(draw: st.DrawFn, scheme: str) -> tuple[list[list[str]], list[list[str]]]:
    """Gold and predicted tags of a few sentences, ill-formed ones too, often the same."""
    tags = st.sampled_from(schemes.tags_of(TYPES, scheme))
    pair = tags.flatmap(lambda tag: st.tuples(st.just(tag), st.one_of(st.just(tag), tags)))
    sentences = draw(st.lists(st.lists(pair, min_size=1, max_size=8), min_size=1, max_size=4))
    gold, predicted = ([[pair[side] for pair in sentence] for sentence in sentences] for side in (0, 1))
    return gold, predicted


def assert_equal_to_seqeval(ours, gold, predicted, theirs, **settings):
    """Every number that seqeval gives: each type's and the micro scores exactly, averages up to rounding."""
    names = sorted(ours["per_type"])
    if not names:
        assert (ours["precision"], ours["recall"], ours["f1"]) == (0, 0, 0)
        return
    columns = [
        [ours["per_type"][name][key] for name in names] for key in ("precision", "recall", "f1", "support")
    ]
    assert [list(column) for column in theirs(gold, predicted, average=None, **settings)] == columns
    micro = theirs(gold, predicted, average="micro", **settings)
    assert (ours["precision"], ours["recall"], ours["f1"], ours["support"]) == tuple(micro)
    for average in ("macro", "weighted"):
        f1 = theirs(gold, predicted, average=average, **settings)[2]
        assert math.isclose(ours[f"{average}_f1"], f1, abs_tol=1e-12)
    assert math.isclose(ours["accuracy"], accuracy_score(gold, predicted))


@pytest.mark.parametrize("scheme", SEQEVAL)
@given(st.data())
def test_strict_equals_seqeval_strict(scheme, data):
    """In every scheme that seqeval has, strict scores of any sequences are seqeval's."""
    gold, predicted = data.draw(tagged(scheme))
    ours = SeqevalMetric().compute(gold, predicted, scheme)
    assert_equal_to_seqeval(ours, gold, predicted, strict_scores, scheme=SEQEVAL[scheme])


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "IO", "BIOES"])
@given(st.data())
def test_conlleval_equals_seqeval_without_a_mode(scheme, data):
    """In conlleval mode scores of any sequences are those of seqeval's default mode."""
    gold, predicted = data.draw(tagged(scheme))
    ours = SeqevalMetric(mode="conlleval").compute(gold, predicted, scheme)
    assert_equal_to_seqeval(ours, gold, predicted, lenient_scores)


def test_the_signature_names_the_seqeval_that_is_compared_with():
    """The release named in signatures is the one that these tests run against."""
    assert f"seqeval-{version('seqeval')}" == EQUAL_TO


GOLD = [["B-A", "I-A", "O", "B-B"], ["O", "B-A"]]
PREDICTED = [["B-A", "I-A", "O", "B-A"], ["I-B", "B-A"]]


def test_scores_by_hand():
    """Two of three gold spans are found among three predicted ones; a stray I- counts as none."""
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
    """The conlleval script knows no schemes, so E- and S- are read in IOB2 data too; strict refuses them."""
    gold, predicted = [["B-A", "E-A", "S-A"]], [["B-A", "I-A", "S-A"]]
    scores = SeqevalMetric(mode="conlleval").compute(gold, predicted, "IOB2")
    assert (scores["correct"], scores["support"]) == (2, 2)
    with pytest.raises(schemes.SchemeError, match="`E-A` is not a tag of IOB2"):
        SeqevalMetric().compute(gold, predicted, "IOB2")


def test_two_spans_are_not_one():
    """Two gold spans side by side and one predicted over both have nothing in common."""
    gold, predicted = [["B-A", "E-A", "B-A", "E-A"]], [["B-A", "I-A", "I-A", "E-A"]]
    for mode in ("strict", "conlleval"):
        assert SeqevalMetric(mode=mode).compute(gold, predicted, "BIOES")["f1"] == 0


@pytest.mark.parametrize("mode", ["strict", "conlleval"])
@given(st.data())
def test_another_scheme_gives_the_same_counts(mode, data):
    """Converting to another scheme before counting changes the signature and no count."""
    gold, predicted = data.draw(tagged("BIOES"))
    own = SeqevalMetric(mode=mode).compute(gold, predicted, "BIOES")
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
    """Scores that seqeval could not have given do not say they equal it."""
    signature = SeqevalMetric(mode=mode).compute([["O"]], [["O"]], scheme)["signature"]
    assert signature.startswith(f"seqeval|scheme:{scheme}|mode:{mode}|")
    assert (EQUAL_TO in signature) == claims
    assert "|sltk:" in signature


def test_no_spans_at_all_score_zero():
    """Without gold or predicted spans the scores are 0, never an error; so is data of no words."""
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
    """A word without its counterpart is an error, never left out of the score."""
    with pytest.raises(ValueError, match=message):
        metric.compute(gold, predicted, "IOB2")


def test_spans_are_not_counted_in_plain_tags():
    """The seqeval metric refuses plain tags and names the metric for them."""
    with pytest.raises(ValueError, match="metric `accuracy`"):
        SeqevalMetric().compute([["NOUN"]], [["NOUN"]], "plain")
    with pytest.raises(ValidationError, match="IOB2"):
        SeqevalMetric(scheme="plain")


def test_accuracy_of_plain_tags():
    """Accuracy is the share of right words; F1 is told tag by tag and averaged both ways."""
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
