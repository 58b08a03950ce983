"""Score tables: one per metric, with its scores by type and overall, and its further results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from .rich_console import shown

Scores = Mapping[str, Any]

_COLUMNS = ("precision", "recall", "f1")
_AVERAGES = {"macro_f1": "macro average", "weighted_f1": "weighted average"}
_PAIRS = ("correct", "incorrect", "partial", "missed", "spurious")
_MOST_TYPES = 8
"""Types in a confusion matrix; with more types, the most frequent confusions are listed instead."""
_MOST_CONFUSIONS = 12
# Other numbers belong to one metric, and are shown under their names.
_KNOWN = {
    *_COLUMNS, *_AVERAGES, "accuracy", "support", "predicted", "correct", "sentences", "words",
}  # fmt: skip


def show_scores(console: Console, title: str, scores: Scores) -> None:
    """Print the tables of each metric of a split, and below them the signature that says how it was computed."""
    for table in _tables(title, scores):
        console.print(table)
    console.print(shown(scores.get("signature", ""), "dim"), soft_wrap=True)
    if "corpora" in scores:
        console.print()
        console.print(_corpora(title, scores))
    if unscored := scores.get("unscored"):
        counts = ", ".join(f"{name} {count:,}" for name, count in unscored.items())
        console.print(
            shown(f"predicted where the corpus does not annotate the type, not scored: {counts}"),
            soft_wrap=True,
        )
    if "as_trained" in scores:
        console.print()
        _show_comparison(console, title, scores)
    for name, value in scores.items():
        if name in ("as_trained", "decisions"):
            continue
        if isinstance(value, Mapping) and "signature" in value:
            console.print()
            show_scores(console, f"{title}: {name}", value)


def _show_comparison(console: Console, title: str, scores: Scores) -> None:
    """Print the scores as trained beside those of constrained decoding, and the number of changes."""
    before, changed = scores["as_trained"], scores["changed"]
    table = _table(f"{title}: as trained and constrained", "score", ("as trained", "constrained", "change"))
    for name, one, other in _compared(before, scores):
        _row(table, name, _number(one), _number(other), f"{other - one:+.4f}")
    console.print(table)
    console.print(
        shown(
            f"{changed['tags']:,} tags changed in {changed['sentences']:,} sentences: "
            f"{changed['spans_removed']:,} spans removed, {changed['spans_added']:,} added; "
            f"{changed['ill_formed_tags']:,} tags were ill-formed"
        ),
        soft_wrap=True,
    )


def _compared(before: Scores, after: Scores) -> Iterable[tuple[str, float, float]]:
    """The names and values of the scores that both have: overall, then the F1 of each type."""
    for key in (*_COLUMNS, *_AVERAGES, "accuracy"):
        if isinstance(before.get(key), int | float):
            yield key, before[key], after[key]
    for kind, values in before.get("per_type", {}).items():
        if kind in after["per_type"]:
            yield f"f1 of {kind}", values["f1"], after["per_type"][kind]["f1"]


def _tables(title: str, scores: Scores) -> Iterable[Table]:
    """The tables of one metric."""
    yield _by_type(title, scores)
    if "table" in scores:
        yield _partial(scores["table"])
    if "confusion" in scores:
        yield _confusion(scores["confusion"])
    if "thresholds" in scores:
        yield _thresholds(scores["thresholds"])
    if "calibration" in scores:
        yield _calibration(scores["calibration"])


def _by_type(title: str, scores: Scores) -> Table:
    """One row per type, then the micro average and other averages, word accuracy, and all other numbers."""
    intervals = scores.get("intervals", {})
    columns = (*_COLUMNS, *(["interval of f1"] if intervals else []), "support")
    table = _table(title, "type", columns, title_style="bold")

    def add(
        name: str, values: Scores, interval: Sequence[float] | None = None, count: int | None = None
    ) -> None:
        between = [_interval(interval)] if intervals else []
        cells = [_number(values.get(column)) for column in _COLUMNS]
        _row(table, name, *cells, *between, "" if count is None else f"{count:,}")

    per_type = scores.get("per_type", {})
    for kind, values in per_type.items():
        add(kind, values, intervals.get("per_type", {}).get(kind), values.get("support", 0))
    table.add_section()
    if "f1" in scores:
        support = sum(values.get("support", 0) for values in per_type.values())
        add("micro average", scores, intervals.get("f1"), support)
    for key, name in _AVERAGES.items():
        if key in scores:
            add(name, {"f1": scores[key]}, intervals.get(key))
    if "boundaries" in scores:
        add("types ignored", scores["boundaries"])
    if isinstance(scores.get("accuracy"), int | float):
        add("accuracy of words", {"f1": scores["accuracy"]}, count=scores.get("words", 0))
    for key, value in scores.items():
        if key not in _KNOWN and isinstance(value, int | float):
            add(key, {"f1": value})
    return table


def _corpora(title: str, scores: Scores) -> Table:
    """One row per corpus, and the scores of all."""
    key = "f1" if "f1" in scores else "accuracy"
    shown_scores = _COLUMNS if key == "f1" else (key,)
    table = _table(f"{title}: corpora", "corpus", (*shown_scores, "sentences", "support", "not scored"))
    for name, values in (*scores["corpora"].items(), ("all", scores)):
        numbers = (_number(values.get(column)) for column in shown_scores)
        counts = (values.get("sentences"), values.get("support"), sum(values.get("unscored", {}).values()))
        _row(table, name, *numbers, *map(_count, counts))
    return table


def _partial(rows: Scores) -> Table:
    """SemEval-2013's four ways to compare spans, one per row."""
    table = _table("", "compared by", (*_PAIRS, *_COLUMNS))
    for name, row in rows.items():
        _row(table, name, *(f"{row[key]:,}" for key in _PAIRS), *(_number(row[key]) for key in _COLUMNS))
    return table


def _confusion(confusion: Scores) -> Table:
    """Gold types by predicted types, for spans with correct boundaries; the other spans in the last column and row."""
    types, missed, spurious = confusion["types"], confusion["missed"], confusion["spurious"]
    down = sorted(types.keys() | missed.keys())
    across = sorted({other for row in types.values() for other in row} | spurious.keys())
    if max(len(down), len(across)) > _MOST_TYPES:
        return _most_frequent(confusion)
    table = _table("", "gold \\ predicted", (*across, "(missed)"))
    for kind in down:
        row = types.get(kind, {})
        _row(table, kind, *(_count(row.get(other)) for other in across), _count(missed.get(kind)))
    _row(table, "(spurious)", *(_count(spurious.get(other)) for other in across), "")
    return table


def _most_frequent(confusion: Scores) -> Table:
    """The most frequent errors: confused types, missed and spurious spans."""
    wrong = [
        (number, kind, other)
        for kind, row in confusion["types"].items()
        for other, number in row.items()
        if kind != other
    ]
    wrong += [(number, kind, "(missed)") for kind, number in confusion["missed"].items()]
    wrong += [(number, "(spurious)", kind) for kind, number in confusion["spurious"].items()]
    wrong.sort(key=lambda each: -each[0])
    table = _table("", "gold", ("predicted", "spans"))
    for number, kind, other in wrong[:_MOST_CONFUSIONS]:
        _row(table, kind, other, f"{number:,}")
    if len(wrong) > _MOST_CONFUSIONS:
        rest = wrong[_MOST_CONFUSIONS:]
        _row(table, f"… and {len(rest)} more", "", f"{sum(each[0] for each in rest):,}")
    return table


def _thresholds(rows: Sequence[Scores]) -> Table:
    table = _table("", "score at least", (*_COLUMNS, "predicted", "correct"))
    for row in rows:
        counts = (f"{row[key]:,}" for key in ("predicted", "correct"))
        _row(table, f"{row['threshold']:g}", *(_number(row[key]) for key in _COLUMNS), *counts)
    return table


def _calibration(calibration: Scores) -> Table:
    """Mean score and accuracy in each bin, for words and for spans."""
    table = _table("", "calibration", ("bin", "mean score", "accuracy", "count"))
    for kind, result in calibration.items():
        for each in result["bins"]:
            between = f"{each['from']:.2f} to {each['to']:.2f}"
            numbers = (_number(each["score"]), _number(each["accuracy"]))
            _row(table, kind, between, *numbers, f"{each['count']:,}")
        _row(table, f"{kind}: error", "", "", _number(result["ece"]), f"{result['count']:,}")
        table.add_section()
    return table


def _table(title: str, first: str, columns: Iterable[str], title_style: str = "") -> Table:
    table = Table(
        title=shown(title) if title else None,
        title_justify="left",
        title_style=title_style,
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column(first, no_wrap=True)
    for name in columns:
        table.add_column(shown(name), justify="right")
    return table


def _row(table: Table, *cells: str) -> None:
    table.add_row(*map(shown, cells), style="bold" if cells[0] == "micro average" else None)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _count(value: int | None) -> str:
    return f"{value:,}" if value else ""


def _interval(bounds: Sequence[float] | None) -> str:
    return "" if bounds is None else f"{bounds[0]:.4f}–{bounds[1]:.4f}"
