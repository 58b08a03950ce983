"""`sltk report`: tables, figures and significance tests of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, print_info, print_result, print_table
from .terminal import results_are_stored

if TYPE_CHECKING:
    from ..reports.assembly import Report

_COMPARISON_COLUMNS = ("comparison", "difference", "95 % (sentences)", "p t", "p randomisation")
"""The columns that a terminal has room for."""


@app.command("report", short_help="Write tables, figures and significance tests of finished runs.")
def report(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="DIR…", help="sweeps, run directories, folders of them, or files of records"),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="folder of the report  [default: reports/NAME]"),
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
    """
    from ..reports.assembly import write_report

    result = write_report(
        sources, output, separate=tasks, baseline=baseline, compare=compare or (), records=records
    )
    with results_are_stored():
        _print_report(result)


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
            kept = [declared.columns.index(name) for name in _COMPARISON_COLUMNS]
            print_table(_COMPARISON_COLUMNS, [tuple(row[place] for place in kept) for row in declared.rows])
            print_result(
                f"{task.measure_name} on {task.splits[-1]} in points: p over seeds (t) and over sentences, in "
                f"brackets after Holm's correction over {len(comparisons)}. The report has all tests.\n"
            )
        for note in task_notes(task):
            print_info(f"note: {note}")
    for note in result.runs.notes:
        print_info(f"note: {note}")
    print_result(f"report: {result.folder / 'report.html'}")
