"""`sltk train`, `evaluate`, `predict`, `export`: what needs a model."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..errors import UsageError
from .common import component, error_console, import_files, output_console

if TYPE_CHECKING:
    from ..slots import Reader, Writer
    from ..types import Prediction, Sentence

Options = Annotated[
    Optional[list[str]],  # noqa: UP045  (Typer reads the annotation at run time)
    typer.Option("--option", metavar="K=V", help="An option of the reader; may be repeated."),
]
ReaderName = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--reader", metavar="TYPE", help="Reader of the input, for example conll (`sltk list reader`)."
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, or an exported model.")]
Imports = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--imports", metavar="FILE", help="Python file with components of your own; may be repeated."
    ),
]


def train(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="The YAML file that describes the run.")],
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", metavar="DIR", help="Run directory; runs/NAME if not given."),
    ] = None,
    settings: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--set", metavar="A.B=V", help="Change a setting of the spec; may be repeated."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a run that is there already.")] = False,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Run all of it on a tiny model and a few sentences, offline.")
    ] = False,
) -> None:
    """Train a model as SPEC says, score it, and write a run directory."""
    from .. import config
    from .progress import Shown
    from .tables import score_table

    loaded = config.load(spec, settings or [])
    for path in loaded.imported:
        error_console().print(f"imported {path}", style="dim", highlight=False)
    with Shown(error_console()) as progress:
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
                output_console().print(score_table(split, metrics[split]))
        _say_how_it_went(metrics["train"], None if rehearse else folder)


def _say_how_it_went(timing: dict[str, Any], folder: Path | None) -> None:
    words = f"{timing['words_per_second']:,.0f} words/s"
    memory = f"{timing['peak_memory_bytes'] / 2**30:.2f} GiB"
    text = f"{timing['steps']} updates in {timing['seconds']:,.0f} s, {words}, peak memory {memory}"
    output_console().print(text if folder is None else f"{text}\nrun directory: {folder}", highlight=False)


def evaluate(
    run: RunFolder,
    split: Annotated[str, typer.Option(metavar="NAME", help="train, validation or test.")] = "test",
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--data", metavar="PATH", help="Score on this file instead (needs --reader)."),
    ] = None,
    reader: ReaderName = None,
    option: Options = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", metavar="FILE", help="Write the scores there too, as JSON."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
    imports: Imports = None,
) -> None:
    """Score a trained model on a split of its data, or on other data."""
    if (data is None) != (reader is None):
        raise UsageError("--data and --reader go together")
    import_files(imports)
    chosen: Reader | None = component("reader", reader, option, path=data) if reader and data else None
    from .. import atomic
    from .. import run as pipelines
    from .progress import Shown
    from .tables import score_table

    with Shown(error_console()) as progress:
        result = pipelines.evaluate(run, split=split, reader=chosen, progress=progress)
    if output is not None:
        atomic.write_json(output, result.scores)
    if as_json:
        typer.echo(json.dumps(result.scores, ensure_ascii=False))
    else:
        output_console().print(score_table(str(data or split), result.scores))


def predict(
    run: RunFolder,
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT…", help="Files, a sentence a line; - is standard input.")
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is standard output.")
    ] = "-",
    format_: Annotated[
        str,
        typer.Option(
            "--format", "-f", metavar="WRITER", help="text, conll, jsonl, spans, html, … (`sltk list writer`)"
        ),
    ] = "text",
    batch_tokens: Annotated[
        int, typer.Option(min=1, metavar="N", help="Subwords in one forward pass.")
    ] = 4096,
    reader: ReaderName = None,
    option: Options = None,
    imports: Imports = None,
) -> None:
    """Label text, a line at a time; or, with --reader, files whose words are kept as they are."""
    import_files(imports)
    writer = _writer(format_, colored=output == "-" and sys.stdout.isatty())
    readers = [component("reader", reader, option, path=Path(path)) for path in inputs] if reader else None
    _inputs_exist(inputs)
    from .. import run as pipelines
    from .progress import Shown

    with Shown(error_console()) as progress:
        labeller = pipelines.load(run, batch_tokens=batch_tokens, progress=progress)
        if readers is None:
            readers = [_text_reader(Path(path), labeller.model.splitter) for path in inputs]
        sentences = _told(_read_all(readers), progress)
        # Short windows keep a terminal or a pipe fed; long ones fill batches.
        window = 64 if output == "-" else 2048
        predictions = labeller.stream(_without_annotation(sentences), window)
        _write(writer, _counted(predictions, progress), output)


def export(
    run: RunFolder,
    target: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put the model.")],
) -> None:
    """Write a model whole: merged weights, tokenizer, labels and mask, without need of its base model."""
    from .. import export as exporting
    from .progress import Shown

    with Shown(error_console()) as progress:
        exporting.export(run, target, progress=progress)
    output_console().print(f"exported to {target}; `sltk.load({str(target)!r})` reads it", highlight=False)


def _writer(name: str, *, colored: bool) -> Writer:
    found: Writer = component("writer", name, None)
    return (
        found.model_copy(update={"color": True}) if colored and "color" in type(found).model_fields else found
    )


def _text_reader(path: Path, splitter: Any) -> Reader:
    from ..registry import registry

    found: Reader = registry.find("reader", "text")(path=path, splitter=splitter)  # type: ignore[assignment]
    return found


def _inputs_exist(inputs: list[str]) -> None:
    """Complain before the model is loaded."""
    missing = [name for name in inputs if name != "-" and not Path(name).exists()]
    if missing:
        raise UsageError([UsageError(f"no such file: `{name}`").problems[0] for name in missing])


def _read_all(readers: list[Reader]) -> Iterator[Sentence]:
    from .. import data

    for reader in readers:
        yield from data.read(reader)


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
    from .. import atomic

    pieces = writer.render(predictions)
    if output != "-":
        with atomic.writing(Path(output)) as file:
            file.writelines(pieces)
        return
    shown = _harmless if sys.stdout.isatty() and not getattr(writer, "color", False) else str
    for piece in pieces:
        sys.stdout.write(shown(piece))
        sys.stdout.flush()


def _harmless(piece: str) -> str:
    """A piece of output without control characters that would move a terminal about."""
    from ..writers.safety import harmless

    return "\n".join("\t".join(map(harmless, line.split("\t"))) for line in piece.split("\n"))
