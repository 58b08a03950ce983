"""Tables of the significance tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .comparisons import Comparison, compare_all, compare_declared, compare_with_baseline
from .result_tables import ResultTable
from .significance.configurations import unmasking_over_seeds, unmasking_pairs, unmasking_test
from .significance.paired import Interval, TestResult
from .study import Configuration, StudyTask, points

_TESTS = ("p t", "p sign flip", "p randomisation")
_REJECTIONS = {8: " (in 3 of 100 studies)", 16: " (in 8 of 100 studies)", 32: " (in 13 of 100 studies)"}
"""Rejection rate of the paper's test at 0.01 if masks make no difference, by number of masks: docs/guides/report.md."""


def significance_tables(task: StudyTask) -> Iterator[ResultTable]:
    """The tables of all tests that the runs of a task allow; none of the trials of a search."""
    if task.is_search:
        return
    if task.compare:
        if declared := compare_declared(task):
            yield declared_table(task, declared)
    elif comparisons := compare_with_baseline(task):
        yield _comparison_table(task, comparisons)
    for series, members in task.complete_masks().items():
        yield _unmasking_table(series, members, task.splits[-1])
        yield _pair_table(members, task.splits[-1])


def declared_table(task: StudyTask, family: Sequence[Comparison]) -> ResultTable:
    """The comparisons that the study declares: `compare_declared(task)`."""
    note = (
        "In a difference of differences, randomisation swaps the outputs for a sentence of the first two "
        "configurations with those of the last two. "
    )
    note = note if any(each.against for each in family) else ""
    return _table(task, family, "Comparisons", [each.label for each in family], "", note)


def _comparison_table(task: StudyTask, family: Sequence[Comparison]) -> ResultTable:
    """Each configuration against its baseline."""
    others = list(dict.fromkeys(each.other.label for each in family))
    names = [each.label if len(others) > 1 else each.one.label for each in family]
    return _table(task, family, "Differences", names, f" against {', '.join(others)}")


def _table(
    task: StudyTask,
    family: Sequence[Comparison],
    title: str,
    names: Sequence[str],
    against: str,
    more: str = "",
) -> ResultTable:
    """One row of all tests for each comparison."""
    common = [note for note in family[0].notes() if all(note in each.notes() for each in family)]
    specific = ["; ".join(note for note in each.notes() if note not in common) for each in family]
    intervals = ("95 % (seeds, t)", f"95 % ({task.unit}s)")
    first = "comparison" if title == "Comparisons" else "configuration"
    columns: tuple[str, ...] = (first, "seeds", "difference", *intervals, *_TESTS, "g")
    rows = [_comparison_row(name, each) for name, each in zip(names, family, strict=True)]
    if any(specific):
        columns, rows = (*columns, "notes"), [(*row, note) for row, note in zip(rows, specific, strict=True)]
    note = (
        f"Two-sided tests of {task.measure_name} on {task.splits[-1]}{against}: p, followed in "
        f"brackets by p after Holm's correction over {len(family)} comparison{'s' if len(family) > 1 else ''}. The "
        f"t-test and sign flips are over seeds, approximate randomisation over {task.unit}s; the second interval is a "
        f"bootstrap over {task.unit}s. {more}g is the mean difference in standard deviations, corrected for few seeds."
    )
    return ResultTable(title, columns, rows, " ".join([note, *(f"Note: {each}." for each in common)]))


def _comparison_row(name: str, each: Comparison) -> tuple[str, ...]:
    intervals = map(interval_text, each.intervals)
    g = each.effect.g
    return (*_difference(name, each), *intervals, *_p_texts(each), "–" if g is None else f"{g:+.2f}")


def _difference(name: str, each: Comparison) -> tuple[str, str, str]:
    t, *_ = each.tests
    return name, str(t.n), points(t.difference, sign=True)


def interval_text(interval: Interval | None, *, sign: bool = True) -> str:
    """An interval in points."""
    if interval is None or interval.low is None:
        return ""
    return f"{points(interval.low, sign=sign)} … {points(interval.high, sign=sign)}"


def _p_texts(each: Comparison) -> Iterator[str]:
    """p of each test, with the corrected one in brackets."""
    for test, corrected in zip(each.tests, each.corrected, strict=True):
        yield "–" if test is None or test.p is None else f"{p_text(test.p)} ({p_text(corrected)})"


def p_text(p: float | None) -> str:
    """A p-value with three decimals; a dash if there is none."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _unmasking_table(series: str, members: Mapping[str, Configuration], split: str) -> ResultTable:
    """The paper's test, and the same question over seeds."""
    test = unmasking_test({mask: each.summary(split).mean for mask, each in members.items()})
    pairs = "1 pair" if test.result.n == 1 else f"{test.result.n} pairs"
    rows = [_test_row(f"the paper's test, over {pairs} of configurations", test.result)]
    for result in unmasking_over_seeds({mask: each.scores(split) for mask, each in members.items()}):
        rows.append(_test_row(f"{result.test} over seeds, on the mean over the pairs", result))
    title = "Does unmasking further groups nearer the output help?" + (f" ({series})" if series else "")
    decision = {True: "rejects", False: "does not reject", None: "cannot decide on"}[test.rejected]
    note = (
        f"One-sided; the alternative is that unmasking more helps. The paper's test {decision} the null hypothesis at "
        f"alpha {test.alpha:g}. Because its pairs overlap, it rejects far more often than alpha when there is no "
        f"effect{_REJECTIONS.get(len(members), '')}."
    )
    return ResultTable(title, ("test", "n", "gain", "t", "p", "notes"), rows, note)


def _test_row(name: str, result: TestResult) -> tuple[str, ...]:
    t = "" if result.statistic is None else f"{-result.statistic:.2f}"
    gain = points(-result.difference, sign=True)
    return (name, str(result.n), gain, t, p_text(result.p), "; ".join(result.notes))


def _pair_table(members: Mapping[str, Configuration], split: str) -> ResultTable:
    """Each pair separately, over seeds and over sentences, with Holm's correction."""
    pairs = unmasking_pairs(len(next(iter(members))))
    family = compare_all([(members[b], members[a]) for a, b in pairs], split, "greater")
    rows = [
        (str(each.other.mask), *_difference(str(each.one.mask), each), *_p_texts(each)) for each in family
    ]
    note = f"One-sided tests: p, followed in brackets by p after Holm's correction over {len(rows)} pairs."
    return ResultTable("Each pair separately", ("A", "B", "seeds", "B − A", *_TESTS), rows, note)
