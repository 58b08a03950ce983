"""The specs in experiments/paper/ are valid, can be rehearsed, and have the settings of the paper."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from shipped_specs import EXPERIMENTS, MODELS, PAPER, TASKS, load_shipped
from sltk import sweeps
from sltk.cli import main
from sltk.components.backbones.pretrained import PretrainedBackbone
from sltk.components.readers.concat import ConcatReader
from sltk.data.raw import read
from sltk.pretraining.pretrain_spec import PretrainSpec
from sltk.pretraining.pretraining_preview import PretrainingPreview
from sltk.preview.run_preview import LabellingPreview, check_models
from sltk.rehearsal import rehearse
from sltk.spec import loading
from sltk.spec.experiment import Experiment
from sltk.yamltree.extends import spec_kind

ALL = sorted(path.stem for path in PAPER.glob("*.yaml") if not path.stem.startswith("_"))
PRETRAINING = [name for name in ALL if name.startswith(("tapt_", "pretrain_"))]
FIGURE_3 = [name for name in ALL if name.startswith("fig3_")]


@pytest.fixture(autouse=True)
def _no_data_and_no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SLTK_DATA", "SLTK_MODELS", "SLTK_RUNS", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))


TAPT_7B = ("absa", "conll2003", "triggers")


def backbone_of(run: Experiment) -> PretrainedBackbone:
    assert isinstance(run.backbone, PretrainedBackbone)
    return run.backbone


def pretraining(name: str, *settings: str) -> PretrainSpec:
    return loading.load_as(PretrainSpec, PAPER / f"{name}.yaml", settings).spec


@pytest.mark.parametrize("name", PRETRAINING)
def test_every_pretraining_spec_is_valid_without_data_or_models(name: str) -> None:
    """The spec has the name of its file, and the preview estimates the size of its model."""
    assert spec_kind(PAPER / f"{name}.yaml") == "pretraining"
    spec = pretraining(name)
    corpus = name.removeprefix("tapt_")
    assert spec.name == (f"tapt_llama2_7b_{corpus}" if corpus in TAPT_7B else name)
    expected = PretrainingPreview(loading.load_as(PretrainSpec, spec)).estimate()
    assert expected is not None
    if "smollm2" not in name:
        assert expected.memory_gpu_bytes


@pytest.mark.parametrize(
    "name", [f"{model}_{task}" for model in ("llama2_7b", "mistral_7b") for task in TASKS]
)
def test_every_adapted_run_is_valid_without_its_adapter(name: str) -> None:
    """A run that starts from an adapter is valid before the adapter exists."""
    loaded = load_shipped(name, "backbone.adapter=runs/tapt")
    run = LabellingPreview(loaded)
    check_models([run])
    assert loaded.spec.name == name
    assert backbone_of(loaded.spec).adapter is not None
    assert run.estimate() is not None


@pytest.mark.parametrize("corpus", TAPT_7B)
def test_mistral_is_pretrained_with_the_spec_of_llama(corpus: str) -> None:
    """Only name and model change, both on the command line."""
    llama = pretraining(f"tapt_{corpus}")
    settings = ("backbone.name=mistralai/Mistral-7B-v0.1", f"name=tapt_mistral_7b_{corpus}")
    mistral = pretraining(f"tapt_{corpus}", *settings)
    expected = PretrainingPreview(loading.load_as(PretrainSpec, mistral)).estimate()
    assert expected is not None
    assert expected.memory_gpu_bytes
    assert (mistral.name, mistral.language_model.name) == (
        f"tapt_mistral_7b_{corpus}",
        "mistralai/Mistral-7B-v0.1",
    )
    same_name = {"name": "", "backbone": {"name": ""}}
    assert {**mistral.model_dump(), **same_name} == {**llama.model_dump(), **same_name}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["tapt_absa", "tapt_conll2003", "pretrain_68m_encoder", "pretrain_small_decoder"]
)
def test_pretraining_can_be_rehearsed(name: str) -> None:
    """A rehearsal reads, quantizes, trains, saves and loads, for one spec of each kind."""
    settings = ["backbone.name=mistralai/Mistral-7B-v0.1"] if name == "tapt_conll2003" else []
    metrics = rehearse(loading.load_as(PretrainSpec, PAPER / f"{name}.yaml", settings))
    assert metrics["train"]["steps"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("llama2_7b_absa", "backbone.adapter=runs/tapt_llama2_7b_absa"),
        ("roberta_base_pos", None),
        ("mistral_7b_identification", None),
        ("llama2_7b_absa", "trainer.recipe=as_released"),
    ],
)
def test_runs_can_be_rehearsed(name: str, setting: str | None) -> None:
    """Rehearsals include an adapter, plain tags, a single type of trigger, and the recipe `as_released`."""
    scores = rehearse(load_shipped(name, *([setting] if setting else [])))["test"]
    assert "macro_f1" in scores


@pytest.mark.parametrize("model", [*MODELS, "smollm2"])
def test_variants_of_a_task_have_other_labels(model: str) -> None:
    """`pos` has column 1, plain tags and accuracy; `identification` has the single type `trigger`."""
    loaded = load_shipped(f"{model}_pos")
    pos = loaded.spec
    check_models([LabellingPreview(loaded)])
    assert pos.name == f"{model}_pos"
    assert (pos.scheme, [metric.type_name for metric in pos.metrics]) == ("plain", ["accuracy"])
    splits: tuple[Any, ...] = (pos.data.train, pos.data.validation, pos.data.test)
    assert [split.label_column for split in splits] == [1, 1, 1]
    identification = load_shipped(f"{model}_identification")
    assert LabellingPreview(identification).estimate() is not None
    data: Any = identification.spec.data
    assert {split.types for split in (data.train, data.validation, data.test)} == {"trigger"}


@pytest.mark.parametrize("recipe", ["as_released", "true_accumulation"])
def test_a_recipe_changes_no_other_setting(recipe: str) -> None:
    """The recipe is set on the command line; the default is `corrected`."""
    run = load_shipped("llama2_7b_absa", f"trainer.recipe={recipe}").spec
    trainer = run.trainer.model_copy(update={"recipe": "corrected"})
    assert run.trainer.recipe == recipe
    assert run.model_copy(update={"trainer": trainer}) == load_shipped("llama2_7b_absa").spec


def test_task_adaptive_pretraining_has_the_recipe_of_the_paper() -> None:
    """TAPT is causal, joins words with spaces, has blocks of 128, and trains like the labelling run (section 3)."""
    spec, run = pretraining("tapt_absa"), load_shipped("llama2_7b_absa").spec
    assert (spec.objective, spec.block_size, spec.spacing, spec.allow_leak) == ("clm", 128, "single", False)
    assert spec.trainer == run.trainer
    after = load_shipped("llama2_7b_absa", f"backbone.adapter=runs/{spec.name}").spec
    for name in ("name", "quantization", "lora"):
        assert getattr(spec.backbone, name) == getattr(after.backbone, name)
    assert str(backbone_of(after).adapter).endswith("/tapt_llama2_7b_absa")


def test_the_small_model_has_the_number_of_parameters_of_the_paper() -> None:
    """The model has 67,994,457 parameters with its output layer, as encoder and as decoder."""
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


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", FIGURE_3)
def test_figure_3_compares_three_conditions_at_each_checkpoint(
    name: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder and the decoder with and without mask are fully fine-tuned; the 68M model has 51 checkpoints."""
    monkeypatch.setenv("TASK", task)
    plan = sweeps.plan(PAPER / f"{name}.yaml")
    assert plan.name == f"{name}_{task}"
    runs = [run.experiment for run in plan.runs]
    checkpoints, seeds = (51, 5) if "68m" in name else (6, 2)
    assert len(runs) == 3 * checkpoints * seeds
    backbones = [backbone_of(run) for run in runs]
    for backbone in backbones:
        assert backbone.trains_all_weights
        assert backbone.type_name == "encoder"
    masks = {(Path(str(each.name)).parents[1].name.rpartition("_")[2], each.unmask) for each in backbones}
    assert masks == {("encoder", "all"), ("decoder", "none"), ("decoder", "all")}


def test_the_readme_names_every_spec() -> None:
    """Every spec that README.md names exists, too."""
    text = (PAPER / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[` ]((?:\.\./|tasks/)?[a-z0-9_]+)\.yaml`?", text))
    named |= set(re.findall(r"MODEL=([a-z0-9_]+)", text))
    named |= {f"tasks/{task}" for task in re.findall(r"TASK=([a-z_]+)", text)}
    table = text[text.index("| `TASK` | data |") : text.index("Every model and task")]
    named |= {f"tasks/{task}" for task in re.findall(r"`([a-z_]+)`", table)}
    known = {str(path.relative_to(PAPER).with_suffix("")) for path in PAPER.rglob("*.yaml")}
    assert {name for name in known if name not in named} == set()
    assert [name for name in named if not (PAPER / f"{name}.yaml").is_file()] == []


def test_check_accepts_pretraining_specs(capsys: pytest.CaptureFixture[str]) -> None:
    """`check` prints a summary or JSON; missing files are warnings with their key."""
    path = str(PAPER / "pretrain_small_encoder.yaml")
    assert main(["check", path]) == 0
    output = capsys.readouterr()
    assert "mlm, blocks of 128 tokens" in output.out
    assert "corpus.readers.2.path" in output.err
    assert main(["check", path, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["resolved"]["objective"] == "mlm"
    assert report["estimate"]["parameters"] > 0
    assert main(["check", path, "--strict"]) == 2


def test_check_shows_the_position_of_a_leak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code of a leak is 2, and the error has line and column of the mask."""
    path = tmp_path / "leak.yaml"
    path.write_text(f"extends: {PAPER}/tapt_absa.yaml\nbackbone: {{unmask: 1111}}\n")
    assert main(["check", str(path)]) == 2
    output = capsys.readouterr().err
    assert f"{path}:2:20" in output
    assert "leaks the tokens that `objective: clm` predicts" in output


def test_pretrain_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`pretrain` prints scores and the next step; `check --data` counts the corpus."""
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
    output = capsys.readouterr()
    assert "validation: loss" in output.out
    assert f"backbone.name={run}/model" in output.out
    assert "tokens left over and dropped" in output.err
    assert main(["pretrain", spec, "--output", run]) == 2
    assert main(["pretrain", spec, "--output", run, "--resume"]) == 0


def test_readers_can_be_concatenated(tmp_path: Path) -> None:
    """`concat` yields sentences without annotation, from each reader up to its limit."""
    first = {"type": "grammar", "count": 5, "limit": 2}
    reader = ConcatReader.model_validate(
        {"type": "concat", "readers": [first, {"type": "grammar", "count": 3}]}
    )
    sentences = list(read(reader))
    assert len(sentences) == 5
    assert all(sentence.tags is None and sentence.spans is None for sentence in sentences)


def test_checking_imports_no_torch(tmp_path: Path) -> None:
    """Checking a pre-training spec, even with --data, does not import torch."""
    (tmp_path / "text.txt").write_text("the soup was awful .\n" * 40, encoding="utf-8")
    changes = ["corpus={type: text, path: text.txt}", "validation={type: holdout}"]
    command = ["check", str(PAPER / "tapt_smollm2_absa.yaml"), "--data"]
    arguments = [*command, *(word for change in changes for word in ("--set", change))]
    code = f"import sys; from sltk.cli import main; code = main({arguments}); sys.exit(code or 'torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)


def test_runs_after_tapt_differ_from_the_plain_sweep_only_in_their_adapter() -> None:
    """The difference between the two result tables is the gain of the adapter."""
    after_tapt = sweeps.plan(PAPER / "sweep_after_tapt_smollm2_absa.yaml").runs
    plain = sweeps.plan(EXPERIMENTS / "sweep_smollm2_absa.yaml").runs

    def comparable(run: sweeps.PlannedRun) -> str:
        settings = run.experiment.model_dump(mode="json", serialize_as_any=True)
        settings["backbone"].pop("adapter")
        return json.dumps({**settings, "name": ""}, sort_keys=True)

    assert len(after_tapt) == 6
    assert {comparable(run) for run in after_tapt} < {comparable(run) for run in plain}
