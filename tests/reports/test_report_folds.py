"""Reports of cross-validations, of learning curves by training data, and of classes of spans."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sltk
import study_records
import tiny
from sltk.components.readers.grammar import GrammarReader
from sltk.data.slices import DIMENSIONS
from sltk.errors import DataError, UsageError
from sltk.reports import fold_tables, size_curves, slice_tables
from sltk.reports.arrangement import arrange
from sltk.reports.assembly import write_report
from sltk.reports.comparisons import compare_with_baseline
from sltk.reports.discovery import collect
from sltk.reports.fold_pooling import pooled
from sltk.reports.run_records import RunRecord, SentenceCounts, read_records, write_records
from sltk.reports.significance.dependent_folds import corrected_interval, corrected_t
from sltk.reports.significance.paired import paired_t
from sltk.reports.significance.sentences import f1_interval, f1_intervals
from sltk.reports.stored_slices import class_counts, read_slices
from sltk.reports.study import StudyTask

SIZES = [21, 22, 23, 24]


def task(records: list[RunRecord]) -> StudyTask:
    (made,) = arrange(pooled(records)[0])
    return made


@pytest.fixture(scope="module")
def records() -> list[RunRecord]:
    return study_records.cross_validated()


def test_scores_are_computed_from_the_counts_of_all_folds(records: list[RunRecord]) -> None:
    """Each configuration and seed is one run whose counts are those of all test parts, in the order of folds."""
    scored, notes = pooled(list(reversed(records)))
    assert notes == []
    assert len(scored) == 4
    for run in scored:
        own = [each for each in records if (each.mask, each.seed) == (run.mask, run.seed)]
        counts = [each.counts["test"] for each in own]
        assert list(map(len, counts)) == SIZES
        gold, predicted, correct = (
            [n for each in counts for n in getattr(each, key)] for key in ("gold", "predicted", "correct")
        )
        assert run.counts["test"] == SentenceCounts(gold=gold, predicted=predicted, correct=correct)
        assert run.score("test") == pytest.approx(2 * sum(correct) / (sum(gold) + sum(predicted)))
        assert run.scores["test"]["recall"] == pytest.approx(sum(correct) / sum(gold))
        assert run.scores["test"]["words"] == 9 * sum(SIZES)
        assert len(set(run.documents["test"])) == sum(-(-size // 3) for size in SIZES)


def test_accuracy_is_pooled_by_words(records: list[RunRecord]) -> None:
    """Accuracy, which has no counts, is weighted by the words of a fold, so it is that of all words."""
    folds = [
        each.model_copy(
            update={"scores": {"test": {"accuracy": each.data["folds"]["fold"] / 10, "words": words}}}
        )
        for each, words in zip(
            [r for r in records if (r.mask, r.seed) == ("0000", 1)], (10, 10, 10, 70), strict=True
        )
    ]
    (run,), _ = pooled(folds)
    assert run.scores["test"]["accuracy"] == pytest.approx((1 + 2 + 3 + 28) / 100)


def test_tables_of_folds(records: list[RunRecord]) -> None:
    """The pooled score stands beside mean, deviation and range of the folds, each fold as mean over seeds."""
    made = task(records)
    table = fold_tables.score_table(made)
    for row, mask in zip(table.rows, ("0000", "1111"), strict=True):
        by_fold = [
            fmean(
                100 * (each.score("test") or 0)
                for each in records
                if each.mask == mask and each.data["folds"]["fold"] == fold
            )
            for fold in range(1, 5)
        ]
        assert row[3] == f"{fmean(by_fold):.2f} ± {stdev(by_fold):.2f}"
        assert row[4:6] == (f"{min(by_fold):.2f}", f"{max(by_fold):.2f}")
    assert "4 folds of documents (seed 42)" in table.note
    tests = fold_tables.test_table(made)
    assert tests is not None
    assert [row[0] for row in tests.rows] == ["1111 − 0000"]
    assert "Nadeau and Bengio (2003)" in tests.note
    assert f"{sum(SIZES) / (4 * 63):.2f} test sentences for each training sentence" in tests.note


def test_tests_draw_whole_documents(records: list[RunRecord]) -> None:
    """Where documents are cross-validated, randomisation and bootstrap see the counts of documents."""
    (comparison,) = compare_with_baseline(task(records))
    documents = sum(-(-size // 3) for size in SIZES)
    assert comparison.tests[2] is not None
    assert comparison.tests[2].n == documents
    (by_sentence,) = compare_with_baseline(task(study_records.cross_validated(by="sentence")))
    assert by_sentence.tests[2] is not None
    assert by_sentence.tests[2].n == sum(SIZES)
    assert by_sentence.tests[2].difference == pytest.approx(comparison.tests[2].difference)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=10), st.floats(0.01, 2))
def test_the_corrected_test_is_that_of_the_paper(pairs: list[tuple[float, float]], ratio: float) -> None:
    """t is the mean over s · sqrt(1/k + ratio), with k - 1 degrees of freedom; it is never the more liberal test."""
    from scipy import stats

    a, b = (list(side) for side in zip(*pairs, strict=True))
    differences = np.subtract(a, b)
    result, usual = corrected_t(a, b, ratio), paired_t(a, b)
    if result.p is None:
        assert usual.p is None
        return
    expected = differences.mean() / (differences.std(ddof=1) * np.sqrt(1 / len(pairs) + ratio))
    assert result.statistic == pytest.approx(expected)
    assert result.p == pytest.approx(2 * stats.t.sf(abs(expected), len(pairs) - 1))
    assert usual.p is not None
    assert result.p >= usual.p - 1e-12
    assert corrected_t(a, b, 0.0).p == pytest.approx(usual.p)
    interval = corrected_interval(a, b, ratio)
    assert interval.low is not None
    assert interval.high is not None
    assert (result.p < 0.05) == (not interval.low <= 0 <= interval.high) or result.p == pytest.approx(0.05)


def test_incomplete_folds(records: list[RunRecord]) -> None:
    """A set with a missing fold is left out and listed; if none is complete, that is an error with the missing ones."""
    scored, notes = pooled(records[1:])
    assert len(scored) == 3
    assert notes == [
        "left out because folds are missing: cv, mask 0000, seed 1, folds with seed 42: fold 1 of 4"
    ]
    few = [each for each in records if each.data["folds"]["fold"] in (1, 3)]
    with pytest.raises(UsageError, match="no cross-validation is complete") as caught:
        pooled(few)
    assert "missing: cv, mask 0000, seed 1, folds with seed 42: fold 2, 4 of 4" in str(caught.value)
    one = [each for each in records if each.data["folds"]["fold"] == 3]
    assert pooled(one) == (one, [])
    assert task(one).folds is None


def test_a_fold_counts_once(records: list[RunRecord]) -> None:
    """Two different results for one fold of a configuration and seed are refused."""
    other = records[0].model_copy(update={"scores": {"test": {"f1": 0.1}}})
    with pytest.raises(UsageError, match="fold 1 was run twice"):
        pooled([*records, other])


def test_a_learning_curve_over_folds() -> None:
    """Runs that differ in the limit of their training data are one task; each setting is a curve over its sizes."""
    records = [
        each for limit in (10, 20, 40) for each in study_records.cross_validated(limit=limit, seeds=[1])
    ]
    made = task(records)
    assert size_curves.has_sizes(made)
    rows = size_curves.table(made).rows
    assert [row[:3] for row in rows] == [
        (mask, size, "1") for mask in ("0000", "1111") for size in ("10", "20", "40")
    ]
    assert rows[0][5] == ""
    assert float(rows[1][5]) == pytest.approx(float(rows[1][3]) - float(rows[0][3]), abs=0.011)
    assert not size_curves.has_sizes(task(study_records.cross_validated(limit=10)))


def test_a_learning_curve_by_the_limit_of_train() -> None:
    """`data.train.limit` is a setting, not other data, as long as the test data is the same; other keys are data."""
    limited = []
    for limit in (5, 50, None):
        for each in study_records.study(["00"], seeds=[1]):
            reader = {**each.data["train"]["reader"], "limit": limit}
            update = {"data": {**each.data, "train": {"reader": reader}}, "train_sentences": limit or 70}
            limited.append(each.model_copy(update=update))
    (made,) = arrange(limited)
    assert [row[1] for row in size_curves.table(made).rows] == ["5", "50", "70"]
    limited[0].data["train"]["reader"]["path"] = "other"
    with pytest.raises(UsageError, match="2 different data sets"):
        arrange(limited)


def test_classes_are_counted_by_sentence() -> None:
    """Letters and digits of codes become gold, predicted and correct counts of each class."""
    counts = class_counts(["b00000g01000", "", "p01001b01001"], 1)
    assert counts[0] == SentenceCounts(gold=[1, 0, 0], predicted=[1, 0, 0], correct=[1, 0, 0])
    assert counts[1] == SentenceCounts(gold=[1, 0, 1], predicted=[0, 0, 2], correct=[0, 0, 1])
    for dimension, names in enumerate(DIMENSIONS.values()):
        assert len(class_counts(["b00000g01000"], dimension)) == len(names)


def test_intervals_of_classes_are_those_of_each_class(records: list[RunRecord]) -> None:
    """One set of resamples gives the interval that the bootstrap of a class alone gives."""
    one, other = (each.counts["test"] for each in records[:2])
    groups = [([one], [other]), ([other], [one])]
    assert f1_intervals(groups, draws=50) == [f1_interval(*group, draws=50) for group in groups]


def test_where_one_configuration_wins(records: list[RunRecord]) -> None:
    """Each class has the number of its gold spans, and F1 of both configurations from its own spans."""
    ((one, other, rows),) = slice_tables.slice_pairs(task(records))
    assert (one.label, other.label) == ("1111", "0000")
    by_class = {(row.dimension, row.name): row for row in rows}
    runs = list(one.runs.values())
    gold, predicted, correct = (
        [sum(getattr(run.counts["test"], key)) for run in runs] for key in ("gold", "predicted", "correct")
    )
    everything = by_class["sentence length", "1 to 10 words"]
    assert everything.gold == gold[0]
    scores = [2 * c / (g + p) for g, p, c in zip(gold, predicted, correct, strict=True)]
    assert everything.one == pytest.approx(fmean(scores))
    first = [
        (sum(n > 0 for n in run.counts["test"].gold), sum(n > 0 for n in run.counts["test"].correct))
        for run in runs
    ]
    assert by_class["span length", "1 word"].gold == first[0][0]
    expected = fmean(2 * right / (all_of + right) for all_of, right in first)
    assert by_class["span length", "1 word"].one == pytest.approx(expected)
    assert ("span length", "3") not in by_class


def test_classes_that_depend_on_other_training_data_are_not_compared(records: list[RunRecord]) -> None:
    """Runs of different training data have their gold spans in different classes: these are left out."""
    changed = [
        each.model_copy(
            update={"slices": {"test": [code.replace("00000", "00100") for code in each.slices["test"]]}}
        )
        if each.mask == "1111"
        else each
        for each in records
    ]
    ((_, _, rows),) = slice_tables.slice_pairs(task(changed))
    assert {row.dimension for row in rows} == set(DIMENSIONS) - {"same span in training"}


def test_runs_of_folds_are_read_as_one(tmp_path: Path) -> None:
    """A sweep over folds is one run of the report, whose counts and classes cover each sentence of the data once."""
    spec = tiny.spec({"max_steps": 1, "epochs": 1}, executor={"type": "local", "isolated": False})
    spec["data"] = {"train": {"type": "grammar", "count": 10}, "folds": {"k": 2}}
    outcome = sltk.sweep(spec, tmp_path / "cv")
    assert outcome.names("done") == ["fold=1", "fold=2"]
    (run,), notes = pooled(collect([tmp_path / "cv"]).records)
    assert notes == []
    assert (len(run.counts["test"]), run.train_sentences) == (10, 5)
    sentences = list(GrammarReader(count=10).read())
    gold = sum(tag.startswith("B-") for sentence in sentences for tag in sentence.tags or ())
    assert (sum(run.counts["test"].gold), run.scores["test"]["support"]) == (gold, gold)
    assert sum(code.count("g") + code.count("b") for code in run.slices["test"]) == gold
    assert sum(sum(counts.predicted) for counts in class_counts(run.slices["test"], 4).values()) == sum(
        run.counts["test"].predicted
    )


def test_a_report_of_folds(records: list[RunRecord], tmp_path: Path) -> None:
    """The report has the tables, counts the runs of folds, and is the same from records."""
    write_records(tmp_path / "cv.jsonl", records)
    assert sorted(each.json_line() for each in read_records(tmp_path / "cv.jsonl")) == sorted(
        each.json_line() for each in records
    )
    report = write_report(tmp_path / "cv.jsonl", tmp_path / "report", records=tmp_path / "again.jsonl")
    text = (report.folder / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# Report on 16 runs")
    for title in ("### Cross-validation", "### Differences over folds", "### Where 1111 wins over 0000"):
        assert title in text
    assert "approximate randomisation over documents" in text
    assert (report.folder / "figures" / "slices.svg").exists()
    assert (report.folder / "results.csv").read_text(encoding="utf-8").splitlines()[0].endswith(",fold")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "cv.jsonl").read_bytes()


def test_damaged_classes_are_an_error(tmp_path: Path) -> None:
    """A file that does not have the form of `slices.json` is reported with its name; without one, there are none."""
    assert read_slices(tmp_path, ["test"], by_document=True) == {}
    path = tmp_path / "slices.json"
    path.write_text('{"format": 1, "splits": {"test": {"documents": [0, 0], "spans": ["b01234", "b0"]}}}')
    with pytest.raises(DataError, match=r"slices\.json"):
        read_slices(tmp_path, ["test"], by_document=True)
    path.write_text('{"format": 1, "splits": {"test": {"documents": [0, 0], "spans": ["b01234", ""]}}}')
    expected = {"slices": {"test": ["b01234", ""]}, "documents": {"test": [0, 0]}, "positions": {}}
    assert read_slices(tmp_path, ["validation", "test"], by_document=True) == expected
