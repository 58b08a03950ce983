"""Fill in docs/reports/context.md, its tables and figures, from the records of the study: `python docs/context.py`.

A part that this script fills in is enclosed in `<!-- records: NAME -->` and `<!-- end -->`. The comparisons of all
parts `comparisons A:B …` are one family for Holm's correction.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from sltk.reports import arm_figures, plotting
from sltk.reports.arm_tables import arm_table, cost_table, learning_table
from sltk.reports.arrangement import arrange
from sltk.reports.comparisons import compare_declared, missing_comparisons
from sltk.reports.result_tables import ResultTable
from sltk.reports.run_records import RunRecord, read_records
from sltk.reports.significance_tables import declared_table
from sltk.reports.study import StudyTask

REPORTS = Path(__file__).resolve().parent / "reports"
TITLES = {"context_absa": "Rest14", "context_ner": "CoNLL-2003"}
"""Names of the data sets by the sweep that used them."""
FIGURES: dict[str, tuple[Callable[[Sequence[StudyTask]], object], Callable[[StudyTask], object]]] = {
    "scores": (arm_figures.arms, lambda task: True),
    "differences": (arm_figures.differences, compare_declared),
    "cost": (arm_figures.cost, arm_figures.has_cost),
    "learning": (arm_figures.curves, arm_figures.has_curves),
}
"""The function that draws a figure, and the tasks that it applies to."""
_PART = re.compile(r"(<!-- records: (\w+)(.*?) -->\n).*?(<!-- end -->)", re.DOTALL)
_LEFT_OUT = ("seeds", "p sign flip", "g", "notes")
"""Columns of the tests that the page leaves out: all comparisons have three seeds."""
_NO_RECORDS = "*The study is not finished.*\n"


def main(reports: Path = REPORTS) -> None:
    """Update the page, and draw its figures."""
    records = [
        record
        for path in sorted((reports / "records").glob("context_*.jsonl"))
        for record in read_records(path)
    ]
    page = reports / "context.md"
    text = page.read_text(encoding="utf-8")
    tasks = arranged(records, comparisons_of(text)) if records else []
    for task in tasks:
        if missing := missing_comparisons(task):
            sys.stdout.write(f"{task.name}: not compared, because runs are missing: {', '.join(missing)}\n")
    page.write_text(filled(text, tasks), encoding="utf-8")
    if tasks:
        draw(tasks, reports / "figures")


def comparisons_of(text: str) -> tuple[str, ...]:
    """All comparisons on the page."""
    parts = (part[3].split() for part in _PART.finditer(text) if part[2] == "comparisons")
    return tuple(dict.fromkeys(comparison for part in parts for comparison in part))


def arranged(records: Sequence[RunRecord], comparisons: tuple[str, ...]) -> list[StudyTask]:
    """The tasks of the study; figures of an unfinished study lack the comparisons without runs."""
    tasks = arrange(records, separate=True)
    for task in tasks:
        task.name, task.compare = TITLES.get(task.name, task.name), comparisons
    return tasks


def filled(text: str, tasks: Sequence[StudyTask]) -> str:
    """The page with all parts brought up to date."""

    def part(match: re.Match[str]) -> str:
        body = "\n".join(PARTS[match[2]](tasks, match[3].split())) if tasks else _NO_RECORDS
        return f"{match[1]}\n{body}\n{match[4]}"

    return _PART.sub(part, text)


def scores(tasks: Sequence[StudyTask], _: Sequence[str]) -> Iterator[str]:
    """Scores of all arms."""
    for task in tasks:
        yield from _shown(task.name, arm_table(task))


def cost(tasks: Sequence[StudyTask], _: Sequence[str]) -> Iterator[str]:
    """Speed, memory and parameters of all arms."""
    for task in tasks:
        yield from _shown(task.name, cost_table(task))


def learning(tasks: Sequence[StudyTask], _: Sequence[str]) -> Iterator[str]:
    """Validation scores during training."""
    for task in tasks:
        if (table := learning_table(task)) is not None:
            yield from _shown(task.name, table)


def comparisons(tasks: Sequence[StudyTask], names: Sequence[str]) -> Iterator[str]:
    """The rows of these comparisons, for all data sets."""
    for task in tasks:
        family = compare_declared(task)
        if not family:
            continue
        table = declared_table(task, family)
        rows = [
            (*row, "yes" if each.is_reliable else "")
            for row, each in zip(table.rows, family, strict=True)
            if each.name in names
        ]
        columns = (*table.columns, "reliable")
        kept = [place for place, name in enumerate(columns) if name not in _LEFT_OUT]
        small = [tuple(row[place] for place in kept) for row in rows]
        yield from _shown(task.name, ResultTable("", tuple(columns[place] for place in kept), small))
    if tasks:
        sizes = " and ".join(dict.fromkeys(str(len(compare_declared(task))) for task in tasks))
        yield (
            f"Differences in F1 on test, in points; p of the t-test over seeds and of randomisation over sentences, "
            f"followed in brackets by p after Holm's correction over {sizes} comparisons.\n"
        )


def budget(tasks: Sequence[StudyTask], _: Sequence[str]) -> Iterator[str]:
    """Runs, seeds, sizes and hours of the study."""
    lines = [
        "| data | runs | seeds | sentences scored (test) | updates | minutes per run | hours |",
        "|---" * 7 + "|",
    ]
    for task in tasks:
        runs = list(task.records())
        seconds = [float(run.train.get("seconds", 0)) for run in runs]
        seeds = sorted({run.seed for run in runs})
        steps = sorted({int(run.train.get("steps", 0)) for run in runs})
        size = runs[0].data.get(task.splits[-1], {}).get("sentences", "")
        cells = (
            task.name, len(runs), f"{seeds[0]}–{seeds[-1]}", f"{size:,}" if size else "",
            " to ".join(f"{step:,}" for step in dict.fromkeys((steps[0], steps[-1]))),
            f"{min(seconds) / 60:.1f} to {max(seconds) / 60:.1f}", f"{sum(seconds) / 3600:.1f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    yield "\n".join(lines) + "\n"


def figure(_: Sequence[StudyTask], words: Sequence[str]) -> Iterator[str]:
    """A figure with its alternative text."""
    name, *alternative = words
    yield f"![{' '.join(alternative)}](figures/context_{name}.png)\n"


PARTS: dict[str, Callable[[Sequence[StudyTask], Sequence[str]], Iterator[str]]] = {
    "budget": budget,
    "figure": figure,
    "scores": scores,
    "comparisons": comparisons,
    "cost": cost,
    "learning": learning,
}


def _shown(title: str, table: ResultTable) -> Iterator[str]:
    """A table as Markdown, below the name of its data."""
    lines = [f"| {' | '.join(table.columns)} |", "|---|" + "---:|" * (len(table.columns) - 1)]
    for number, row in enumerate(table.rows):
        strong = "**" if number == table.best_row else ""
        lines.append(f"| {' | '.join(f'{strong}{cell}{strong}' if cell else '' for cell in row)} |")
    yield "\n".join([f"**{title}**\n", *lines]).replace("< ", "&lt; ") + "\n"
    if table.note:
        yield table.note + "\n"


def draw(tasks: Sequence[StudyTask], folder: Path) -> None:
    """Draw the figures."""
    with TemporaryDirectory() as name, plotting.style():
        for figure, (function, applies) in FIGURES.items():
            if drawable := [task for task in tasks if applies(task)]:
                plotting.save(function(drawable), Path(name), figure)
                shutil.copyfile(Path(name) / f"{figure}.png", folder / f"context_{figure}.png")


if __name__ == "__main__":
    main()
