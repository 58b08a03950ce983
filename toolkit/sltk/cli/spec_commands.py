"""check and schema: specs, without running them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError, Problem
from .frame import (
    ImportsOption,
    JsonOption,
    SetOption,
    SpecArgument,
    app,
    run_imports,
    show_json,
    tell,
    warn,
    write,
)

if TYPE_CHECKING:
    from ..audit import Audit
    from ..config import Loaded
    from ..spec import Experiment


@app.command("check", short_help="Check a spec and say what it would do.")
def check(
    spec: SpecArgument,
    data: Annotated[
        bool, typer.Option("--data", help="read the data and look for what is odd in it")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="exit with 2 on a warning too")] = False,
    json: JsonOption = False,
    set_: SetOption = None,
) -> None:
    """Check a spec and say what it would do; nothing is loaded, downloaded or trained.

    Every mistake is told at once, with its line and the nearest valid name.
    """
    from .. import config
    from ..audit import audit, missing_files
    from ..estimate import check_model
    from ..pretraining.spec import is_pretraining
    from ..search import is_search
    from ..sweeps import is_sweep

    if is_sweep(spec) or is_search(spec):
        _check_sweep(spec, set_ or (), data=data, strict=strict, json=json)
        return
    if is_pretraining(spec):
        _check_pretraining(spec, set_ or (), data=data, strict=strict, json=json)
        return
    try:
        loaded = config.load(spec, set_ or ())
        for path in loaded.imported:
            tell(f"imported {path}")
        check_model(loaded)
        warnings = missing_files(loaded)
        if data and warnings:
            raise config.InvalidSpecError(warnings)
        found = audit(loaded) if data else None
    except InputError as error:
        if json:
            show_json(_refused(spec, error))
        raise
    warnings += found.warnings if found else []
    if json:
        show_json(_report(loaded, warnings, found))
    else:
        _print(loaded, warnings, found)
    if strict and warnings:
        tell("`--strict` takes a warning for an error.")
        raise typer.Exit(2)


def _check_sweep(spec: Path, overrides: Sequence[str], *, data: bool, strict: bool, json: bool) -> None:
    from ..search import is_search
    from .sweep_check import check_search, check_sweep, show_sweep

    check = check_search if is_search(spec) else check_sweep
    try:
        report, warnings = check(spec, overrides, data=data, as_json=_as_json)
    except InputError as error:
        if json:
            show_json(_refused(spec, error))
        raise
    if json:
        show_json(report)
    else:
        show_sweep(spec, overrides, warnings)
    if strict and warnings:
        tell("`--strict` takes a warning for an error.")
        raise typer.Exit(2)


def _check_pretraining(spec: Path, overrides: Sequence[str], *, data: bool, strict: bool, json: bool) -> None:
    from .pretrain_check import check_pretraining, show_pretraining

    try:
        report, warnings = check_pretraining(spec, overrides, data=data, as_json=_as_json)
    except InputError as error:
        if json:
            show_json(_refused(spec, error))
        raise
    if json:
        show_json(report)
    else:
        show_pretraining(spec, overrides, report, warnings)
    if strict and warnings:
        tell("`--strict` takes a warning for an error.")
        raise typer.Exit(2)


@app.command("schema")
def schema(imports: ImportsOption = None) -> None:
    """Print the JSON Schema of a spec, for editors.

    Save it (`sltk schema > sltk.schema.json`) and begin a spec with
    `# yaml-language-server: $schema=sltk.schema.json` to get completion and help while typing.
    """
    run_imports(imports)
    from ..schema import spec_schema

    show_json(spec_schema())


def _print(loaded: Loaded[Experiment], warnings: list[Problem], found: Audit | None) -> None:
    from ..estimate import estimate
    from ..summary import summary_lines

    for line in summary_lines(loaded.experiment, estimate(loaded.experiment)):
        write(line)
    if found:
        from rich.console import Console

        from .audit_tables import show_audit

        show_audit(Console(highlight=False, width=None if sys.stdout.isatty() else 100), found)
    for problem in warnings:
        tell("")
        warn(problem)
    count = len(warnings)
    with_warnings = f", with {count} warning{'s' if count > 1 else ''}" if count else ""
    write(f"\nThe spec is sound{with_warnings}.")


def _report(loaded: Loaded[Experiment], warnings: list[Problem], found: Audit | None) -> dict[str, Any]:
    from ..estimate import estimate

    resolved = loaded.experiment.model_dump(mode="json", serialize_as_any=True)
    expected = estimate(loaded.experiment)
    report = {
        "spec": loaded.tree.mark.file,
        "sound": True,
        "warnings": [_as_json(problem) for problem in warnings],
        "resolved": resolved,
        "estimate": expected.as_json() if expected is not None else None,
    }
    return report | (found.as_json() if found else {})


def _refused(spec: Path, error: InputError) -> dict[str, Any]:
    """What `--json` says of a spec that is wrong."""
    return {"spec": str(spec), "sound": False, "problems": [_as_json(each) for each in error.problems]}


def _as_json(problem: Problem) -> dict[str, Any]:
    place = problem.location
    return {
        "message": problem.message,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "path": problem.path,
        "suggestion": problem.suggestion,
        "notes": list(problem.notes),
    }
