"""`sltk report`: tables, figures and significance tests of finished runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .app import app, print_info, print_result, print_table
from .terminal import results_are_stored

if TYPE_CHECKING:
    from ..inspection.error_kinds import KindCounts
    from ..reports.assembly import Report


class ErrorSplit(StrEnum):
    """The data of the page of errors."""

    test = "test"
    validation = "validation"


_COMPARISON_COLUMNS = (0, 2, 4, 5, 7)
"""The columns that a terminal has room for: the comparison, its difference and interval, p over seeds and sentences."""


@app.command("report", short_help="Write tables, figures and significance tests of finished runs.")
def report(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="DIR…", help="sweeps, run directories, folders of them, or files of records"),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="folder of the report  [default: reports/NAME]; with --errors, a file  "
            "[default: reports/NAME-errors.html]",
        ),
    ] = None,
    errors: Annotated[
        bool,
        typer.Option(
            "--errors",
            help="write a page with gold against predicted spans instead: of one run directory, or of two side "
            "by side; all folds of a cross-validation are one. It contains the text of the data",
        ),
    ] = False,
    split: Annotated[
        ErrorSplit | None,
        typer.Option("--split", help="with --errors: the data to show  [default: test, else validation]"),
    ] = None,
    tasks: Annotated[
        bool, typer.Option("--tasks", help="treat runs on different data as separate tasks, not as an error")
    ] = False,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="NAME",
            help="configuration to compare with; declared or chosen comparisons are tested without it  "
            "[default: mask 0000, else the first]",
        ),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            "--compare",
            metavar="A:B",
            help="test A minus B, or with A:B::C:D the difference of two differences; may be repeated  "
            "[default: the comparisons that a sweep declares, else all with the baseline]",
        ),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            "--records", metavar="FILE", help="also write the runs as records, one JSON object per line"
        ),
    ] = None,
) -> None:
    """Write report.html, report.md, table.tex, results.csv and figures of all finished runs in and below DIR.

    Example: `sltk report runs/absa --output reports/absa --records absa.jsonl`

    `sltk report --errors runs/tiny` writes a page with the errors of one run, to be filtered in a browser.
    """
    if errors:
        others = {"--tasks": tasks, "--baseline": baseline, "--compare": compare, "--records": records}
        _report_errors(sources, output, split, [name for name, value in others.items() if value])
        return
    if split is not None:
        raise UsageError("`--split` chooses the data of the page of errors: use it with `--errors`")
    from ..reports.assembly import write_report

    result = write_report(
        sources, output, separate=tasks, baseline=baseline, compare=compare or (), records=records
    )
    with results_are_stored():
        _print_report(result)


def _report_errors(
    sources: Sequence[Path], output: Path | None, split: ErrorSplit | None, others: Sequence[str]
) -> None:
    """Write the page of errors, and print the number of errors of each kind."""
    from ..inspection.error_browser import write_error_browser
    from ..inspection.error_kinds import count_kinds

    if others:
        raise UsageError(f"{', '.join(f'`{name}`' for name in others)} does not go with `--errors`")
    file, runs = write_error_browser(sources, output, split=split.value if split else None)
    with results_are_stored():
        for run in runs:
            rows = count_kinds(run.comparisons())
            total = ["together", *(f"{sum(column):,}" for column in _columns(rows))]
            cells = [[row.kind, f"{row.number:,}", f"{row.gold:,}", f"{row.predicted:,}"] for row in rows]
            print_result(f"{run.name}: {run.split}, {len(run.sentences):,} sentences")
            print_table(("kind", "times", "gold spans", "predicted spans"), [*cells, total])
            if not run.has_scores:
                print_info(f"note: `{run.folder}` stores no scores, so the page shows no confidence")
        print_result(f"errors: {file}")


def _columns(rows: Sequence[KindCounts]) -> Iterator[list[int]]:
    for name in ("number", "gold", "predicted"):
        yield [getattr(row, name) for row in rows]


def _print_report(result: Report) -> None:
    """Print the table of each task, declared comparisons, and notes."""
    from ..reports.assembly import main_table, task_notes
    from ..reports.comparisons import compare_declared
    from ..reports.result_tables import choice_text
    from ..reports.significance_tables import declared_table

    for task in result.tasks:
        table = main_table(task)
        print_result(task.name)
        rows = [
            (f"{row[0]} *" if number == table.best_row else row[0], *row[1:])
            for number, row in enumerate(table.rows)
        ]
        print_table(table.columns, rows)
        print_result(f"{table.note.replace('Bold:', '*:')}\n{choice_text(task)}\n")
        if comparisons := compare_declared(task):
            declared = declared_table(task, comparisons)
            heads, *rows = (
                tuple(row[place] for place in _COMPARISON_COLUMNS)
                for row in (declared.columns, *declared.rows)
            )
            print_table(heads, rows)
            print_result(
                f"{task.measure_name} on {task.splits[-1]} in points: p over seeds (t) and over {task.unit}s, in "
                f"brackets after Holm's correction over {len(comparisons)}. The report has all tests.\n"
            )
        for note in task_notes(task):
            print_info(f"note: {note}")
    for note in result.runs.notes:
        print_info(f"note: {note}")
    print_result(f"report: {result.folder / 'report.html'}")
