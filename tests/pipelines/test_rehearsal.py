"""`sltk train --rehearse`: every step of a run, with a tiny model and a few sentences."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

import tiny
from shipped_specs import load_shipped
from sltk.errors import InputError, RunError
from sltk.rehearsal import rehearse
from sltk.rehearsal.small_labelling import substituted
from sltk.rehearsal.small_parts import tiny_blocks
from sltk.spec import loading
from sltk.spec.experiment import Experiment


@pytest.fixture(autouse=True)
def _no_data_and_no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide data and models; put temporary files and the working directory where tests can inspect them."""
    for name in ("SLTK_DATA", "SLTK_MODELS", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    for name in ("temporary", "working"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path / "working")


def leftovers(tmp_path: Path) -> list[Path]:
    """Files that sltk left (torch also has a cache folder among the temporary files)."""
    return [*(tmp_path / "temporary").glob("sltk*"), *(tmp_path / "working").iterdir()]


def load_text(folder: Path, text: str) -> loading.Loaded[Experiment]:
    path = folder / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    return loading.load(path)


def small(
    loaded: loading.Loaded[Experiment], folder: Path, progress: tiny.RecordingProgress | None = None
) -> Any:
    """The spec of the rehearsal of a run."""
    return substituted(loaded.spec, folder, progress or tiny.RecordingProgress())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama_absa_0111", "mistral_7b_ner", "roberta_base_triggers", "quickstart"])
def test_a_shipped_spec_is_rehearsed_offline(tmp_path: Path, name: str) -> None:
    """Without hub and data, training, scoring, saving, loading, export and prediction run, and leave no files."""
    progress = tiny.RecordingProgress()
    metrics = rehearse(load_shipped(name), progress=progress)
    assert metrics["train"]["steps"] >= 2
    assert metrics["train"]["epochs"] == 2
    assert {"validation", "test"} <= metrics.keys()
    assert progress.has_note("loaded and exported models agree")
    assert leftovers(tmp_path) == []


def test_a_rehearsal_changes_only_sizes(tmp_path: Path) -> None:
    """Mask, quantization, LoRA, head, optimizer and metrics are those of the spec."""
    loaded = load_shipped("llama_absa_0111")
    before, after = loaded.spec, small(loaded, tmp_path)
    for key in ("head", "aligner", "metrics", "scheme", "splitter", "seed", "max_length"):
        assert getattr(after, key) == getattr(before, key)
    for key in ("type_name", "unmask", "quantization", "lora", "unmask_window"):
        assert getattr(after.backbone, key) == getattr(before.backbone, key)
    for key in ("optimizer", "gradient_accumulation", "schedule", "clip", "gradient_checkpointing", "select"):
        assert getattr(after.trainer, key) == getattr(before.trainer, key)


def test_every_substitution_is_reported(tmp_path: Path) -> None:
    """Notes say what replaces data, weights and tokenizer, and how long training is."""
    progress = tiny.RecordingProgress()
    small(load_shipped("mistral_7b_ner"), tmp_path, progress)
    assert progress.has_note("examples instead of `")
    assert progress.has_note(
        "a fresh mistral model of 4 blocks, hidden size 64, instead of pretrained weights"
    )
    assert progress.has_note("tokenizer is trained on the data of the rehearsal")
    assert progress.has_note("epochs 2, batch_size 4")


def test_the_tiny_model_has_the_architecture_of_the_real_one(tmp_path: Path) -> None:
    """A tiny Mistral has grouped heads and a small sliding window."""
    backbone = small(load_shipped("mistral_7b_ner"), tmp_path).backbone
    assert (backbone.init, backbone.name) == ("random", None)
    assert backbone.config["model_type"] == "mistral"
    assert backbone.config["num_key_value_heads"] < backbone.config["num_attention_heads"]
    assert backbone.config["sliding_window"] == 8


@pytest.mark.parametrize(
    ("mask", "blocks", "expected"),
    [
        ("0111", 32, 4),
        ("01", 32, 4),
        ("011", 32, 6),
        ("0110101", 32, 7),
        ("all", 12, 4),
        ("none", None, 4),
        ("middle", 32, 4),
        ("last:8", 32, 10),
        ("first:12", 12, 12),
        ([3, 9], 32, 11),
        ([], 2, 2),
    ],
)
def test_the_tiny_model_has_as_many_blocks_as_the_mask_needs(
    mask: Any, blocks: int | None, expected: int
) -> None:
    """Groups are equally large, counted masks leave a block of the other kind, and no mask exceeds the real model."""
    assert tiny_blocks(mask, blocks) == expected


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("backbone.unmask=last:33", "backbone.unmask"),
        ("backbone.lora.target_modules=[q_proj, w_proj]", "backbone.lora.target_modules"),
    ],
)
def test_a_wrong_spec_is_the_same_error_as_in_training(tmp_path: Path, setting: str, path: str) -> None:
    """A setting that does not fit the real model is an error at its key, even if it fits the tiny model."""
    with pytest.raises(InputError) as caught:
        rehearse(load_shipped("llama_absa_0111", setting))
    (problem,) = caught.value.problems
    assert (problem.path or "").startswith(path)
    assert setting in str(problem.location)
    assert leftovers(tmp_path) == []


def test_available_data_is_read_up_to_a_limit(tmp_path: Path) -> None:
    """A rehearsal reads existing files until a few sentences have annotation."""
    plain, annotated = (
        {"words": ["Nothing", "here"], "tags": ["O", "O"]},
        {"words": ["Ada"], "tags": ["B-PER"]},
    )
    lines = [plain] * 20 + [annotated] * 30
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    text = "name: x\ndata: {train: {type: jsonl, path: a.jsonl}}\nbackbone: {type: decoder, name: gpt2}\n"
    train = small(load_text(tmp_path, text), tmp_path).data.train
    assert (train.path, train.limit) == (tmp_path / "a.jsonl", 24)


def test_malformed_data_is_an_error(tmp_path: Path) -> None:
    """A malformed file gives the same error as in training."""
    (tmp_path / "a.conll").write_text("Ada B-PER\nsleeps\n", encoding="utf-8")
    text = "name: x\ndata: {train: {type: conll, path: a.conll}}\nbackbone: {type: decoder, name: gpt2}\n"
    with pytest.raises(InputError, match=r"a\.conll"):
        rehearse(load_text(tmp_path, text))


def test_an_unknown_architecture_is_replaced_by_a_common_one(tmp_path: Path) -> None:
    """Notes name the family and the LoRA targets that replace unknown ones."""
    text = (
        "name: x\ndata: {train: {type: grammar, count: 8}}\n"
        "backbone: {type: decoder, name: nobody/nothing-1b, unmask: 01, lora: {r: 2, target_modules: [odd]}}\n"
    )
    progress = tiny.RecordingProgress()
    rehearse(load_text(tmp_path, text), progress=progress)
    assert progress.has_note("the architecture of `nobody/nothing-1b` is unknown; llama replaces it")
    assert progress.has_note("LoRA on its query and value projections instead of ['odd']")


def test_a_model_that_predicts_differently_after_loading_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rehearsal detects a head that is not loaded correctly."""
    from sltk.models import saving

    load = saving.load_modules

    def reset(build: Any, folder: Path) -> Any:
        modules = load(build, folder)
        for parameter in modules["head"].parameters():
            parameter.data.normal_(std=5.0)
        return modules

    monkeypatch.setattr(saving, "load_modules", reset)
    with pytest.raises(RunError, match=r"labels .* words differently"):
        rehearse(load_shipped("quickstart"))
    assert leftovers(tmp_path) == []
