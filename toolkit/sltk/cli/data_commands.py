"""stats, convert and score: data files, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError, nearest
from .frame import ImportsOption, JsonOption, app, run_imports, show_json, show_table, tell, write

if TYPE_CHECKING:
    from ..data import Dataset

InputArgument = Annotated[
    str, typer.Argument(metavar="INPUT", help="a file, or a folder where the reader takes one")
]
ReaderOption = Annotated[
    str, typer.Option("--reader", metavar="TYPE", help="format of the input: `sltk list reader`")
]
OptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="KEY=VALUE", help="a key of the reader: `sltk show reader TYPE`; repeatable"
    ),
]
_SHOWN = 10
_SCHEMES = ("IOB1", "IOB2", "IO", "BIOES", "BILOU", "BMES", "plain")


@app.command("stats", short_help="Count what is in a data file.")
def stats(
    source: InputArgument,
    reader: ReaderOption,
    option: OptionOption = None,
    json: JsonOption = False,
    imports: ImportsOption = None,
) -> None:
    """Count sentences, words, tags and spans of a data file, and what of it cannot be used.

    Example: `sltk stats eng.train --reader conll --option label_column=3`
    """
    run_imports(imports)
    from ..slots import Reader
    from ..statistics import statistics
    from .components import build, source_key

    counts = statistics(build(Reader, reader, option or [], **source_key(reader, source)))
    if json:
        show_json(counts)
        return
    write(f"{counts['sentences']} sentences, {counts['words']} words, {counts['documents']} documents")
    write(f"scheme: {counts['scheme'] or 'spans'}; repaired tags: {counts['repaired']}\n")
    kind = "spans" if counts["spans"] else "tags"
    rows = [(name, str(count)) for name, count in counts[kind].items()]
    show_table([kind, "count"], [*rows, ("all", str(sum(counts[kind].values())))])
    _tell_unused([f"{each['file']}:{each['line']}: {each['reason']}" for each in counts["unused"]])


@app.command("convert", short_help="Write annotation in another format or scheme.")
def convert(
    source: InputArgument,
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="the file to write; `-` is standard output")
    ],
    reader: ReaderOption,
    writer: Annotated[
        str, typer.Option("--writer", metavar="TYPE", help="format of the output: `sltk list writer`")
    ],
    option: OptionOption = None,
    writer_option: Annotated[
        list[str] | None,
        typer.Option("--writer-option", metavar="KEY=VALUE", help="a key of the writer; repeatable"),
    ] = None,
    scheme: Annotated[
        str | None,
        typer.Option("--scheme", metavar="NAME", help="scheme of the written tags; without: as read"),
    ] = None,
    imports: ImportsOption = None,
) -> None:
    """Write the annotation of one format in another format or tag scheme.

    Example: `sltk convert eng.train train.jsonl --reader conll --option label_column=3 --writer jsonl`
    """
    run_imports(imports)
    from ..conversion import gold_predictions, target
    from ..data import read_source
    from ..slots import Reader, Writer
    from .components import build, source_key

    render = build(Writer, writer, writer_option or [], flag="--writer-option")
    named: Any = _scheme(scheme, _SCHEMES) if scheme else None
    read = read_source(build(Reader, reader, option or [], **source_key(reader, source)))
    data = target(read, named)
    _write_pieces(output, render.render(gold_predictions(read, data)))
    _tell_lost(data)


@app.command("score", short_help="Score predicted tags, like conlleval.")
def score(
    gold: Annotated[
        Path, typer.Argument(metavar="GOLD", help="tags in the last column; alone: the last two")
    ],
    predicted: Annotated[
        Path | None,
        typer.Argument(metavar="PREDICTED", help="the same words, predicted tags in the last column"),
    ] = None,
    scheme: Annotated[
        str, typer.Option("--scheme", metavar="NAME", help="scheme of the tags; `auto` looks")
    ] = "IOB2",
    mode: Annotated[
        str, typer.Option("--mode", metavar="strict|conlleval", help="how ill-formed tag sequences count")
    ] = "strict",
    json: JsonOption = False,
) -> None:
    """Score predicted tags like conlleval: two files, or one whose last two columns are gold and predicted."""
    from ..scoring import report, score_files

    named: Any = _scheme(scheme, ("auto", *_SCHEMES))
    if mode not in ("strict", "conlleval"):
        raise UsageError(f"unknown mode `{mode}`: expected `strict` or `conlleval`")
    counted: Any = mode
    scores = score_files(gold, predicted, named, counted)
    if json:
        show_json(scores)
    else:
        write(report(scores))


def _scheme(given: str, known: tuple[str, ...]) -> str:
    from ..errors import Problem

    if given not in known:
        near = nearest(given.upper(), known)
        note = f"schemes: {', '.join(known)}"
        raise UsageError(Problem(f"unknown scheme `{given}`", suggestion=near, notes=(note,)))
    return given


def _write_pieces(output: str, pieces: Any) -> None:
    from .. import atomic

    if output == "-":
        for piece in pieces:
            typer.echo(piece, nl=False)
        return
    with atomic.writing(Path(output)) as file:
        file.writelines(pieces)


def _tell_lost(data: Dataset) -> None:
    if data.repaired:
        tell(f"ill-formed tags, read as others: {data.repaired}")
    _tell_unused([f"{each.file}:{each.line}: {each.reason}" for each in data.unused])


def _tell_unused(lines: list[str]) -> None:
    if not lines:
        return
    tell(f"annotations that cannot be used as they are: {len(lines)}")
    for line in lines[:_SHOWN]:
        tell(f"  {line}")
    if len(lines) > _SHOWN:
        tell(f"  … and {len(lines) - _SHOWN} more (`sltk stats --json` lists all)")
