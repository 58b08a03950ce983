"""A mask with a window is saved, loaded, exported and described as what it is."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import sltk
import tiny
import untrained
from sltk.cards import render_card
from sltk.cli import main
from sltk.errors import ModelError
from sltk.nn.batching import pack
from sltk.rehearsal.small_parts import small_backbone
from sltk.spec import loading
from sltk.subwords.samples import Sample

WORDS = "the soup was awful and the bread was excellent , but nobody called the menu plain ."
SENTENCES = [sltk.Sentence(WORDS.split()), sltk.Sentence(["nobody"])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in which words see two subwords to each side."""
    return untrained.save(tmp_path_factory.mktemp("window") / "model", tiny.backbone(unmask="window:2"))


def batch_of(model: Any, sentences: list[sltk.Sentence]) -> Any:
    return pack([Sample(encoding, [0] * encoding.words) for encoding in model.encoder.encode(sentences)])


def scores(folder: Path) -> torch.Tensor:
    """Tag scores of all words, [words, tags], and a check that the model has the window."""
    model = sltk.load(folder).model
    assert (model.network.backbone.window, model.network.backbone.proof.window) == (2, 2)
    with torch.inference_mode():
        emissions: torch.Tensor = model.network.emissions([batch_of(model, SENTENCES)])
    return emissions


def test_a_saved_model_and_its_exports_have_the_window(folder: Path, tmp_path: Path) -> None:
    """transformers alone has no such mask."""
    before = scores(folder)
    unmasked = untrained.save(tmp_path / "all", tiny.backbone(unmask="all"))
    other = sltk.load(unmasked).model
    with torch.inference_mode():
        assert not torch.allclose(other.network.emissions([batch_of(other, SENTENCES)]), before, atol=1e-2)
    assert json.loads((folder / "sltk.json").read_text())["mask"] == {
        "unmask": "window:2", "flags": "11", "window": 2
    }  # fmt: skip
    progress = tiny.RecordingProgress()
    sltk.export(folder, tmp_path / "export", progress)
    assert progress.has_note("plain transformers has no mask in which words see 2 subwords to each side")
    assert json.loads((tmp_path / "export/sltk.json").read_text())["transformers"]["class"] is None
    torch.testing.assert_close(scores(tmp_path / "export"), before, rtol=0, atol=1e-5)
    assert "only those at most 2 subwords away" in render_card(tmp_path / "export")


MISTRAL = {"model_type": "mistral", "sliding_window": 2, "is_causal": False, "num_key_value_heads": 2}
ONNX = {
    "window": tiny.backbone(unmask="window:2", repeat=1),
    "window of the family": tiny.backbone(config={**tiny.LLAMA, **MISTRAL}, unmask="all"),
}


@pytest.mark.parametrize("case", ONNX)
def test_onnx_has_the_window(case: str, tmp_path: Path, onnx_library: ModuleType) -> None:
    """That of a mask, over copies too, and that of a family whose config says that its window includes its ends."""
    import onnxruntime

    folder = untrained.save(tmp_path / "model", ONNX[case])
    sltk.export(folder, tmp_path / "onnx", format="onnx")
    session = onnxruntime.InferenceSession(tmp_path / "onnx/model.onnx", providers=["CPUExecutionProvider"])
    model = sltk.load(folder).model
    windows = [encoding.windows[0] for encoding in model.encoder.encode(SENTENCES)]
    longest = max(len(each.ids) for each in windows)
    ids = np.array([each.ids + [0] * (longest - len(each.ids)) for each in windows])
    mask = np.array([[int(place < len(each.ids)) for place in range(longest)] for each in windows])
    (logits,) = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
    with torch.inference_mode():
        expected = model.network.emissions([batch_of(model, SENTENCES)])
    words = [row[each.first] for row, each in zip(logits, windows, strict=True)]
    np.testing.assert_allclose(np.concatenate(words), expected, atol=1e-4)


def test_another_window_than_the_saved_one_is_an_error(tmp_path: Path) -> None:
    """As with flags: the description of the model and its spec must agree."""
    model = untrained.save(tmp_path / "model", tiny.backbone(unmask="window:2"))
    text = (model / "sltk.json").read_text()
    (model / "sltk.json").write_text(text.replace('"window": 2', '"window": 3'))
    (model / "manifest.json").unlink()
    with pytest.raises(ModelError, match="the saved mask has the window 3, but the model was built with 2"):
        sltk.load(model)


def test_the_window_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "mask", "window:64", "--blocks", "30"]) == 0
    shown = capsys.readouterr().out
    assert "mask window:64 on 30 blocks, input side first: 0-29 unmasked within 64" in shown
    assert "blocks   0 to  29   unmasked, at most 64 subwords to each side" in shown
    assert main(["show", "mask", "window:0", "--blocks", "30"]) == 2
    assert "`window:0` is no window: expected `window:N`" in capsys.readouterr().err


def test_a_rehearsal_has_few_blocks() -> None:
    """The number in the mask is no number of blocks."""
    spec = loading.load(tiny.spec(backbone=tiny.backbone(unmask="window:64"))).spec
    small = small_backbone(spec.backbone, tiny.RecordingProgress())
    assert small.config is not None  # type: ignore[attr-defined]
    assert small.config["num_hidden_layers"] == 2  # type: ignore[attr-defined]
