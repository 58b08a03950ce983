"""`sltk train`, `evaluate`, `predict`, `export`: what needs a model."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import Problem, UsageError
from .frame import (
    ForceOption,
    ImportsOption,
    JsonOption,
    RehearseOption,
    ResumeOption,
    RunOutputOption,
    SetOption,
    SpecArgument,
    app,
    console,
    run_imports,
    show_json,
    tell,
    write,
)

if TYPE_CHECKING:
    from ..components.slots import Reader, Writer
    from ..types import Prediction, Sentence
    from .progress import Shown

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="a run directory, or an exported model")]
ReaderOption = Annotated[
    str | None,
    typer.Option("--reader", metavar="TYPE", help="format of the data: `sltk list reader`"),
]
OptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="KEY=VALUE", help="a key of the reader: `sltk show reader TYPE`; repeatable"
    ),
]


@app.command("train", short_help="Train a model and score it.")
def train(
    spec: SpecArgument,
    output: RunOutputOption = None,
    set_: SetOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    rehearse: RehearseOption = False,
) -> None:
    """Train a model as SPEC says, score it, and write a run directory."""
    from ..spec import loading
    from ..yamltree.extends import spec_kind
    from .tables import show_scores

    other = {"sweep": "sweep", "search": "search", "pretraining": "pretrain"}.get(spec_kind(spec))
    if other is not None:
        raise UsageError(f"`{spec}` is not a labelling run: run `sltk {other} {spec}`")
    loaded = loading.load(spec, set_ or ())
    for path in loaded.imported:
        tell(f"imported {path}")
    with _progress() as progress:
        if rehearse:
            from ..rehearsal import rehearse as run_rehearsal

            metrics = run_rehearsal(loaded, progress=progress)
        else:
            from .. import run

            folder = output or Path("runs") / loaded.experiment.name
            metrics = run.train(loaded, folder, resume=resume, force=force, progress=progress)
    if int(os.environ.get("RANK", "0")) == 0:
        for split in ("validation", "test"):
            if split in metrics:
                show_scores(console(), split, metrics[split])
        _say_how_it_went(metrics["train"], None if rehearse else folder)


def _say_how_it_went(timing: dict[str, Any], folder: Path | None) -> None:
    words = f"{timing['words_per_second']:,.0f} words/s"
    memory = f"{timing['peak_memory_bytes'] / 2**30:.2f} GiB"
    text = f"{timing['steps']} updates in {timing['seconds']:,.0f} s, {words}, peak memory {memory}"
    write(text if folder is None else f"{text}\nrun directory: {folder}")


@app.command("evaluate", short_help="Score a trained model.")
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="a run directory")],
    split: Annotated[str, typer.Option(metavar="NAME", help="train, validation or test.")] = "test",
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="PATH", help="score on this file instead; needs --reader"),
    ] = None,
    reader: ReaderOption = None,
    option: OptionOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="write the scores there too, as JSON"),
    ] = None,
    json: JsonOption = False,
    imports: ImportsOption = None,
) -> None:
    """Score a trained model on a split of its data, or on other data."""
    if (data is None) != (reader is None):
        raise UsageError("--data and --reader go together")
    run_imports(imports)
    chosen = _reader(reader, option, str(data)) if reader else None
    from ..files import atomic
    from ..files.places import check_file

    if output is not None:
        check_file(output)
    from .. import run as pipelines
    from .tables import show_scores

    with _progress() as progress:
        result = pipelines.evaluate(run, split=split, reader=chosen, progress=progress)
    if output is not None:
        atomic.write_json(output, result.scores)
    if json:
        show_json(result.scores)
    else:
        show_scores(console(), str(data or split), result.scores)


@app.command("predict", short_help="Label text.")
def predict(
    run: RunArgument,
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT…", help="files, a sentence a line; `-` is standard input")
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="where to write; `-` is standard output")
    ] = "-",
    format_: Annotated[
        str,
        typer.Option(
            "--format", "-f", metavar="WRITER", help="text, conll, jsonl, spans, html, … (`sltk list writer`)"
        ),
    ] = "text",
    batch_tokens: Annotated[
        int, typer.Option(min=1, metavar="N", help="subwords in one forward pass")
    ] = 4096,
    reader: ReaderOption = None,
    option: OptionOption = None,
    imports: ImportsOption = None,
) -> None:
    """Label text, a line at a time; or, with --reader, files whose words are kept as they are."""
    run_imports(imports)
    writer = _writer(format_, colored=output == "-" and sys.stdout.isatty())
    readers = [_reader(reader, option, path) for path in inputs] if reader else None
    _inputs_exist(inputs)
    if output != "-":
        writer.check_place(Path(output))
    from .. import run as pipelines

    with _progress() as progress:
        labeller = pipelines.load(run, batch_tokens=batch_tokens, progress=progress)
        if readers is None:
            readers = [_text_reader(Path(path), labeller.model.splitter) for path in inputs]
        sentences = _told(_read_all(readers), progress)
        # Short windows keep a terminal or a pipe fed; long ones fill batches.
        window = 64 if output == "-" else 2048
        predictions = labeller.stream(_without_annotation(sentences), window)
        _write(writer, _counted(predictions, progress), output)


@app.command("export", short_help="Write a model whole, for use elsewhere.")
def export(
    run: RunArgument,
    target: Annotated[Path, typer.Argument(metavar="DIR", help="a new folder for the model")],
) -> None:
    """Write a model whole: merged weights, tokenizer, labels and mask, without need of its base model."""
    from .. import export as exporting

    with _progress() as progress:
        exporting.export(run, target, progress=progress)
    write(f"exported to {target}; `sltk.load({str(target)!r})` reads it")


def _progress() -> Shown:
    from .progress import shown

    return shown()


def _reader(name: str, options: list[str] | None, source: str) -> Reader:
    from ..components.slots import Reader
    from .components import build, source_key

    return build(Reader, name, options or [], **source_key(name, source))


def _writer(name: str, *, colored: bool) -> Writer:
    from ..components.slots import Writer
    from .components import build

    found = build(Writer, name, type_flag="--format")
    return (
        found.model_copy(update={"color": True}) if colored and "color" in type(found).model_fields else found
    )


def _text_reader(path: Path, splitter: Any) -> Reader:
    from ..components.readers.text import TextReader

    return TextReader(path=path, splitter=splitter)


def _inputs_exist(inputs: list[str]) -> None:
    """Complain before the model is loaded."""
    missing = [name for name in inputs if name != "-" and not Path(name).exists()]
    if missing:
        raise UsageError([Problem(f"no such file: `{name}`") for name in missing])


def _read_all(readers: list[Reader]) -> Iterator[Sentence]:
    from ..data import datasets

    for reader in readers:
        yield from datasets.read(reader)


def _told(sentences: Iterable[Sentence], progress: Any) -> Iterator[Sentence]:
    """Pass sentences on, saying what was replaced or left out in them."""
    for sentence in sentences:
        for unused in sentence.unused:
            progress.note(f"{unused.file}:{unused.line or '?'}: {unused.reason}")
        yield sentence


def _without_annotation(sentences: Iterable[Sentence]) -> Iterator[Sentence]:
    """Prediction knows no gold: tags that are there already are not passed on."""
    from dataclasses import replace

    for sentence in sentences:
        yield replace(sentence, tags=None, spans=None)


def _counted(predictions: Iterable[Prediction], progress: Any) -> Iterator[Prediction]:
    for number, prediction in enumerate(predictions, start=1):
        if number % 256 == 0:
            progress.labelled(256)
        yield prediction


def _write(writer: Writer, predictions: Iterable[Prediction], output: str) -> None:
    if output != "-":
        writer.save(predictions, Path(output))
        return
    shown = _harmless if sys.stdout.isatty() and not getattr(writer, "color", False) else str
    for piece in writer.render(predictions):
        sys.stdout.write(shown(piece))
        sys.stdout.flush()


def _harmless(piece: str) -> str:
    """A piece of output without control characters that would move a terminal about."""
    from ..files.safety import harmless

    return "\n".join("\t".join(map(harmless, line.split("\t"))) for line in piece.split("\n"))
