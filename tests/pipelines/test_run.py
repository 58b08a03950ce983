"""A run directory: what it holds, when it may be written, and that it can be moved."""

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
class Mine(Reader):
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


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_a_run_directory_holds(run: Path) -> None:
    """As docs/contracts.md lists it."""
    assert {path.name for path in run.iterdir()} == {
        "spec.yaml", "environment.json", "log.jsonl", "checkpoints", "model", "predictions", "metrics.json",
    }  # fmt: skip
    assert {path.name for path in (run / "model").iterdir()} == {
        "sltk.json",
        "head.safetensors",
        "tokenizer",
        "base",
    }
    assert {path.name for path in (run / "predictions").iterdir()} == {"validation.conll", "test.conll"}
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["checkpoint-36"]


def test_metrics_are_those_of_the_contract(run: Path) -> None:
    """Scores of validation and test, and what training cost."""
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
    assert train["parameters"] == train["trained_parameters"] > 10_000


def test_environment_says_where_and_with_what(run: Path) -> None:
    """Versions, device, threads, seed, and the proof of the mask."""
    found = json.loads((run / "environment.json").read_text())
    assert found["format"] == 1
    assert found["sltk"] == sltk.__version__
    assert found["seed"] == 120
    assert found["packages"]["torch"]
    assert {
        "python",
        "platform",
        "device",
        "products",
        "threads",
        "processes",
        "git_revision",
    } <= found.keys()
    assert found["mask_proof"]["unmasked"] == [1]


def test_the_stored_spec_runs_again(run: Path, tmp_path: Path) -> None:
    """It is complete: the same weights come of it."""
    sltk.train(run / "spec.yaml", tmp_path / "again")
    assert tiny.same_weights(run, tmp_path / "again")
    assert (run / "spec.yaml").read_text() == (tmp_path / "again/spec.yaml").read_text()


def test_predictions_are_word_gold_and_predicted_tag(run: Path) -> None:
    """Tab-separated, so that they can be scored by other programs; the scores are those in metrics.json."""
    lines = (run / "predictions/test.conll").read_text().splitlines()
    gold = list(sltk.load_data(tiny.all_splits()).test.read())
    rows = [line.split("\t") for line in lines if line]
    assert [row[0] for row in rows] == [word for sentence in gold for word in sentence.words]
    assert [row[1] for row in rows] == [tag for sentence in gold for tag in sentence.tags or ()]
    right = sum(row[1] == row[2] for row in rows) / len(rows)
    assert right == pytest.approx(json.loads((run / "metrics.json").read_text())["test"]["accuracy"])


def test_evaluate_gives_the_scores_of_the_run_again(run: Path) -> None:
    """On its own splits, and on what another reader reads."""
    metrics = json.loads((run / "metrics.json").read_text())
    for split in ("validation", "test"):
        assert evaluate(run, split=split).scores == metrics[split]
    reader = sltk.load_data(tiny.all_splits()).test
    assert evaluate(run, reader=reader).scores == metrics["test"]
    with pytest.raises(sltk.DataError, match="no dev data; this spec has train, validation, test"):
        evaluate(run, split="dev")


def test_from_python_a_run_is_a_mapping_a_file_or_a_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And lies in runs/NAME where no folder is given."""
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


def test_a_wrong_mapping_is_explained_like_a_file() -> None:
    """All that is wrong, each at its key, before anything is written."""
    spec = tiny.spec({"epoch": 3}, head={"type": "crff"})
    with pytest.raises(sltk.SpecError) as caught:
        sltk.train(spec, "never")
    assert "unknown key `epoch`" in str(caught.value)
    assert "did you mean `crf`" in str(caught.value)
    assert not Path("never").exists()


def test_a_run_is_not_overwritten_unasked(run: Path) -> None:
    """Finished or not, it needs --resume or --force, and not both."""
    before = tree(run)
    with pytest.raises(
        sltk.UsageError, match="holds a finished run; --resume continues it, --force replaces it"
    ):
        sltk.train(tiny.spec(), run)
    with pytest.raises(sltk.UsageError, match="choose one"):
        sltk.train(tiny.spec(), run, resume=True, force=True)
    assert tree(run) == before


def test_force_replaces_a_run(run: Path, tmp_path: Path) -> None:
    """Nothing of the old one is left, and files that are not a run's stay."""
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
def test_force_spares_the_old_run_where_the_new_one_cannot_start(run: Path, changes: dict[str, Any]) -> None:
    """Data are read and the model is built before anything is touched."""
    before = tree(run)
    with pytest.raises(sltk.InputError):
        sltk.train(tiny.spec(**changes), run, force=True)
    assert tree(run) == before


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    """Not even --force takes it."""
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
def test_bad_test_data_stops_the_run_before_it_is_trained(tmp_path: Path, kind: str) -> None:
    """One message that names the file; nothing is written."""
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


def test_labels_that_train_lacks_are_told_and_scored_as_errors(tmp_path: Path) -> None:
    """A warning, not an error."""
    (tmp_path / "test.txt").write_text("the O\nsoup B-FOOD\n")
    data = {
        "train": {"type": "grammar", "count": 21},
        "test": {"type": "conll", "path": str(tmp_path / "test.txt")},
    }
    heard = tiny.RecordingProgress()
    metrics = sltk.train(tiny.spec(data=data), tmp_path / "run", progress=heard)
    assert "test has labels that train lacks, scored as errors: FOOD" in heard.notes
    assert metrics["test"]["per_type"]["FOOD"].items() >= {"f1": 0, "support": 1}.items()


def test_problems_of_the_model_stand_at_their_place_in_the_spec(tmp_path: Path) -> None:
    """File, line and column of the mask and of a LoRA target, though only the model can tell that they are wrong."""
    path = tmp_path / "wrong.yaml"
    shutil.copy(make_spec(tmp_path, tiny.backbone(unmask="00000001")), path)
    with pytest.raises(sltk.ModelError) as caught:
        sltk.train(path, tmp_path / "run")
    (problem,) = caught.value.problems
    assert problem.location is not None
    assert problem.location.file == str(path)
    assert "00000001" in (problem.source_line or "")
    make_spec(tmp_path, tiny.backbone(lora={"target_modules": ["k_proj", "q_prj"]})).replace(path)
    with pytest.raises(sltk.ModelError, match="did you mean `q_proj`") as caught:
        sltk.train(path, tmp_path / "run")
    assert caught.value.problems[0].location is not None
    assert not (tmp_path / "run").exists()


def make_spec(folder: Path, backbone: dict[str, Any]) -> Path:
    path = folder / "made.yaml"
    path.write_text(json.dumps(tiny.spec(backbone=backbone), indent=2))
    return path


def test_a_run_of_another_format_is_refused(run: Path, tmp_path: Path) -> None:
    """By resume, evaluate and load, each saying the versions."""
    copy = shutil.copytree(run, tmp_path / "run")
    old = {**json.loads((copy / "environment.json").read_text()), "format": 0, "sltk": "0.0.9"}
    (copy / "environment.json").write_text(json.dumps(old))
    spec = tiny.spec({"epochs": 12}, data=tiny.all_splits())
    for use in (lambda: sltk.train(spec, copy, resume=True), lambda: evaluate(copy), lambda: load(copy)):
        with pytest.raises(sltk.UsageError, match=r"was written by sltk 0\.0\.9 in format 0; this is sltk"):
            use()


def test_what_is_no_finished_run_is_not_loaded(run: Path, tmp_path: Path) -> None:
    """It is said what is missing."""
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "metrics.json").unlink()
    with pytest.raises(sltk.UsageError, match="is not finished"):
        load(copy)
    with pytest.raises(sltk.UsageError, match="is not a run directory"):
        load(tmp_path / "nowhere")


def test_a_run_works_after_it_was_moved_with_its_imports(tmp_path: Path) -> None:
    """Its components come with it: the files named in `imports:` are copied, two of one name as well."""
    for folder, name in (("a", "mine_a"), ("b", "mine_b")):
        (tmp_path / "source" / folder).mkdir(parents=True)
        (tmp_path / "source" / folder / "readers.py").write_text(READER.format(name=name))
    imports = [str(tmp_path / "source" / folder / "readers.py") for folder in ("a", "b")]
    spec = tiny.spec(imports=imports, data={"train": {"type": "mine_a"}, "test": {"type": "mine_b"}})
    sltk.train(spec, tmp_path / "run")
    shutil.rmtree(tmp_path / "source")
    shutil.move(tmp_path / "run", tmp_path / "moved")
    assert {path.name for path in (tmp_path / "moved/imports").iterdir()} == {"readers.py", "readers_2.py"}
    script = (
        "import sys; from sltk.run import evaluate, load; "
        "print(evaluate(sys.argv[1]).scores['words'], len(load(sys.argv[1] + '/model').predict('cold soup')))"
    )
    assert child(script, str(tmp_path / "moved")) == "4 1\n"


def child(script: str, *arguments: str) -> str:
    """What a fresh process prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_resume_with_edited_imports_is_refused(tmp_path: Path) -> None:
    """They are part of the run."""
    source = tmp_path / "readers.py"
    source.write_text(READER.format(name="mine_c"))
    spec = tiny.spec(imports=[str(source)], data={"train": {"type": "mine_c"}})

    class Stop(tiny.RecordingProgress):
        def step(self, done: int, words: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sltk.train(spec, tmp_path / "run", progress=Stop())
    source.write_text(READER.format(name="mine_c") + "\n# edited\n")
    with pytest.raises(sltk.UsageError, match="was edited"):
        sltk.train(spec, tmp_path / "run", resume=True)


def test_prediction_starts_without_what_only_training_needs(run: Path) -> None:
    """Trainer takes seconds to import, bitsandbytes and peft too: only a quantized or adapted model needs these."""
    script = (
        "import sys, sltk; sltk.load(sys.argv[1]).predict('The soup was awful.'); "
        "print([name for name in ('transformers.trainer', 'bitsandbytes', 'peft', 'datasets') "
        "if name in sys.modules])"
    )
    assert child(script, str(run)) == "[]\n"


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
def test_damage_is_an_error_that_names_the_file(file: str, message: str, run: Path, tmp_path: Path) -> None:
    """A file that was cut short, or is gone, is the input's fault and told as such."""
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    for cut in (20, None):
        (copy / file).write_bytes((copy / file).read_bytes()[:cut] if cut else b"")
        with pytest.raises(sltk.InputError, match=message if cut else ""):
            evaluate(copy)
    (copy / file).unlink()
    with pytest.raises(sltk.InputError, match=r"missing|is damaged|no spec.yaml|no sltk.json|no safetensors"):
        evaluate(copy)


@pytest.mark.parametrize("part", ["tokenizer", "base", "head.safetensors"])
def test_a_model_that_is_not_whole_says_what_is_missing(part: str, run: Path, tmp_path: Path) -> None:
    """Before anything is loaded."""
    copy = Path(shutil.copytree(run, tmp_path / "copy")) / "model"
    (copy / part).rename(tmp_path / "aside")
    with pytest.raises(sltk.UsageError, match=f"is incomplete: {part} missing"):
        load(copy.parent)


def test_words_per_second_and_notes_reach_progress(tmp_path: Path) -> None:
    """What was read is told before anything else."""
    heard = tiny.RecordingProgress()
    sltk.train(tiny.spec(data=tiny.all_splits()), tmp_path / "run", progress=heard)
    assert [note.split(":")[0] for note in heard.notes[:3]] == ["train", "validation", "test"]
    scoring = [note for note in heard.notes if note.startswith("scoring")]
    assert scoring == ["scoring validation", "scoring test"]


def test_an_exported_model_is_scored_on_data_that_is_given(run: Path, tmp_path: Path) -> None:
    """It has no splits of its own, and gets the scores that its run gets."""
    from sltk.components.registry import registry
    from sltk.exporting import export

    export(run, tmp_path / "exported")
    reader = registry.find("reader", "grammar").model_validate({"part": "test", "count": 8})
    assert evaluate(tmp_path / "exported", reader=reader).scores == evaluate(run, split="test").scores  # type: ignore[arg-type]
    with pytest.raises(sltk.SltkError, match="--data and --reader"):
        evaluate(tmp_path / "exported")


def test_a_metric_that_cannot_choose_is_told_when_it_is_to_choose(tmp_path: Path) -> None:
    """`select: best` by a metric without F1 or accuracy is an error, not a choice among zeros."""
    from sltk import Metric, register

    @register.metric("words_seen")
    class WordsSeen(Metric):
        """How many words there are."""

        def compute(self, gold: Any, predicted: Any, scheme: Any) -> dict[str, Any]:
            return {"words": sum(map(len, gold)), "signature": "words_seen"}

    spec = tiny.spec(
        {"epochs": 1, "select": "best"}, data=tiny.all_splits(), metrics=[{"type": "words_seen"}]
    )
    with pytest.raises(sltk.SltkError, match="neither `f1` nor `accuracy`"):
        sltk.train(spec, tmp_path / "run")
