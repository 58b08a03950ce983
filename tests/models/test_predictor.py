"""Prediction in batches of any size: the same tags as one by one, in order, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import sltk.components.backbones  # noqa: F401
import tiny
from sltk.components.backbones import Decoder, TrainedTokenizer
from sltk.components.heads import LinearHead
from sltk.components.registry import registry
from sltk.models.predictor import Predictor
from sltk.nn.backbone import BuildContext
from sltk.nn.batching import Sample, by_token_budget
from sltk.nn.tagger import Tagger
from sltk.schemes.labels import LabelSet
from sltk.subwords.tokenization import Encoding, SubwordEncoder, Window
from sltk.types import Prediction, Sentence
from tiny_families import BY_NAME

LABELS = LabelSet(("O", "B-PLACE", "I-PLACE", "B-PET"), "IOB2")
TEXT = [
    *("Ines", "walked", "to", "the", "harbour", "of", "Brannock", "where", "a", "grey", "cat"),
    *("slept", "on", "warm", "stones", "and", "nobody", "minded", "it"),
]


@pytest.fixture(scope="module")
def tagger() -> tuple[Tagger, Any]:
    """A random model whose tags differ from word to word, with its tokenizer."""
    config = {"model_type": "llama", **BY_NAME["llama"].config()}
    spec = Decoder(
        init="random",
        config=config | {"vocab_size": 300},
        tokenizer=TrainedTokenizer(vocab_size=300),
        unmask="0110",
    )
    backbone = spec.build(BuildContext(torch.device("cpu"), seed=0, texts=lambda: [" ".join(TEXT)] * 3))
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=noise))
    torch.manual_seed(1)
    head: Any = LinearHead().build(backbone.hidden_size, LABELS)
    aligner = registry.find("aligner", "mean")().build()  # type: ignore[attr-defined]
    return Tagger(backbone, aligner, head), backbone.tokenizer


def predictor(tagger: tuple[Tagger, Any], batch_tokens: int = 4096, max_length: int | None = 64) -> Predictor:
    encoder = SubwordEncoder(tagger[1], max_length=max_length)
    return Predictor(tagger[0], encoder, LABELS, torch.device("cpu"), batch_tokens)


def sentences() -> list[Sentence]:
    """Of 0 to 17 words, in no order of length."""
    return [Sentence(TEXT[: 7 * number % 18]) for number in range(64)]


def same(x: list[Prediction], y: list[Prediction]) -> bool:
    return [p.tags for p in x] == [p.tags for p in y] and all(
        torch.allclose(torch.tensor(a.scores), torch.tensor(b.scores), atol=1e-5)
        for a, b in zip(x, y, strict=True)
    )


@pytest.mark.parametrize("batch_tokens", [1, 20, 100, 10**6])
def test_tags_and_scores_do_not_depend_on_the_batch(tagger: Any, batch_tokens: int) -> None:
    """One sentence a pass, some, or all 64 at once: the same tags, the same scores to 1e-5."""
    alone = [next(predictor(tagger).predict([sentence])) for sentence in sentences()]
    assert len({tag for prediction in alone for tag in prediction.tags}) > 2
    assert same(list(predictor(tagger, batch_tokens).predict(sentences())), alone)


@pytest.mark.parametrize("window", [1, 3, 64, 1000])
def test_predictions_come_in_the_order_of_the_input(tagger: Any, window: int) -> None:
    """Batches are ordered by length inside; what comes out is in order, a sentence of no words included."""
    given = sentences()
    found = list(predictor(tagger).predict(given, window))
    assert all(prediction.sentence is sentence for prediction, sentence in zip(found, given, strict=True))
    assert all(len(prediction.tags) == len(prediction.sentence) for prediction in found)
    assert any(not prediction.tags for prediction in found)


def test_no_more_than_a_window_of_sentences_is_read_ahead(tagger: Any) -> None:
    """An endless stream is labelled in constant memory."""
    taken = 0

    def endless() -> Iterator[Sentence]:
        nonlocal taken
        while True:
            taken += 1
            yield Sentence(TEXT[: taken % 9])

    stream = predictor(tagger).predict(endless(), window=10)
    for number in range(35):
        next(stream)
        assert taken <= 10 * (number // 10 + 1)


def test_a_sentence_of_ten_thousand_words_is_read_in_windows(tagger: Any) -> None:
    """Each word gets one tag; those far from a window's border are tagged as in a sentence of their own."""
    words = TEXT * 556
    (prediction,) = predictor(tagger, batch_tokens=2000).predict([Sentence(words)])
    assert len(prediction.tags) == len(words) > 10_000
    assert prediction.scores is not None
    assert all(0 < score <= 1 for score in prediction.scores)


def test_words_longer_than_the_model_reads_are_counted(tagger: Any) -> None:
    """A word of a thousand letters gets a tag, and is reported."""
    heard = tiny.RecordingProgress()
    encoder = SubwordEncoder(tagger[1], max_length=64)
    long = Predictor(tagger[0], encoder, LABELS, torch.device("cpu"), progress=heard)
    (prediction,) = long.predict([Sentence(["a", "xyzzy" * 200, "b"])])
    assert len(prediction.tags) == 3
    assert heard.notes == ["1 words are longer than the model's input: their middle was left out"]


def test_empty_input_gives_nothing_and_empty_sentences_no_tags(tagger: Any) -> None:
    """Nothing in, nothing out; a batch of empty sentences needs no model."""
    assert list(predictor(tagger).predict([])) == []
    assert [p.tags for p in predictor(tagger).predict([Sentence([]), Sentence([])])] == [[], []]


def test_predicting_leaves_the_model_in_the_mode_it_was_in(tagger: Any) -> None:
    """An evaluation in the middle of training does not switch dropout off for the rest of it."""
    for mode in (True, False):
        tagger[0].train(mode)
        list(predictor(tagger).predict([Sentence(["a"])]))
        assert tagger[0].training is mode


def test_batches_keep_to_the_budget_and_hold_each_sentence_once() -> None:
    """No batch has more subwords than asked for, unless one sentence alone has more; longest first."""
    sizes = [3, 50, 7, 7, 1, 12, 30, 5]
    samples = [Sample(Encoding([Window(list(range(size)), [0], [0])], 1), [0]) for size in sizes]
    batches = list(by_token_budget([sample.tokens for sample in samples], 20))
    assert sorted(position for batch in batches for position in batch) == list(range(len(sizes)))
    assert all(sum(sizes[p] for p in batch) <= 20 or len(batch) == 1 for batch in batches)
    assert sizes[batches[0][0]] == 50
