"""transformers alone labels text like sltk, with the model and the tokenizer that it loads from an export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sltk
import tiny
import tokenizer_kinds
import untrained
from sltk.cards.card_usage import exact_words
from sltk.exporting import export
from sltk.files.damage import read_json

PAIRS = {
    "gpt2": "gpt2", "llama3": "llama", "qwen": "qwen2", "smollm": "llama", "roberta": "roberta", "llama2": "mistral",
    "gemma": "gemma", "bert": "bert", "xlm-roberta": "xlm-roberta",
}  # fmt: skip
"""Kinds of tokenizers, and a family that has such a tokenizer."""
ENCODERS = ("bert", "roberta", "xlm-roberta")
SENTENCE = [
    "Anna",
    "Kovacs",
    "met",
    "Peter",
    "Smith",
    "in",
    "Zurich",
    ",",
    "well-known",
    "for",
    "12",
    "maps",
    ".",
]


def backbone(kind: str, folder: Path, **changes: Any) -> dict[str, Any]:
    """A backbone of the family of a tokenizer, with this tokenizer."""
    tokenizer_kinds.build(kind).save_pretrained(folder / "tokenizer")
    family = PAIRS[kind]
    config = {**tiny.LLAMA, "model_type": family, "num_key_value_heads": 1, "pad_token_id": 1}
    if family == "gpt2":
        config = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2}
    is_encoder = family in ENCODERS
    chosen = {"type": "encoder" if is_encoder else "decoder", "config": config, "unmask": "all"}
    return tiny.backbone(**{**chosen, "tokenizer": str(folder / "tokenizer"), **changes})


def exported(folder: Path, backbone: dict[str, Any], **changes: Any) -> tuple[Path, list[str]]:
    """An export of a model with random weights, and the notes on it."""
    progress = tiny.RecordingProgress()
    export(untrained.save(folder / "model", backbone, **changes), folder / "export", progress)
    return folder / "export", progress.notes


def classifier(folder: Path, **options: Any) -> Any:
    """The pipeline as users make it, with the class of tokenizer that the export names."""
    import transformers

    name = read_json(folder / "sltk.json")["transformers"]["tokenizer"]
    if name != "AutoTokenizer":
        options["tokenizer"] = getattr(transformers, name).from_pretrained(folder)
    return transformers.pipeline("token-classification", model=str(folder), **options)


@pytest.fixture(scope="module", params=PAIRS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A kind of tokenizer, and the export of a model that reads texts with it."""
    folder = tmp_path_factory.mktemp(request.param)
    target, notes = exported(folder, backbone(request.param, folder), spacing="source")
    assert not [note for note in notes if "only sltk can load" in note]
    return request.param, target


def test_scores_on_text_are_those_of_sltk(model: tuple[str, Path]) -> None:
    """At the first subword of each word, of written text and of a list of words, label and probability are equal."""
    kind, folder = model
    labeller, pipe = sltk.load(folder), classifier(folder)
    for text in (" ".join(SENTENCE), "The committee asked Anna's (new) mechanic, didn't it?"):
        prediction = labeller.predict([text])[0]
        subwords = pipe(text, ignore_labels=[])
        offsets = prediction.sentence.offsets or []
        for (start, _), tag, score in zip(offsets, prediction.tags, prediction.scores or [], strict=True):
            first = next(
                each for each in subwords if each["end"] > start and text[each["start"] : each["end"]].strip()
            )
            assert first["entity"] == tag
            assert first["score"] == pytest.approx(score, abs=1e-5)
    assert read_json(folder / "sltk.json")["transformers"]["difference"] < 1e-5, kind


def test_the_code_for_exact_words_gives_the_tags_of_sltk(model: tuple[str, Path]) -> None:
    """The code of the card and of the guide labels words in written text, and words joined by spaces."""
    _, folder = model
    names: dict[str, Any] = {}
    code = exact_words(read_json(folder / "sltk.json"), str(folder))
    exec(code, names)
    labeller = sltk.load(folder)
    for text in (" ".join(SENTENCE), "It's 25 well-known maps\tof (some) 😀 Zürich"):
        prediction = labeller.predict([text])[0]
        assert names["tags"](text, prediction.sentence.offsets) == prediction.tags


def test_the_strategy_first_gives_whole_words_and_spans(model: tuple[str, Path]) -> None:
    """Where no rule says otherwise, the entities of the pipeline are the spans of sltk, with the mean probability."""
    kind, folder = model
    words = [word for word in SENTENCE if word.isalpha()]
    text = " ".join(words)
    found = classifier(folder, aggregation_strategy="first")(text)
    prediction = sltk.load(folder).predict([words])[0]
    offsets = prediction.sentence.with_text().offsets or []
    entities = [
        (offsets[group[0]][0], offsets[group[-1]][1], prediction.tags[group[0]][2:])
        for group in groups(prediction.tags)
    ]
    assert [
        (each["end"] - len(text[each["start"] : each["end"]].strip()), each["end"], each["entity_group"])
        for each in found
    ] == entities, kind
    assert len(entities) > 1


def groups(tags: list[str]) -> list[list[int]]:
    """Words of the same entity, as the pipeline groups them: an I- continues an entity of its type, or begins one."""
    result: list[list[int]] = []
    for number, tag in enumerate(tags):
        previous = tags[number - 1] if number else "O"
        if tag == "O":
            continue
        if tag.startswith("I-") and previous[2:] == tag[2:]:
            result[-1].append(number)
        else:
            result.append([number])
    return result
