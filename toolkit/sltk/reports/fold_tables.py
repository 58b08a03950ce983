"""Tables of a cross-validation: pooled scores beside those of folds, and tests over folds."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from .comparisons import Comparison, compare_declared, compare_with_baseline
from .result_tables import ResultTable
from .significance.dependent_folds import corrected_interval, corrected_t
from .significance.paired import holm
from .significance_tables import interval_text, p_text
from .study import Configuration, StudyTask, Summary, points


def fold_scores(configuration: Configuration, split: str, seeds: Sequence[int] | None = None) -> list[float]:
    """The score of each fold: its mean over seeds, by default all of them."""
    runs = [configuration.runs[seed].fold_runs for seed in (configuration.runs if seeds is None else seeds)]
    by_fold = [[record.score(split) for record in folds] for folds in zip(*runs, strict=True)]
    return [fmean(score for score in scores if score is not None) for scores in by_fold]


def score_table(task: StudyTask) -> ResultTable:
    """Pooled scores, and mean, deviation and range of the scores of folds."""
    split = task.splits[-1]
    rows = []
    for each in task.configurations:
        scores = fold_scores(each, split)
        sizes = [run.train_sentences for run in each.runs.values() if run.train_sentences is not None]
        rows.append((
            each.label, str(len(each.runs)), points(each.summary(split).mean), Summary.of(scores).points(),
            points(min(scores)), points(max(scores)), f"{fmean(sizes):,.0f}" if sizes else "",
        ))  # fmt: skip
    columns = (
        "configuration",
        "seeds",
        "pooled",
        "mean of folds",
        "lowest fold",
        "highest fold",
        "trained on",
    )
    return ResultTable("Cross-validation", columns, rows, f"{_design(task)} {_meaning(task)}")


def _design(task: StudyTask) -> str:
    folds = task.folds or {}
    return (
        f"{folds.get('k')} folds of {folds.get('by')}s (seed {folds.get('seed')}); {task.measure_name} in points. "
        "Each sentence is in the test part of exactly one fold."
    )


def _meaning(task: StudyTask) -> str:
    how = (
        "from the counts of all folds together"
        if task.measure == "f1"
        else "from all words of all folds together"
    )
    return (
        f"The pooled score is computed {how}, as mean over seeds; all other tables use it. The mean of folds is the "
        "mean of their scores ± the sample standard deviation, which is not an error of the pooled score. The last "
        "column is the number of training sentences of a fold."
    )


def test_table(task: StudyTask) -> ResultTable | None:
    """The corrected t-test over folds of each comparison; None without a comparison."""
    family = compare_declared(task) if task.compare else compare_with_baseline(task)
    if not family:
        return None
    split, ratio = task.splits[-1], _ratio(task)
    sides = [_sides(each, split) for each in family]
    tests = [corrected_t(*both, ratio) for both in sides]
    corrected = holm([test.p for test in tests])
    rows = []
    for each, both, test, p in zip(family, sides, tests, corrected, strict=True):
        t = "" if test.statistic is None else f"{test.statistic:.2f}"
        interval = interval_text(corrected_interval(*both, ratio))
        ps = "–" if test.p is None else f"{p_text(test.p)} ({p_text(p)})"
        rows.append((each.label, points(test.difference, sign=True), interval, t, ps, "; ".join(test.notes)))
    columns = ("comparison", "mean difference", "95 % (folds)", "t", "p corrected t", "notes")
    return ResultTable("Differences over folds", columns, rows, _test_note(task, ratio))


def _test_note(task: StudyTask, ratio: float) -> str:
    unit = task.unit
    return (
        f"Differences in {task.measure_name} by fold, as means over the seeds that both have. Folds share most of "
        "their training sentences, so their scores depend on each other, and the usual t-test over folds rejects too "
        "often: this is the corrected resampled t-test of Nadeau and Bengio (2003), whose variance is "
        f"s² (1/k + {ratio:.2f}), with {ratio:.2f} test sentences for each training sentence. In brackets: after "
        f"Holm's correction. The tests over {unit}s in the table above draw {unit}s from all test parts together. They "
        "need no such correction, because they take the trained models as given; so they say nothing about models "
        "trained on other data."
    )


def _sides(each: Comparison, split: str) -> tuple[list[float], list[float]]:
    """The scores of both sides by fold; with `against`, the two differences."""
    members = [each.one, each.other, *(each.against or ())]
    seeds = [seed for seed in each.one.runs if all(seed in other.runs for other in members)]
    scores = [fold_scores(member, split, seeds) for member in members]
    if each.against is None:
        return scores[0], scores[1]
    one, other = ([a - b for a, b in zip(*pair, strict=True)] for pair in (scores[:2], scores[2:]))
    return one, other


def _ratio(task: StudyTask) -> float:
    """Test sentences divided by training sentences of a fold; 1 / (k - 1) if the runs do not say."""
    folds = [run for record in task.records() for run in record.fold_runs]
    split = task.splits[-1]
    sizes = [(run.data.get(split, {}).get("sentences"), run.train_sentences) for run in folds]
    known = [(test, train) for test, train in sizes if test and train]
    if len(known) < len(sizes) or not known:
        return 1 / (int((task.folds or {})["k"]) - 1)
    return float(sum(test for test, _ in known) / sum(train for _, train in known))
