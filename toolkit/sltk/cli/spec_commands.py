"""check and schema: specs, without running them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError, InvalidSpecError, Problem, UsageError
from ..runtime.progress import Progress, reporting_to
from .app import (
    ImportsOption,
    JsonOption,
    SetOption,
    SpecArgument,
    TrustOption,
    app,
    console,
    import_policy,
    print_info,
    print_json,
    print_result,
    print_warning,
    run_imports,
)
from .terminal import results_are_stored

if TYPE_CHECKING:
    from ..inspection.suspects import Suspects
    from ..preview.run_preview import DataReport
    from ..spec.imports import ImportPolicy
    from .spec_kinds import CheckedSpec


@app.command("check", short_help="Check a spec and summarize what it would do.")
def check(
    spec: SpecArgument,
    data: Annotated[
        bool, typer.Option("--data", help="also read the data: count it, and warn about anomalies")
    ] = False,
    near_duplicates: Annotated[
        float | None,
        typer.Option(
            "--near-duplicates",
            metavar="SHARE",
            help="with --data: share of common word pairs from which sentences are near duplicates, above 0 to 1; "
            "0 does not look for them  [default: 0.7]",
        ),
    ] = None,
    suspects: Annotated[
        list[Path] | None,
        typer.Option(
            "--suspects",
            metavar="DIR",
            help="with --data: list probable annotation errors, with which finished runs in DIR disagree that were not "
            "trained on the sentence, such as a sweep over `data.folds`; may be repeated",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="treat warnings as errors")] = False,
    json: JsonOption = False,
    set_: SetOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Check a spec and summarize what it would do; nothing is downloaded or trained.

    All errors are reported together, each with its line and the nearest valid name.
    """
    from .spec_kinds import load

    _check_options(data, near_duplicates, suspects or ())
    try:
        policy = import_policy(trust_code)
        checked = load(spec, set_ or (), policy)
        warnings, report = _check(checked, data=data, similarity=near_duplicates)
        disagreement = _find_suspects(checked, suspects, policy) if suspects else None
    except InputError as error:
        if json:
            problems = [_as_json(each) for each in error.problems]
            with results_are_stored():
                print_json({"spec": str(spec), "sound": False, "problems": problems})
        raise
    with results_are_stored():  # the exit code is the result
        if json:
            shown = {"spec": str(spec), "sound": True, "warnings": [_as_json(each) for each in warnings]}
            found = {} if disagreement is None else {"suspects": disagreement.as_json()}
            data_keys = report.as_json() if report is not None else {}
            print_json({**shown, **checked.as_json(), **data_keys, **found})
        else:
            for line in checked.summary():
                print_result(line)
            if report is not None:
                _show_data(report)
            if disagreement is not None:
                _show_suspects(disagreement)
            _conclude(warnings)
    if strict and warnings:
        print_info("`--strict` treats warnings as errors.")
        raise typer.Exit(2)


def _check_options(data: bool, similarity: float | None, suspects: Sequence[Path]) -> None:
    if suspects and not data:
        raise UsageError("`--suspects` is about the data: use it with `--data`")
    if similarity is not None:
        if not 0 <= similarity <= 1:
            raise UsageError(f"`--near-duplicates` is a share from 0 to 1, not {similarity:g}")
        if not data:
            raise UsageError("`--near-duplicates` is about the data: use it with `--data`")


def _find_suspects(checked: CheckedSpec, folders: Sequence[Path], policy: ImportPolicy) -> Suspects:
    """Compare the data of a spec, in a sweep that of its first run, with the predictions of finished runs."""
    from ..inspection.suspects import find_suspects
    from ..preview.run_preview import LabellingPreview

    run = checked.runs[0]
    if not isinstance(run, LabellingPreview):
        raise UsageError("`--suspects` is about annotation, which the text of pre-training does not have")
    return find_suspects(run.loaded.spec, folders, policy)


def _show_suspects(suspects: Suspects) -> None:
    from .suspect_list import suspect_lines

    for line in suspect_lines(suspects):
        print_result(line)
    for note in suspects.notes:
        print_info(f"note: {note}")


def _check(
    checked: CheckedSpec, *, data: bool, similarity: float | None = None
) -> tuple[list[Problem], DataReport | None]:
    """Check models and files, and with `data` the data.

    Returns:
        All warnings; and what was found in the data, for the spec of a single run.

    Raises:
        InputError: mask or LoRA targets do not fit; or with `data` files are missing or malformed.
    """
    from ..preview.run_preview import (
        audit_data,
        check_models,
        missing_data,
        missing_models,
        warnings_of,
    )

    check_models(checked.runs, checked.missing_packages())
    missing = missing_data(checked.runs)
    models = [*missing_models(checked.runs), *warnings_of(checked.runs)]
    if not data:
        return [*missing, *models], None
    if missing:
        raise InvalidSpecError(missing)
    with reporting_to(_Notes()):
        reports, warnings = audit_data(checked.runs, similarity)
    return [*models, *warnings], reports[0] if len(checked.runs) == 1 else None


class _Notes(Progress):
    """Prints what is learned from the data before training, such as class weights."""

    def note(self, message: str) -> None:
        print_info(f"note: {message}")


def _show_data(report: DataReport) -> None:
    from ..pretraining.pretraining_preview import TextCounts
    from ..preview.audit import Audit
    from .audit_tables import show_audit

    if isinstance(report, Audit):
        show_audit(console(), report)
    elif isinstance(report, TextCounts):
        for line in report.lines():
            print_result(line)


def _conclude(warnings: Sequence[Problem]) -> None:
    for problem in warnings:
        print_info("")
        print_warning(problem)
    count = len(warnings)
    with_warnings = f", with {count} warning{'s' if count > 1 else ''}" if count else ""
    print_result(f"\nThe spec is valid{with_warnings}.")


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
    from .json_schema import spec_schema

    print_json(spec_schema())
