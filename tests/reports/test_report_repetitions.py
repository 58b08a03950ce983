"""Reports of repeated cross-validation: several divisions of the same data into folds."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest

import sltk
import study_records
import tiny
from sltk.components.readers.grammar import GrammarReader
from sltk.errors import UsageError
from sltk.reports import fold_tables, slice_tables
from sltk.reports.arrangement import arrange
from sltk.reports.assembly import write_report
from sltk.reports.comparisons import compare_with_baseline
from sltk.reports.discovery import collect
from sltk.reports.fold_pooling import pooled
from sltk.reports.run_records import RunRecord, write_records
from sltk.reports.significance.dependent_folds import corrected_interval, corrected_t
from sltk.reports.study import StudyTask

FOLD_SEEDS = (42, 43, 44)


def task(records: list[RunRecord]) -> StudyTask:
    (made,) = arrange(pooled(records)[0])
    return made


@pytest.fixture(scope="module")
def records() -> list[RunRecord]:
    return study_records.repeated_folds()


def pooled_f1(runs: list[RunRecord]) -> float:
    """F1 of the test parts of all runs together."""
    counts = [run.counts["test"] for run in runs]
    correct = sum(sum(each.correct) for each in counts)
    return 2 * correct / sum(sum(each.gold) + sum(each.predicted) for each in counts)


def test_scores_are_means_of_pooled_scores(records: list[RunRecord]) -> None:
    """A configuration and seed is one run; its score is the mean over repetitions of the score of all its folds."""
    scored, notes = pooled(records)
    assert notes == []
    assert [(run.mask, run.seed) for run in scored] == [("0000", 1), ("0000", 2), ("1111", 1), ("1111", 2)]
    for run in scored:
        own = [each for each in records if (each.mask, each.seed) == (run.mask, run.seed)]
        repetitions = [[each for each in own if each.data["folds"]["seed"] == seed] for seed in FOLD_SEEDS]
        assert run.score("test") == pytest.approx(fmean(map(pooled_f1, repetitions)))
        assert run.data["folds"]["seeds"] == list(FOLD_SEEDS)
        assert run.data["test"]["sentences"] == 60
        assert len(run.fold_runs) == 12


def test_repetitions_have_the_sentences_in_the_order_of_the_data(records: list[RunRecord]) -> None:
    """Tests over sentences compare a sentence with itself: all repetitions have the same gold at the same place."""
    for run in pooled(records)[0]:
        assert [each.counts["test"].gold for each in run.passes] == [[place % 4 for place in range(60)]] * 3
    (comparison,) = compare_with_baseline(task(records))
    assert [len(side) for side in comparison.counts] == [6, 6]
    test = comparison.tests[2]
    assert test is not None
    assert test.n == 60
    assert test.difference == pytest.approx(comparison.tests[0].difference)


def test_documents_are_the_same_units_in_all_repetitions() -> None:
    """Where documents are divided, tests draw whole documents: the same ones in each repetition."""
    made = task(study_records.repeated_folds(by="document"))
    assert made.unit == "document"
    (comparison,) = compare_with_baseline(made)
    expected = [sum(place % 4 for place in range(first, first + 3)) for first in range(0, 60, 3)]
    assert [run.gold for side in comparison.counts for run in side] == [expected] * 12
    assert "3 repetitions of 4 folds of documents" in fold_tables.score_table(made).note


def test_tables_of_repetitions(records: list[RunRecord]) -> None:
    """The report shows the number of repetitions, each pooled score, and their mean and deviation."""
    made = task(records)
    table, repetitions = fold_tables.score_table(made), fold_tables.repetition_table(made)
    assert "3 repetitions of 4 folds of sentences (seeds 42, 43, 44)" in table.note
    assert repetitions is not None
    assert repetitions.columns == ("configuration", "folds 42", "folds 43", "folds 44", "mean")
    for row, shown, mask in zip(table.rows, repetitions.rows, ("0000", "1111"), strict=True):
        means = [
            fmean(
                100 * pooled_f1([
                    each for each in records
                    if (each.mask, each.seed, each.data["folds"]["seed"]) == (mask, seed, fold_seed)
                ])
                for seed in (1, 2)
            )
            for fold_seed in FOLD_SEEDS
        ]  # fmt: skip
        assert row[:4] == (mask, "2", "3", f"{fmean(means):.2f}")
        assert shown == (mask, *(f"{mean:.2f}" for mean in means), f"{fmean(means):.2f} ± {stdev(means):.2f}")
    assert fold_tables.repetition_table(task(study_records.cross_validated())) is None


def test_the_corrected_test_is_over_all_folds_of_all_repetitions(records: list[RunRecord]) -> None:
    """t has k · r differences, each the mean over seeds of runs, with test/train of one fold in its variance."""

    def side(mask: str) -> list[float]:
        return [
            fmean(
                each.score("test") or 0.0
                for each in records
                if (each.mask, each.data["folds"]["seed"], each.data["folds"]["fold"])
                == (mask, fold_seed, fold)
            )
            for fold_seed in FOLD_SEEDS
            for fold in range(1, 5)
        ]

    expected = corrected_t(side("1111"), side("0000"), 15 / 45)
    interval = corrected_interval(side("1111"), side("0000"), 15 / 45)
    table = fold_tables.test_table(task(records))
    assert table is not None
    ((_, n, difference, ends, t, p, _),) = table.rows
    assert n == "12"
    assert float(difference) == pytest.approx(100 * expected.difference, abs=0.005)
    assert float(t) == pytest.approx(expected.statistic, abs=0.005)
    assert interval.low is not None
    assert ends.startswith(f"{100 * interval.low:+.2f}")
    assert expected.p is not None
    assert p.startswith("< 0.001" if expected.p < 0.001 else f"{expected.p:.3f}")
    assert "12" not in table.note
    assert "n − 1 degrees of freedom" in table.note


def test_other_folds_with_each_seed(records: list[RunRecord]) -> None:
    """Runs whose seed and division into folds vary together are one task: each seed has one division."""
    nested = [each for each in records if each.data["folds"]["seed"] == 41 + each.seed]
    made = task(nested)
    assert [list(each.runs) for each in made.configurations] == [[1, 2], [1, 2]]
    assert (
        "4 folds of sentences, others for each seed (their seeds: 42, 43)"
        in fold_tables.score_table(made).note
    )
    tests = fold_tables.test_table(made)
    assert tests is not None
    assert tests.rows[0][1] == "8"
    (comparison,) = compare_with_baseline(made)
    assert [run.gold for side in comparison.counts for run in side] == [[n % 4 for n in range(60)]] * 4


def test_missing_repetitions(records: list[RunRecord]) -> None:
    """A configuration and seed with fewer repetitions than others is left out and listed."""
    last = {"0000": 44, "1111": 43}
    fewer = [
        each for each in records if each.seed == 1 and each.data["folds"]["seed"] <= last[each.mask or ""]
    ]
    scored, notes = pooled(fewer)
    assert [run.mask for run in scored] == ["0000"]
    assert notes == [
        "left out because repetitions are missing: cv, mask 1111, seed 1 has 2 of 3 (folds with seed 42, 43; others "
        "have 42, 43, 44)"
    ]


def test_configurations_need_the_same_folds(records: list[RunRecord]) -> None:
    """One seed on other folds in each configuration is refused: their scores differ by the folds too."""
    seeds = {"0000": 42, "1111": 43}
    crossed = [each for each in records if each.data["folds"]["seed"] == seeds[each.mask or ""]]
    with pytest.raises(UsageError, match="2 different data sets") as caught:
        task(crossed)
    assert "folds.seed: 42 → 43" in str(caught.value)


def test_changed_data_is_no_repetition(records: list[RunRecord]) -> None:
    """Gold that differs under the same division into folds stays an error."""
    changed = [
        each.model_copy(update={"data": {**each.data, "test": {**each.data["test"], "gold": "edited"}}})
        if each.mask == "1111"
        else each
        for each in records
    ]
    with pytest.raises(UsageError, match="different data sets"):
        task(changed)


def test_runs_without_positions_have_no_tests_over_sentences(records: list[RunRecord]) -> None:
    """Without the positions of sentences, repetitions cannot be aligned: the report says so instead of guessing."""
    old = [each.model_copy(update={"positions": {}}) for each in records]
    scored, notes = pooled(old)
    assert len(notes) == 1
    assert notes[0].startswith("no tests over sentences, because some runs")
    made = task(old)
    (comparison,) = compare_with_baseline(made)
    assert comparison.tests[2] is None
    assert comparison.intervals[1] is None
    assert slice_tables.slice_pairs(made) == []
    assert [run.score("test") for run in scored] == [run.score("test") for run in pooled(records)[0]]


def test_classes_of_spans_in_repetitions(records: list[RunRecord]) -> None:
    """F1 in a class is the mean over repetitions and seeds, also where classes depend on the training data."""
    changed = [
        each.model_copy(
            update={"slices": {"test": [code.replace("00000", "00100") for code in each.slices["test"]]}}
        )
        if each.data["folds"]["seed"] == 43
        else each
        for each in records
    ]
    ((_, _, rows),) = slice_tables.slice_pairs(task(changed))
    by_class = {(row.dimension, row.name): row for row in rows}
    gold = sum(place % 4 for place in range(60))
    assert by_class["sentence length", "1 to 10 words"].gold == gold
    assert by_class["same span in training", "never"].gold < gold
    scores = [pooled_f1([e for e in records if (e.mask, e.seed, e.data["folds"]["seed"]) == ("1111", seed, fold_seed)])
              for seed in (1, 2) for fold_seed in FOLD_SEEDS]  # fmt: skip
    assert by_class["sentence length", "1 to 10 words"].one == pytest.approx(fmean(scores))


def test_a_sweep_over_seeds_of_folds(tmp_path: Path) -> None:
    """A sweep over `data.folds.seed` trains all folds of each division; its report has the data in one order."""
    spec = tiny.spec({"max_steps": 1, "epochs": 1}, executor={"type": "local", "isolated": False})
    spec["data"] = {"train": {"type": "grammar", "count": 8}, "folds": {"k": 2}}
    spec["sweep"] = {"grid": {"data.folds.seed": [1, 2]}}
    outcome = sltk.sweep(spec, tmp_path / "cv")
    assert len(outcome.names("done")) == 4
    runs = collect([tmp_path / "cv"]).records
    (run,), notes = pooled(runs)
    assert notes == []
    sentences = list(GrammarReader(count=8).read())
    gold = [sum(tag.startswith("B-") for tag in sentence.tags or ()) for sentence in sentences]
    assert [each.counts["test"].gold for each in run.passes] == [gold, gold]
    assert [each.positions["test"] for each in run.passes] == [list(range(8))] * 2
    parts = [each.positions["test"] for each in runs]
    assert len(set(map(tuple, parts))) == 4


def test_a_report_of_repetitions(records: list[RunRecord], tmp_path: Path) -> None:
    """The report is one task with the tables of repetitions; runs are listed with the seed of their folds."""
    write_records(tmp_path / "cv.jsonl", records)
    report = write_report(tmp_path / "cv.jsonl", tmp_path / "report")
    text = (report.folder / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# Report on 48 runs")
    for part in (
        "### Cross-validation",
        "### Repetitions",
        "### Differences over folds",
        "cv, folds 43, fold 2",
    ):
        assert part in text
    lines = (report.folder / "results.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].endswith(",fold_seed,fold")
    assert {tuple(line.split(",")[-2:]) for line in lines[1:]} == {
        (str(seed), str(fold)) for seed in FOLD_SEEDS for fold in range(1, 5)
    }
    assert np.isfinite(report.tasks[0].configurations[0].summary("test").mean)
