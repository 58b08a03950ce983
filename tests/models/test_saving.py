"""Saved models give the same results after loading."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import sltk
import tiny
from sltk.models import saving, tagging
from sltk.models.tagger_model import TaggerModel
from sltk.nn.batching import pack
from sltk.run import load
from sltk.subwords.samples import Sample

TEXTS = ["The soup, my uncle said, was awful.", "Nobody had booked ahead; it was unremarkably plain", "", "x"]
FEW_BITS = {"compute_dtype": "float32"}
ENCODER = {"type": "encoder", "unmask": "all"}
FRESH: dict[str, dict[str, Any]] = {
    "fresh": {},
    "fresh-lora": {"lora": {"r": 4}},
    "fresh-frozen": {"freeze": True},
    "fresh-nf4": {"lora": {"r": 4}, "quantization": {"type": "nf4", **FEW_BITS}},
    "fresh-int8": {"lora": {"r": 4}, "quantization": {"type": "int8", **FEW_BITS}},
}
PRETRAINED: dict[str, dict[str, Any]] = {
    "whole": {},
    "lora": {"lora": {"r": 4, "target_modules": "all-linear"}},
    "frozen": {"freeze": True},
    "nf4": {"lora": {"r": 4}, "quantization": {"type": "nf4", **FEW_BITS}},
    "nf4-plain": {"lora": {"r": 4}, "quantization": {"type": "nf4", "double": False, **FEW_BITS}},
    "nf4-frozen": {"freeze": True, "quantization": {"type": "nf4", **FEW_BITS}},
    "int8": {"lora": {"r": 4}, "quantization": {"type": "int8", **FEW_BITS}},
    "bfloat16": {"lora": {"r": 4}, "dtype": "bfloat16"},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_base(tmp_path_factory.mktemp("base") / "tiny-base", {**tiny.LLAMA, "hidden_size": 64})


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> list[TaggerModel]:
    """The models in memory when runs saved them."""
    models: list[TaggerModel] = []

    def save(model: TaggerModel, *others: Any, save: Any = saving.save) -> None:
        models.append(model)
        save(model, *others)

    monkeypatch.setattr(tagging, "save", save)
    return models


def vectors(model: TaggerModel) -> torch.Tensor:
    """Word vectors, [words, hidden]: the input of the head."""
    encodings = model.encoder.encode([sltk.Sentence(text.split()) for text in TEXTS if text])
    batch = pack([Sample(encoding, [0] * encoding.words) for encoding in encodings])
    with torch.inference_mode():
        return model.network.eval().word_vectors(
            batch["ids_T"], batch["packing"], batch["first_W"], batch["last_W"]
        )


def assert_same_after_loading(run: Path, before: TaggerModel) -> None:
    after = load(run)
    torch.testing.assert_close(vectors(after.model), vectors(before), rtol=0, atol=1e-5)
    ours, theirs = after.predict(TEXTS), sltk.Labeller(before).predict(TEXTS)
    assert [prediction.tags for prediction in ours] == [prediction.tags for prediction in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


@pytest.mark.parametrize("kind", FRESH)
def test_a_fresh_model_is_the_same_after_loading(tmp_path: Path, before: list[Any], kind: str) -> None:
    """The base of a fresh model is saved even if it is frozen."""
    config = {**tiny.LLAMA, "hidden_size": 64}
    sltk.train(
        tiny.spec({"epochs": 1}, backbone=tiny.backbone(config=config, **FRESH[kind])), tmp_path / "run"
    )
    assert_same_after_loading(tmp_path / "run", before[0])
    assert list((tmp_path / "run/model/base").glob("*.safetensors"))


@pytest.mark.parametrize("kind", PRETRAINED)
def test_a_pretrained_model_is_the_same_after_loading(
    tmp_path: Path, base: Path, before: list[Any], kind: str
) -> None:
    """Word vectors and probabilities agree to 1e-5; the base is saved only if it was trained."""
    backbone = {"type": "decoder", "name": str(base), "unmask": "01", **PRETRAINED[kind]}
    sltk.train(tiny.spec({"epochs": 1}, backbone=backbone), tmp_path / "run")
    assert_same_after_loading(tmp_path / "run", before[0])
    names = {path.name for path in (tmp_path / "run/model").iterdir()}
    expected = "base" if kind == "whole" else "adapter" if "lora" in PRETRAINED[kind] else None
    assert names == {"head.safetensors", "manifest.json", "sltk.json", "tokenizer"} | (
        {expected} if expected else set()
    )


@pytest.mark.parametrize("head", ["mlp", "crf"])
@pytest.mark.parametrize("aligner", ["first_subword", "last_subword", "mean", "first_last", "max"])
def test_every_head_and_aligner_is_the_same_after_loading(
    tmp_path: Path, before: list[Any], head: str, aligner: str
) -> None:
    """The spacing chosen for the training data is stored too."""
    part = {"head": {"type": head}, "aligner": {"type": aligner}}
    sltk.train(tiny.spec({"max_steps": 2}, **part), tmp_path / "run")
    assert_same_after_loading(tmp_path / "run", before[0])


@pytest.mark.parametrize("changes", [{}, {"lora": {"r": 4}}], ids=["whole", "lora"])
def test_an_encoder_is_the_same_after_loading(
    tmp_path: Path, before: list[Any], changes: dict[str, Any]
) -> None:
    """An encoder with a causal block gives the same results after loading."""
    backbone = tiny.backbone(type="encoder", config=tiny.BERT, unmask="10", **changes)
    sltk.train(tiny.spec({"epochs": 1}, backbone=backbone), tmp_path / "run")
    assert_same_after_loading(tmp_path / "run", before[0])


def test_head_and_adapters_are_full_precision(tmp_path: Path, base: Path) -> None:
    """Trained weights are float32 whatever the dtype of the base, in checkpoints and in the model."""
    backbone = {"type": "decoder", "name": str(base), "lora": {"r": 4}, "dtype": "bfloat16"}
    sltk.train(tiny.spec({"epochs": 1}, backbone=backbone), tmp_path / "run")
    files = [
        *(tmp_path / "run/model").rglob("*.safetensors"),
        *(tmp_path / "run/checkpoints").rglob("*.safetensors"),
    ]
    assert len(files) == 3
    assert {value.dtype for file in files for value in load_file(str(file)).values()} == {torch.float32}


@pytest.mark.parametrize("kind", ["whole", "lora", "frozen", "nf4"])
def test_a_checkpoint_contains_only_trained_weights(tmp_path: Path, base: Path, kind: str) -> None:
    """A checkpoint has the weights of adapter and head, or all weights in full fine-tuning.

    With two moments of AdamW and small files, its size is at most four times that of the weights.
    """
    backbone = {"type": "decoder", "name": str(base), **PRETRAINED[kind]}
    metrics = sltk.train(tiny.spec({"epochs": 1}, backbone=backbone), tmp_path / "run")
    (folder,) = (tmp_path / "run/checkpoints").iterdir()
    stored = load_file(str(folder / "trained.safetensors"))
    trained = metrics["train"]["trained_parameters"]
    assert sum(value.numel() for value in stored.values()) == trained
    assert all(
        name.startswith(("head.", "aligner.")) or kind == "whole" or "lora_" in name for name in stored
    )
    total = sum(path.stat().st_size for path in folder.iterdir())
    assert total <= 4 * 4 * trained + 60_000
    if kind != "whole":
        base_size = sum(path.stat().st_size for path in base.glob("*.safetensors"))
        model_size = sum(path.stat().st_size for path in (tmp_path / "run/model").rglob("*.safetensors"))
        assert model_size <= 4 * trained + 20_000
        assert trained * 4 < base_size


def test_tied_weights_are_saved_once(tmp_path: Path, before: list[Any]) -> None:
    """A family that shares weights between layers (ALBERT) is the same after loading."""
    albert = {**tiny.BERT, "model_type": "albert", "embedding_size": 16, "num_hidden_groups": 1}
    backbone = tiny.backbone(type="encoder", config=albert, unmask="all")
    metrics = sltk.train(tiny.spec({"epochs": 1}, backbone=backbone), tmp_path / "run")
    assert_same_after_loading(tmp_path / "run", before[0])
    stored = load_file(str(next((tmp_path / "run/checkpoints").rglob("trained.safetensors"))))
    assert sum(value.numel() for value in stored.values()) == metrics["train"]["trained_parameters"]


def test_a_base_whose_weights_changed_is_rejected(tmp_path: Path) -> None:
    """An adapter on other weights would silently give wrong results."""
    base = tiny.save_base(tmp_path / "base")
    sltk.train(
        tiny.spec({"max_steps": 1}, backbone={"type": "decoder", "name": str(base), "lora": {"r": 4}}),
        tmp_path / "run",
    )
    load(tmp_path / "run")
    tiny.save_base(base, seed=1)
    with pytest.raises(sltk.ModelError, match="are not those this model was trained on"):
        load(tmp_path / "run")
    shutil.rmtree(base)
    with pytest.raises(sltk.ModelError, match="base"):
        load(tmp_path / "run")


HUB_SCRIPT = """
import json, sys
from pathlib import Path
import tiny, sltk

run, main = Path(sys.argv[1]), Path(sys.argv[2])
sltk.train(tiny.spec({"epochs": 1}, backbone={"type": "decoder", "name": "someone/tiny", "lora": {"r": 4}}), run)
def scores():
    return [prediction.scores for prediction in sltk.load(run).predict(["The soup was awful."])]
before = scores()
main.write_text("b" * 40)
print(json.dumps([before, scores()]))
"""


def test_a_hub_base_is_loaded_at_the_revision_it_was_trained_on(tmp_path: Path) -> None:
    """A later commit to the main branch changes no result; an offline cache folder stands in for the hub."""
    cache = tmp_path / "models--someone--tiny"
    for number, name in enumerate(("a" * 40, "b" * 40)):
        tiny.save_base(cache / "snapshots" / name, seed=number)
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text("a" * 40)
    cached = {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, **cached, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HUB_SCRIPT, str(tmp_path / "run"), str(cache / "refs/main")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    before, after = json.loads(done.stdout)
    assert before == after
    description = json.loads((tmp_path / "run/model/sltk.json").read_text())
    assert description["base"] == {"name": "someone/tiny", "revision": "a" * 40}


def test_models_in_other_formats_are_rejected(tmp_path: Path) -> None:
    """The error names the version that wrote the model."""
    sltk.train(tiny.spec({"max_steps": 1}), tmp_path / "run")
    path = tmp_path / "run/model/sltk.json"
    path.write_text(
        path.read_text().replace('"format": 1', '"format": 0').replace('"sltk": "0.1.0"', '"sltk": "0.0.9"')
    )
    with pytest.raises(
        sltk.UsageError, match=r"written by sltk 0\.0\.9 in format 0; this is sltk .*, which reads format 1"
    ):
        load(tmp_path / "run")


def test_loading_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model consists of safetensors and JSON; files of torch in a checkpoint are read with `weights_only`."""
    weights_only: list[bool] = []
    original = torch.load

    def recording_load(*args: Any, **kwargs: Any) -> Any:
        weights_only.append(kwargs.get("weights_only", False))
        return original(*args, **kwargs)

    monkeypatch.setattr(torch, "load", recording_load)
    spec = tiny.spec({"save_every": 1})
    with pytest.raises(KeyboardInterrupt):
        sltk.train(spec, tmp_path / "run", progress=tiny.InterruptingProgress(4))
    sltk.train(spec, tmp_path / "run", resume=True)
    assert len(weights_only) >= 3
    assert all(weights_only)
    suffixes = {path.suffix for path in (tmp_path / "run/model").rglob("*") if path.is_file()}
    assert suffixes == {".safetensors", ".json"}
