"""The specs of experiments/paper/: sound, rehearsed, and what the paper says; and the commands that read them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from repository import ROOT
from sltk import sweeps
from sltk.cli import main
from sltk.components.readers.concat import ConcatReader
from sltk.data.raw import read
from sltk.pretraining.pretrain_spec import PretrainSpec
from sltk.pretraining.summary import PretrainingPreview
from sltk.preview.summary import LabellingPreview, check_models
from sltk.rehearsal import rehearse
from sltk.spec import loading
from sltk.yamltree.extends import spec_kind

FOLDER = ROOT / "experiments" / "paper"
ALL = sorted(path.stem for path in FOLDER.glob("*.yaml") if not path.stem.startswith("_"))
PRETRAINING = [name for name in ALL if name.startswith(("tapt_", "pretrain_"))]
FIGURE_3 = [name for name in ALL if name.startswith("fig3_")]
SWEEPS = [*FIGURE_3, "sweep_after_tapt_smollm2_absa"]
RUNS = [name for name in ALL if name not in PRETRAINING and name not in SWEEPS]


@pytest.fixture(autouse=True)
def _no_data_and_no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SLTK_DATA", "SLTK_MODELS", "SLTK_RUNS", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))


def pretraining(name: str) -> PretrainSpec:
    return loading.load_as(PretrainSpec, FOLDER / f"{name}.yaml").spec


@pytest.mark.parametrize("name", PRETRAINING)
def test_every_pretrain_spec_is_sound_without_data_or_models(name: str) -> None:
    """It is told from the spec of a run, is named as its file, and its model's size is known."""
    assert spec_kind(FOLDER / f"{name}.yaml") == "pretraining"
    spec = pretraining(name)
    assert spec.name == name
    expected = PretrainingPreview(loading.load_as(PretrainSpec, spec)).estimate()
    assert expected is not None
    if "smollm2" not in name:
        assert expected.memory_gpu_bytes


@pytest.mark.parametrize("name", RUNS)
def test_every_run_is_sound_without_data_or_models(name: str) -> None:
    """So are the runs that start from an adapter which is not there yet."""
    loaded = loading.load(FOLDER / f"{name}.yaml")
    run = LabellingPreview(loaded)
    check_models([run])
    assert loaded.spec.name == name
    assert run.estimate() is not None
    assert spec_kind(FOLDER / f"{name}.yaml") == "run"


@pytest.mark.parametrize(
    "name",
    ["tapt_llama2_7b_absa", "tapt_mistral_7b_conll2003", "pretrain_68m_encoder", "pretrain_small_decoder"],
)
def test_pre_training_is_rehearsed_to_the_end(name: str) -> None:
    """One of each kind: reading, quantization, adapters, snapshots, saving, and a backbone that starts from it."""
    metrics = rehearse(loading.load_as(PretrainSpec, FOLDER / f"{name}.yaml"))
    assert metrics["train"]["steps"] > 0


@pytest.mark.parametrize(
    "name",
    [
        "after_tapt_llama2_7b_absa",
        "pos_roberta_base",
        "identification_mistral_7b",
        "as_released_llama2_7b_absa",
    ],
)
def test_runs_are_rehearsed_to_the_end(name: str) -> None:
    """One of each kind: from an adapter, plain tags with macro F1, one type of trigger, the released loop."""
    scores = rehearse(loading.load(FOLDER / f"{name}.yaml"))["test"]
    assert "macro_f1" in scores


@pytest.mark.parametrize("model", ["llama2_7b", "mistral_7b", "roberta_base", "roberta_large", "smollm2"])
def test_variants_differ_from_their_task_in_what_is_labelled(model: str) -> None:
    """Parts of speech: column 1, plain tags, accuracy and macro F1; identification: the one type `trigger`."""
    pos = loading.load(FOLDER / f"pos_{model}.yaml").spec
    assert (pos.scheme, [metric.type_name for metric in pos.metrics]) == ("plain", ["accuracy"])
    splits = (pos.data.train, pos.data.validation, pos.data.test)
    assert [split.label_column for split in splits] == [1, 1, 1]  # type: ignore[union-attr]
    found = loading.load(FOLDER / f"identification_{model}.yaml").spec.data
    assert {split.types for split in (found.train, found.validation, found.test)} == {"trigger"}  # type: ignore[union-attr]


def test_the_paper_s_tapt_is_its_recipe() -> None:
    """Section 3: causal, the words joined by spaces, blocks of 128, five epochs of the labelling run's settings."""
    spec, run = pretraining("tapt_llama2_7b_absa"), loading.load(FOLDER / "../llama2_7b_absa.yaml").spec
    assert (spec.objective, spec.block_size, spec.spacing, spec.allow_leak) == ("clm", 128, "single", False)
    assert spec.trainer == run.trainer
    after = loading.load(FOLDER / "after_tapt_llama2_7b_absa.yaml").spec
    for name in ("name", "quantization", "lora"):
        assert getattr(spec.backbone, name) == getattr(after.backbone, name)
    assert str(after.backbone.adapter).endswith("/tapt_llama2_7b_absa")  # type: ignore[attr-defined]


def test_the_small_model_has_the_paper_s_number_of_parameters() -> None:
    """67,994,457, its output layer counted; encoder and decoder are one network."""
    from transformers import AutoConfig, AutoModelForMaskedLM

    encoder, decoder = pretraining("pretrain_68m_encoder"), pretraining("pretrain_68m_decoder")
    settings = dict(encoder.language_model.config or {})
    with torch.device("meta"):
        model = AutoModelForMaskedLM.from_config(AutoConfig.for_model(**settings))
    assert sum(parameter.numel() for parameter in model.parameters()) == 67_994_457
    assert encoder.language_model.config == decoder.language_model.config
    assert (encoder.language_model.unmask, decoder.language_model.unmask) == ("all", "none")
    trainer = encoder.trainer
    assert (trainer.epochs, trainer.batch_size, trainer.gradient_accumulation) == (10, 64, 8)
    assert (encoder.block_size, encoder.snapshots) == (512, 5)


@pytest.mark.parametrize("name", FIGURE_3)
def test_figure_3_compares_three_conditions_at_each_checkpoint(name: str) -> None:
    """Encoder, decoder with its mask, decoder without; fine-tuned whole; the paper's has 51 checkpoints, five seeds."""
    plan = sweeps.plan(FOLDER / f"{name}.yaml")
    runs = [run.experiment for run in plan.runs]
    checkpoints, seeds = (51, 5) if "68m" in name else (6, 2)
    assert len(runs) == 3 * checkpoints * seeds
    for run in runs:
        backbone = run.backbone
        assert backbone.is_trained_whole  # type: ignore[attr-defined]
        assert backbone.type_name == "encoder"
    masks = {
        (Path(run.backbone.name).parents[1].name.rpartition("_")[2], run.backbone.unmask) for run in runs
    }  # type: ignore[attr-defined]
    assert masks == {("encoder", "all"), ("decoder", "none"), ("decoder", "all")}


def test_the_index_names_every_spec() -> None:
    """README.md maps each claim to a spec: no spec without a line, and no line without its file."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\.\./)?[a-z0-9_]+)\.yaml`", text))
    known = {path.stem for path in FOLDER.glob("*.yaml")}
    assert {name for name in known if name not in named} == set()
    assert [name for name in named if not (FOLDER / f"{name}.yaml").is_file()] == []


def test_check_knows_pretrain_specs(capsys: pytest.CaptureFixture[str]) -> None:
    """In words and as JSON; files that are absent are warnings with their place."""
    path = str(FOLDER / "pretrain_small_encoder.yaml")
    assert main(["check", path]) == 0
    shown = capsys.readouterr()
    assert "mlm, blocks of 128 tokens" in shown.out
    assert "corpus.readers.2.path" in shown.err
    assert main(["check", path, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["resolved"]["objective"] == "mlm"
    assert report["estimate"]["parameters"] > 0
    assert main(["check", path, "--strict"]) == 2


def test_check_shows_where_a_leak_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With exit code 2; nothing is read."""
    path = tmp_path / "leak.yaml"
    path.write_text(f"extends: {FOLDER}/tapt_llama2_7b_absa.yaml\nbackbone: {{unmask: 1111}}\n")
    assert main(["check", str(path)]) == 2
    shown = capsys.readouterr().err
    assert f"{path}:2:20" in shown
    assert "leaks what `objective: clm` is to predict" in shown


def test_pretrain_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It trains, says how it went and how to go on; `--data` counts what would be read."""
    (tmp_path / "text.txt").write_text("the soup was awful .\n" * 40, encoding="utf-8")
    (tmp_path / "spec.yaml").write_text(
        "name: tiny\nobjective: mlm\ncorpus: {type: text, path: text.txt}\nblock_size: 16\n"
        "validation: {type: holdout}\nbackbone: {type: encoder, init: random,\n"
        "  tokenizer: {type: train, vocab_size: 300},\n"
        "  config: {model_type: bert, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2,\n"
        "  num_attention_heads: 2}}\ntrainer: {epochs: 1, batch_size: 4}\n"
    )
    spec, run = str(tmp_path / "spec.yaml"), str(tmp_path / "run")
    assert main(["check", spec, "--data"]) == 0
    assert "corpus: 36 sentences, 180 words" in capsys.readouterr().out
    assert main(["pretrain", spec, "--output", run]) == 0
    shown = capsys.readouterr()
    assert "validation: loss" in shown.out
    assert f"backbone.name={run}/model" in shown.out
    assert "tokens left over and dropped" in shown.err
    assert main(["pretrain", spec, "--output", run]) == 2
    assert main(["pretrain", spec, "--output", run, "--resume"]) == 0


def test_sources_can_be_read_one_after_the_other(tmp_path: Path) -> None:
    """`concat` gives their sentences without annotation, each source up to its own limit."""
    first = {"type": "grammar", "count": 5, "limit": 2}
    reader = ConcatReader.model_validate(
        {"type": "concat", "readers": [first, {"type": "grammar", "count": 3}]}
    )
    sentences = list(read(reader))
    assert len(sentences) == 5
    assert all(sentence.tags is None and sentence.spans is None for sentence in sentences)


def test_checking_imports_no_torch(tmp_path: Path) -> None:
    """Neither the spec nor, with --data, its text needs it."""
    (tmp_path / "text.txt").write_text("the soup was awful .\n" * 40, encoding="utf-8")
    changes = ["corpus={type: text, path: text.txt}", "validation={type: holdout}"]
    command = ["check", str(FOLDER / "tapt_smollm2_absa.yaml"), "--data"]
    arguments = [*command, *(word for change in changes for word in ("--set", change))]
    code = f"import sys; from sltk.cli import main; code = main({arguments}); sys.exit(code or 'torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)


def test_adapted_runs_differ_from_the_plain_sweep_by_their_adapter_alone() -> None:
    """What the adapter gains is then the difference of two tables."""
    adapted = sweeps.plan(FOLDER / "sweep_after_tapt_smollm2_absa.yaml").runs
    plain = sweeps.plan(FOLDER.parent / "sweep_smollm2_absa.yaml").runs

    def comparable(run: sweeps.PlannedRun) -> str:
        settings = run.experiment.model_dump(mode="json", serialize_as_any=True)
        settings["backbone"].pop("adapter")
        return json.dumps({**settings, "name": ""}, sort_keys=True)

    assert len(adapted) == 6
    assert {comparable(run) for run in adapted} < {comparable(run) for run in plain}
