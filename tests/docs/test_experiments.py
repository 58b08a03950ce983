"""The specs in experiments/ are valid and match the paper."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shipped_specs import EXPERIMENTS, PAPER, TASKS, load_shipped, model_and_task
from sltk import sweeps
from sltk.components.backbones import PretrainedBackbone
from sltk.pretraining.pretrain_spec import PretrainSpec
from sltk.pretraining.pretraining_preview import PretrainingPreview
from sltk.preview.estimate import estimate_run
from sltk.preview.run_preview import LabellingPreview, check_models, missing_data
from sltk.search import tuning
from sltk.spec import loading
from sltk.spec.experiment import Experiment
from sltk.yamltree.extends import spec_kind

ALL = sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))
SWEEPS = [name for name in ALL if name.startswith("sweep_")]
PRETRAINING = [name for name in ALL if spec_kind(EXPERIMENTS / f"{name}.yaml") == "pretraining"]
SEARCHES = [name for name in ALL if name not in SWEEPS and tuning.has_space(EXPERIMENTS / f"{name}.yaml")]
DESIGNS = ["curve_quickstart", "folds_minilm_planted_errors", "folds_quickstart"]
"""Sweeps over the data of a spec: learning curves and cross-validation."""
SPECS = [name for name in ALL if name not in SWEEPS + PRETRAINING + SEARCHES + DESIGNS]
MODELS = {
    "llama2_7b": ("meta-llama/Llama-2-7b-hf", 33_554_432),
    "mistral_7b": ("mistralai/Mistral-7B-v0.1", 27_262_976),
    "roberta_base": ("FacebookAI/roberta-base", 2_359_296),
    "roberta_large": ("FacebookAI/roberta-large", 6_291_456),
}
RUNS = [f"{model}_{task}" for model in MODELS for task in TASKS]
"""A model on a task in the paper."""


@pytest.fixture(autouse=True)
def _no_data_and_no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SLTK_DATA", "SLTK_MODELS", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))


def experiment(name: str, *settings: str) -> Experiment:
    return load_shipped(name, *settings).spec


def backbone(name: str) -> PretrainedBackbone:
    model = experiment(name).backbone
    assert isinstance(model, PretrainedBackbone)
    return model


@pytest.mark.parametrize("name", SPECS)
def test_every_spec_is_valid_without_data_or_models(name: str) -> None:
    """A spec loads without its data and models; missing files are warnings, each with its line."""
    loaded = loading.load(EXPERIMENTS / f"{name}.yaml")
    run = LabellingPreview(loaded)
    check_models([run])
    assert run.estimate() is not None
    assert loaded.spec.name == name
    for problem in missing_data([run]):
        assert problem.location is not None
        assert problem.location.line


@pytest.mark.parametrize("name", SEARCHES)
def test_every_value_of_a_search_is_valid_without_data_or_models(name: str) -> None:
    """Choices and both ends of each range."""
    plan = tuning.plan(EXPERIMENTS / f"{name}.yaml")
    check_models([LabellingPreview(run.loaded) for run in plan.variants()])
    assert plan.name == name


@pytest.mark.parametrize("name", DESIGNS)
def test_every_evaluation_design_is_valid(name: str) -> None:
    """Its runs load."""
    plan = sweeps.plan(EXPERIMENTS / f"{name}.yaml")
    check_models([LabellingPreview(run.loaded) for run in plan.runs])
    assert plan.name == name
    assert (
        len(plan.runs)
        == {"curve_quickstart": 8, "folds_minilm_planted_errors": 5, "folds_quickstart": 10}[name]
    )


@pytest.mark.parametrize("name", PRETRAINING)
def test_every_pretraining_spec_is_valid_without_data_or_models(name: str) -> None:
    """A labelling run of the small decoder can start from its adapter: LoRA and base model are the same."""
    loaded = loading.load_as(PretrainSpec, EXPERIMENTS / f"{name}.yaml")
    run = PretrainingPreview(loaded)
    check_models([run])
    assert run.estimate() is not None
    assert loaded.spec.name == name
    labelling = backbone("smollm2_absa")
    assert (loaded.spec.language_model.name, loaded.spec.language_model.lora) == (
        labelling.name,
        labelling.lora,
    )


@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_is_valid_without_data_or_models(name: str) -> None:
    """A sweep and each of its runs load too, and the sweep extends the spec of a single run."""
    plan = sweeps.plan(EXPERIMENTS / f"{name}.yaml")
    runs = [LabellingPreview(run.loaded) for run in plan.runs]
    check_models(runs)
    assert plan.name == name
    assert all(problem.location and problem.location.line for problem in missing_data(runs))
    assert spec_kind(EXPERIMENTS / f"{name}.yaml") == ("search" if "search" in name else "sweep")
    assert name.removeprefix("sweep_") in SPECS


@pytest.mark.parametrize(
    "name", [f"{model}_{task}" for model in ("llama2_7b", "mistral_7b") for task in TASKS]
)
def test_the_paper_s_sweeps_have_its_masks_and_seeds(name: str) -> None:
    """A sweep has all 16 masks with seeds 120 to 124; everything else equals the spec of a single run."""
    with model_and_task(name):
        plan = sweeps.plan(PAPER / "masks.yaml")
    assert plan.name == f"masks_{name}"
    chosen = {(run.experiment.backbone.unmask, run.experiment.seed) for run in plan.runs}  # type: ignore[attr-defined]
    assert chosen == {(f"{mask:04b}", seed) for mask in range(16) for seed in range(120, 125)}
    alone = experiment(name, f"name={plan.name}", "backbone.unmask=0011", "seed=124")
    assert alone in [run.experiment for run in plan.runs]


@pytest.mark.parametrize("name", RUNS)
def test_the_paper_has_a_spec_and_five_seeds_for_each_model_and_task(name: str) -> None:
    """Four models, four tasks, and the seeds 120 to 124 for each; the run is named by model and task."""
    assert experiment(name).name == name
    with model_and_task(name):
        plan = sweeps.plan(PAPER / "seeds.yaml")
    assert plan.name == f"seeds_{name}"
    expected = [experiment(name, f"name={plan.name}", f"seed={seed}") for seed in range(120, 125)]
    assert [run.experiment for run in plan.runs] == expected


def test_the_small_decoder_has_all_tasks() -> None:
    """There is a spec of the small decoder for each of the paper's tasks."""
    assert {f"smollm2_{task}" for task in TASKS} <= set(SPECS)


@pytest.mark.parametrize("name", ["llama_absa_0111", *RUNS])
def test_the_recipe_is_the_papers(name: str) -> None:
    """QLoRA and training settings are those of section 3, also for the encoders."""
    spec = experiment(name)
    trainer, model = spec.trainer, backbone(name)
    assert (spec.seed, spec.max_length, spec.scheme) == (120, 128, "IOB2")
    assert (trainer.epochs, trainer.batch_size, trainer.gradient_accumulation) == (5, 16, 4)
    assert (trainer.learning_rate, trainer.schedule, trainer.warmup, trainer.clip) == (2e-4, "cosine", 0, 1.0)
    assert (trainer.optimizer, trainer.betas, trainer.eps) == ("paged_adamw_8bit", (0.9, 0.95), 1e-5)
    assert (trainer.weight_decay, trainer.gradient_checkpointing, trainer.select) == (0.1, "auto", "last")
    assert (trainer.early_stopping, trainer.recipe) == (None, "corrected")
    assert model.quantization is not None
    assert model.quantization.model_dump() == {"type": "nf4", "double": True, "compute_dtype": "bfloat16"}
    assert model.lora is not None
    assert (model.lora.r, model.lora.alpha, model.lora.dropout) == (64, 16, 0.1)
    assert spec.head.model_dump()["dropout"] == 0.1


@pytest.mark.parametrize("name", RUNS)
def test_models_and_their_trained_parameters_are_the_papers(name: str) -> None:
    """Each spec names its model, trains the paper's number of parameters, and leaves the mask open."""
    model = backbone(name)
    expected = estimate_run(experiment(name))
    assert expected is not None
    assert (model.name, expected.trained_parameters) == MODELS[name.rpartition("_")[0]]
    is_encoder = name.startswith("roberta")
    assert (model.type_name, model.unmask) == (("encoder", "all") if is_encoder else ("decoder", "0000"))
    assert model.unmask_window == ("drop" if name.startswith("mistral") else "keep")


def test_the_spec_in_one_file_is_the_same_run() -> None:
    """`llama_absa_0111` equals `llama2_7b_absa` with mask 0111."""
    short = experiment("llama2_7b_absa", "backbone.unmask=0111", "name=llama_absa_0111")
    assert short == experiment("llama_absa_0111")


@pytest.mark.parametrize(
    ("task", "readers"),
    [
        ("absa", [("semeval14", {}), ("holdout", {"fraction": 0.1, "seed": 42}), ("semeval14", {})]),
        ("chunking", [("conll", {"label_column": 2})] * 3),
        ("ner", [("conll", {"label_column": -1})] * 3),
        ("triggers", [("ace05", {"lowercase": True, "types": "full"})] * 3),
    ],
)
def test_tasks_have_the_readers_of_the_paper(task: str, readers: list[tuple[str, dict[str, object]]]) -> None:
    """Readers and their options are those of section 2, in all splits."""
    data = experiment(f"mistral_7b_{task}").data
    for reader, (kind, options) in zip((data.train, data.validation, data.test), readers, strict=True):
        assert reader is not None
        assert reader.type_name == kind
        assert {key: getattr(reader, key) for key in options} == options


def test_split_sizes_are_the_papers(corpora: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The splits of the real corpora have the sizes of section 2."""
    from sltk.data.splits import load_splits

    monkeypatch.setenv("SLTK_DATA", str(corpora))
    for task, sizes in (("absa", [2737, 304, 800]), ("ner", [14041, 3250, 3453])):
        splits = load_splits(experiment(f"llama2_7b_{task}").data, "IOB2")
        assert [len(split) for split in splits.values()] == sizes


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_data_and_models_are_found_by_environment(path: Path) -> None:
    """No spec contains a machine-specific path: folders come from SLTK_DATA, SLTK_MODELS and SLTK_RUNS."""
    text = path.read_text(encoding="utf-8")
    root = "../" * len(path.relative_to(EXPERIMENTS).parts)
    for data in re.findall(r"\bpath: *(\S+)", text):
        assert data.startswith(f'"${{SLTK_DATA:-{root}data}}/')
    for model in re.findall(r"name: *(\"(?![01]+\")\S+)", text):  # a mask is the name of an arm
        assert model.startswith(('"${SLTK_MODELS:-~/.cache/sltk-models}/', f'"${{SLTK_RUNS:-{root}runs}}/'))


def test_the_schema_equals_the_output_of_sltk_schema() -> None:
    """The schema for editors is up to date; otherwise run `make generated`.

    A separate process knows no component that another test has registered.
    """
    command = [sys.executable, "-m", "sltk", "schema"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads((EXPERIMENTS / "sltk.schema.json").read_text(encoding="utf-8")) == json.loads(printed)


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_editors_find_the_schema(path: Path) -> None:
    """The first line of a spec names the schema, unless the file is only a part of one."""
    first, _, text = path.read_text(encoding="utf-8").partition("\n")
    if not re.search("^(name|extends):", text, re.MULTILINE):
        assert "schema" not in first
        return
    root = "../" * (len(path.relative_to(EXPERIMENTS).parts) - 1)
    assert first == f"# yaml-language-server: $schema={root}sltk.schema.json"


def test_the_index_names_every_spec() -> None:
    """experiments/README.md lists every spec."""
    index = (EXPERIMENTS / "README.md").read_text(encoding="utf-8")
    assert [name for name in ALL if f"`{name}`" not in index and f"`{name}.yaml`" not in index] == []
