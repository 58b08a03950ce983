"""The tables of a report, as text; HTML, Markdown and the terminal show the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .comparisons import Comparison, Evidence, Unmasking
from .run_records import RunRecord
from .significance.paired import TestResult
from .study import Configuration, Study, StudyTask, points


@dataclass(frozen=True)
class ResultTable:
    """Columns and rows of text; the rows named in `strong` stand out."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""
    strong: frozenset[int] = frozenset()


def score_table(task: StudyTask) -> ResultTable:
    """Mean ± sample sd of each configuration, with n; the best by validation stands out."""
    rows = [_score_row(task, each) for each in task.configurations]
    best = task.best(task.splits[0])
    columns = ("configuration", "n", *task.splits, "seconds", "words/s")
    note = f"{task.measure_name} in points, mean ± sample standard deviation over n seeds."
    if len(rows) > 1:
        note += f" In bold the best by {task.splits[0]}."
    return ResultTable(
        "Scores", columns, rows, note, frozenset({task.configurations.index(best)} if len(rows) > 1 else ())
    )


def _score_row(task: StudyTask, configuration: Configuration) -> tuple[str, ...]:
    scores = [summary.points() for split in task.splits if (summary := configuration.summary(split))]
    seconds, rate = configuration.cost("seconds"), configuration.cost("words_per_second")
    costs = ("" if value is None else f"{value:,.0f}" for value in (seconds, rate))
    return (configuration.label, str(len(configuration.runs)), *scores, *costs)


def choice_text(task: StudyTask) -> str:
    """Which configuration validation chooses, its test score, and how far that is from the best test score."""
    first = task.splits[0]
    chosen = task.best(first)
    summary = chosen.summary(first)
    assert summary is not None
    if len(task.configurations) == 1:
        scores = (f"{each.points()} on {split}" for split in task.splits if (each := chosen.summary(split)))
        return f"{chosen.label} has {task.measure_name} " + ", ".join(scores) + f" (n = {summary.n})."
    text = f"Best by {first}: {chosen.label}, {task.measure_name} {summary.points()} (n = {summary.n})."
    if task.splits != ["validation", "test"]:
        return text
    test, best = chosen.summary("test"), task.best("test")
    assert test is not None
    behind = best.mean("test") - test.mean
    if best is chosen:
        return f"{text} On test it has {test.points()}, the best of all."
    return f"{text} On test it has {test.points()}, {points(behind)} below the best, {best.label}."


def type_table(task: StudyTask) -> ResultTable:
    """Precision, recall and F1 of each type in the configuration that is best by validation."""
    best, split = task.best(task.splits[0]), task.splits[-1]
    scores = [record.scores[split].get("per_type", {}) for record in best.runs.values()]
    names = sorted({name for each in scores for name in each})
    rows = []
    for name in names:
        found = [each[name] for each in scores if name in each]
        means = [sum(one[key] for one in found) / len(found) for key in ("precision", "recall", "f1")]
        rows.append((name, *map(points, means), f"{found[0].get('support', 0):,}"))
    note = f"{best.label} on {split}, mean of {len(best.runs)} seed{'s' if len(best.runs) > 1 else ''}."
    return ResultTable("Types", ("type", "precision", "recall", "F1", "support"), rows, note)


def comparison_table(task: StudyTask, evidence: Evidence) -> ResultTable | None:
    """Each configuration against its baseline; None where there is nothing to compare."""
    family = evidence.comparisons
    if not family:
        return None
    others = list(dict.fromkeys(each.other.label for each in family))
    common = [note for note in family[0].notes() if all(note in each.notes() for each in family)]
    own = ["; ".join(note for note in each.notes() if note not in common) for each in family]
    columns: tuple[str, ...] = (
        "configuration", "seeds", "difference", "95 % (seeds, t)", "95 % (sentences)",
        "p t", "p sign flip", "p randomisation", "g",
    )  # fmt: skip
    rows = [_comparison_row(each, several=len(others) > 1) for each in family]
    if any(own):
        columns, rows = (*columns, "notes"), [(*row, note) for row, note in zip(rows, own, strict=True)]
    note = (
        f"Two-sided tests of {task.measure_name} on {evidence.split} against {', '.join(others)}: p, and in "
        f"brackets p after Holm's correction over {len(family)} comparisons. t and sign flip are over seeds, "
        "approximate randomisation over sentences; the second interval is a bootstrap over sentences. "
        "g is the mean difference in standard deviations, corrected for few seeds."
    )
    return ResultTable("Differences", columns, rows, " ".join([note, *(f"Note: {each}." for each in common)]))


def _comparison_row(each: Comparison, *, several: bool) -> tuple[str, ...]:
    name = f"{each.one.label} − {each.other.label}" if several else each.one.label
    intervals = [
        ""
        if one is None or one.low is None
        else f"{points(one.low, sign=True)} … {points(one.high, sign=True)}"
        for one in (each.seed_interval, each.sentence_interval)
    ]
    effect = "" if each.effect.g is None else f"{each.effect.g:+.2f}"
    return (name, str(each.t.n), points(each.t.difference, sign=True), *intervals, *_p_cells(each), effect)


def _p_cells(each: Comparison) -> tuple[str, ...]:
    """p of the three tests, each with its correction."""
    tests = ((each.t, each.holm_t), (each.flip, each.holm_flip), (each.sentences, each.holm_sentences))
    return tuple(
        "–" if test is None or test.p is None or holm is None else f"{p_text(test.p)} ({p_text(holm)})"
        for test, holm in tests
    )


_REJECTIONS = {3: " (in 3 of 100 studies)", 4: " (in 8 of 100 studies)", 5: " (in 13 of 100 studies)"}
"""How often the paper's test rejects at 0.01 if masks make no difference, by groups (docs/guides/report.md)."""


def unmasking_table(unmasking: Unmasking) -> ResultTable:
    """The paper's test as it is, and the same question over seeds."""
    test = unmasking.test
    rows = [_test_row(f"the paper's, over {test.pairs} pairs of configurations", test.result)]
    for result in unmasking.over_seeds:
        rows.append(_test_row(f"{result.test} over seeds, of their mean over the pairs", result))
    title = "Does unmasking further groups nearer the output help?"
    title += f" ({unmasking.series})" if unmasking.series else ""
    decision = "not made" if test.rejected is None else "rejected" if test.rejected else "not rejected"
    note = (
        f"One-sided, alternative: more unmasked is better. At alpha {test.alpha:g} the paper's null hypothesis is "
        f"{decision}. Its pairs overlap, so it is rejected far more often than that where there is no effect"
        f"{_REJECTIONS.get(unmasking.groups, '')}."
    )
    return ResultTable(title, ("test", "n", "gain", "t", "p", "notes"), rows, note)


def _test_row(name: str, result: TestResult) -> tuple[str, ...]:
    t = "" if result.statistic is None else f"{-result.statistic:.2f}"
    gain = points(-result.difference, sign=True)
    return (name, str(result.n), gain, t, p_text(result.p), "; ".join(result.notes))


def pair_table(unmasking: Unmasking) -> ResultTable:
    """The pairs one by one, over seeds and over sentences, with Holm's correction."""
    rows = [
        (
            str(each.other.mask), str(each.one.mask), str(each.t.n), points(each.t.difference, sign=True),
            *_p_cells(each),
        )
        for each in unmasking.pairs
    ]  # fmt: skip
    columns = ("A", "B", "seeds", "B − A", "p t", "p sign flip", "p randomisation")
    note = f"One-sided: p, and in brackets p after Holm's correction over {len(rows)} pairs."
    return ResultTable("The pairs one by one", columns, rows, note)


def p_text(p: float | None) -> str:
    """A p-value; a dash where there is none."""
    return "–" if p is None else "< .001" if p < 0.001 else f"{p:.3f}"


def run_table(study: Study) -> ResultTable:
    """Every run by itself."""
    rows = [
        (
            record.name, configuration.label, str(record.seed),
            *(points(record.score(split)) for split in ("validation", "test")),
            str(record.train.get("steps", "")), f"{record.train.get('seconds', 0):,.0f}",
        )
        for _, configuration, record in all_runs(study)
    ]  # fmt: skip
    return ResultTable(
        "Runs", ("run", "configuration", "seed", "validation", "test", "updates", "seconds"), rows
    )


def all_runs(study: Study) -> Iterator[tuple[StudyTask, Configuration, RunRecord]]:
    """Every run with where it belongs."""
    for task in study.tasks:
        for configuration in task.configurations:
            for record in configuration.runs.values():
                yield task, configuration, record


def tests_of(task: StudyTask, evidence: Evidence) -> Sequence[ResultTable]:
    """All tables of tests."""
    first = comparison_table(task, evidence)
    more = [table for each in evidence.unmasking for table in (unmasking_table(each), pair_table(each))]
    return [*([first] if first else []), *more]
