"""A model of the first blocks is what is trained, saved, loaded, exported, described and started from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoModelForTokenClassification

import sltk
import tiny
import tiny_gguf
import untrained
from sltk.cards import render_card
from sltk.cli import main
from sltk.components.backbones import Decoder
from sltk.errors import InputError, ModelError
from sltk.nn.backbone import BuildContext
from sltk.nn.batching import pack
from sltk.preview.estimate import estimate_run
from sltk.preview.model_info import ModelInfo
from sltk.rehearsal.small_parts import small_backbone
from sltk.spec import loading
from sltk.subwords.samples import Sample

WHOLE = {**tiny.LLAMA, "num_hidden_layers": 4}
SENTENCES = [sltk.Sentence(["the", "soup", "was", "awful"]), sltk.Sentence(["nobody", "called"])]
LORA = {"r": 2, "target_modules": "all-linear"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_base(tmp_path_factory.mktemp("early") / "base", WHOLE)


def backbone(base: Path, **changes: Any) -> dict[str, Any]:
    return {"type": "decoder", "name": str(base), "blocks": 3, "unmask": "001", **changes}


@pytest.fixture(scope="module")
def run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with adapters on three of four blocks."""
    folder = tmp_path_factory.mktemp("early") / "run"
    sltk.train(tiny.spec({"epochs": 1}, backbone=backbone(base, lora=LORA)), folder)
    return folder


def batch_of(model: Any, sentences: list[sltk.Sentence]) -> Any:
    return pack([Sample(encoding, [0] * encoding.words) for encoding in model.encoder.encode(sentences)])


def scores(folder: Path) -> torch.Tensor:
    """Tag scores of all words, [words, tags], and a check that the model has three blocks."""
    model = sltk.load(folder).model
    assert model.network.backbone.flags == (False, False, True)
    assert model.network.backbone.model.config.num_hidden_layers == 3
    with torch.inference_mode():
        emissions: torch.Tensor = model.network.emissions([batch_of(model, SENTENCES)])
    return emissions


def test_a_run_trains_and_saves_the_blocks_in_use(run: Path) -> None:
    adapter = load_file(run / "model/adapter/adapter_model.safetensors")
    assert {int(name.split("layers.")[1].split(".")[0]) for name in adapter} == {0, 1, 2}
    assert json.loads((run / "environment.json").read_text())["mask_proof"]["blocks"] == 3
    assert yaml.safe_load((run / "spec.yaml").read_text())["backbone"]["blocks"] == 3
    assert "based on the first 3 blocks of the local model base" in render_card(run)


def test_an_export_has_the_blocks_in_use_and_equal_scores(
    run: Path, tmp_path: Path, onnx_library: ModuleType
) -> None:
    """In the formats of sltk and ONNX, and once more from the export."""
    before = scores(run)
    sltk.export(run, tmp_path / "export")
    torch.testing.assert_close(scores(tmp_path / "export"), before, rtol=0, atol=1e-5)
    sltk.export(tmp_path / "export", tmp_path / "again")
    torch.testing.assert_close(scores(tmp_path / "again"), before, rtol=0, atol=1e-5)
    assert "based on the first 3 blocks of" in render_card(tmp_path / "export")
    sltk.export(run, tmp_path / "onnx", format="onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "onnx/model.onnx", providers=["CPUExecutionProvider"])
    batch = batch_of(sltk.load(run).model, SENTENCES[:1])
    ids = batch["ids_T"].numpy()[None]
    (logits,) = session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    words = SENTENCES[0].words
    np.testing.assert_allclose(logits[0, batch["first_W"]], before[: len(words)], atol=1e-4)


def test_weights_that_are_all_trained_are_saved_as_a_smaller_model(base: Path, tmp_path: Path) -> None:
    """Its own config says so; it is exported for transformers, and is the base of another run with fewer blocks."""
    folder = untrained.save(tmp_path / "model", backbone(base, unmask="none"))
    assert json.loads((folder / "base/config.json").read_text())["num_hidden_layers"] == 3
    sltk.export(folder, tmp_path / "export")
    plain = AutoModelForTokenClassification.from_pretrained(tmp_path / "export")
    assert plain.config.num_hidden_layers == 3
    for name in (folder / "base", tmp_path / "export"):
        spec = Decoder(name=str(name), tokenizer=str(base), blocks=2)
        built = spec.build(BuildContext(torch.device("cpu"), seed=0))
        assert len(built.flags) == 2
        expected = [layer.mlp.up_proj.weight for layer in plain.model.layers[:2]]
        actual = [layer.mlp.up_proj.weight for layer in built.model.layers]  # type: ignore[union-attr]
        assert all(map(torch.equal, actual, expected))
    config = folder / "base/config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 3', '"num_hidden_layers": 2'))
    (folder / "manifest.json").unlink()
    with pytest.raises(InputError, match="describes a model of 2 blocks, expected 3"):
        sltk.load(folder)


def test_an_adapter_may_be_for_more_blocks_but_not_for_fewer(run: Path, base: Path) -> None:
    def built(blocks: Any) -> dict[str, torch.Tensor]:
        spec = Decoder(name=str(base), blocks=blocks, lora=LORA, adapter=str(run))
        return dict(spec.build(BuildContext(torch.device("cpu"), seed=0)).named_parameters())

    trained = load_file(run / "model/adapter/adapter_model.safetensors")
    for name, value in built(2).items():
        if "lora_" in name:
            stored = name.removeprefix("model.").replace(".default", "")
            assert torch.equal(value, trained[stored])
    with pytest.raises(ModelError, match="was trained on the first 3 blocks; this model has 4"):
        built("all")


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_the_estimate_counts_the_blocks_in_use(mode: str, base: Path) -> None:
    """Parameters equal those of the model that is built; memory is less than that of the whole model."""
    changes = {"lora": LORA} if mode == "lora" else {}
    spec = loading.load(tiny.spec(backbone=backbone(base, **changes))).spec
    whole = loading.load(tiny.spec(backbone=backbone(base, blocks="all", **changes))).spec
    needs, more = estimate_run(spec), estimate_run(whole)
    assert needs is not None
    assert more is not None
    built = spec.backbone.build(BuildContext(torch.device("cpu"), seed=0))
    is_adapter = {name: "lora_" in name for name, _ in built.named_parameters()}
    count = sum(value.numel() for name, value in built.named_parameters() if not is_adapter[name])
    assert (needs.blocks, needs.total_blocks, needs.parameters) == (3, 4, count)
    assert needs.trained_parameters == sum(p.numel() for p in built.parameters() if p.requires_grad)
    assert 0 < (needs.memory_gpu_bytes or 0) < (more.memory_gpu_bytes or 0)
    assert (more.blocks, more.total_blocks) == (4, None)
    assert ("blocks", "3 of 4: 0-1 causal, 2 unmasked") in list(needs.rows())


def test_the_estimate_of_an_unknown_family_and_of_a_gguf_file_counts_the_blocks_in_use(
    base: Path, gguf_library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their parameters are counted in the headers of the files."""
    known = ModelInfo.of(Decoder(name=str(base), blocks=3)).shape
    other = Path(shutil.copytree(base, tmp_path / "other"))
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "of_another_time"}))
    shape = ModelInfo.of(Decoder(name=str(other), blocks=3)).shape
    assert shape is not None
    assert known is not None
    assert (shape.blocks, shape.parameters) == (3, known.parameters)
    monkeypatch.setenv("SLTK_CACHE", str(tmp_path / "cache"))
    spec = Decoder(name=str(tiny_gguf.write(tmp_path / "tiny.gguf")), blocks=1)
    built = spec.build(BuildContext(torch.device("cpu"), seed=0))
    shape = ModelInfo.of(spec).shape
    assert shape is not None
    assert (len(built.flags), shape.blocks) == (1, 1)
    assert shape.parameters == sum(value.numel() for value in built.parameters())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("5", "`blocks: 5` asks for 5 blocks; the model has 4"),
        ("0", "expected `all` or 1 or more, found `0`"),
        ("al", "did you mean `all`?"),
        ("2", "a mask of 3 digits needs at least 3 blocks; the model has 2"),
    ],
)
def test_a_wrong_number_of_blocks_is_one_error(
    value: str, message: str, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(tiny.spec(backbone=backbone(base))))
    for command in ("check", "train"):
        assert main([command, str(spec), "--set", f"backbone.blocks={value}"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("error:") == 1
    assert main(["show", "mask", str(spec)]) == 0
    assert "mask 001 on 3 blocks" in capsys.readouterr().out


def test_a_default_is_not_written(base: Path, tmp_path: Path) -> None:
    """Run directories of all blocks are those of earlier versions."""
    spec = loading.load(tiny.spec(backbone=backbone(base, blocks="all"))).spec
    assert "blocks" not in spec.backbone.model_dump()
    assert spec.backbone == Decoder.model_validate(spec.backbone.model_dump())


def test_a_rehearsal_leaves_a_block_out(base: Path) -> None:
    """So it shows that the family can be shortened."""
    progress = tiny.RecordingProgress()
    small = small_backbone(loading.load(tiny.spec(backbone=backbone(base))).spec.backbone, progress)
    context = BuildContext(torch.device("cpu"), seed=0, texts=lambda: ["a few words"])
    assert len(small.build(context).flags) == 3
    assert progress.has_note("these are the first of its 4 blocks")
