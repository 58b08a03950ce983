"""`sltk search`: the best mask at a fraction of the cost of training all masks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import (
    JsonOption,
    RetryOption,
    SetOption,
    SpecArgument,
    ThreadsOption,
    TrustOption,
    app,
    import_policy,
    print_info,
    print_json,
    print_result,
    print_table,
)
from .terminal import results_are_stored

if TYPE_CHECKING:
    from ..search import SearchResult


@app.command("search", short_help="Find the best mask without training all masks.")
def search(
    spec: SpecArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="folder of the search  [default: runs/NAME]"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show masks, strategy and budget, and run nothing")
    ] = False,
    retry: RetryOption = False,
    extend: Annotated[
        bool, typer.Option("--extend", help="if the folder holds a sweep of other runs: add these runs to it")
    ] = False,
    json: JsonOption = False,
    set_: SetOption = None,
    threads: ThreadsOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Find the mask with the best validation score within the budget of SPEC's `search:`.

    The folder is that of a sweep. To continue an interrupted search, repeat the command: finished runs are not
    repeated. `sltk sweep` can train the remaining runs.
    """
    from .. import search as searching
    from ..preview.run_preview import check_models
    from .spec_kinds import previews
    from .sweep_display import SearchDisplay, search_lines

    plan = searching.plan(spec, set_ or (), import_policy(trust_code))
    check_models(previews(plan.sweep), plan.sweep.missing_packages())
    state = searching.begin(plan)
    folder = output or Path("runs") / plan.sweep.name
    for line in search_lines(plan):
        print_info(line)
    if dry_run:
        return
    with SearchDisplay(state) as display:
        result = searching.run(
            plan,
            folder,
            search=state,
            retry=retry,
            watcher=display,
            on_change="extend" if extend else "refuse",
            trust_code=trust_code,
        )
    with results_are_stored():
        if json:
            print_json(asdict(result))
        else:
            _print_outcome(result, folder)


def _print_outcome(result: SearchResult, folder: Path) -> None:
    from .sweep_display import time_text

    ranking = result.shared or result.learned
    rows = [
        (
            trial.mask,
            "failed" if trial.validation is None else f"{trial.validation:.4f}",
            f"{ranking[trial.mask]:.4f}" if ranking else "",
        )
        for trial in result.tried
    ]
    third = "shared weights" if result.shared else "log-likelihood" if ranking else ""
    print_table(["mask", "validation", third], rows)
    test = f", test {result.test:.4f}" if result.test is not None else ""
    print_result(f"best mask: {result.mask}, validation {result.validation:.4f}{test}")
    spent = f"{result.spent:.2f} full runs, {result.share:.1%} of training all {result.masks} masks"
    print_result(f"cost: {spent}; {time_text(result.seconds)}")
    print_result(f"its run: {folder / 'runs' / result.run}")
