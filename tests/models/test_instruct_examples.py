"""`type: instruct` with examples in training prompts: which sentences are drawn, and which subwords have a loss."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import tiny
from sltk.data.splits import load_splits
from sltk.errors import DataError
from sltk.models.instruct import model as instruct_type
from sltk.models.instruct.encoding import PromptEncoder, pack_prompts, without_loss
from sltk.models.instruct.prompt import Prompter, Shot
from sltk.models.instruct.shots import draw_shots, training_shots
from sltk.spec import loading
from sltk.spec.instruct_settings import InstructSpec
from sltk.types import Sentence, Span

OPTIONS = {"positive": "good", "negative": "bad", "neutral": "so so"}


def run_spec() -> dict[str, Any]:
    """A tiny causal decoder that reads two examples in every prompt."""
    shape = {**tiny.LLAMA, "max_position_embeddings": 512}
    backbone = tiny.backbone(config=shape, unmask="none", tokenizer={"type": "train", "vocab_size": 400})
    settings = {
        "instruction": "name the dishes",
        "options": OPTIONS,
        "max_response": 8,
        "shots": 2,
    }
    whole = tiny.spec(backbone=backbone, type="instruct", instruct=settings)
    del whole["head"]
    return whole


@pytest.fixture(scope="module")
def subject() -> Any:
    """An untrained model with two random blocks."""
    experiment = loading.load(run_spec()).spec
    return instruct_type.build(experiment, load_splits(experiment.data, "IOB2")["train"])


@pytest.fixture(scope="module")
def training() -> list[Sentence]:
    return load_splits(loading.load(run_spec()).spec.data, "IOB2")["train"].sentences


def encoder(subject: Any, max_length: int | None = None, **changes: Any) -> PromptEncoder:
    """The prompts of the model with other settings."""
    prompter = replace(subject.prompter, spec=subject.spec.model_copy(update=changes))
    return PromptEncoder(subject.network.backbone.tokenizer, prompter, max_length)


def sentence(*words: str) -> Sentence:
    return Sentence(list(words), spans=[Span(0, 1, "positive")])


def texts(shots: Sequence[Shot]) -> list[str]:
    return [shot.sentence for shot in shots]


def settings(**changes: Any) -> InstructSpec:
    return InstructSpec.model_validate({"instruction": "name", "options": OPTIONS, "shots": 3, **changes})


def drawn(
    sentences: Sequence[Sentence], draw: str, seed: int = 1
) -> tuple[tuple[Shot, ...], list[tuple[Shot, ...]]]:
    """The examples of prompts in prediction, and those of each training prompt."""
    spec = settings(draw=draw)
    shots = draw_shots(sentences, spec, seed)
    return shots, training_shots(sentences, Prompter(spec, shots), seed)


MANY = [sentence(f"w{number % 40}", "x") for number in range(80)]
"""Eighty sentences, of which each has a copy."""


def test_a_training_prompt_draws_its_own_examples_by_seed() -> None:
    """The same seed draws the same examples for each sentence, another seed others; all sentences are drawn."""
    _, shots = drawn(MANY, "per_sentence")
    assert shots == drawn(MANY, "per_sentence")[1]
    assert shots != drawn(MANY, "per_sentence", seed=2)[1]
    assert [len(each) for each in shots] == [3] * 80
    assert len({tuple(texts(each)) for each in shots}) == 80
    assert {text for each in shots for text in texts(each)} == {" ".join(each.words) for each in MANY}


def test_examples_of_a_sentence_do_not_depend_on_those_of_others() -> None:
    """A data set with another sentence at one place changes the examples of no other prompt, unless they show it."""
    changed = [*MANY[:-1], sentence("last")]
    before, after = drawn(MANY, "per_sentence")[1], drawn(changed, "per_sentence")[1]
    same = [number for number in range(79) if number != 39 and "last" not in texts(after[number])]
    assert len(same) > 60
    assert all(before[number][:1] == after[number][:1] for number in same)


@pytest.mark.parametrize("draw", ["once", "per_sentence"])
def test_no_training_prompt_shows_its_own_sentence(draw: str) -> None:
    """Nor a copy of it, which has the same words."""
    shared, shots = drawn(MANY, draw)
    for number, examples in enumerate(shots):
        assert len(examples) == 3
        assert " ".join(MANY[number].words) not in texts(examples)
    assert (sum(examples == shared for examples in shots) == 74) == (draw == "once")


def test_a_prompt_shows_fewer_examples_if_all_others_have_the_same_words() -> None:
    """With two different sentences, each shows the copies of the other one; one without words shows none."""
    sentences = [sentence("a"), sentence("a"), Sentence([]), sentence("b")]
    _, shots = drawn(sentences, "per_sentence")
    assert [texts(each) for each in shots] == [["b"], ["b"], [], ["a", "a"]]


@pytest.mark.parametrize("loss", ["response", "responses", "all"])
@pytest.mark.parametrize("example", [None, "{response} <= {sentence}\n"])
def test_each_loss_equals_a_direct_computation(
    loss: str, example: str | None, subject: Any, training: list[Sentence], tmp_path: Path
) -> None:
    """The loss of a packed batch is that of the stock model of transformers, sample by sample.

    The labels come from the text alone: all of it, the last response with its end, or also what follows the heading
    of each example.
    """
    changes = {"loss": loss, "draw": "per_sentence", **({"example": example} if example else {})}
    prompts = encoder(subject, **changes)
    chosen = training[:6]
    shots = training_shots(chosen, prompts.prompter, 7)
    batch = pack_prompts(prompts.samples(chosen, shots))
    with torch.inference_mode():
        ours = float(subject.network.eval()(**batch)["loss"])

    subject.network.backbone.language_model.save_pretrained(tmp_path)
    stock = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    tokenizer = subject.network.backbone.tokenizer
    pattern = r"### Response:\n(.*)\n\n" if example is None else r"\n([^\n]*) <= "
    total, count = 0.0, 0
    for each, examples in zip(chosen, shots, strict=True):
        text = prompts.prompter.prompt(each.words, examples)
        encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
        places = [match.span(1) for match in re.finditer(pattern, text)]
        assert len(places) == 2
        learned = [
            loss == "all" or (loss == "responses" and any(start < b and a < stop for start, stop in places))
            for a, b in encoded["offset_mapping"]
        ]
        response = tokenizer(
            prompts.prompter.response(each.words, each.spans or ()), add_special_tokens=False
        )
        tail = [*response["input_ids"], tokenizer.eos_token_id]
        ids = torch.tensor([[*encoded["input_ids"], *tail]])
        labels = torch.where(torch.tensor([[*learned, *[True] * len(tail)]]), ids, -100)
        with torch.inference_mode():
            mean = float(stock(input_ids=ids, labels=labels).loss)
        items = int((labels[:, 1:] != -100).sum())
        total, count = total + mean * items, count + items
    assert ours == pytest.approx(total / count, rel=1e-5)
    assert int((batch["labels"] != -100).sum()) == count


def test_the_three_losses_learn_more_and_more(subject: Any, training: list[Sentence]) -> None:
    """`responses` adds the subwords of two responses to `response`; a sample without loss learns none of them."""
    learned = {}
    for loss in ("response", "responses", "all"):
        samples = encoder(subject, loss=loss).samples(training[:4])
        learned[loss] = int((pack_prompts(samples)["labels"] != -100).sum())
        assert int((pack_prompts([without_loss(each) for each in samples])["labels"] != -100).sum()) == 0
    assert learned["response"] < learned["responses"] < learned["all"]


def test_examples_that_do_not_fit_are_left_out_and_counted(subject: Any, training: list[Sentence]) -> None:
    """The last ones are left out; every sample fits, and the note counts the prompts with fewer examples."""
    spec = subject.spec.model_copy(update={"shots": 4, "draw": "per_sentence"})
    whole = replace(subject, prompter=replace(subject.prompter, spec=spec))
    lengths = [sample.tokens for sample in encoder(whole).samples(training, drawn_for(whole, training))]
    limited = replace(whole, max_length=sorted(lengths)[5])
    progress = tiny.RecordingProgress()
    samples = instruct_type.encode(dataset(training), limited, progress)
    assert all(sample.tokens <= sorted(lengths)[5] for sample in samples)
    fewer = sum(sample.shots < 4 for sample in samples)
    assert fewer == sum(length > sorted(lengths)[5] for length in lengths) > 5
    assert progress.has_note(f"{fewer} of 21 training prompts show fewer than 4 examples: more do not fit in")
    for sample, shots in zip(samples, drawn_for(whole, training), strict=True):
        text = whole.prompter.prompt(training[sample.number].words, shots[: sample.shots])
        assert limited.encoder.text(sample.ids).startswith(text)
    with pytest.raises(DataError, match="the prompt of this sentence and its response have"):
        instruct_type.encode(dataset(training), replace(whole, max_length=20), progress)


def drawn_for(model: Any, sentences: list[Sentence]) -> list[tuple[Shot, ...]]:
    return training_shots(sentences, model.prompter, model.seed)


def dataset(sentences: list[Sentence]) -> Any:
    return replace(load_splits(loading.load(run_spec()).spec.data, "IOB2")["train"], sentences=sentences)
