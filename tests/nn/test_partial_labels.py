"""Partly labelled sentences: which tags their words may have, and the losses of heads, by enumeration."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sltk import Sentence, Span, schemes
from sltk.components.heads import CrfHead, LinearHead, MlpHead
from sltk.data.partial_labels import PartialLabels
from sltk.extend import IGNORED
from sltk.nn.batching import pack
from sltk.schemes.labels import LabelSet
from sltk.schemes.names import SchemeName
from sltk.subwords.samples import Sample, without_loss
from sltk.subwords.tokenization import Encoding, Window

SCHEMES: list[SchemeName] = ["IOB1", "IOB2", "IO", "BIOES", "BILOU", "BMES"]
HEADS = [LinearHead(dropout=0), MlpHead(hidden=[4], dropout=0), CrfHead(dropout=0)]


def readings(tags: list[str], hidden: set[str], labels: LabelSet) -> list[tuple[str, ...]]:
    """All well-formed tags of a sentence whose `O`s may hide spans of some types, by enumeration."""
    rows = [
        [tag, *(each for each in labels.tags if each[2:] in hidden)] if tag == "O" else [tag] for tag in tags
    ]
    start, pairs, end = schemes.transitions(labels.tags, labels.scheme)
    number = labels.index
    return [
        path
        for path in product(*rows)
        if start[number[path[0]]]
        and end[number[path[-1]]]
        and all(pairs[number[a]][number[b]] for a, b in pairwise(path))
    ]


def allowed(sentence: Sentence, labels: LabelSet) -> list[set[str]] | None:
    rows = PartialLabels(labels).of(sentence)
    return None if rows is None else [{labels.tags[n] for n, yes in enumerate(row) if yes} for row in rows]


@st.composite
def partly_labelled(draw: Any) -> tuple[Sentence, LabelSet]:
    """A sentence of up to 5 words with spans of PER, from a corpus that does not annotate LOC."""
    labels = LabelSet.of_types(["PER", "LOC"], draw(st.sampled_from(SCHEMES)))
    length = draw(st.integers(1, 5))
    cuts = sorted(draw(st.sets(st.integers(0, length), max_size=4)))
    spans = [Span(a, b, "PER") for a, b in pairwise(cuts) if draw(st.booleans())]
    tags = schemes.encode(spans, length, labels.scheme)
    return Sentence(list("abcde")[:length], tags, annotated=frozenset(["PER"])), labels


@given(partly_labelled())
@settings(max_examples=40, deadline=None)
def test_words_may_have_the_tags_of_all_readings(case: tuple[Sentence, LabelSet]) -> None:
    """A word may have exactly the tags that it has in some well-formed reading of its sentence."""
    sentence, labels = case
    paths = readings(sentence.tags or [], {"LOC"}, labels)
    assert allowed(sentence, labels) == [set(tags) for tags in zip(*paths, strict=True)]


def test_an_outside_word_may_be_in_a_hidden_span() -> None:
    """In IOB2, only a word before which a hidden span may begin can be inside of one; gold spans are certain."""
    labels = LabelSet.of_types(["PER", "LOC"], "IOB2")
    sentence = Sentence(list("abcd"), ["O", "B-PER", "O", "O"], annotated=frozenset(["PER"]))
    begins = {"O", "B-LOC"}
    assert allowed(sentence, labels) == [begins, {"B-PER"}, begins, {*begins, "I-LOC"}]


def test_plain_tags_may_hide_behind_outside() -> None:
    """A plain `O` may be any tag that the corpus does not annotate."""
    labels = LabelSet.plain(["O", "die", "attack"])
    sentence = Sentence(list("ab"), ["O", "die"], annotated=frozenset(["die"]))
    assert allowed(sentence, labels) == [{"O", "attack"}, {"die"}]


@pytest.mark.parametrize("annotated", [None, frozenset(["PER", "LOC", "MISC"])])
def test_a_complete_sentence_has_no_allowed_tags(annotated: frozenset[str] | None) -> None:
    """A sentence whose corpus annotates all types of the model is trained on as it is."""
    labels = LabelSet.of_types(["PER", "LOC"], "IOB2")
    assert allowed(Sentence(["a"], ["O"], annotated=annotated), labels) is None


def sample(sentence: Sentence, labels: LabelSet, number: int = 0) -> Sample:
    words = list(range(len(sentence)))
    tags = [labels.index[tag] for tag in sentence.tags or ()]
    return Sample(
        Encoding([Window(words, words, words)], len(words)), tags, number, PartialLabels(labels).of(sentence)
    )


LABELS = LabelSet.of_types(["PER", "LOC"], "IOB2")
SENTENCES = [
    Sentence(list("abcd"), ["O", "B-PER", "O", "O"], annotated=frozenset(["PER"])),
    Sentence(list("abc"), ["B-LOC", "I-LOC", "O"]),
    Sentence(["a"], ["O"], annotated=frozenset(["LOC"])),
    Sentence(list("ab"), ["O", "B-PER"]),
]
SAMPLES = [sample(sentence, LABELS, number) for number, sentence in enumerate(SENTENCES)]


def head_of(component: Any) -> Any:
    torch.manual_seed(1)
    head = component.build(6, LABELS)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


def loss_of(head: Any, vectors: torch.Tensor, samples: list[Sample]) -> torch.Tensor:
    batch = pack(samples)
    more = {"allowed_WL": batch["allowed_WL"]} if "allowed_WL" in batch else {}
    loss: torch.Tensor = head.loss(vectors, batch["labels"], batch["words_per_sentence"], **more)
    return loss


def enumerated(head: Any, emissions: torch.Tensor, sentence: Sentence) -> float:
    """-log of the summed probability of all readings (CRF), or of all allowed tags (independent words)."""
    hidden = {"PER", "LOC"} - (sentence.annotated if sentence.annotated is not None else {"PER", "LOC"})
    paths = [[LABELS.index[tag] for tag in path] for path in readings(sentence.tags or [], hidden, LABELS)]
    if head.transitions() is None:
        logs = emissions.log_softmax(1)
        rows = [set(tags) for tags in zip(*paths, strict=True)]
        return -sum(float(log[sorted(row)].logsumexp(0)) for log, row in zip(logs, rows, strict=True))
    crf = head.transitions()

    def score(path: Any) -> float:
        pairs = sum(crf.pairs_LL[a, b] for a, b in pairwise(path))
        own = sum(float(emissions[place, tag]) for place, tag in enumerate(path))
        return float(crf.start_L[path[0]] + pairs + crf.end_L[path[-1]] + own)

    every = [score(path) for path in product(range(len(LABELS)), repeat=len(emissions))]
    part = [score(path) for path in paths]
    return float(torch.tensor(every).double().logsumexp(0) - torch.tensor(part).double().logsumexp(0))


@pytest.mark.parametrize("component", HEADS, ids=lambda head: head.type_name)
def test_the_loss_equals_enumeration(component: Any) -> None:
    """The loss of a batch is the sum of -log of the probability of what each sentence may be, packed or alone."""
    head = head_of(component)
    vectors = torch.randn(10, 6)
    parts = vectors.split([len(sentence) for sentence in SENTENCES])
    emissions = [head.emissions(part).detach() for part in parts]
    expected = [enumerated(head, each, sentence) for each, sentence in zip(emissions, SENTENCES, strict=True)]
    alone = [float(loss_of(head, part, [each]).detach()) for part, each in zip(parts, SAMPLES, strict=True)]
    assert alone == pytest.approx(expected, abs=1e-4)
    assert float(loss_of(head, vectors, SAMPLES).detach()) == pytest.approx(sum(expected), abs=1e-4)


@pytest.mark.parametrize("component", HEADS, ids=lambda head: head.type_name)
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_gradients_are_finite(component: Any, scale: float) -> None:
    """The loss and its gradients are finite, also with large scores; the loss is never negative."""
    head = head_of(component)
    vectors = (scale * torch.randn(10, 6)).requires_grad_()
    loss = loss_of(head, vectors, SAMPLES)
    loss.backward()
    assert float(loss.detach()) >= 0
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


@pytest.mark.parametrize("component", HEADS, ids=lambda head: head.type_name)
def test_a_sample_without_loss_adds_none(component: Any) -> None:
    """A sentence that another process trains on adds nothing, alone and beside one that is partly labelled."""
    head = head_of(component)
    vectors = torch.randn(8, 6)
    both = [SAMPLES[0], without_loss(SAMPLES[0])]
    assert pack(both)["labels"].tolist()[4:] == [IGNORED] * 4
    alone = loss_of(head, vectors[:4], SAMPLES[:1])
    assert torch.allclose(loss_of(head, vectors, both), alone)
    assert "allowed_WL" not in pack(both[1:])


def test_batches_without_partial_labels_stay_as_they_are() -> None:
    """A batch has allowed tags only if one of its sentences is partly labelled."""
    assert "allowed_WL" not in pack([SAMPLES[1], SAMPLES[3]])
    rows = pack(SAMPLES[:2])["allowed_WL"]
    assert (
        rows.tolist()[4:]
        == torch.eye(5, dtype=torch.bool)[[LABELS.index[t] for t in SENTENCES[1].tags or ()]].tolist()
    )
