"""How `sltk report` reads and arranges runs; runs that cannot be compared, or are damaged, are rejected."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import sltk
import study_records
import tiny
from sltk import DataError, UsageError
from sltk.cli import main
from sltk.reports.arrangement import arrange
from sltk.reports.assembly import write_report
from sltk.reports.comparisons import compare_with_baseline
from sltk.reports.discovery import collect
from sltk.reports.result_tables import choice_text
from sltk.reports.run_reader import read_run
from sltk.reports.run_records import read_records, write_records
from sltk.reports.significance_tables import significance_tables


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run that finds some spans and misses others."""
    folder = tmp_path_factory.mktemp("run") / "run"
    sltk.train(tiny.spec({"epochs": 10, "learning_rate": 0.02}, data=tiny.all_splits()), folder)
    return folder


def errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The standard error of a command that ends with exit code 2."""
    assert main(["report", *arguments]) == 2
    return capsys.readouterr().err


def test_counts_of_sentences_add_up_to_the_scores(run: Path) -> None:
    """The counts per sentence of a record, and its confusion, add up to the scores of metrics.json."""
    record = read_run(run)
    scores, counts = record.scores["test"], record.counts["test"]
    assert scores["predicted"] > 0
    assert len(counts.gold) == scores["sentences"]
    assert (sum(counts.gold), sum(counts.predicted)) == (scores["support"], scores["predicted"])
    assert sum(counts.correct) == scores["correct"]
    assert sum(n for gold, _, n in record.confusion["test"] if gold) == scores["support"]
    assert sum(n for gold, guess, n in record.confusion["test"] if gold == guess) == scores["correct"]


def test_records_read_back_as_they_were_written(tmp_path: Path) -> None:
    """Records survive writing and reading; large counts are written as numbers, small ones as digits."""
    records = study_records.study(["0011"], seeds=[1])
    counts = {"gold": [12, 3], "predicted": [11, 3], "correct": [10, 2]}
    large = records[0].model_copy(
        update={"counts": {"test": records[0].counts["test"].model_copy(update=counts)}}
    )
    write_records(tmp_path / "a.jsonl", [*records, large.model_copy(update={"seed": 2})])
    back = read_records(tmp_path / "a.jsonl")
    assert back[0].json_line() == records[0].json_line()
    assert back[1].counts["test"].gold == [12, 3]
    assert '"gold":"' in records[0].json_line()


def test_the_choice_by_validation_is_shown_with_its_distance_from_the_best() -> None:
    """The text has the best by validation, its test score, and its distance from the best test score."""
    records = study_records.study(["0000", "0001", "0011"], seeds=[1])
    f1 = {"0000": (0.5, 0.6), "0001": (0.7, 0.65), "0011": (0.6, 0.68)}
    for record in records:
        for split, value in zip(("validation", "test"), f1[record.mask or ""], strict=True):
            record.scores[split]["f1"] = value
    assert choice_text(arrange(records)[0]) == (
        "Best by validation: 0001, F1 70.00 (n = 1). On test it scores 65.00, 3.00 below the best, 0011."
    )


def test_runs_of_different_data_are_rejected_with_the_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Different test sentences end with exit code 2 and the keys that differ; nothing is written."""
    records = [*study_records.study(["00"], seeds=[1]), *study_records.study(["01"], seeds=[1], sentences=50)]
    write_records(tmp_path / "a.jsonl", records)
    message = errors([str(tmp_path / "a.jsonl"), "--output", str(tmp_path / "out")], capsys)
    assert "cannot be compared" in message
    assert "test.sentences: 60 → 50" in message
    assert "--tasks" in message
    assert not (tmp_path / "out").exists()


def test_a_sweep_over_data_sets_has_a_task_for_each(run: Path, tmp_path: Path) -> None:
    """A sweep whose plan varies the data is recognized."""
    (tmp_path / "runs").mkdir()
    shutil.copytree(run, tmp_path / "runs" / "one", ignore=shutil.ignore_patterns("model", "checkpoints"))
    plan = "sweep: {runs: {one: {data.train.limit: 9}, other: {data.train.limit: 8}}}\n"
    (tmp_path / "sweep.yaml").write_text(plan)
    assert collect([tmp_path]).varies_data
    (tmp_path / "sweep.yaml").write_text(plan.replace("data.train.limit", "seed"))
    assert not collect([tmp_path]).varies_data


def test_different_training_data_is_rejected() -> None:
    """Runs scored on the same sentences cannot be compared if they were trained on different data."""
    one, other = study_records.study(["00"], seeds=[1, 2])
    other.data["train"] = {"reader": {"type": "conll", "path": "other.train"}}
    with pytest.raises(UsageError, match=r"train\.reader\.path: news\.train → other\.train"):
        arrange([one, other])


def test_the_reader_of_the_same_gold_does_not_matter() -> None:
    """Test data with the same digest is the same data, whatever its path."""
    one, other = study_records.study(["00"], seeds=[1, 2])
    one.data["test"]["reader"] = {"type": "conll", "path": "a.conll"}
    other.data["test"]["reader"] = {"type": "conll", "path": "b.conll"}
    assert len(arrange([one, other])) == 1


def test_runs_scored_differently_are_rejected() -> None:
    """Strict and lenient scores cannot be compared; scores of different versions of sltk can."""
    one, other, newer = study_records.study(["00", "01", "11"], seeds=[1])
    other.scores["test"]["signature"] = "seqeval|mode:conlleval|sltk:0.1.0"
    newer.scores["test"]["signature"] = "seqeval|sltk:9.9"
    with pytest.raises(UsageError, match=r"test\.scored by: seqeval → seqeval\|mode:conlleval"):
        arrange([one, other])
    assert len(arrange([one, newer])) == 1


def test_other_settings_make_series() -> None:
    """If the learning rate varies too, each rate is a series, compared with its own 00."""
    records = [
        *study_records.study(["00", "01"], trainer={"learning_rate": 1e-4, "save_every": 5}),
        *study_records.study(["00", "01"], trainer={"learning_rate": 2e-4, "save_every": None}),
    ]
    (task,) = arrange(records)
    labels = [each.label for each in task.configurations]
    assert labels == [
        f"{mask}, learning_rate {rate}" for rate in ("0.0001", "0.0002") for mask in ("00", "01")
    ]
    pairs = [(each.one.label, each.other.label) for each in compare_with_baseline(task)]
    assert pairs == [(labels[1], labels[0]), (labels[3], labels[2])]


def test_settings_alone_are_configurations() -> None:
    """With equal masks, configurations are named after the settings that vary, sorted by number."""
    records = [each for size in (16, 8) for each in study_records.study(["01"], trainer={"batch_size": size})]
    assert [each.label for each in arrange(records)[0].configurations] == [
        "batch_size 8",
        "batch_size 16",
    ]


def test_a_baseline_can_be_chosen() -> None:
    """The baseline can be named; an unknown name is rejected with the nearest one."""
    records = study_records.study(["00", "01", "11"])
    comparisons = compare_with_baseline(arrange(records, baseline="11")[0])
    assert [(each.one.label, each.other.label) for each in comparisons] == [
        ("00", "11"),
        ("01", "11"),
    ]
    with pytest.raises(UsageError, match=r"no configuration `111`(.|\n)*did you mean `11`"):
        arrange(records, baseline="111")


def test_paired_tests_use_shared_seeds() -> None:
    """Runs are paired by seed; a note says that not all configurations have the same seeds."""
    records = [*study_records.study(["00"], seeds=[1, 2, 3]), *study_records.study(["01"], seeds=[2, 3, 4])]
    (task,) = arrange(records)
    assert compare_with_baseline(task)[0].tests[0].n == 2
    assert any("not all configurations have the same seeds" in note for note in task.notes())


def test_two_seeds_have_no_effect_size() -> None:
    """The table shows a dash instead of g, and says why."""
    for seeds, shown in ((1, 2), False), ((1, 2, 3), True):
        (task,) = arrange(study_records.study(["00", "01"], seeds))
        (table, *_) = significance_tables(task)
        assert (table.rows[0][table.columns.index("g")] != "–") == shown
        assert ("g is undefined for 2 pairs" in table.note) != shown


def test_differences_of_the_machine_are_noted() -> None:
    """Runs with one and with two threads are compared, with a note."""
    one, other = study_records.study(["00"], seeds=[1, 2])
    other.environment["threads"] = 2
    assert "runs differ in threads: 1, 2" in arrange([one, other])[0].notes()


def test_none_and_0000_are_one_configuration() -> None:
    """If masks are digits, `none` and `all` are the masks of zeros and of ones."""
    (task,) = arrange(study_records.study(["none", "0011", "all"], quality=lambda mask: 0.5))
    assert [each.label for each in task.configurations] == ["0000", "0011", "1111"]


def test_plain_tags_are_reported_by_accuracy(tmp_path: Path) -> None:
    """A run with plain tags is ranked by accuracy; its confusion counts words."""
    data = {
        "train": {"type": "conll", "path": str(tmp_path / "words.conll"), "scheme": "plain"},
        "test": {"type": "conll", "path": str(tmp_path / "words.conll"), "scheme": "plain"},
    }
    (tmp_path / "words.conll").write_text("The\tDET\nsoup\tNOUN\n\nA\tDET\nfork\tNOUN\n" * 4)
    spec = tiny.spec({"max_steps": 2}, data=data, scheme="plain", metrics=[{"type": "accuracy"}])
    sltk.train(spec, tmp_path / "run")
    done = write_report([tmp_path / "run"], tmp_path / "out")
    record = done.runs.records[0]
    assert sum(count for *_, count in record.confusion["test"]) == record.scores["test"]["words"] == 16
    assert (
        f"accuracy {100 * record.scores['test']['accuracy']:.2f}"
        in (tmp_path / "out" / "report.md").read_text()
    )


@pytest.fixture(scope="module")
def instructed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of `type: instruct`, barely trained."""
    folder = tmp_path_factory.mktemp("instruct") / "run"
    shape = {**tiny.LLAMA, "max_position_embeddings": 512}
    options = {"positive": "good", "negative": "bad", "neutral": "so so"}
    spec = tiny.spec(
        {"epochs": 3, "learning_rate": 0.02}, name="writes", data=tiny.all_splits(), type="instruct",
        backbone=tiny.backbone(config=shape, unmask="none"),
        instruct={"instruction": "name the dishes", "options": options, "max_response": 24},
    )  # fmt: skip
    del spec["head"]
    sltk.train(spec, folder)
    return folder


def test_responses_are_reported(instructed: Path, tmp_path: Path) -> None:
    """Counts of dropped pieces and the ceiling match metrics.json, also when read from records."""
    done = write_report([instructed], tmp_path / "out", records=tmp_path / "runs.jsonl")
    account = json.loads((instructed / "metrics.json").read_text())["test"]["responses"]
    text = (tmp_path / "out/report.md").read_text()
    table = text.split("### Responses")[1].split("###")[0]
    head, _, row = (line for line in table.splitlines() if line.startswith("|"))
    cells = dict(
        zip(*([cell.strip() for cell in line.split("|")[1:-1]] for line in (head, row)), strict=True)
    )
    for name, key in (("responses", "responses"), ("unknown type", "unknown_type"), ("cut", "cut")):
        assert cells[name] == str(account[key])
    assert cells["ceiling"] == f"{100 * account['ceiling']['f1']:.2f}"
    assert done.runs.records[0].scores["test"]["responses"] == account
    write_report([tmp_path / "runs.jsonl"], tmp_path / "again")
    assert (tmp_path / "again/report.md").read_text() == text


def test_tagger_and_instruct_runs_share_a_table(run: Path, instructed: Path, tmp_path: Path) -> None:
    """The labels of the two runs differ by `type`, not by every key that only one of them has."""
    records = collect([run, instructed]).records
    (task,) = arrange(records)
    labels = [each.label for each in task.configurations]
    assert len(labels) == 2
    assert sorted("type tagger" in label for label in labels) == [False, True]
    assert not any(
        word in label for label in labels for word in ("instruction", "template", "aligner", "options")
    )


def test_a_run_given_twice_counts_once(run: Path, tmp_path: Path) -> None:
    """The same run as a directory and as a record is one run, with a note."""
    write_records(tmp_path / "runs.jsonl", [read_run(run)])
    collection = collect([run, tmp_path, run.parent])
    assert len(collection.records) == 1
    assert collection.notes == ["1 run was given twice and counted once"]


def test_two_results_of_one_setting_and_seed_are_rejected() -> None:
    """A seed cannot be counted twice."""
    one, other = (
        study_records.study(["00"], seeds=[1]),
        study_records.study(["00"], seeds=[1], quality=lambda mask: 0.9),
    )
    with pytest.raises(UsageError, match="the same seed 1, but different results"):
        arrange([*one, *other])


def test_unfinished_runs_are_left_out_and_named(run: Path, tmp_path: Path) -> None:
    """A run without metrics is left out and named; alone it is an error."""
    for name in ("whole", "half"):
        shutil.copytree(run, tmp_path / name, ignore=shutil.ignore_patterns("model", "checkpoints"))
    (tmp_path / "half" / "metrics.json").unlink()
    collection = collect([tmp_path])
    assert (len(collection.records), collection.unfinished) == (1, [str(tmp_path / "half")])
    with pytest.raises(UsageError, match="no finished run"):
        collect([tmp_path / "half"])


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("metrics.json", "{", "the file is damaged"),
        ("metrics.json", "[]", "expected a mapping"),
        ("metrics.json", "[" * 100_000, "nested too deeply"),
        ("metrics.json", '{"validation": 3, "test": [], "train": null}', "`train`"),
        ("spec.yaml", "name: x\n", "no `seed`"),
        ("predictions/test.conll", "word\tO\n", "tab-separated"),
        ("predictions/test.conll", "word\tB-PER\tX-PER\n", "X-PER"),
        ("predictions/test.conll", "word\tB-positive\tO\n", "not the predictions that were scored"),
    ],
)  # fmt: skip
def test_damage_is_named(run: Path, tmp_path: Path, file: str, text: str, message: str) -> None:
    """An error names the damaged file of a run directory."""
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("model", "checkpoints"))
    (tmp_path / "run" / file).write_text(text)
    with pytest.raises(DataError, match=message) as error:
        collect([tmp_path / "run"])
    assert Path(file).name in str(error.value)


@pytest.mark.parametrize("line", ["[1]", "{", "[" * 100_000, '{"step": "x", "loss": 1}', '{"loss": "high"}'])
def test_a_damaged_line_of_a_log_is_skipped(run: Path, tmp_path: Path, line: str) -> None:
    """The learning curve has the other lines."""
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("model", "checkpoints"))
    log = tmp_path / "run/log.jsonl"
    expected = collect([tmp_path / "run"]).records[0].curve
    log.write_text(f"{line}\n{log.read_text()}")
    assert collect([tmp_path / "run"]).records[0].curve == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [("{}", "not a file of records"), ('{"record":1}', "`name`"), ('{"record":2', "not a record")],
)
def test_a_damaged_record_is_named_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    """The error for a damaged record names file and line."""
    (tmp_path / "a.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=message) as error:
        collect([tmp_path / "a.jsonl"])
    assert "a.jsonl:1" in str(error.value)


def test_a_folder_with_other_files_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that contains anything but a report is rejected before anything is read."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    message = errors([str(tmp_path), "--output", str(tmp_path / "mine")], capsys)
    assert "thesis.tex" in message
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("missing", ["nowhere", ""])
def test_nothing_to_report_on(tmp_path: Path, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing folder, or one without runs, is an error."""
    message = errors([str(tmp_path / missing)], capsys)
    assert "no such file or folder" in message or "no finished run" in message
