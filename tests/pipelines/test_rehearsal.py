"""`sltk train --rehearse`: all of a run, on a tiny model and a few sentences."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from shipped_specs import load_shipped
from sltk.errors import InputError, RunError
from sltk.rehearsal import rehearse
from sltk.rehearsal.small_labelling import substituted
from sltk.rehearsal.small_parts import tiny_blocks
from sltk.runtime.progress import Progress
from sltk.spec import loading
from sltk.spec.experiment import Experiment


class Notes(Progress):
    """Remembers what was told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def note(self, message: str) -> None:
        """Keep it."""
        self.heard.append(message)

    def said(self, text: str) -> bool:
        """Whether something with this text was told."""
        return any(text in note for note in self.heard)


@pytest.fixture(autouse=True)
def _away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No data, no models; temporary files and the working directory where a test can look at them."""
    for name in ("SLTK_DATA", "SLTK_MODELS", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    for name in ("temporary", "working"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path / "working")


def left_behind(tmp_path: Path) -> list[Path]:
    """Files of sltk's making (torch keeps a cache folder of its own among temporary files)."""
    return [*(tmp_path / "temporary").glob("sltk*"), *(tmp_path / "working").iterdir()]


def spec(folder: Path, text: str) -> loading.Loaded[Experiment]:
    path = folder / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    return loading.load(path)


def small(loaded: loading.Loaded[Experiment], folder: Path, notes: Notes | None = None) -> Any:
    return substituted(loaded.spec, folder, notes or Notes())


@pytest.mark.parametrize("name", ["llama_absa_0111", "mistral_7b_ner", "roberta_base_triggers", "quickstart"])
def test_a_shipped_spec_is_rehearsed_offline(tmp_path: Path, name: str) -> None:
    """Without hub and data, training, scoring, saving, loading, export and prediction run, and nothing is left."""
    notes = Notes()
    metrics = rehearse(load_shipped(name), progress=notes)
    assert metrics["train"]["steps"] >= 2
    assert metrics["train"]["epochs"] == 2
    assert {"validation", "test"} <= metrics.keys()
    assert notes.said("loaded and exported models agree")
    assert left_behind(tmp_path) == []


def test_what_is_not_size_stays_as_the_spec_says(tmp_path: Path) -> None:
    """Mask, quantization, LoRA, head, optimizer and metrics are those of the spec."""
    loaded = load_shipped("llama_absa_0111")
    before, after = loaded.spec, small(loaded, tmp_path)
    for key in ("head", "aligner", "metrics", "scheme", "splitter", "seed", "max_length"):
        assert getattr(after, key) == getattr(before, key)
    for key in ("type_name", "unmask", "quantization", "lora", "unmask_window"):
        assert getattr(after.backbone, key) == getattr(before.backbone, key)
    for key in ("optimizer", "gradient_accumulation", "schedule", "clip", "gradient_checkpointing", "select"):
        assert getattr(after.trainer, key) == getattr(before.trainer, key)


def test_every_substitution_is_told(tmp_path: Path) -> None:
    """Notes say what stands in for data, weights and tokenizer, and how long it trains."""
    notes = Notes()
    small(load_shipped("mistral_7b_ner"), tmp_path, notes)
    assert notes.said("examples for `")
    assert notes.said("a fresh mistral model of 4 blocks, hidden size 64, for pretrained weights")
    assert notes.said("tokenizer is trained on the spot")
    assert notes.said("epochs 2, batch_size 4")


def test_the_tiny_model_has_the_architecture_of_the_true_one(tmp_path: Path) -> None:
    """Grouped heads and the sliding window of Mistral are there in small."""
    tiny = small(load_shipped("mistral_7b_ner"), tmp_path).backbone
    assert (tiny.init, tiny.name) == ("random", None)
    assert tiny.config["model_type"] == "mistral"
    assert tiny.config["num_key_value_heads"] < tiny.config["num_attention_heads"]
    assert tiny.config["sliding_window"] == 8


@pytest.mark.parametrize(
    ("mask", "blocks", "tiny"),
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
    mask: Any, blocks: int | None, tiny: int
) -> None:
    """Groups stay even, counted masks leave a block of the other kind, and no mask outgrows the true model."""
    assert tiny_blocks(mask, blocks) == tiny


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("backbone.unmask=last:33", "backbone.unmask"),
        ("backbone.lora.target_modules=[q_proj, w_proj]", "backbone.lora.target_modules"),
    ],
)
def test_a_mistake_is_the_same_error_as_in_training(tmp_path: Path, setting: str, path: str) -> None:
    """What the true model cannot have is a spec error at its place, though the tiny one might have it."""
    with pytest.raises(InputError) as caught:
        rehearse(load_shipped("llama_absa_0111", setting))
    (problem,) = caught.value.problems
    assert (problem.path or "").startswith(path)
    assert setting in str(problem.location)
    assert left_behind(tmp_path) == []


def test_of_data_that_is_here_the_first_sentences_are_read(tmp_path: Path) -> None:
    """A file that exists is read itself, until a few sentences have annotation."""
    plain, annotated = (
        {"words": ["Nothing", "here"], "tags": ["O", "O"]},
        {"words": ["Ada"], "tags": ["B-PER"]},
    )
    lines = [plain] * 20 + [annotated] * 30
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    text = "name: x\ndata: {train: {type: jsonl, path: a.jsonl}}\nbackbone: {type: decoder, name: gpt2}\n"
    train = small(spec(tmp_path, text), tmp_path).data.train
    assert (train.path, train.limit) == (tmp_path / "a.jsonl", 24)


def test_a_fault_in_the_data_shows(tmp_path: Path) -> None:
    """A malformed file is the error that it would be in training, with its line."""
    (tmp_path / "a.conll").write_text("Ada B-PER\nsleeps\n", encoding="utf-8")
    text = "name: x\ndata: {train: {type: conll, path: a.conll}}\nbackbone: {type: decoder, name: gpt2}\n"
    with pytest.raises(InputError, match=r"a\.conll"):
        rehearse(spec(tmp_path, text))


def test_an_architecture_that_is_not_known_is_stood_in_for(tmp_path: Path) -> None:
    """A model that nothing is known of is rehearsed with a common family, which is told; its LoRA targets too."""
    text = (
        "name: x\ndata: {train: {type: grammar, count: 8}}\n"
        "backbone: {type: decoder, name: nobody/nothing-1b, unmask: 01, lora: {r: 2, target_modules: [odd]}}\n"
    )
    notes = Notes()
    rehearse(spec(tmp_path, text), progress=notes)
    assert notes.said("the architecture of `nobody/nothing-1b` is not known here; llama replaces it")
    assert notes.said("LoRA on its query and value projections for ['odd']")


def test_a_model_that_is_another_after_loading_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that is lost on the way to the disk is found out."""
    from sltk.models import saving

    def reset(modules: Any, _: Any) -> None:
        for parameter in modules["head"].parameters():
            parameter.data.normal_(std=5.0)

    monkeypatch.setattr(saving, "load_modules", reset)
    with pytest.raises(RunError, match=r"labels .* words differently"):
        rehearse(load_shipped("quickstart"))
    assert left_behind(tmp_path) == []
