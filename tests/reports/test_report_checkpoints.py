"""`sltk report` on runs that start from checkpoints of pre-training: the paper's Figure 3."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import study_records
import tiny
from sltk import DataError, sweeps
from sltk.cli import main
from sltk.reports.arrangement import arrange
from sltk.reports.assembly import write_report
from sltk.reports.discovery import collect
from sltk.reports.pretraining_curves import curves, table
from sltk.reports.run_reader import read_run
from sltk.reports.run_records import RunRecord, write_records
from sltk.run import pretrain
from sltk.rundir.pretrained_origin import Origin, origin_of

ROBERTA = {**tiny.BERT, "model_type": "roberta", "max_position_embeddings": 40}
CONDITIONS = {"encoder": ("mlm", "all"), "mask": ("clm", "none"), "unmask": ("clm", "all")}
DISHES = ("soup", "bread", "menu", "salad", "fork")
NAMES = ["Encoder", "Decoder Mask", "Decoder Unmask"]


def pretrained_checkpoints(folder: Path, objective: str) -> Path:
    """A pre-training run with three checkpoints: untrained, and after each of two epochs."""
    spec = {
        "name": objective,
        "objective": objective,
        "corpus": {"type": "grammar", "count": 30},
        "block_size": 16,
        "boundaries": "both",
        "snapshots": 1,
        "backbone": {
            "type": "encoder", "init": "random", "config": ROBERTA,
            "tokenizer": {"type": "train", "vocab_size": 300},
        },
        "trainer": {"epochs": 2, "batch_size": 8, "learning_rate": 0.01},
    }  # fmt: skip
    pretrain(spec, folder / objective)
    return folder / objective / "steps"


def labelled(folder: Path) -> dict[str, Any]:
    """Words whose label depends on the next word, which a causal model does not see."""
    for split, count in (("train", 24), ("validation", 20)):
        lines = []
        for number in range(count):
            dish, is_dish = DISHES[number * 7 % len(DISHES)], number % 3 > 0
            lines += [
                "the\tO",
                f"{dish}\t{'B-DISH' if is_dish else 'O'}",
                f"{'was' if is_dish else 'of'}\tO",
                "",
            ]
        (folder / f"{split}.conll").write_text("\n".join(lines))
    return {
        split: {"type": "conll", "path": str(folder / f"{split}.conll")} for split in ("train", "validation")
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep over two checkpoints, three conditions and two seeds, in `sweep`, with the pre-training runs."""
    folder = tmp_path_factory.mktemp("study")
    steps = {objective: pretrained_checkpoints(folder, objective) for objective in ("mlm", "clm")}
    starts = [
        {"backbone.name": str(steps[objective] / f"{number:04d}"), "backbone.unmask": mask}
        for number in (0, 2)
        for objective, mask in CONDITIONS.values()
    ]
    spec = tiny.spec(
        {"max_steps": 10, "learning_rate": 0.02},
        data=labelled(folder),
        backbone={"type": "encoder", "name": "x"},
    )
    spec |= {
        "sweep": {"list": starts, "grid": {"seed": [1, 2]}},
        "executor": {"type": "local", "isolated": False},
    }
    outcome = sweeps.run(sweeps.plan(spec), folder / "sweep")
    assert len(outcome.names("done")) == 12
    return folder


@pytest.fixture(scope="module")
def written(study: Path) -> Path:
    """The report on the sweep, with the runs as records in `runs.jsonl`."""
    arguments = ["--output", str(study / "out"), "--records", str(study / "runs.jsonl")]
    assert main(["report", str(study / "sweep"), *arguments]) == 0
    return study / "out"


def rows(text: str, title: str) -> list[list[str]]:
    """The cells of a table in report.md."""
    body = text.split(f"### {title}\n")[1].split("###")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in body.splitlines() if line[:1] == "|"]


def test_runs_from_checkpoints_make_figure_3(written: Path, study: Path) -> None:
    """Figure and table have three curves over two checkpoints, with the means of the runs' scores."""
    for form in ("png", "svg", "pdf"):
        assert (written / "figures" / f"checkpoints.{form}").stat().st_size > 1000
    assert not (written / "figures" / "configurations.png").exists()
    head, _, *body = rows((written / "report.md").read_text(), "Checkpoints")
    assert head == ["checkpoint", "epochs", *NAMES]
    assert [row[:2] for row in body] == [["0", "0"], ["2", "2"]]
    spent = csv.DictReader((written / "results.csv").open())
    scores = {
        (row["pretraining"], row["mask"], row["checkpoint"], row["seed"]): float(row["validation_f1"])
        for row in spent
    }
    for row in body:
        for cell, (objective, mask) in zip(row[2:], CONDITIONS.values(), strict=True):
            mean = sum(scores[objective, mask, row[0], seed] for seed in "12") / 2
            assert cell.split(" ± ")[0] == f"{100 * mean:.2f}"
    assert len(set(scores.values())) > 3


def test_equal_scores_at_checkpoint_0_are_noted(written: Path) -> None:
    """Encoder and Decoder Unmask are one network at checkpoint 0, and the report notes their equal scores."""
    text = (written / "report.md").read_text()
    _, _, first, *_ = rows(text, "Checkpoints")
    assert first[2] == first[4] != first[3]
    assert "At checkpoint 0 Encoder and Decoder Unmask score the same" in text


def test_records_give_the_same_curves_without_the_models(written: Path, study: Path, tmp_path: Path) -> None:
    """Records contain objective and checkpoint, but no folder of the machine."""
    text = (study / "runs.jsonl").read_text()
    assert str(study) not in text
    write_report([study / "runs.jsonl"], tmp_path / "out")
    for name in ("report.md", "results.csv", "figures/checkpoints.png"):
        assert (tmp_path / "out" / name).read_bytes() == (written / name).read_bytes()


def test_the_origin_of_a_run_is_known_after_the_checkpoint_is_deleted(study: Path, tmp_path: Path) -> None:
    """The origin is read from `environment.json`, else from the checkpoint, else from the path of the checkpoint."""
    run = tmp_path / "run"
    runs = (study / "sweep/runs").iterdir()
    first = next(path for path in runs if "mlm/steps/0000" in (path / "spec.yaml").read_text())
    shutil.copytree(first, run, ignore=shutil.ignore_patterns("model", "checkpoints"))
    origin = Origin(run="mlm", snapshot=0, objective="mlm", update=0, epoch=0)
    assert json.loads((run / "environment.json").read_text())["origin"] == origin.model_dump()
    spec = (run / "spec.yaml").read_text()
    (run / "spec.yaml").write_text(spec.replace(str(study), "/gone"))
    assert read_run(run).origin == origin
    environment = json.loads((run / "environment.json").read_text())
    del environment["origin"]
    (run / "environment.json").write_text(json.dumps(environment))
    assert read_run(run).origin == Origin(run="mlm", snapshot=0)
    (run / "spec.yaml").write_text(spec)
    assert read_run(run).origin == origin


def test_a_damaged_pretraining_json_is_named(tmp_path: Path) -> None:
    """The error names the file; a folder without one, and a model of the hub, have no origin."""
    assert origin_of(None, "some/model") is None
    assert origin_of(str(tmp_path)) is None
    for text in ("{", "[1]", '{"snapshot": "x"}'):
        (tmp_path / "pretraining.json").write_text(text)
        with pytest.raises(DataError, match=r"pretraining\.json"):
            origin_of(str(tmp_path))


def test_the_final_model_of_a_run_has_no_checkpoint_number(study: Path) -> None:
    """`RUN/model`, or RUN for an adapter, is an origin without a number."""
    assert origin_of(None, str(study / "mlm/model")) == origin_of(str(study / "mlm"), "some/base")
    assert origin_of(str(study / "mlm")).snapshot is None  # type: ignore[union-attr]


def start(
    run: str, number: int, mask: str, objective: str | None = "clm", **settings: Any
) -> list[RunRecord]:
    """Recorded runs of one configuration that start from one checkpoint."""
    records = study_records.study([mask], seeds=[1, 2], **settings)
    origin = Origin(run=run, snapshot=number, objective=objective)  # type: ignore[arg-type]
    backbone = {"type": "encoder", "name": f"{run}/steps/{number:04d}", "unmask": mask}
    return [
        each.model_copy(update={"origin": origin, "settings": {**each.settings, "backbone": backbone}})
        for each in records
    ]


def curve_names(*groups: list[RunRecord]) -> list[str]:
    (task,) = arrange([record for group in groups for record in group])
    return list(curves(task))


def test_other_masks_are_separate_curves() -> None:
    """Masks of digits count as `all` or `none` if they mean that; other masks are named on their curve."""
    groups = [start("lm", number, mask) for number in (0, 1) for mask in ("0000", "0011", "1111")]
    assert curve_names(*groups) == ["Decoder Mask", "Decoder Unmask", "Decoder 0011"]


def test_other_differences_are_part_of_the_name() -> None:
    """Two pre-training runs, or two learning rates, are two curves."""
    groups = [start(run, number, "all") for run in ("small", "large") for number in (0, 1)]
    assert curve_names(*groups) == ["Decoder Unmask, large", "Decoder Unmask, small"]
    groups = [
        start("lm", number, "all", trainer={"learning_rate": rate})
        for rate in (0.1, 0.2)
        for number in (0, 1)
    ]
    assert curve_names(*groups) == ["Decoder Unmask, learning_rate 0.1", "Decoder Unmask, learning_rate 0.2"]


def test_curves_of_an_unknown_objective_are_named_after_the_run() -> None:
    """The objective is not guessed from the path."""
    groups = [start("lm", number, mask, None) for number in (0, 1) for mask in ("none", "all")]
    assert curve_names(*groups) == ["lm, Mask", "lm, Unmask"]


def test_masked_next_token_prediction_has_curves_of_its_own() -> None:
    """The masks of the labelling runs distinguish them."""
    groups = [
        start("adapted", number, mask, "mntp") for number in (0, 1) for mask in ("none", "0011", "1111")
    ]
    assert curve_names(*groups) == ["MNTP 0011", "MNTP Mask", "MNTP Unmask"]


def test_a_checkpoint_that_is_missing_on_a_curve_is_a_gap() -> None:
    """The table has a dash for it, and states the number of seeds of the others."""
    groups = [start("enc", 0, "all", "mlm"), start("dec", 0, "all"), start("dec", 7, "all")[:1]]
    (task,) = arrange([record for group in groups for record in group])
    result = table(task)
    assert result.columns == ("checkpoint", "Encoder", "Decoder Unmask")
    assert [(row[0], row[1] == "–", row[2] == "–") for row in result.rows] == [
        ("0", False, False),
        ("7", True, False),
    ]
    assert "over 1 to 2 seeds" in result.note
    assert "do not score the same" not in result.note  # `study_records.study` always draws the same scores


def test_runs_of_other_origins_are_shown_next_to_the_curves(tmp_path: Path) -> None:
    """A run from a hub model is on no curve, so the figure of all configurations is drawn as well."""
    groups = [start("lm", 0, "all"), start("lm", 1, "all"), study_records.study(["all"], seeds=[1, 2])]
    write_records(tmp_path / "a.jsonl", [record for group in groups for record in group])
    write_report([tmp_path / "a.jsonl"], tmp_path / "out")
    drawn = {path.stem for path in (tmp_path / "out" / "figures").glob("*.png")}
    assert {"checkpoints", "configurations"} <= drawn
    assert re.search(r"^### Scores", (tmp_path / "out" / "report.md").read_text(), re.MULTILINE)


def test_one_checkpoint_makes_no_curve(tmp_path: Path) -> None:
    """Runs that start from a single checkpoint are shown as configurations."""
    write_records(tmp_path / "a.jsonl", start("lm", 3, "all") + start("lm", 3, "none"))
    write_report([tmp_path / "a.jsonl"], tmp_path / "out")
    assert not (tmp_path / "out/figures/checkpoints.png").exists()
    assert (tmp_path / "out/figures/configurations.png").exists()
    assert len(collect([tmp_path / "a.jsonl"]).records) == 4


def test_pretraining_runs_are_left_out_and_named(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pre-training runs are skipped if there are other runs, and rejected with advice otherwise."""
    collection = collect([study])
    assert sorted(collection.pretraining) == [str(study / "clm"), str(study / "mlm")]
    assert len(collection.records) == 12
    assert main(["report", str(study / "mlm")]) == 2
    message = capsys.readouterr().err
    assert "there is only pre-training" in message
    assert "metrics.json" in message
