"""`sltk search`: the best mask at a fraction of the cost of training all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .frame import JsonOption, RetryOption, SetOption, SpecArgument, app, show_json, show_table, tell, write

if TYPE_CHECKING:
    from ..search import SearchPlan, SearchResult


@app.command("search", short_help="Find the best mask without training all of them.")
def search(
    spec: SpecArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="folder of the search; without: runs/NAME"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show what it would do, and run nothing")
    ] = False,
    retry: RetryOption = False,
    extend: Annotated[
        bool, typer.Option("--extend", help="the folder holds a sweep of other runs: add these to it")
    ] = False,
    json: JsonOption = False,
    set_: SetOption = None,
) -> None:
    """Look for the mask with the best validation score, within the budget of SPEC's `search:`.

    The folder is that of a sweep: the same command goes on after an interruption, runs that are there are not
    trained again, and `sltk sweep` can train the rest.
    """
    from .. import search as searching
    from ..preview.summary import check_models
    from .search_table import SearchShown
    from .spec_kinds import previews

    plan = searching.plan(spec, set_ or ())
    for path in plan.sweep.imported:
        tell(f"imported {path}")
    check_models(previews(plan.sweep))
    begun = searching.begin(plan)
    folder = output or Path("runs") / plan.sweep.name
    for line in search_lines(plan):
        tell(line)
    if dry_run:
        return
    with SearchShown(begun) as shown:
        result = searching.run(
            plan, folder, search=begun, retry=retry, watcher=shown, on_change="extend" if extend else "refuse"
        )
    if json:
        from dataclasses import asdict

        show_json(asdict(result))
    else:
        _show(result, folder)


def search_lines(plan: SearchPlan) -> Iterator[str]:
    """What is searched, and what it may cost."""
    count, budget = len(plan.runs), plan.settings.budget
    yield f"{count} masks, strategy {plan.settings.strategy}, budget {budget:.0%}: {count * budget:.1f} full runs"
    if len(plan.seeds) > 1:
        yield f"of the {len(plan.seeds)} seeds of the sweep the search uses {plan.seeds[0]}"


def _show(result: SearchResult, folder: Path) -> None:
    """What was tried, and the best of it."""
    from .sweep_table import time_text

    rows = [
        (
            each.mask,
            "failed" if each.validation is None else f"{each.validation:.4f}",
            f"{result.shared[each.mask]:.4f}" if result.shared else "",
        )
        for each in result.tried
    ]
    show_table(["mask", "validation", "shared weights" if result.shared else ""], rows)
    test = f", test {result.test:.4f}" if result.test is not None else ""
    write(f"best mask: {result.mask}, validation {result.validation:.4f}{test}")
    spent = f"{result.spent:.2f} full runs, {result.share:.1%} of training all {result.masks} masks"
    write(f"cost: {spent}; {time_text(result.seconds)}")
    write(f"its run: {folder / 'runs' / result.run}")
