"""Labelling runs that start from a pre-training run, and what does not fit them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import damage
import sltk
import tiny
from sltk.run import pretrain
from tiny_pretraining import (
    labelling_spec,
    lora_spec,
    spec,
)


def test_a_labelling_run_starts_from_a_pretrained_adapter(base: Path, tmp_path: Path) -> None:
    """The labelling run starts with exactly the weights of the adapter."""
    metrics = pretrain(lora_spec(base, tmp_path), tmp_path / "tapt")
    assert metrics["train"]["trained_parameters"] == 2 * 2 * 2 * 4 * 32
    adapter = load_file(tmp_path / "tapt/model/adapter/adapter_model.safetensors")
    assert any(value.abs().max() > 0 for name, value in adapter.items() if "lora_B" in name)
    lora = {"r": 4, "alpha": 8, "dropout": 0.0}
    start = {"type": "decoder", "name": str(base), "unmask": "01", "lora": lora}
    no_change = {"trainer": {"epochs": 1, "learning_rate": 1e-30}}
    sltk.train(
        labelling_spec({**start, "adapter": str(tmp_path / "tapt")}) | no_change, tmp_path / "from_tapt"
    )
    initial = load_file(tmp_path / "from_tapt/model/adapter/adapter_model.safetensors")
    assert initial.keys() == adapter.keys()
    assert all(torch.equal(initial[name], adapter[name]) for name in adapter)
    labeller = sltk.load(tmp_path / "from_tapt")
    assert labeller.predict([["soup"]])[0].words == ["soup"]


def test_a_labelling_run_starts_from_a_fully_trained_model(base: Path, tmp_path: Path) -> None:
    """`backbone.name` can be the model folder of a pre-training run."""
    pretrain(spec(tmp_path, backbone={"type": "decoder", "name": str(base)}), tmp_path / "tapt")
    start = {"type": "decoder", "name": str(tmp_path / "tapt/model"), "unmask": "01"}
    metrics = sltk.train(labelling_spec(start), tmp_path / "run")
    assert metrics["test"]["support"] > 0


ADAPTER_FAULTS = {
    "another base": ({}, "is for another base model: it was trained on"),
    "another rank": ({"r": 8}, "r: the adapter has 4, `lora` has 8"),
    "other layers": ({"target_modules": ["k_proj"]}, "`lora` has ['k_proj']"),
}


@pytest.mark.parametrize("fault", ADAPTER_FAULTS)
def test_an_adapter_that_does_not_fit_is_rejected(base: Path, tmp_path: Path, fault: str) -> None:
    """Base model, rank and target modules must be those of the adapter."""
    pretrain(lora_spec(base, tmp_path, trainer={"max_steps": 1}), tmp_path / "tapt")
    changes, message = ADAPTER_FAULTS[fault]
    name = tiny.save_base(tmp_path / "other", seed=5) if fault == "another base" else base
    lora = {"r": 4, "alpha": 8, **changes}
    start = {"type": "decoder", "name": str(name), "lora": lora, "adapter": str(tmp_path / "tapt")}
    with pytest.raises(sltk.ModelError) as caught:
        sltk.train(labelling_spec(start), tmp_path / "run")
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_adapter_for_a_model_of_another_size_is_rejected(base: Path, tmp_path: Path) -> None:
    """Shapes of weights are compared even if `pretraining.json` is missing."""
    pretrain(lora_spec(base, tmp_path, trainer={"max_steps": 1}), tmp_path / "tapt")
    (tmp_path / "tapt/model/pretraining.json").unlink()
    wide = tiny.save_base(tmp_path / "wide", {**tiny.LLAMA, "hidden_size": 64})
    start = {"type": "decoder", "name": str(wide), "lora": {"r": 4, "alpha": 8}}
    with pytest.raises(sltk.ModelError, match="its weights do not fit"):
        sltk.train(
            labelling_spec({**start, "adapter": str(tmp_path / "tapt/model/adapter")}), tmp_path / "run"
        )


def test_a_folder_without_an_adapter_is_rejected(base: Path, tmp_path: Path) -> None:
    """An empty folder, a fully trained model, and a missing `lora` have separate error messages."""
    start = {"type": "decoder", "name": str(base), "lora": {"r": 4}, "adapter": str(tmp_path)}
    with pytest.raises(sltk.ModelError, match="contains no adapter"):
        sltk.train(labelling_spec(start), tmp_path / "run")
    with pytest.raises(sltk.ModelError, match="contains a fully trained model"):
        sltk.train(labelling_spec({**start, "adapter": str(base)}), tmp_path / "run")
    with pytest.raises(sltk.SpecError, match="`adapter` needs `lora`"):
        sltk.train(labelling_spec({**start, "lora": None}), tmp_path / "run")


def flip_bit(path: Path) -> None:
    damage.DAMAGE["bit flipped"](path)


def test_a_pretrained_model_is_verified_before_a_run_starts_from_it(base: Path, tmp_path: Path) -> None:
    """A flipped bit in the weights of a snapshot or a final model is an error that names the file."""
    pretrain(spec(tmp_path, trainer={"epochs": 1}, snapshots=1), tmp_path / "whole")
    pretrain(lora_spec(base, tmp_path, trainer={"max_steps": 1}), tmp_path / "adapters")
    lora = {"type": "decoder", "name": str(base), "lora": {"r": 4, "alpha": 8, "dropout": 0.0}}
    starts = {
        "whole/model/model.safetensors": {"type": "decoder", "name": str(tmp_path / "whole/model")},
        "whole/steps/0001/model.safetensors": {"type": "decoder", "name": str(tmp_path / "whole/steps/0001")},
        "adapters/model/adapter/adapter_model.safetensors": {**lora, "adapter": str(tmp_path / "adapters")},
    }
    for name, start in starts.items():
        flip_bit(tmp_path / name)
        with pytest.raises(sltk.UsageError, match=r"is not what was saved[\s\S]*_?model\.safetensors"):
            sltk.train(labelling_spec(start), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000, '{"base": 3}'])
def test_a_malformed_description_of_a_pretrained_model_is_named(
    base: Path, tmp_path: Path, text: str
) -> None:
    """Folders without a manifest are read with care too."""
    pretrain(lora_spec(base, tmp_path, trainer={"max_steps": 1}), tmp_path / "tapt")
    (tmp_path / "tapt/model/manifest.json").unlink()
    (tmp_path / "tapt/model/pretraining.json").write_text(text)
    start = {"type": "decoder", "name": str(base), "lora": {"r": 4, "alpha": 8, "dropout": 0.0}}
    with pytest.raises(sltk.InputError, match=r"pretraining\.json"):
        sltk.train(labelling_spec({**start, "adapter": str(tmp_path / "tapt")}), tmp_path / "run")
