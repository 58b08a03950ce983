"""`sltk sweep`: many runs of one spec."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import RunError, UsageError
from .app import (
    RetryOption,
    SetOption,
    SpecArgument,
    ThreadsOption,
    TrustOption,
    app,
    import_policy,
    print_info,
    print_result,
)
from .terminal import results_are_stored

if TYPE_CHECKING:
    from ..sweeps import Outcome, Plan, Selection


@app.command("sweep", short_help="Train many runs of one spec in which some keys vary.")
def sweep(
    spec: SpecArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="folder of the sweep  [default: runs/NAME]"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and run nothing")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="KEY=VALUE",
            help="only runs with this setting, as in `--only seed=120`; repeatable",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="start at most N runs")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="only every N-th run, starting at the I-th; shards can run in parallel",
        ),
    ] = None,
    retry: RetryOption = False,
    extend: Annotated[
        bool, typer.Option("--extend", help="if the spec has changed: add its new runs to the sweep")
    ] = False,
    old_plan: Annotated[
        bool, typer.Option("--old-plan", help="if the spec has changed: continue with the old plan")
    ] = False,
    set_: SetOption = None,
    threads: ThreadsOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Train every run of SPEC's `sweep:`, each in its own run directory.

    To continue an interrupted sweep, repeat the command: finished runs are not repeated.
    """
    if extend and old_plan:
        raise UsageError("--extend and --old-plan exclude each other: add the new runs, or keep the old plan")
    from .. import sweeps
    from ..preview.run_preview import check_models
    from .spec_kinds import previews
    from .sweep_display import SweepDisplay

    plan = sweeps.plan(spec, set_ or (), import_policy(trust_code))
    check_models(previews(plan), plan.missing_packages())
    select = sweeps.Selection(only or (), limit, _shard(shard), retry)
    folder = output or Path("runs") / plan.name
    if dry_run:
        _print_plan(plan, select, folder)
        return
    with SweepDisplay() as display:
        outcome = sweeps.run(
            plan, folder, select=select, watcher=display,
            on_change="extend" if extend else "old" if old_plan else "refuse", trust_code=trust_code,
        )  # fmt: skip
    _print_outcome(outcome)


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {text}: expected I/N with I from 1 to N, as in `--shard 3/8`")
    return int(match[1]), int(match[2])


def _print_plan(plan: Plan, select: Selection, folder: Path) -> None:
    """Print one line per run, and an estimate for those that are left."""
    from .. import sweeps
    from .sweep_display import SweepDisplay, status_lines

    status = sweeps.read_status(plan, folder, select, SweepDisplay())
    for name, row in status.rows.items():
        print_result(f"{row.state:<8} {name}")
    print_result("")
    for line in status_lines(status):
        print_result(line)


def _print_outcome(outcome: Outcome) -> None:
    """Print the summary of a finished sweep.

    Raises:
        RunError: runs failed or are damaged, or the disk is full.
    """
    from .sweep_display import run_text, status_lines

    with results_are_stored():
        for line in status_lines(outcome.status):
            print_result(line)
        print_result(f"folder of the sweep: {outcome.folder}")
    failed = [outcome.rows[name] for name in (*outcome.names("failed"), *outcome.names("damaged"))]
    if failed:
        lines = [f"{len(failed)} of {len(outcome.rows)} runs failed or are damaged"]
        lines += [run_text(row) for row in failed[:12]]
        if len(failed) > 12:
            lines.append(f"… and {len(failed) - 12} more")
        lines.append(f"logs: {outcome.folder}/logs; to repeat these runs: `--retry`")
        problem = "\n   = ".join(lines)
        if outcome.stopped is None:
            raise RunError(problem)
        print_info(f"error: {problem}")
    if outcome.stopped is not None:
        note = "   = free some space, then repeat the command to continue"
        raise RunError(f"the sweep stopped because the disk is full: {outcome.stopped}\n{note}")
