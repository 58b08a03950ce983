"""Tables of a cross-validation: pooled scores beside those of folds and of repetitions, and tests over folds."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from .comparisons import Comparison, compare_declared, compare_with_baseline
from .result_tables import ResultTable
from .significance.dependent_folds import corrected_interval, corrected_t
from .significance.paired import holm
from .significance_tables import interval_text, p_text
from .study import Configuration, StudyTask, Summary, points

_Fold = tuple[int, int]
"""The seed of the folds, and the number of one of them."""


def fold_scores(
    configuration: Configuration, split: str, seeds: Iterable[int] | None = None
) -> dict[_Fold, float]:
    """The score of each fold of each repetition: its mean over the seeds of runs, by default all of them."""
    scores: dict[_Fold, list[float]] = {}
    for seed in configuration.runs if seeds is None else seeds:
        for run in configuration.runs[seed].fold_runs:
            folds = run.data["folds"]
            if (score := run.score(split)) is not None:
                scores.setdefault((int(folds.get("seed", 0)), int(folds["fold"])), []).append(score)
    return {fold: fmean(values) for fold, values in scores.items()}


def score_table(task: StudyTask) -> ResultTable:
    """Pooled scores, and mean, deviation and range of the scores of folds."""
    split = task.splits[-1]
    rows = []
    for each in task.configurations:
        scores = list(fold_scores(each, split).values())
        sizes = [run.train_sentences for run in each.runs.values() if run.train_sentences is not None]
        rows.append((
            each.label, str(len(each.runs)), *([str(_repetitions(task))] if _is_repeated(task) else []),
            points(each.summary(split).mean), Summary.of(scores).points(),
            points(min(scores)), points(max(scores)), f"{fmean(sizes):,.0f}" if sizes else "",
        ))  # fmt: skip
    columns = (
        "configuration",
        "seeds",
        *(["repetitions"] if _is_repeated(task) else []),
        "pooled",
        "mean of folds",
        "lowest fold",
        "highest fold",
        "trained on",
    )
    return ResultTable("Cross-validation", columns, rows, f"{_design(task)} {_meaning(task)}")


def _is_repeated(task: StudyTask) -> bool:
    return "seeds" in (task.folds or {})


def _repetitions(task: StudyTask) -> int:
    """The number of repetitions of each seed of runs."""
    return len(next(task.records()).passes)


def _design(task: StudyTask) -> str:
    folds = task.folds or {}
    parts = f"{folds.get('k')} folds of {folds.get('by')}s"
    if not _is_repeated(task):
        design = f"{parts} (seed {folds.get('seed')})"
    elif _repetitions(task) == 1:
        design = f"{parts}, others for each seed (their seeds: {_listed(folds['seeds'])})"
    else:
        design = f"{_repetitions(task)} repetitions of {parts} (seeds {_listed(folds['seeds'])})"
    within = " of a repetition" if _is_repeated(task) else ""
    return f"{design}; {task.measure_name} in points. Each sentence is in the test part of exactly one fold{within}."


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds))


def _meaning(task: StudyTask) -> str:
    is_repeated = _is_repeated(task)
    how = (
        "from the counts of all folds together"
        if task.measure == "f1"
        else "from all words of all folds together"
    )
    within = ", for each repetition on its own" if is_repeated else ""
    over, of = (
        ("repetitions and seeds", "the scores of all folds") if is_repeated else ("seeds", "their scores")
    )
    return (
        f"The pooled score is computed {how}{within}, as mean over {over}; all other tables use it. The mean of folds "
        f"is the mean of {of} ± the sample standard deviation, "
        "which is not an error of the pooled score. The last column is the number of training sentences of a fold."
    )


def repetition_table(task: StudyTask) -> ResultTable | None:
    """The pooled score of each repetition; None unless the folds have several seeds."""
    if not _is_repeated(task):
        return None
    split, seeds = task.splits[-1], (task.folds or {})["seeds"]
    rows = []
    for each in task.configurations:
        pooled: dict[int, list[float]] = {seed: [] for seed in seeds}
        for run in (run for record in each.runs.values() for run in record.passes):
            if (score := run.score(split)) is not None:
                pooled[int(run.data["folds"].get("seed", 0))].append(score)
        means = [fmean(scores) if scores else None for scores in pooled.values()]
        known = Summary.of([mean for mean in means if mean is not None])
        rows.append((each.label, *map(points, means), known.points()))
    note = (
        f"Pooled {task.measure_name} in points by the seed of the folds, as mean over the seeds of runs; then mean ± "
        "sample standard deviation over repetitions. It shows how much a score depends on the division into folds. All "
        "repetitions have the same sentences, so it does not show what other data would give."
    )
    return ResultTable(
        "Repetitions", ("configuration", *(f"folds {seed}" for seed in seeds), "mean"), rows, note
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
        difference = points(test.difference, sign=True)
        rows.append((each.label, str(test.n), difference, interval, t, ps, "; ".join(test.notes)))
    columns = ("comparison", "n", "mean difference", "95 % (folds)", "t", "p corrected t", "notes")
    return ResultTable("Differences over folds", columns, rows, _test_note(task, ratio))


def _test_note(task: StudyTask, ratio: float) -> str:
    unit = task.unit
    n = "n folds of all repetitions" if _is_repeated(task) else "n folds"
    more = "Folds of different repetitions share training and test sentences. " if _is_repeated(task) else ""
    return (
        f"Differences in {task.measure_name} of {n}, as means over the seeds that both have. Folds share most of "
        f"their training sentences, so their scores depend on each other, and the usual t-test over folds rejects too "
        f"often. {more}This is the corrected resampled t-test of Nadeau and Bengio (2003), with n − 1 degrees of "
        f"freedom and the variance s² (1/n + {ratio:.2f}) of the mean, with {ratio:.2f} test sentences for each "
        "training sentence. In brackets: after "
        f"Holm's correction. The tests over {unit}s in the table above draw {unit}s from all test parts together. They "
        "need no such correction, because they take the trained models as given; so they say nothing about models "
        "trained on other data."
    )


def _sides(each: Comparison, split: str) -> tuple[list[float], list[float]]:
    """The scores of both sides by fold; with `against`, the two differences."""
    members = [each.one, each.other, *(each.against or ())]
    seeds = [seed for seed in each.one.runs if all(seed in other.runs for other in members)]
    by_fold = [fold_scores(member, split, seeds) for member in members]
    folds = [fold for fold in by_fold[0] if all(fold in scores for scores in by_fold)]
    scores = [[each[fold] for fold in folds] for each in by_fold]
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
