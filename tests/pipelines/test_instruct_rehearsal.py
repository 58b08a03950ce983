"""Shipped specs for instruction tuning: rehearsal, settings of the paper, and preview."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

import tiny
from shipped_specs import load_shipped
from sltk.preview.estimate import estimate_run
from sltk.preview.run_preview import LabellingPreview
from sltk.rehearsal import rehearse
from sltk.spec import loading
from sltk.spec.experiment import Experiment

TASKS = {"absa": 4, "ner": 4, "chunking": 11, "triggers": 33}
SPECS = [f"{model}_instruct_{task}" for model in ("llama2_7b", "mistral_7b") for task in TASKS]


@pytest.fixture(autouse=True)
def _no_data_and_no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SLTK_DATA", "SLTK_MODELS", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def experiment(name: str) -> Experiment:
    return load_shipped(name).spec


@pytest.mark.slow
@pytest.mark.parametrize("name", ["instruct_smollm2_absa_shots", "mistral_7b_instruct_ner"])
def test_specs_can_be_rehearsed(name: str) -> None:
    """A rehearsal runs offline and counts responses, for trained and for prompted models."""
    progress = tiny.RecordingProgress()
    metrics = rehearse(load_shipped(name), progress=progress)
    assert metrics["test"]["responses"]["responses"] == 16
    assert metrics["test"]["responses"]["ceiling"]["f1"] == 1.0
    assert any("loaded and exported models agree" in note for note in progress.notes)
    assert any("responses of at most 24 subwords" in note for note in progress.notes)


@pytest.mark.parametrize("name", SPECS)
def test_specs_have_the_settings_of_the_authors(name: str) -> None:
    """Options, loss, sampling, parsing, lengths and epochs are those of section 5 of the paper."""
    spec = experiment(name)
    assert spec.instruct is not None
    task = name.rpartition("_")[2]
    assert len(spec.instruct.options) == TASKS[task]
    assert (spec.instruct.loss, spec.instruct.parsing, spec.instruct.constrained) == ("all", "paper", False)
    assert spec.instruct.sampling is not None
    assert (spec.instruct.sampling.temperature, spec.instruct.sampling.top_p) == (0.6, 0.9)
    assert (spec.max_length, spec.trainer.epochs) == ((512, 10) if task == "absa" else (1024, 5))
    assert (spec.trainer.batch_size, spec.trainer.gradient_accumulation) == (16, 4)


def test_each_event_type_has_a_phrase() -> None:
    """Phrases are ordinary English, such as `file lawsuit` for `justice:sue`."""
    spec = experiment("llama2_7b_instruct_triggers").instruct
    assert spec is not None
    phrases = {
        "justice:sue": "file lawsuit",
        "life:injure": "sustain injury",
        "conflict:demonstrate": "participate in protest or demonstration",
        "justice:arrest-jail": "arrest and send to jail",
        "movement:transport": "transport",
        "business:merge-org": "merge organization",
    }
    assert {type_: spec.options[type_] for type_ in phrases} == phrases


def test_check_shows_the_prompt_and_its_memory() -> None:
    """The summary has instruction and options instead of a head, and the estimate includes the prompt."""
    instruct, tagger = experiment("llama2_7b_instruct_ner"), experiment("llama2_7b_ner")
    lines = "\n".join(LabellingPreview(loading.load(instruct)).summary())
    assert "named entities and their type" in lines
    assert "PER: person" in lines
    assert "head" not in lines
    assert "subwords in addition to the sentence" in lines
    with_prompt, without_prompt = estimate_run(instruct), estimate_run(tagger)
    assert with_prompt is not None
    assert without_prompt is not None
    assert (with_prompt.memory_gpu_bytes or 0) > (without_prompt.memory_gpu_bytes or 0) > 0
