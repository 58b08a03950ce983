"""`sltk predict`: label text or files."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..errors import Problem, UsageError
from .app import (
    DecodeOption,
    ImportsOption,
    PrecisionOption,
    ReaderKeyOption,
    RunArgument,
    SpanScoreOption,
    ThreadsOption,
    ThresholdsOption,
    TrustOption,
    WriterKeyOption,
    app,
    checked_precision,
    run_imports,
)
from .run_commands import ReaderOption, progress_bar
from .terminal import is_styled, write_data

if TYPE_CHECKING:
    from ..components.slots import Reader, Writer
    from ..data.changes import Changes
    from ..decoding.decisions import Measure
    from ..runtime.progress import Progress
    from ..types import Prediction, Sentence

_MOST_SHOWN = 10


@app.command("predict", short_help="Label text.")
def predict(
    run: RunArgument,
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT…", help="files with one sentence per line; `-` is standard input"),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="output file; `-` is standard output")
    ] = "-",
    format_: Annotated[
        str,
        typer.Option(
            "--format", "-f", metavar="WRITER", help="text, conll, jsonl, spans, html, … (`sltk list writer`)"
        ),
    ] = "text",
    writer_option: WriterKeyOption = None,
    batch_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="subwords per forward pass")] = 4096,
    reader: ReaderOption = None,
    option: ReaderKeyOption = None,
    min_score: Annotated[
        float,
        typer.Option("--min-score", metavar="X", help="leave out spans with a score below X, from 0 to 1"),
    ] = 0.0,
    span_score: SpanScoreOption = None,
    thresholds: ThresholdsOption = "stored",
    decode: DecodeOption = None,
    precision: PrecisionOption = None,
    rank: Annotated[
        str | None,
        typer.Option(
            "--rank",
            metavar="BY",
            help="uncertainty: write the sentences that the model is least sure of first",
        ),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option("--measure", metavar="HOW", help="of --rank: margin or entropy  [default: margin]"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, metavar="N", help="of --rank: write only the first N sentences"),
    ] = None,
    imports: ImportsOption = None,
    threads: ThreadsOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Label text line by line; or, with --reader, label files and keep their words."""
    uncertainty = _measure(rank, measure, limit)
    number_format = checked_precision(precision)
    run_imports(imports)
    from ..components.readers.text import TextReader
    from ..data.changes import NotedChanges, written
    from ..files.data_files import is_missing
    from ..models.decision_options import DecisionOptions
    from ..rundir.ownership import own_files
    from .component_options import build_reader, check_output

    options = DecisionOptions.checked(
        decode=decode,
        span_score=span_score,
        min_score=min_score,
        thresholds=thresholds,
        uncertainty=uncertainty,
    )
    writer = _writer(format_, writer_option, colored=output == "-" and is_styled(sys.stdout))
    readers = [build_reader(reader, path, option) for path in inputs] if reader else None
    # Before the model is loaded, which takes long.
    missing = [name for name in inputs if name != "-" and is_missing(Path(name))]
    if missing:
        raise UsageError([Problem(f"no such file: `{name}`") for name in missing])
    check_output(writer, output, readers or [TextReader(path=Path(path)) for path in inputs], own_files(run))
    from .. import run as pipelines
    from ..models.ranking import most_uncertain

    with progress_bar() as progress:
        labeller = pipelines.load_with_options(
            run,
            options,
            batch_tokens=batch_tokens,
            progress=progress,
            trust_code=trust_code,
            precision=number_format,
        )
        if readers is None:
            readers = [TextReader(path=Path(path), splitter=labeller.splitter) for path in inputs]
        # A small window keeps a terminal or a pipe supplied; a large one fills batches.
        window = 64 if output == "-" else 2048
        changes = NotedChanges(progress.note, _MOST_SHOWN)
        predictions: Iterable[Prediction] = labeller.stream(_sentences(readers, changes), window)
        # A progress bar would mix with the output on a terminal.
        is_on_screen = output == "-" and sys.stdout is not None and sys.stdout.isatty()
        if rank is not None or not is_on_screen:
            predictions = _counted(predictions, progress)
        if rank is not None:
            predictions = most_uncertain(predictions, limit)
        _write(writer, written(predictions, writer, changes), output)
        changes.conclude()


def _measure(rank: str | None, measure: str | None, limit: int | None) -> Measure | None:
    """The measure of uncertainty that `--rank` asks for.

    Raises:
        UsageError: the options do not go together, or have an unknown value.
    """
    if rank is None:
        options = {"--measure": measure, "--limit": limit}
        for option in (name for name, value in options.items() if value is not None):
            raise UsageError(f"{option} is for `--rank uncertainty`")
        return None
    if rank != "uncertainty":
        raise UsageError(Problem(f"cannot rank by `{rank}`", notes=("one of: uncertainty",)))
    return cast("Measure", measure or "margin")


def _writer(name: str, options: list[str] | None, *, colored: bool) -> Writer:
    from ..components.slots import Writer
    from .component_options import build

    writer = build(Writer, name, options, flag="--writer-option", type_flag="--format")
    has_color = colored and "color" in type(writer).model_fields and "color" not in writer.model_fields_set
    return writer.model_copy(update={"color": True}) if has_color else writer


def _sentences(readers: list[Reader], changes: Changes) -> Iterator[Sentence]:
    """The sentences of all readers without their annotation; counts what was replaced or left out."""
    from ..data.raw import read

    for reader in readers:
        for sentence in read(reader):
            changes.add(sentence.unused)
            yield replace(sentence, tags=None, spans=None)


def _counted(predictions: Iterable[Prediction], progress: Progress) -> Iterator[Prediction]:
    for number, prediction in enumerate(predictions, start=1):
        if number % 256 == 0:
            progress.labelled(256)
        yield prediction


def _write(writer: Writer, predictions: Iterable[Prediction], output: str) -> None:
    if output != "-":
        writer.save(predictions, Path(output))
        return
    write_data(writer.render(predictions), is_safe=getattr(writer, "color", False))
