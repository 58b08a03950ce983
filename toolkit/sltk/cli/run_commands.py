"""`sltk train`, `evaluate`, `export`: commands that need a model."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import Problem, UsageError
from ..runtime import processes
from .app import (
    DecodeOption,
    ForceOption,
    ImportsOption,
    JsonOption,
    PrecisionOption,
    ReaderKeyOption,
    RehearseOption,
    ResumeOption,
    RunArgument,
    RunOutputOption,
    SetOption,
    SpecArgument,
    ThreadsOption,
    ThresholdsOption,
    TrustOption,
    app,
    checked_precision,
    console,
    import_policy,
    print_json,
    print_result,
    run_imports,
)
from .terminal import results_are_stored

if TYPE_CHECKING:
    from ..decoding.decisions import Mode
    from ..models.decision_options import UseOfThresholds
    from ..spec.loading import Loaded
    from .progress_bar import ProgressBar

ReaderOption = Annotated[
    str | None,
    typer.Option("--reader", metavar="TYPE", help="format of the data: `sltk list reader`"),
]

_MOST_SHOWN = 10


@app.command("train", short_help="Train a model and score it.")
def train(
    spec: SpecArgument,
    output: RunOutputOption = None,
    set_: SetOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    rehearse: RehearseOption = False,
    threads: ThreadsOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Train a model as described in SPEC, score it, and write a run directory."""
    from ..spec import loading
    from .score_tables import show_scores

    check_kind(spec, "train")
    check_rehearsal(rehearse, output, resume=resume, force=force)
    loaded = loading.load(spec, set_ or (), import_policy(trust_code))
    folder = output or Path("runs") / loaded.spec.name
    metrics = train_run(loaded, folder, resume=resume, force=force, rehearse=rehearse)
    if metrics is None:
        return
    with results_are_stored():
        for split in ("validation", "test"):
            if split in metrics:
                show_scores(console(), split, metrics[split])
        print_timing(metrics["train"], "words")
        if not rehearse:
            print_result(f"run directory: {folder}")


def check_rehearsal(rehearse: bool, output: Path | None, *, resume: bool, force: bool) -> None:
    """Check that no option for a run directory comes with `--rehearse`, which leaves none.

    Raises:
        UsageError: one of the options was given.
    """
    if rehearse and processes.world_size() > 1:
        note = "a rehearsal runs in one process: start it without `torchrun` or `accelerate launch`"
        raise UsageError(Problem("`--rehearse` in several processes", notes=(note,)))
    options = {"--output": output is not None, "--resume": resume, "--force": force}
    unfit = [option for option, is_given in options.items() if is_given]
    if rehearse and unfit:
        note = "a rehearsal runs in a temporary folder, which is removed: leave out one of the two options"
        raise UsageError(Problem(f"`--rehearse` and `{unfit[0]}` exclude each other", notes=(note,)))


def check_kind(spec: Path, command: str) -> None:
    """Check that a spec is of the kind that a command runs.

    Raises:
        UsageError: the spec is of another kind; the message names the command for it.
    """
    from ..yamltree.extends import spec_kind

    commands = {"sweep": "sweep", "search": "search", "pretraining": "pretrain"}
    # A spec with folds is a run as soon as `--set` says which one; otherwise, its error says both ways.
    expected = commands.get(spec_kind(spec), command)
    if expected != command:
        raise UsageError(f"`{spec}` is not a spec for `sltk {command}`: run `sltk {expected} {spec}`")


def train_run(
    loaded: Loaded[Any], folder: Path, *, resume: bool, force: bool, rehearse: bool
) -> dict[str, Any] | None:
    """Train or rehearse a run of any kind with progress on the terminal.

    Returns:
        The content of `metrics.json`; None in processes other than the main process.
    """
    from .. import run
    from ..pretraining.pretrain_spec import PretrainSpec
    from ..rehearsal import rehearse as run_rehearsal

    train_kind = run.pretrain if isinstance(loaded.spec, PretrainSpec) else run.train
    with progress_bar() as progress:
        if rehearse:
            metrics = run_rehearsal(loaded, progress=progress)
        else:
            metrics = train_kind(loaded, folder, resume=resume, force=force, progress=progress)
    return metrics if processes.is_main_process() else None


def print_timing(timing: dict[str, Any], unit: str) -> None:
    """Print updates, duration, speed in units per second, and peak memory of training."""
    speed = f"{timing[f'{unit}_per_second']:,.0f} {unit}/s"
    memory = f"{timing['peak_memory_bytes'] / 2**30:.2f} GiB"
    print_result(f"{timing['steps']} updates in {timing['seconds']:,.0f} s, {speed}, peak memory {memory}")


@app.command("evaluate", short_help="Score a trained model.")
def evaluate(
    run: RunArgument,
    split: Annotated[str, typer.Option(metavar="NAME", help="train, validation or test")] = "test",
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="PATH", help="score this file or folder instead; needs --reader"),
    ] = None,
    reader: ReaderOption = None,
    option: ReaderKeyOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="also write the scores to this file, as JSON"),
    ] = None,
    json: JsonOption = False,
    decode: DecodeOption = None,
    thresholds: ThresholdsOption = "stored",
    precision: PrecisionOption = None,
    imports: ImportsOption = None,
    threads: ThreadsOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Score a trained model on a split of its data, or on other data."""
    if (data is None) != (reader is None):
        raise UsageError("--data and --reader must be given together")
    number_format = checked_precision(precision)
    run_imports(imports)
    from ..files import atomic
    from ..files.writable import check_file, check_not_read
    from ..rundir.ownership import own_files
    from .component_options import build_reader

    data_reader = build_reader(reader, str(data), option) if reader else None
    if output is not None:
        check_file(output)
        data_paths = [path for _, path in data_reader.paths()] if data_reader else []
        check_not_read([output], [*data_paths, *own_files(run)])
    from .. import run as pipelines
    from ..rundir.directory import locked_around
    from .score_tables import show_scores

    with locked_around(output) if output else nullcontext():
        with progress_bar() as progress:
            result = pipelines.evaluate(
                run,
                split=split,
                reader=data_reader,
                progress=progress,
                trust_code=trust_code,
                keep_predictions=False,
                decode=cast("Mode | None", decode),
                thresholds=cast("UseOfThresholds", thresholds),
                precision=number_format,
            )
        if output is not None:
            atomic.write_json(output, result.scores)
    with results_are_stored() if output is not None else nullcontext():
        if json:
            print_json(result.scores)
        else:
            show_scores(console(), str(data or split), result.scores)


@app.command("export", short_help="Write a complete model, for use elsewhere.")
def export(
    run: RunArgument,
    target: Annotated[Path, typer.Argument(metavar="DIR", help="new folder for the model")],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help="`transformers`, or `onnx`: runs without torch, with onnxruntime",
        ),
    ] = "transformers",
    quantize: Annotated[
        str | None,
        typer.Option(
            metavar="int8", help="8-bit weights; needs `--format onnx`; reports how many tags change"
        ),
    ] = None,
    imports: ImportsOption = None,
    threads: ThreadsOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Write a complete model that does not need its base model: merged weights, tokenizer, labels and mask."""
    run_imports(imports)
    from .. import exporting

    with progress_bar() as progress:
        exporting.export(
            run, target, progress=progress, format=format_, quantize=quantize, trust_code=trust_code
        )
    with results_are_stored():
        print_result(f"exported to {target}; load it with `sltk.load({str(target)!r})`")


def progress_bar() -> ProgressBar:
    """Progress on standard error."""
    from .progress_bar import ProgressBar

    return ProgressBar()
