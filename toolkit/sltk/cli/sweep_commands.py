"""`sltk sweep`: many runs of one spec."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import RunError, UsageError
from .frame import RetryOption, SetOption, SpecArgument, app, tell, write

if TYPE_CHECKING:
    from ..sweeps import Outcome, Plan, Selection


@app.command("sweep", short_help="Train many runs of one spec in which some keys vary.")
def sweep(
    spec: SpecArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="folder of the sweep; without: runs/NAME"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan, and run nothing")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="KEY=VALUE",
            help="only runs with this setting, as in `--only seed=120`; repeatable",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="begin at most so many runs")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard", metavar="I/N", help="only every N-th run, from the I-th on; shards run side by side"
        ),
    ] = None,
    retry: RetryOption = False,
    extend: Annotated[
        bool, typer.Option("--extend", help="the spec has changed: add its new runs to the sweep")
    ] = False,
    old_plan: Annotated[
        bool, typer.Option("--old-plan", help="the spec has changed: go on with the plan as it was")
    ] = False,
    set_: SetOption = None,
) -> None:
    """Train every run that SPEC's `sweep:` asks for, each in a run directory of its own.

    The same command goes on with a sweep that was interrupted, however it ended; finished runs are not repeated.
    """
    if extend and old_plan:
        raise UsageError(
            "--extend adds to the sweep that is there, --old-plan leaves it as it is: choose one"
        )
    from .. import sweeps
    from ..preview.summary import check_models
    from .spec_kinds import previews
    from .sweep_table import Shown

    plan = sweeps.plan(spec, set_ or ())
    for path in plan.imported:
        tell(f"imported {path}")
    check_models(previews(plan))
    select = sweeps.Selection(only or (), limit, _shard(shard), retry)
    folder = output or Path("runs") / plan.name
    if dry_run:
        _show_plan(plan, select, folder)
        return
    with Shown() as shown:
        outcome = sweeps.run(
            plan, folder, select=select, watcher=shown,
            on_change="extend" if extend else "old" if old_plan else "refuse",
        )  # fmt: skip
    _say_how_it_went(outcome)


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {text}: expected I/N with I from 1 to N, as in `--shard 3/8`")
    return int(match[1]), int(match[2])


def _show_plan(plan: Plan, select: Selection, folder: Path) -> None:
    """A line a run, and what is expected of those that are left."""
    from .. import sweeps
    from .sweep_table import summary

    status = sweeps.read_status(plan, folder, select)
    for name, row in status.rows.items():
        write(f"{row.state:<8} {name}")
    write("")
    for line in summary(status):
        write(line)


def _say_how_it_went(outcome: Outcome) -> None:
    """What was done; what was not ends the command with 1.

    Raises:
        RunError: runs failed or are damaged, or the disk is full.
    """
    from .sweep_table import summary, told_run

    for line in summary(outcome.status):
        write(line)
    write(f"folder of the sweep: {outcome.folder}")
    sys.stdout.flush()
    told = [told_run(outcome.rows[name]) for name in (*outcome.names("failed"), *outcome.names("damaged"))]
    if told:
        listed = "\n".join(f"   = {line}" for line in told[:12])
        more = f"\n   = … and {len(told) - 12} more" if len(told) > 12 else ""
        logs = f"\n   = logs: {outcome.folder}/logs; `--retry` runs them again"
        problem = f"{len(told)} of {len(outcome.rows)} runs failed or are damaged\n{listed}{more}{logs}"
        if outcome.stopped is None:
            raise RunError(problem)
        tell(f"error: {problem}")
    if outcome.stopped is not None:
        note = "   = make room, then the same command goes on"
        raise RunError(f"the sweep stopped, for the disk is full: {outcome.stopped}\n{note}")
