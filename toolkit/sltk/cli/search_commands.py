"""`sltk search`: the best mask, or the best values of any keys, without training them all."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
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
    from ..search.tuning import TuningPlan, TuningResult

_MOST_ROWS = 25
"""Trials to print; all of them are in search.json."""


@app.command("search", short_help="Find the best mask, or the best values of any keys.")
def search(
    spec: SpecArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="folder of the search  [default: runs/NAME]"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show what would be searched, and run nothing")
    ] = False,
    retry: RetryOption = False,
    extend: Annotated[
        bool,
        typer.Option(
            "--extend", help="of masks: if the folder holds a sweep of other runs, add these runs to it"
        ),
    ] = False,
    json: JsonOption = False,
    set_: SetOption = None,
    threads: ThreadsOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Find the mask, or the values of the keys in `space`, with the best validation score, as SPEC's `search:` says.

    To continue an interrupted search, repeat the command: finished runs are not repeated. The folder of a search over
    masks is that of a sweep, and `sltk sweep` can train the remaining runs.
    """
    from .. import search as searching
    from ..preview.run_preview import check_models
    from ..search import tuning
    from .spec_kinds import previews
    from .sweep_display import SearchDisplay, search_lines

    if tuning.has_space(spec, set_ or ()):
        if extend:
            raise UsageError("--extend is for searches over masks: raise `search.trials` to add trials")
        values = tuning.plan(spec, set_ or (), import_policy(trust_code))
        _tune(values, output or Path("runs") / values.name, dry_run=dry_run, retry=retry, json=json)
        return
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


def _tune(plan: TuningPlan, folder: Path, *, dry_run: bool, retry: bool, json: bool) -> None:
    """Search over values of keys, and print the trials."""
    from ..preview.run_preview import check_models
    from ..search import tuning
    from .spec_kinds import tuning_previews
    from .tuning_display import TuningDisplay, space_lines

    check_models(tuning_previews(plan), plan.missing_packages())
    for line in space_lines(plan):
        print_info(line)
    if dry_run:
        return
    state = tuning.begin(plan)
    with TuningDisplay(state) as display:
        result = tuning.run(plan, folder, state=state, retry=retry, watcher=display)
    with results_are_stored():
        if json:
            print_json(asdict(result))
        else:
            _print_trials(plan, result, folder)


def _print_trials(plan: TuningPlan, result: TuningResult, folder: Path) -> None:
    from ..search.tuning.tuning_result import sorted_trials
    from .sweep_display import time_text
    from .tuning_display import counts_text, score_cells, short_keys

    trials = sorted_trials(result.trials)
    names = short_keys(list(plan.space))
    rows = [
        (
            trial["name"],
            *score_cells(trial),
            *(plan.space[key].shown(trial["parameters"][key]) for key in names),
        )
        for trial in trials[:_MOST_ROWS]
    ]
    print_table(["trial", "validation", "epochs", *names.values()], rows)
    if len(trials) > _MOST_ROWS:
        print_result(f"… and {len(trials) - _MOST_ROWS} more in {folder / 'search.json'}")
    test = f", test {result.test:.4f}" if result.test is not None else ""
    print_result(f"best trial: {result.best}, validation {result.validation:.4f}{test}")
    if result.importance:
        shares = ", ".join(f"{names[key]} {share:.0%}" for key, share in result.importance.items())
        print_result(f"importance: {shares}")
    print_result(f"trials: {counts_text(result.count)}; {time_text(result.seconds)}")
    print_result(f"its spec: {folder / 'best.yaml'}; its run: {folder / 'runs' / str(result.best)}")
