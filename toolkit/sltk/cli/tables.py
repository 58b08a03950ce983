"""Scores as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

_COLUMNS = ("precision", "recall", "f1")


def show_scores(console: Console, title: str, scores: Mapping[str, Any]) -> None:
    """The table of a split, and under it the signature that says how it was scored."""
    console.print(_table(title, scores))
    console.print(scores.get("signature", ""), style="dim", soft_wrap=True)


def _table(title: str, scores: Mapping[str, Any]) -> Table:
    """One row a type, and the sum; for plain tags their accuracy and F1."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("type")
    for name in (*_COLUMNS, "support"):
        table.add_column(name, justify="right")
    for kind, values in scores.get("per_type", {}).items():
        table.add_row(kind, *_cells(values), f"{values.get('support', 0):,}")
    table.add_section()
    if "f1" in scores:
        support = sum(values.get("support", 0) for values in scores.get("per_type", {}).values())
        table.add_row("micro average", *_cells(scores), f"{support:,}", style="bold")
    if "macro_f1" in scores:
        table.add_row("macro average", "", "", _number(scores["macro_f1"]), "")
    if "accuracy" in scores:
        table.add_row("accuracy of words", "", "", _number(scores["accuracy"]), f"{scores.get('words', 0):,}")
    return table


def _cells(values: Mapping[str, Any]) -> list[str]:
    return [_number(values.get(name)) for name in _COLUMNS]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
