"""An export of sltk as `backbone.name`, in a folder or on the hub."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import hub_peer
import sltk
import tiny
from repository import ROOT
from sltk.cli import main

TAGGER = ROOT / "tests" / "stored_runs" / "tagger"
SENTENCES = [["The", "soup", "was", "awful", "."]]


@pytest.fixture(scope="module")
def split_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export that only sltk loads: its weights are in `base/`."""
    folder = tmp_path_factory.mktemp("split") / "model"
    sltk.export(TAGGER, folder)
    return folder


def train(name: str | Path, folder: Path, **changes: Any) -> sltk.Labeller:
    """Train a head on a base model for two updates, and load the run."""
    backbone = {"type": "decoder", "name": str(name), "freeze": True, "unmask": "01", **changes}
    sltk.train(tiny.spec({"max_steps": 2}, backbone=backbone), folder)
    return sltk.load(folder)


def embedding(labeller: sltk.Labeller) -> torch.Tensor:
    """The input embedding of a model."""
    weight: torch.Tensor = labeller.model.network.backbone.model.get_input_embeddings().weight
    return weight


@pytest.mark.parametrize("kind", ["split", "plain"])
def test_an_export_in_a_folder_is_a_base(
    tmp_path: Path, kind: str, split_export: Path, plain_export: Path
) -> None:
    """Its weights and its tokenizer are used, and the run finds them again."""
    export = split_export if kind == "split" else plain_export
    labeller = train(export, tmp_path / "run")
    assert torch.equal(embedding(labeller), embedding(sltk.load(export)))
    base = json.loads((tmp_path / "run" / "model" / "sltk.json").read_text("utf-8"))["base"]
    assert (base["name"], base["covers"]) == (str(export), "all")


def test_another_export_under_the_name_is_refused(tmp_path: Path, split_export: Path) -> None:
    """A run does not load if the weights in `base/` are others than those it was trained on."""
    export = Path(shutil.copytree(split_export, tmp_path / "base-model"))
    train(export, tmp_path / "run")
    (export / "base" / "config.json").write_text(
        (export / "base" / "config.json").read_text("utf-8") + " ", "utf-8"
    )
    with pytest.raises(sltk.ModelError, match="are not those this model was trained on"):
        sltk.load(tmp_path / "run")
    with pytest.raises(sltk.UsageError, match=r"config\.json"):
        train(export, tmp_path / "second")


@pytest.mark.parametrize("kind", ["split", "plain"])
def test_an_export_on_the_hub_is_a_base(
    hub: hub_peer.HubPeer, tmp_path: Path, kind: str, split_export: Path, plain_export: Path
) -> None:
    """It is downloaded with its manifest, and the run records its commit."""
    export = split_export if kind == "split" else plain_export
    name = f"me/{kind}"  # transformers remembers the commit of a name
    assert main(["push", str(export), name]) == 0
    labeller = train(name, tmp_path / "run")
    assert torch.equal(embedding(labeller), embedding(sltk.load(export)))
    base = json.loads((tmp_path / "run" / "model" / "sltk.json").read_text("utf-8"))["base"]
    assert base == {"name": name, "revision": hub.repositories[name].commit("main")}


def test_an_onnx_export_is_no_base(tmp_path: Path, plain_export: Path) -> None:
    """The error says what to name instead."""
    export = Path(shutil.copytree(plain_export, tmp_path / "onnx"))
    for path in (*export.glob("*.safetensors"), export / "manifest.json"):
        path.unlink()
    (export / "model.onnx").write_bytes(b"")
    with pytest.raises(sltk.ModelError, match="ONNX export, which has no weights to train from"):
        train(export, tmp_path / "run")
