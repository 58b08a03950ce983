"""check and schema: specs, without running them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError, Problem, SpecError
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
from .pretrain_check import PretrainKind
from .run_check import RunKind
from .spec_kinds import Audited, SpecKind
from .sweep_check import SearchKind, SweepKind

KINDS: dict[str, SpecKind[Any]] = {"search": SearchKind(), "sweep": SweepKind(), "objective": PretrainKind()}
"""Kinds of specs by the key that tells them, the first that is there; without any it is a run."""
_RUN = RunKind()


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
    overrides = set_ or ()
    kind = _kind_of(spec, overrides)
    try:
        loaded, warnings, audited = _checked(kind, spec, overrides, data=data)
    except InputError as error:
        if json:
            problems = [_as_json(each) for each in error.problems]
            show_json({"spec": str(spec), "sound": False, "problems": problems})
        raise
    if json:
        said = {"spec": str(spec), "sound": True, "warnings": [_as_json(each) for each in warnings]}
        show_json({**said, **kind.report(loaded), **audited.report})
    else:
        kind.show(loaded)
        audited.show()
        _conclude(warnings)
    if strict and warnings:
        tell("`--strict` takes a warning for an error.")
        raise typer.Exit(2)


def _kind_of(spec: Path, overrides: Sequence[str]) -> SpecKind[Any]:
    """The kind of a spec, what it extends and `--set` counted; that of a run where it cannot be read."""
    from ..specs.sources import read
    from ..specs.spec_tree import child

    try:
        tree = read(spec, overrides).tree
    except SpecError:
        return _RUN  # which says what is wrong with it
    return next((kind for key, kind in KINDS.items() if child(tree, key) is not None), _RUN)


def _checked(
    kind: SpecKind[Any], spec: Path, overrides: Sequence[str], *, data: bool
) -> tuple[Any, list[Problem], Audited]:
    """The spec, loaded, with all warnings; and with `data` what the data is like.

    Raises:
        InputError: the spec is wrong; or with `data` files are missing or malformed.
    """
    from ..config import InvalidSpecError

    loaded = kind.load(spec, overrides)
    for path in kind.imported(loaded):
        tell(f"imported {path}")
    kind.check(loaded)
    missing = kind.missing_files(loaded)
    if data and missing:
        raise InvalidSpecError(missing)
    audited = kind.audit(loaded) if data else Audited()
    return loaded, [*missing, *audited.warnings], audited


def _conclude(warnings: Sequence[Problem]) -> None:
    for problem in warnings:
        tell("")
        warn(problem)
    count = len(warnings)
    with_warnings = f", with {count} warning{'s' if count > 1 else ''}" if count else ""
    write(f"\nThe spec is sound{with_warnings}.")


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


@app.command("schema")
def schema(imports: ImportsOption = None) -> None:
    """Print the JSON Schema of a spec, for editors.

    Save it (`sltk schema > sltk.schema.json`) and begin a spec with
    `# yaml-language-server: $schema=sltk.schema.json` to get completion and help while typing.
    """
    run_imports(imports)
    from ..specs.schema import spec_schema

    show_json(spec_schema())
