"""`sltk report`: finished runs as tables, figures and tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .frame import app, show_table, tell, write


@app.command("report", short_help="Tables, figures and tests of finished runs.")
def report(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="DIR…", help="sweeps, run directories, folders of them, or files of records"),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="folder of the report; without: reports/NAME"),
    ] = None,
    tasks: Annotated[
        bool, typer.Option("--tasks", help="runs of different data are tasks of their own, not an error")
    ] = False,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="NAME",
            help="configuration to compare with; without: mask 0000, else the first",
        ),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            "--records", metavar="FILE", help="also write the runs as records, a JSON object a line"
        ),
    ] = None,
) -> None:
    """Write report.html, report.md, table.tex, results.csv and figures of all finished runs in and below DIR.

    Example: `sltk report runs/absa --output reports/absa --records absa.jsonl`
    """
    from ..reports.assembly import main_table, write_report
    from ..reports.result_tables import choice_text

    target = output or Path("reports") / (sources[0].resolve().stem or "report")
    done = write_report(sources, target, separate=tasks, baseline=baseline, records=records)
    for task in done.study.tasks:
        table = main_table(task)
        write(task.name)
        rows = [
            (f"{row[0]} *" if place in table.strong else row[0], *row[1:])
            for place, row in enumerate(table.rows)
        ]
        show_table(table.columns, rows)
        write(f"{table.note.replace('In bold', 'With *')}\n{choice_text(task)}\n")
        for note in task.notes:
            tell(f"note: {note}")
    for note in done.study.notes:
        tell(f"note: {note}")
    write(f"report: {target / 'report.html'}")
