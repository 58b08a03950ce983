"""What transformers cannot express is refused, or stated as a rule: in a note, in sltk.json and in the model card."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import sltk
import tiny
import tokenizer_kinds
import untrained
from repository import ROOT
from sltk.cards.card_usage import exact_words
from sltk.cli.app import app
from sltk.decoding.stored_thresholds import Thresholds, TypeThreshold, write_thresholds
from sltk.exporting import export
from sltk.files.damage import read_json

OLMO = {**tiny.LLAMA, "model_type": "olmo"}
WORDS = ["The", "soup", "was", "awful", ",", "but", "not", "the", "bread"]


def rules_of(folder: Path, backbone: dict[str, Any], **changes: Any) -> str:
    """The rules of an export, after a check that notes and model card have all of them."""
    progress = tiny.RecordingProgress()
    export(untrained.save(folder / "model", backbone, **changes), folder / "export", progress)
    rules = read_json(folder / "export" / "sltk.json")["transformers"]["rules"]
    assert all(progress.has_note(rule) for rule in rules)
    card = (folder / "export" / "README.md").read_text("utf-8")
    assert len(re.findall("^- ", card, re.MULTILINE)) >= len(rules)
    return "\n".join(rules)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, 'aggregation_strategy="first"'),
        ({"aligner": {"type": "last_subword"}}, "and this model by their last"),
        ({"scheme": "BIOES"}, "entities come in pieces, because the tags are BIOES"),
        ({"document_context": 20}, "sltk reads the sentences around each sentence too"),
        ({"head": {"type": "linear", "decode": "constrained"}}, "the best well-formed sequence of tags"),
        ({"max_length": 64}, "more than 64 subwords is cut there"),
    ],
    ids=["first", "last", "bioes", "context", "constrained", "length"],
)
def test_settings_that_transformers_does_not_know_are_rules(
    tmp_path: Path, changes: dict[str, Any], rule: str
) -> None:
    """Each has a sentence that says what differs."""
    assert rule in rules_of(tmp_path, tiny.backbone(unmask="none"), **changes)


def test_the_tokenizer_class_that_transformers_forces_on_a_family_is_a_rule(tmp_path: Path) -> None:
    """AutoTokenizer reads a text of Qwen2 without the leading space, and the generic class with it."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    tokenizer_kinds.build("qwen").save_pretrained(tmp_path / "tokenizer")
    config = {**tiny.LLAMA, "model_type": "qwen2", "num_key_value_heads": 1}
    backbone = tiny.backbone(config=config, tokenizer=str(tmp_path / "tokenizer"), unmask="none")
    assert "PreTrainedTokenizerFast.from_pretrained" in rules_of(tmp_path, backbone)
    folder = tmp_path / "export"
    ids = sltk.load(folder).model.encoder.encode([sltk.Sentence(WORDS)])[0].windows[0].ids
    assert PreTrainedTokenizerFast.from_pretrained(folder)(" ".join(WORDS))["input_ids"] == ids
    assert AutoTokenizer.from_pretrained(folder)(" ".join(WORDS))["input_ids"] != ids


def test_stored_thresholds_are_a_rule(tmp_path: Path) -> None:
    """Thresholds belong to sltk: the export has them, and transformers ignores them."""
    model = untrained.save(tmp_path / "model", tiny.backbone(unmask="none"))
    kept = TypeThreshold(threshold=0.5, precision=1.0, recall=0.5, kept=1, predicted=2, support=2)
    chosen = {"target": {"precision": 0.9}, "chosen_on": "validation", "types": {"positive": kept}}
    write_thresholds(model, Thresholds(decode="head", span_score="product", **chosen))
    export(model, tmp_path / "export")
    rules = read_json(tmp_path / "export" / "sltk.json")["transformers"]["rules"]
    assert any("thresholds of the model" in rule for rule in rules)


def test_words_that_the_pipeline_cuts_are_a_rule(tmp_path: Path) -> None:
    """WordPiece cuts a hyphenated word, and drops words of invisible characters, which sltk reads as unknown."""
    tokenizer_kinds.build("bert").save_pretrained(tmp_path / "tokenizer")
    config = {**tiny.LLAMA, "model_type": "bert", "pad_token_id": 0}
    backbone = tiny.backbone(
        type="encoder", config=config, tokenizer=str(tmp_path / "tokenizer"), unmask="all"
    )
    rules = rules_of(tmp_path, backbone, spacing="source")
    assert "the pipeline cuts words" in rules
    assert "leave out invisible characters" in rules


def test_the_command_prints_the_rules(tmp_path: Path) -> None:
    """`sltk export` names the strategy on standard error."""
    model = untrained.save(tmp_path / "model", tiny.backbone(unmask="all"))
    result = CliRunner().invoke(app, ["export", str(model), str(tmp_path / "export")])
    assert result.exit_code == 0
    assert 'aggregation_strategy="first"' in result.stderr
    assert "is_causal: false" in result.stderr


def test_base_weights_and_head_are_enough_where_there_is_no_token_classifier(tmp_path: Path) -> None:
    """OLMo has no token classifier: `AutoModel` and the head's tensors give the scores of sltk, as the guide shows."""
    from safetensors.torch import load_file
    from transformers import AutoModel, AutoTokenizer

    progress = tiny.RecordingProgress()
    model = untrained.save(tmp_path / "model", tiny.backbone(config=OLMO, unmask="all"))
    export(model, tmp_path / "export", progress)
    assert progress.has_note("no token classifier for the family `olmo`")
    folder, head = tmp_path / "export" / "base", load_file(tmp_path / "export" / "head.safetensors")
    inputs = AutoTokenizer.from_pretrained(folder)(" ".join(WORDS), return_tensors="pt")
    labeller = sltk.load(tmp_path / "export")
    window = labeller.model.encoder.encode([sltk.Sentence(WORDS)])[0].windows[0]
    assert inputs["input_ids"][0].tolist() == window.ids
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder).eval()(**inputs).last_hidden_state
    scores = states @ head["head.scorer.layers.1.weight"].T + head["head.scorer.layers.1.bias"]
    best, tags = scores[0, window.first].softmax(-1).max(-1)
    prediction = labeller.predict([WORDS])[0]
    assert [labeller.labels.tags[number] for number in tags.tolist()] == prediction.tags
    assert best.tolist() == pytest.approx(prediction.scores, abs=1e-5)


@pytest.mark.parametrize(
    ("length", "class_name"),
    [(24, "AutoModelForTokenClassification"), (1, "AutoModel")],
    ids=["short", "none"],
)
def test_a_maximum_length_limits_the_texts_of_the_comparison(
    tmp_path: Path, length: int, class_name: str
) -> None:
    """Texts that do not fit are not compared; if none fits, the export is for sltk only."""
    model = untrained.save(tmp_path / "model", tiny.backbone(unmask="none"), max_length=length)
    export(model, tmp_path / "export")
    assert read_json(tmp_path / "export" / "sltk.json")["transformers"]["class"] == class_name


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_the_difference_from_a_quantized_run_is_measured(tmp_path: Path, kind: str) -> None:
    """A note has the number of tags that differ, and the largest difference of a probability."""
    base = tiny.save_base(tmp_path / "base", {**tiny.LLAMA, "hidden_size": 64})
    quantization = {"type": kind, "compute_dtype": "bfloat16"}
    backbone = {"type": "decoder", "name": str(base), "quantization": quantization, "freeze": True}
    progress = tiny.RecordingProgress()
    model = untrained.save(tmp_path / "model", {**backbone, "unmask": "all"})
    export(model, tmp_path / "export", progress)
    (note,) = [note for note in progress.notes if "is quantized" in note]
    before, after = (sltk.load(folder).predict([WORDS])[0] for folder in (model, tmp_path / "export"))
    largest = max(abs(x - y) for x, y in zip(before.scores or [], after.scores or [], strict=True))
    assert f"({kind})" in note
    assert largest > 0
    assert float(note.rsplit(" ", 1)[1]) > 0


def test_the_guide_has_the_code_for_exact_words() -> None:
    """It is the code of the model card, with `model` as the folder."""
    guide = (ROOT / "docs" / "guides" / "export.md").read_text("utf-8")
    code = exact_words({"components": {"aligner": {"type": "first_subword"}}}, "model")
    assert code in guide.replace('"model"', "'model'")
