"""Run directories: their contents, when they may be overwritten, and that they can be moved."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sltk
import tiny
from sltk.run import evaluate, load

READER = '''
from collections.abc import Iterator
from sltk import Reader, Sentence, register

@register.reader("{name}")
class Custom(Reader):
    """Two sentences."""

    def read(self) -> Iterator[Sentence]:
        yield Sentence(["fresh", "bread"], ["O", "B-FOOD"])
        yield Sentence(["cold", "soup"], ["O", "B-FOOD"])
'''
SCORES = {"precision", "recall", "f1", "accuracy", "per_type", "sentences", "words", "signature"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with validation and test."""
    folder = tmp_path_factory.mktemp("run") / "run"
    sltk.train(tiny.spec({"epochs": 12}, data=tiny.all_splits()), folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_directory_has_the_documented_files(run: Path) -> None:
    """The files are those that docs/contracts.md lists."""
    assert {path.name for path in run.iterdir()} == {
        "spec.yaml", "environment.json", "log.jsonl", "checkpoints", "model", "predictions", "metrics.json",
    }  # fmt: skip
    assert {path.name for path in (run / "model").iterdir()} == {
        "sltk.json",
        "head.safetensors",
        "tokenizer",
        "base",
        "manifest.json",
    }
    assert {path.name for path in (run / "predictions").iterdir()} == {
        "validation.conll", "test.conll", "validation.scores.jsonl", "test.scores.jsonl", "slices.json",
    }  # fmt: skip
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["checkpoint-36"]


def test_metrics_have_the_documented_keys(run: Path) -> None:
    """metrics.json has the scores of validation and test, and time and size of training."""
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) == {"validation", "test", "train"}
    for split in ("validation", "test"):
        assert set(metrics[split]) >= SCORES
        one_type = next(iter(metrics[split]["per_type"].values()))
        assert set(one_type) >= {"precision", "recall", "f1", "support"}
        assert 0 <= metrics[split]["f1"] <= 1
        assert metrics[split]["sentences"] == 8
        assert metrics[split]["signature"].startswith("seqeval|scheme:IOB2|mode:strict")
    train = metrics["train"]
    assert (train["epochs"], train["steps"]) == (12, 36)
    assert train["words_per_second"] == pytest.approx(
        train["words"] / (train["seconds"] - train["evaluation_seconds"]), rel=0.01
    )
    assert train["peak_memory_bytes"] > 50e6
    speeds = ("words_per_cpu_second", "prediction_words_per_second", "prediction_words_per_cpu_second")
    assert all(train[key] > 0 for key in speeds)
    assert train["parameters"] == train["trained_parameters"] > 10_000


def test_the_environment_is_recorded(run: Path) -> None:
    """environment.json has versions, device, threads, seed, and the verification of the mask."""
    environment = json.loads((run / "environment.json").read_text())
    assert environment["format"] == 1
    assert environment["sltk"] == sltk.__version__
    assert environment["seed"] == 120
    assert environment["packages"]["torch"]
    assert {
        "python",
        "platform",
        "device",
        "products",
        "threads",
        "cpus",
        "processes",
        "git_revision",
    } <= environment.keys()
    assert environment["mask_proof"]["unmasked"] == [1]
    assert environment["openmp"].keys() == {"library", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "in_effect"}
    assert environment["openmp"]["in_effect"]


def test_the_stored_spec_reproduces_the_run(run: Path, tmp_path: Path) -> None:
    """The spec in the run directory is complete: training it gives the same weights."""
    sltk.train(run / "spec.yaml", tmp_path / "again")
    assert tiny.same_weights(run, tmp_path / "again")
    assert (run / "spec.yaml").read_text() == (tmp_path / "again/spec.yaml").read_text()


def test_predictions_are_word_gold_and_predicted_tag(run: Path) -> None:
    """The columns are separated by tabs, and give the accuracy in metrics.json."""
    lines = (run / "predictions/test.conll").read_text().splitlines()
    gold = list(sltk.load_data(tiny.all_splits()).test.read())
    rows = [line.split("\t") for line in lines if line]
    assert [row[0] for row in rows] == [word for sentence in gold for word in sentence.words]
    assert [row[1] for row in rows] == [tag for sentence in gold for tag in sentence.tags or ()]
    accuracy = sum(row[1] == row[2] for row in rows) / len(rows)
    assert accuracy == pytest.approx(json.loads((run / "metrics.json").read_text())["test"]["accuracy"])


def test_evaluate_reproduces_the_scores_of_the_run(run: Path) -> None:
    """`evaluate` scores a split of the run's data, or data from another reader."""
    metrics = json.loads((run / "metrics.json").read_text())
    for split in ("validation", "test"):
        assert evaluate(run, split=split).scores == metrics[split]
    reader = sltk.load_data(tiny.all_splits()).test
    assert evaluate(run, reader=reader).scores == metrics["test"]
    with pytest.raises(sltk.DataError, match="no dev data; this spec has train, validation, test"):
        evaluate(run, split="dev")


def test_train_accepts_a_mapping_a_file_or_an_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default, the run is written to runs/NAME."""
    monkeypatch.chdir(tmp_path)
    metrics = sltk.train(tiny.spec({"max_steps": 1}))
    assert json.loads((tmp_path / "runs/tiny/metrics.json").read_text()) == metrics
    (prediction,) = sltk.load("runs/tiny").predict("The soup was awful.")
    assert prediction.sentence.words == ["The", "soup", "was", "awful", "."]
    assert len(prediction.tags) == len(prediction.scores) == 5
    sltk.train("runs/tiny/spec.yaml", "file")
    sltk.train(sltk.Experiment.model_validate(tiny.spec({"max_steps": 1})), "spec")
    assert tiny.same_weights(tmp_path / "runs/tiny", tmp_path / "file")
    assert tiny.same_weights(tmp_path / "runs/tiny", tmp_path / "spec")


def test_errors_in_a_mapping_are_reported_like_those_in_a_file() -> None:
    """All errors are reported together, before anything is written."""
    spec = tiny.spec({"epoch": 3}, head={"type": "crff"})
    with pytest.raises(sltk.SpecError) as caught:
        sltk.train(spec, "never")
    assert "unknown key `epoch`" in str(caught.value)
    assert "did you mean `crf`" in str(caught.value)
    assert not Path("never").exists()


def test_an_existing_run_is_not_overwritten(run: Path) -> None:
    """Training into an existing run needs either --resume or --force, not both."""
    before = contents(run)
    with pytest.raises(
        sltk.UsageError, match="holds a finished run; --resume continues it, --force replaces it"
    ):
        sltk.train(tiny.spec(), run)
    with pytest.raises(sltk.UsageError, match="choose one"):
        sltk.train(tiny.spec(), run, resume=True, force=True)
    assert contents(run) == before


def test_force_replaces_a_run(run: Path, tmp_path: Path) -> None:
    """The old run is removed completely; other files in its folder are kept."""
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "notes.txt").write_text("mine")
    sltk.train(tiny.spec({"max_steps": 1}, backbone=tiny.backbone(lora={"r": 2})), copy, force=True)
    assert json.loads((copy / "metrics.json").read_text())["train"]["steps"] == 1
    assert not (copy / "predictions").exists()
    assert [path.name for path in (copy / "checkpoints").iterdir()] == ["checkpoint-1"]
    assert (copy / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"train": {"type": "conll", "path": "nowhere.txt"}}},
        {"backbone": tiny.backbone(unmask="00000001")},
        {"backbone": tiny.backbone(lora={"r": 2, "target_modules": ["w_q"]})},
        {"backbone": {"type": "decoder", "name": "./nowhere"}},
        {"max_length": 4, "on_overflow": "error"},
    ],
    ids=["data", "mask", "lora", "model", "length"],
)
def test_force_keeps_the_old_run_if_the_new_one_cannot_start(run: Path, changes: dict[str, Any]) -> None:
    """Data is read and the model is built before the old run is removed."""
    before = contents(run)
    with pytest.raises(sltk.InputError):
        sltk.train(tiny.spec(**changes), run, force=True)
    assert contents(run) == before


def test_a_folder_with_other_files_is_rejected(tmp_path: Path) -> None:
    """sltk does not write into such a folder even with --force."""
    (tmp_path / "thesis.tex").write_text("mine")
    for force in (False, True):
        with pytest.raises(sltk.UsageError, match=r"holds other files and no run \(thesis.tex\)"):
            sltk.train(tiny.spec(), tmp_path, force=force)
    with pytest.raises(sltk.UsageError, match="is not a directory"):
        sltk.train(tiny.spec(), tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


BAD_TEST_FILES = {
    "missing": None,
    "empty": "",
    "columns": "the O\nsoup B-FOOD extra stuff\nwas\n",
    "tag": "the O\nsoup Q-FOOD\n",
    "long": "word O\n" * 3000,
}


@pytest.mark.parametrize("kind", BAD_TEST_FILES)
def test_bad_test_data_is_an_error_before_training(tmp_path: Path, kind: str) -> None:
    """The message names the file, and nothing is written."""
    path = tmp_path / "test.txt"
    content = BAD_TEST_FILES[kind]
    if content is not None:
        path.write_text(content)
    test = {"type": "conll", "path": str(path), "scheme": "IOB2"}
    data = {"train": {"type": "grammar", "count": 21}, "test": test}
    with pytest.raises(sltk.SpecError if kind == "missing" else sltk.DataError) as caught:
        sltk.train(tiny.spec(data=data, max_length=512, on_overflow="error"), tmp_path / "run")
    assert str(path) in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_labels_missing_from_the_training_data_are_scored_as_errors(tmp_path: Path) -> None:
    """A note reports labels that occur only in the test data, and training continues."""
    (tmp_path / "test.txt").write_text("the O\nsoup B-FOOD\n")
    data = {
        "train": {"type": "grammar", "count": 21},
        "test": {"type": "conll", "path": str(tmp_path / "test.txt")},
    }
    progress = tiny.RecordingProgress()
    metrics = sltk.train(tiny.spec(data=data), tmp_path / "run", progress=progress)
    assert "test has labels that train lacks, scored as errors: FOOD" in progress.notes
    assert metrics["test"]["per_type"]["FOOD"].items() >= {"f1": 0, "support": 1}.items()


def test_errors_of_the_model_have_a_position_in_the_spec(tmp_path: Path) -> None:
    """Masks and LoRA targets that do not fit the model are reported with file and line."""
    path = tmp_path / "wrong.yaml"
    write_spec(path, tiny.backbone(unmask="00000001"))
    with pytest.raises(sltk.SpecError) as caught:
        sltk.train(path, tmp_path / "run")
    (problem,) = caught.value.problems
    assert problem.location is not None
    assert problem.location.file == str(path)
    assert "00000001" in (problem.source_line or "")
    write_spec(path, tiny.backbone(lora={"target_modules": ["k_proj", "q_prj"]}))
    with pytest.raises(sltk.SpecError, match="did you mean `q_proj`") as caught:
        sltk.train(path, tmp_path / "run")
    assert caught.value.problems[0].location is not None
    assert not (tmp_path / "run").exists()


def write_spec(path: Path, backbone: dict[str, Any]) -> None:
    path.write_text(json.dumps(tiny.spec(backbone=backbone), indent=2))


def test_a_run_of_another_format_is_rejected(run: Path, tmp_path: Path) -> None:
    """Resuming, evaluating and loading it all give an error with both versions."""
    copy = shutil.copytree(run, tmp_path / "run")
    old = {**json.loads((copy / "environment.json").read_text()), "format": 0, "sltk": "0.0.9"}
    (copy / "environment.json").write_text(json.dumps(old))
    spec = tiny.spec({"epochs": 12}, data=tiny.all_splits())
    for call in (lambda: sltk.train(spec, copy, resume=True), lambda: evaluate(copy), lambda: load(copy)):
        with pytest.raises(sltk.UsageError, match=r"was written by sltk 0\.0\.9 in format 0; this is sltk"):
            call()


def test_only_finished_runs_are_loaded(run: Path, tmp_path: Path) -> None:
    """The error distinguishes an unfinished run from a folder that is no run directory."""
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "metrics.json").unlink()
    with pytest.raises(sltk.UsageError, match="is not finished"):
        load(copy)
    with pytest.raises(sltk.UsageError, match="is not a run directory"):
        load(tmp_path / "nowhere")


def test_a_moved_run_works_without_the_imported_files(tmp_path: Path) -> None:
    """The files named in `imports:` are copied into the run, even two with the same name."""
    for folder, name in (("a", "custom_a"), ("b", "custom_b")):
        (tmp_path / "source" / folder).mkdir(parents=True)
        (tmp_path / "source" / folder / "readers.py").write_text(READER.format(name=name))
    imports = [str(tmp_path / "source" / folder / "readers.py") for folder in ("a", "b")]
    spec = tiny.spec(imports=imports, data={"train": {"type": "custom_a"}, "test": {"type": "custom_b"}})
    sltk.train(spec, tmp_path / "run")
    shutil.rmtree(tmp_path / "source")
    shutil.move(tmp_path / "run", tmp_path / "moved")
    assert {path.name for path in (tmp_path / "moved/imports").iterdir()} == {"readers.py", "readers_2.py"}
    script = (
        "import sys; from sltk.run import evaluate, load; "
        "print(evaluate(sys.argv[1]).scores['words'], len(load(sys.argv[1] + '/model').predict('cold soup')))"
    )
    assert run_script(script, str(tmp_path / "moved")) == "4 1\n"


def run_script(script: str, *arguments: str) -> str:
    """Run a script in a new process and return its output."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, *arguments]
    completed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert completed.returncode == 0, completed.stderr[-2000:]
    return completed.stdout


def test_resume_with_edited_imports_is_rejected(tmp_path: Path) -> None:
    """Imported files are part of the run, so changing one is an error."""
    source = tmp_path / "readers.py"
    source.write_text(READER.format(name="custom_c"))
    spec = tiny.spec(imports=[str(source)], data={"train": {"type": "custom_c"}})
    with pytest.raises(KeyboardInterrupt):
        sltk.train(spec, tmp_path / "run", progress=tiny.InterruptingProgress(1))
    source.write_text(READER.format(name="custom_c") + "\n# edited\n")
    with pytest.raises(sltk.UsageError, match="was edited"):
        sltk.train(spec, tmp_path / "run", resume=True)


def test_prediction_does_not_import_training_libraries(run: Path) -> None:
    """Trainer, bitsandbytes, peft and datasets take seconds to import, and a plain model does not need them."""
    script = (
        "import sys, sltk; sltk.load(sys.argv[1]).predict('The soup was awful.'); "
        "print([name for name in ('transformers.trainer', 'bitsandbytes', 'peft', 'datasets') "
        "if name in sys.modules])"
    )
    assert run_script(script, str(run)) == "[]\n"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("environment.json", "the file is damaged"),
        ("spec.yaml", "missing key `data`"),
        ("model/sltk.json", "the file is damaged"),
        ("model/head.safetensors", "is damaged: "),
        ("model/base/model.safetensors", "is damaged: "),
    ],
)
def test_a_damaged_file_is_an_input_error(file: str, message: str, run: Path, tmp_path: Path) -> None:
    """Truncated, empty and missing files are input errors."""
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    for length in (20, 0):
        (copy / file).write_bytes((copy / file).read_bytes()[:length])
        with pytest.raises(sltk.InputError, match=message if length else ""):
            evaluate(copy)
    (copy / file).unlink()
    with pytest.raises(sltk.InputError, match=r"missing|is damaged|no spec.yaml|no sltk.json|no safetensors"):
        evaluate(copy)


@pytest.mark.parametrize("part", ["tokenizer", "base", "head.safetensors"])
def test_an_incomplete_model_is_reported(part: str, run: Path, tmp_path: Path) -> None:
    """The error names the missing part of the model."""
    copy = Path(shutil.copytree(run, tmp_path / "copy")) / "model"
    (copy / part).rename(tmp_path / "aside")
    with pytest.raises(sltk.UsageError, match=f"is incomplete: {part} missing"):
        load(copy.parent)


def test_progress_gets_notes_about_data_and_scoring(tmp_path: Path) -> None:
    """Notes about the data come first."""
    progress = tiny.RecordingProgress()
    sltk.train(tiny.spec(data=tiny.all_splits()), tmp_path / "run", progress=progress)
    assert [note.split(":")[0] for note in progress.notes[:3]] == ["train", "validation", "test"]
    scoring = [note for note in progress.notes if note.startswith("scoring")]
    assert scoring == ["scoring validation", "scoring test"]


def test_an_exported_model_gets_the_scores_of_its_run(run: Path, tmp_path: Path) -> None:
    """An exported model has no splits, so evaluating it needs data and a reader."""
    from sltk.components.registry import registry
    from sltk.exporting import export

    export(run, tmp_path / "exported")
    reader = registry.find("reader", "grammar").model_validate({"part": "test", "count": 8})
    assert evaluate(tmp_path / "exported", reader=reader).scores == evaluate(run, split="test").scores  # type: ignore[arg-type]
    with pytest.raises(sltk.SltkError, match="--data and --reader"):
        evaluate(tmp_path / "exported")


def test_a_metric_without_f1_or_accuracy_cannot_select_the_best_epoch(tmp_path: Path) -> None:
    """`select: best` with such a metric is an error."""
    from sltk import Metric, register

    @register.metric("words_seen")
    class WordsSeen(Metric):
        """Number of words."""

        def compute(self, gold: Any, predicted: Any, scheme: Any) -> dict[str, Any]:
            return {"words": sum(map(len, gold)), "signature": "words_seen"}

    spec = tiny.spec(
        {"epochs": 1, "select": "best"}, data=tiny.all_splits(), metrics=[{"type": "words_seen"}]
    )
    with pytest.raises(sltk.SltkError, match="neither `f1` nor `accuracy`"):
        sltk.train(spec, tmp_path / "run")
