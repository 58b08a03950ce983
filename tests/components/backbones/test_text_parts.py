"""Models of which a backbone is a part: multimodal models, and encoders with a head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMaskedLM,
    AutoModelForTokenClassification,
)

import sltk
from sltk.components.backbones import Decoder, Encoder
from sltk.components.backbones.building import train_tokenizer
from sltk.families.model_tables import TEXT_PARTS
from sltk.nn.backbone import BuildContext
from sltk.nn.packing import Packing
from sltk.preview.model_info import ModelInfo
from tiny_families import BY_NAME

TOWER = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 16,
    "num_key_value_heads": 2, "image_size": 28, "patch_size": 14, "vision_use_head": False,
}  # fmt: skip


def saved(folder: Path, name: str, whole: bool = True, **changes: Any) -> Any:
    """Save a small multimodal model with a tokenizer, and return it."""
    text = {"model_type": TEXT_PARTS[name], **BY_NAME[TEXT_PARTS[name]].config(vocab_size=300), **changes}
    config = AutoConfig.for_model(
        name,
        text_config=text,
        vision_config=dict(TOWER),
        boi_token_id=290,
        eoi_token_id=291,
        image_token_id=292,
    )
    torch.manual_seed(0)
    kind = AutoModelForImageTextToText if whole else AutoModel
    model = kind.from_config(config, attn_implementation="eager").eval()
    model.save_pretrained(folder)
    train_tokenizer(["the soup was awful and the bread was excellent"] * 8, 300).save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    ("name", "whole"),
    [("gemma3", True), ("gemma4", True), ("gemma4", False), ("got_ocr2", True), ("modernvbert", False)],
)
def test_the_text_part_equals_the_whole_model(tmp_path: Path, name: str, whole: bool) -> None:
    """Weights are found whether a language model or a base model was saved; the size is that of the text part."""
    model = saved(tmp_path, name, whole)
    kind = Encoder if name == "modernvbert" else Decoder
    spec = kind(name=str(tmp_path))
    backbone = spec.build(BuildContext(torch.device("cpu"), 0))
    ids = torch.arange(10, 21)
    with torch.no_grad():
        theirs = (model.base_model if whole else model)(input_ids=ids[None]).last_hidden_state[0]
        ours = backbone(ids, Packing.of_lengths([len(ids)]))
    assert float((ours - theirs).abs().max()) < 1e-5
    info = ModelInfo.of(spec)
    assert info.family == TEXT_PARTS[name]
    if info.shape is not None and info.shape.sizes:
        assert info.shape.parameters == sum(p.numel() for p in backbone.parameters())


@pytest.mark.parametrize(
    ("name", "auto"),
    [("openai_privacy_filter", AutoModelForTokenClassification), ("eurobert", AutoModelForMaskedLM)],
)
def test_an_encoder_published_with_a_head_is_a_backbone(tmp_path: Path, name: str, auto: Any) -> None:
    """The head is left out, and the encoder keeps its own mask, with a window that is shorter than the text."""
    config = AutoConfig.for_model(name, **BY_NAME[name].config(vocab_size=300))
    torch.manual_seed(0)
    model = auto.from_config(config, attn_implementation="eager").eval()
    model.save_pretrained(tmp_path)
    train_tokenizer(["the soup was awful"] * 8, 300).save_pretrained(tmp_path)
    backbone = Encoder(name=str(tmp_path)).build(BuildContext(torch.device("cpu"), 0))
    ids = torch.arange(10, 31)
    with torch.no_grad():
        theirs = model.base_model(input_ids=ids[None]).last_hidden_state[0]
        ours = backbone(ids, Packing.of_lengths([len(ids)]))
    assert backbone.packs
    assert float((ours - theirs).abs().max()) < 1e-5


def test_a_text_part_trains_saves_and_predicts(tmp_path: Path) -> None:
    """All weights of the text part are saved in the run, which then needs the multimodal model no more."""
    saved(tmp_path / "model", "gemma4", vocab_size_per_layer_input=300)
    spec = {
        "name": "tiny",
        "data": {"train": {"type": "grammar", "count": 8}},
        "backbone": {"type": "decoder", "name": str(tmp_path / "model"), "unmask": "0110"},
        "trainer": {"max_steps": 1},
    }
    sltk.train(spec, tmp_path / "run")
    (tmp_path / "model").rename(tmp_path / "gone")
    assert sltk.load(tmp_path / "run").predict(["the soup was awful"])
    config = json.loads((tmp_path / "run/model/base/config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "gemma4_text"


def test_the_first_blocks_of_a_text_part(tmp_path: Path) -> None:
    """Early exit reads the blocks of the text part; those of the vision model are no blocks of the text."""
    model = saved(tmp_path, "gemma3")
    backbone = Decoder(name=str(tmp_path), blocks=2).build(BuildContext(torch.device("cpu"), 0))
    ids = torch.arange(10, 21)
    with torch.no_grad():
        states = model.base_model(input_ids=ids[None], output_hidden_states=True).hidden_states
        theirs = model.base_model.language_model.norm(states[2])[0]
        ours = backbone(ids, Packing.of_lengths([len(ids)]))
    assert len(backbone.flags) == 2
    assert float((ours - theirs).abs().max()) < 1e-5


@pytest.mark.parametrize("name", ["qwen3_5", "qwen3_5_moe", "llama4"])
def test_a_model_with_a_refused_text_part_is_refused_by_its_own_name(tmp_path: Path, name: str) -> None:
    """The error names the family that config.json has."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": name}), encoding="utf-8")
    train_tokenizer(["the soup"] * 8, 300).save_pretrained(tmp_path)
    with pytest.raises(sltk.ModelError, match=f"the family `{name}` cannot be unmasked"):
        Decoder(name=str(tmp_path)).build(BuildContext(torch.device("cpu"), 0))
