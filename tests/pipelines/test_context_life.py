"""What a word may see, from a built model to its exports: the tags and scores stay those of the model that was saved.

Each strategy is here with another family, and most together with others, with windows, documents or another head.
"""

from __future__ import annotations

import functools
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import sltk
import tiny
import untrained
from sltk.models import tagging
from sltk.models.labeller import Labeller
from sltk.models.tagger_model import TaggerModel
from sltk.nn.batching import pack
from sltk.subwords.samples import Sample
from tiny_families import BY_NAME

SHIFT = {"shift": -1}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "llama": ({"repeat": 1, "unmask": "none"}, {}),
    "gpt2": ({"blocks": 3, "unmask": "011"}, {"head": {"type": "crf"}}),
    "opt": ({"repeat": 1, "blocks": 3, "unmask": "010"}, {"document_context": 6}),
    "mistral": ({"unmask": "window:2"}, {"aligner": SHIFT}),
    "gemma2": (
        {"repeat": 1, "unmask": "window:3", "blocks": 3},
        {"aligner": {"type": "mean", **SHIFT}, "head": {"type": "crf"}, "document_context": 6},
    ),
    "qwen3_moe": ({"repeat": 2, "unmask": "0110"}, {"aligner": {"type": "last_subword"}}),
    "gpt_oss": ({"blocks": 2, "unmask": "01"}, {"aligner": SHIFT}),
}
"""By family: keys of the backbone, and further keys of the spec."""
TEXTS = [
    "the soup was awful and the bread was excellent , but nobody called the menu plain .",
    "nobody",
    " ".join(["the plain soup and the lovely bread"] * 6),
]
SENTENCES = [sltk.Sentence(text.split(), document="one") for text in TEXTS]


@functools.cache
def built(family: str) -> TaggerModel:
    """A model with random weights in which every subword counts."""
    keys, changes = CASES[family]
    config = {"model_type": family, **BY_NAME[family].config(vocab_size=None)}
    model = untrained.build(tiny.backbone(config=config, **keys), **changes)
    model.network.eval()
    return model


@pytest.fixture
def folder(family: str, tmp_path: Path) -> Path:
    """The saved model."""
    tagging.save(built(family), tmp_path / "model", tmp_path / "no-imports")
    return tmp_path / "model"


def emissions(model: Any) -> torch.Tensor:
    """Tag scores of all words of one batch, [words, tags]."""
    samples = [Sample(encoding, [0] * encoding.words) for encoding in model.encoder.encode(SENTENCES[:2])]
    with torch.inference_mode():
        scores: torch.Tensor = model.network.emissions([pack(samples)])
    return scores


def check_equal(ours: Labeller, theirs: Labeller) -> None:
    """Check that both label the same words in the same way, with scores that differ by at most 0.0001."""
    predictions = ours.predict(SENTENCES)
    assert len({tag for each in predictions for tag in each.tags}) > 1
    for one, other in zip(predictions, theirs.predict(SENTENCES), strict=True):
        assert one.tags == other.tags
        assert one.scores == pytest.approx(other.scores, abs=1e-4)


@pytest.mark.parametrize("family", CASES)
def test_a_loaded_model_and_its_export_give_the_same_scores(
    family: str, folder: Path, tmp_path: Path
) -> None:
    """Loaded, bit for bit those of the saved model; exported and loaded without its base model, to 1e-5."""
    before, loaded = emissions(built(family)), sltk.load(folder)
    assert torch.equal(emissions(loaded.model), before)
    sltk.export(folder, tmp_path / "plain")
    exported = sltk.load(tmp_path / "plain", batch_tokens=1)
    torch.testing.assert_close(emissions(exported.model), before, rtol=1e-5, atol=1e-5)
    check_equal(loaded, exported)


@pytest.mark.parametrize("family", ["opt", "mistral", "gemma2"])
def test_an_onnx_export_gives_the_same_scores(
    family: str, folder: Path, tmp_path: Path, onnx_library: ModuleType
) -> None:
    """Together, these have every strategy: they are in the graph, or in how its input is read."""
    sltk.export(folder, tmp_path / "onnx", format="onnx")
    check_equal(sltk.load(folder), sltk.load(tmp_path / "onnx"))
