"""Prediction with a tagger: batch sizes, order of predictions, and memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

import sltk
import sltk.components.backbones
import tiny
from sltk.components.aligners.subword import Mean
from sltk.components.backbones import Decoder, TrainedTokenizer
from sltk.components.heads import CrfHead, LinearHead, MlpHead
from sltk.components.slots import Head
from sltk.components.splitters.regex import RegexSplitter
from sltk.decoding import Decisions
from sltk.errors import UsageError
from sltk.extend import Transitions
from sltk.models.labeller import Labeller
from sltk.models.tagger_model import TaggerModel, predict
from sltk.nn.backbone import BuildContext
from sltk.nn.softmax_head import HeadModule, SoftmaxHead, linear_scorer
from sltk.nn.tagger import Tagger
from sltk.runtime.progress import Progress
from sltk.schemes.labels import LabelSet
from sltk.subwords.documents import chunks
from sltk.subwords.samples import Sample, by_token_budget
from sltk.subwords.tokenization import Encoding, Window
from sltk.types import Prediction, Sentence
from tiny_families import BY_NAME

LABELS = LabelSet(("O", "B-PLACE", "I-PLACE", "B-PET"), "IOB2")
TEXT = [
    *("Ines", "walked", "to", "the", "harbour", "of", "Brannock", "where", "a", "grey", "cat"),
    *("slept", "on", "warm", "stones", "and", "nobody", "minded", "it"),
]


@pytest.fixture(scope="module")
def model() -> TaggerModel:
    """A random model whose tags differ from word to word."""
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
    return TaggerModel(
        network=Tagger(backbone, Mean().build(), LinearHead().build(backbone.hidden_size, LABELS)),
        labels=LABELS,
        splitter=RegexSplitter(),
        aligner=Mean(),
        backbone=spec,
        head=LinearHead(),
        max_length=64,
        device=torch.device("cpu"),
    )


def predictions(
    model: TaggerModel, sentences: Sequence[Sentence], batch_tokens: int = 4096, window: int = 2048
) -> list[Prediction]:
    return list(predict(model, sentences, batch_tokens, window, Progress()))


def sentences() -> list[Sentence]:
    """Sentences of 0 to 17 words, not ordered by length."""
    return [Sentence(TEXT[: 7 * number % 18]) for number in range(64)]


def equal(x: list[Prediction], y: list[Prediction]) -> bool:
    return [p.tags for p in x] == [p.tags for p in y] and all(
        torch.allclose(torch.tensor(a.scores), torch.tensor(b.scores), atol=1e-5)
        for a, b in zip(x, y, strict=True)
    )


@pytest.mark.parametrize("batch_tokens", [1, 20, 100, 10**6])
def test_tags_and_scores_do_not_depend_on_the_batch(model: TaggerModel, batch_tokens: int) -> None:
    """One sentence per pass, a few, or all 64 together give the same tags, and the same scores to 1e-5."""
    separate = [predictions(model, [sentence])[0] for sentence in sentences()]
    assert len({tag for prediction in separate for tag in prediction.tags}) > 2
    assert equal(predictions(model, sentences(), batch_tokens), separate)


@pytest.mark.parametrize("window", [1, 3, 64, 1000])
def test_predictions_have_the_order_of_the_input(model: TaggerModel, window: int) -> None:
    """Batches are ordered by length, predictions are not; sentences without words are included."""
    inputs = sentences()
    outputs = predictions(model, inputs, window=window)
    assert all(prediction.sentence is sentence for prediction, sentence in zip(outputs, inputs, strict=True))
    assert all(len(prediction.tags) == len(prediction.sentence) for prediction in outputs)
    assert any(not prediction.tags for prediction in outputs)


def test_at_most_one_window_of_sentences_is_read_ahead(model: TaggerModel) -> None:
    """An endless stream is labelled in constant memory."""
    count = 0

    def endless() -> Iterator[Sentence]:
        nonlocal count
        while True:
            count += 1
            yield Sentence(TEXT[: count % 9])

    stream = predict(model, endless(), 4096, 10, Progress())
    for number in range(35):
        next(stream)
        assert count <= 10 * (number // 10 + 1)


def test_a_sentence_of_ten_thousand_words_is_read_in_windows(model: TaggerModel) -> None:
    """Each word of a long sentence gets one tag with a probability."""
    words = TEXT * 556
    (prediction,) = predictions(model, [Sentence(words)], batch_tokens=2000)
    assert len(prediction.tags) == len(words) > 10_000
    assert prediction.scores is not None
    assert all(0 < score <= 1 for score in prediction.scores)


def with_head(model: TaggerModel, head: Head) -> TaggerModel:
    """The same backbone with a random head."""
    torch.manual_seed(2)
    backbone = model.network.backbone
    network = Tagger(backbone, model.aligner.build(), head.build(backbone.hidden_size, LABELS))
    return replace(model, network=network, head=head)


class OwnModule(SoftmaxHead):
    """A head of a user that changes how words are tagged."""

    def decode(self, vectors_WH, lengths_S):
        tags_W, scores_W = super().decode(vectors_WH, lengths_S)
        return (tags_W + 1) % len(LABELS.tags), scores_W


class SentenceModule(HeadModule):
    """A head of a user that looks at the whole sentence."""

    def decode(self, vectors_WH, lengths_S):
        values = [vectors.sum(1) for vectors in torch.split(vectors_WH, list(lengths_S))]
        tags_W = torch.cat([(values_W > values_W.mean()).long() for values_W in values])
        return tags_W, torch.full((len(tags_W),), 0.5)


class OwnHead(LinearHead):
    """A custom head."""

    def build(self, hidden_size, labels):
        return OwnModule(linear_scorer(hidden_size, len(labels.tags), 0.0))


class SentenceHead(LinearHead):
    """A custom head of whole sentences."""

    def build(self, hidden_size, labels):
        return SentenceModule()


@pytest.mark.parametrize("head", [LinearHead(), MlpHead(hidden=[8]), CrfHead(), OwnHead(), SentenceHead()])
def test_a_long_sentence_is_labelled_in_parts(model: TaggerModel, head: Head) -> None:
    """No pass has more subwords than the budget, and tags and scores are those of a single pass."""
    model = with_head(model, head)
    sizes: list[int] = []

    def record(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(inputs[0]))

    handle = model.network.backbone.register_forward_pre_hook(record)
    inputs = [Sentence(TEXT * 30), *sentences()[:5], Sentence(TEXT * 10)]
    whole = predictions(model, inputs, batch_tokens=10**6)
    assert len(sizes) == 1
    sizes.clear()
    parts = predictions(model, inputs, batch_tokens=200)
    assert 100 < max(sizes) <= 200
    assert equal(whole, parts)
    sizes.clear()
    assert equal(whole, predictions(model, inputs, batch_tokens=1))
    assert max(sizes) <= 64  # a window
    handle.remove()


class ChainModule(HeadModule):
    """A head of a user that only gives scores: of words, and of tags that follow each other."""

    def __init__(self, labels):
        super().__init__()
        self.layer = torch.nn.Linear(32, labels)

    def emissions(self, vectors_WH):
        return self.layer(vectors_WH)

    def transitions(self):
        size = len(self.layer.bias)
        zeros, stay = np.zeros(size, dtype=np.float32), 50 * np.eye(size, dtype=np.float32)
        return Transitions(zeros, stay, zeros)


class ChainHead(LinearHead):
    """A custom head with transitions."""

    def build(self, hidden_size, labels):
        return ChainModule(len(labels.tags))


def test_a_custom_head_may_give_only_scores(model: TaggerModel) -> None:
    """sltk decides by `emissions` and `transitions`: here, all words of a sentence get the same tag."""
    model = with_head(model, ChainHead())
    labeller = Labeller(model, decisions=Decisions(uncertainty="margin", span_score="marginal"))
    for prediction in labeller.predict([sentence for sentence in sentences() if sentence.words]):
        assert len(set(prediction.tags)) == 1
        assert prediction.uncertainty is not None


@pytest.mark.parametrize("head", [OwnHead(), SentenceHead()])
@pytest.mark.parametrize("decisions", [{"decode": "constrained"}, {"uncertainty": "entropy"}])
def test_a_head_that_chooses_itself_cannot_be_constrained_or_ranked(
    model: TaggerModel, head: Head, decisions: dict[str, str]
) -> None:
    """A `decode` of its own gives no scores of other tags; the error says so before anything is labelled."""
    with pytest.raises(UsageError, match="chooses tags in a way of its own"):
        Labeller(with_head(model, head), decisions=Decisions(**decisions))


@pytest.mark.parametrize("head", [OwnHead(), SentenceHead()])
def test_the_span_scores_of_a_head_that_chooses_itself(model: TaggerModel, head: Head) -> None:
    """Marginal is the product of the probabilities that it gives."""
    product, marginal = (
        Labeller(with_head(model, head), decisions=Decisions(span_score=name)).predict(sentences())
        for name in ("product", "marginal")
    )
    assert equal(product, marginal)
    assert [[span.score for span in p.spans] for p in product] == [
        [s.score for s in p.spans] for p in marginal
    ]


def test_a_chunk_has_a_bounded_number_of_words() -> None:
    """Many long lines are not held together, whatever their number."""
    taken = 0

    def lines() -> Iterator[Sentence]:
        nonlocal taken
        for _ in range(50):
            taken += 1
            yield Sentence(["a"] * 150_000)

    sizes = []
    for chunk in chunks(lines(), 2048, 0):
        sizes.append(len(chunk.sentences))
        assert taken == sum(sizes)
    assert sum(sizes) == 50
    assert max(sizes) == 2


def test_words_longer_than_the_model_reads_are_counted(model: TaggerModel) -> None:
    """A word of a thousand letters gets a tag, and is reported."""
    progress = tiny.RecordingProgress()
    sentence = Sentence(["a", "xyzzy" * 200, "b"])
    (prediction,) = predict(model, [sentence], 4096, 2048, progress)
    assert len(prediction.tags) == 3
    assert progress.notes == ["1 words are longer than the model's input: their middle was left out"]


def test_empty_input_has_no_predictions_and_empty_sentences_no_tags(model: TaggerModel) -> None:
    """A batch of empty sentences does not run the model."""
    assert predictions(model, []) == []
    assert [p.tags for p in predictions(model, [Sentence([]), Sentence([])])] == [[], []]


def test_prediction_does_not_change_the_mode_of_the_model(model: TaggerModel) -> None:
    """An evaluation during training does not switch off dropout for the rest of it."""
    for mode in (True, False):
        model.network.train(mode)
        predictions(model, [Sentence(["a"])])
        assert model.network.training is mode


def test_batches_respect_the_budget_and_contain_each_sentence_once() -> None:
    """No batch exceeds the budget of subwords, except a single sentence that does; longest first."""
    sizes = [3, 50, 7, 7, 1, 12, 30, 5]
    samples = [Sample(Encoding([Window(list(range(size)), [0], [0])], 1), [0]) for size in sizes]
    batches = list(by_token_budget([sample.tokens for sample in samples], 20))
    assert sorted(position for batch in batches for position in batch) == list(range(len(sizes)))
    assert all(sum(sizes[p] for p in batch) <= 20 or len(batch) == 1 for batch in batches)
    assert sizes[batches[0][0]] == 50


@pytest.mark.parametrize("command", ["train", "predict"])
def test_a_token_without_a_vector_is_named(command: str, tmp_path: Path) -> None:
    """Tokens added to a tokenizer whose model was not resized would be an index out of range, or worse on a GPU."""
    base = tiny.save_base(tmp_path / "base")
    spec = tiny.spec({"max_steps": 1}, backbone={"type": "decoder", "name": str(base), "unmask": "01"})
    if command == "predict":
        sltk.train(spec, tmp_path / "run")
    for folder in (base, tmp_path / "run" / "model" / "tokenizer"):
        if folder.exists():
            tokenizer = AutoTokenizer.from_pretrained(folder)
            size = len(tokenizer)
            tokenizer.add_tokens(["soup"])
            tokenizer.save_pretrained(folder)
    message = f"`soup` is token {size} of the tokenizer, but the model has vectors for {size} tokens only"
    if command == "train":
        spec["data"] = {"train": {"type": "conll", "path": str(tmp_path / "train.conll")}}
        (tmp_path / "train.conll").write_text("The O\nsoup B-DISH\n\n")
        with pytest.raises(sltk.ModelError, match=message):
            sltk.train(spec, tmp_path / "run")
        assert not (tmp_path / "run").exists()
    else:
        (tmp_path / "run" / "model" / "manifest.json").unlink()
        model = sltk.load(tmp_path / "run")
        assert model.predict(["No salad ."])
        with pytest.raises(sltk.ModelError, match=message):
            model.predict(["The soup ."])
