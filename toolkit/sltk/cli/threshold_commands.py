"""`sltk thresholds`: per-type thresholds that are stored with a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..errors import UsageError
from .app import (
    DecodeOption,
    ImportsOption,
    JsonOption,
    ReaderKeyOption,
    RunArgument,
    SpanScoreOption,
    ThreadsOption,
    TrustOption,
    app,
    print_json,
    print_result,
    print_table,
    run_imports,
)
from .run_commands import ReaderOption, progress_bar
from .terminal import results_are_stored

if TYPE_CHECKING:
    from ..decoding.decisions import Mode, SpanScore
    from ..decoding.stored_thresholds import Thresholds


@app.command("thresholds", short_help="Choose the lowest score of each type of span.")
def thresholds(
    run: RunArgument,
    precision: Annotated[
        float | None,
        typer.Option(
            "--precision", metavar="P", help="target precision of each type: keep as many as it allows"
        ),
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option(
            "--recall", metavar="R", help="target recall of each type: leave out as many as it allows"
        ),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="remove the stored thresholds")] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="PATH", help="choose on this data; needs --reader  [default: validation]"
        ),
    ] = None,
    reader: ReaderOption = None,
    option: ReaderKeyOption = None,
    decode: DecodeOption = None,
    span_score: SpanScoreOption = None,
    json: JsonOption = False,
    imports: ImportsOption = None,
    threads: ThreadsOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Choose the lowest score of each type by a target precision or recall on the validation data, and store them.

    `predict`, `evaluate` and `serve` then leave out spans with a lower score. Without a target, show what is stored.
    """
    has_target = precision is not None or recall is not None
    if (data is None) != (reader is None):
        raise UsageError("--data and --reader must be given together")
    if clear and has_target:
        raise UsageError("`--clear` removes thresholds, and a target chooses them: leave out one of the two")
    if not has_target and (data or decode or span_score):
        raise UsageError("give a target: `--precision P` or `--recall R`")
    run_imports(imports)
    from .. import thresholds as stored
    from .component_options import build_reader

    if clear:
        removed = stored.clear_thresholds(run)
        print_result("thresholds removed" if removed else "no thresholds are stored with this model")
        return
    if not has_target:
        _show(stored.stored_thresholds(run), json)
        return
    with progress_bar() as progress:
        chosen = stored.choose_thresholds(
            run,
            precision=precision,
            recall=recall,
            reader=build_reader(reader, str(data), option) if reader else None,
            decode=cast("Mode | None", decode),
            span_score=cast("SpanScore | None", span_score),
            progress=progress,
            trust_code=trust_code,
        )
    with results_are_stored():
        _show(chosen, json)


def _show(thresholds: Thresholds | None, json: bool) -> None:
    if json:
        print_json(None if thresholds is None else thresholds.model_dump(mode="json"))
        return
    if thresholds is None:
        print_result("no thresholds are stored with this model: `--precision P` or `--recall R` chooses some")
        return
    ((goal, value),) = thresholds.target.items()
    rows = [
        (
            name,
            "none" if each.threshold is None else f"{each.threshold:.4f}",
            f"{each.precision:.4f}",
            f"{each.recall:.4f}",
            f"{each.kept:,} of {each.predicted:,}",
            f"{each.support:,}",
        )
        for name, each in thresholds.types.items()
    ]
    print_result(
        f"target {goal} {value:g} on {thresholds.chosen_on} "
        f"(decode: {thresholds.decode}, span_score: {thresholds.span_score})"
    )
    print_table(("type", "threshold", "precision", "recall", "kept", "gold"), rows)
    for name, each in thresholds.types.items():
        if each.best is not None:
            print_result(
                f"{name} does not reach {goal} {value:g}, at best {each.best:.4f}: all its spans are kept"
            )
        elif not each.support:
            print_result(f"{name} has no gold spans on {thresholds.chosen_on}: all its spans are kept")
