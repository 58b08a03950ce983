"""stats, convert and score: data files, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError, nearest
from .frame import ImportsOption, JsonOption, app, console, run_imports, show_json, show_table, tell, write

if TYPE_CHECKING:
    from ..components.slots import Metric
    from ..data.conversion import Conversion

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


@app.command("stats", short_help="Count what is in a data file.")
def stats(
    source: InputArgument,
    reader: ReaderOption,
    option: OptionOption = None,
    dependencies: Annotated[
        bool, typer.Option("--dependencies", help="count which way the arcs of labelled words point")
    ] = False,
    parser: Annotated[
        str | None,
        typer.Option(
            "--parser", metavar="PIPELINE", help="a spaCy pipeline that parses, where the data has no trees"
        ),
    ] = None,
    json: JsonOption = False,
    imports: ImportsOption = None,
) -> None:
    """Count sentences, words, tags and spans of a data file, and what of it cannot be used.

    Example: `sltk stats eng.train --reader conll --option label_column=3`
    """
    if parser is not None and not dependencies:
        raise UsageError("--parser is for --dependencies")
    run_imports(imports)
    from ..components.slots import Reader
    from ..data.statistics import statistics
    from .components import build, source_key

    built = build(Reader, reader, option or [], **source_key(reader, source))
    counts = statistics(built)
    if dependencies:
        from ..data.arcs import directions, spacy_parser

        counts["dependencies"] = directions(built, spacy_parser(parser) if parser else None)
    if json:
        show_json(counts)
        return
    write(f"{counts['sentences']} sentences, {counts['words']} words, {counts['documents']} documents")
    scheme = counts["scheme"] or ("spans" if counts["spans"] else "none, for there are no tags")
    write(f"scheme: {scheme}; repaired tags: {counts['repaired']}\n")
    kind = "spans" if counts["spans"] else "tags"
    rows = [(name, str(count)) for name, count in counts[kind].items()]
    show_table([kind, "count"], [*rows, ("all", str(sum(counts[kind].values())))])
    if dependencies:
        _show_arcs(counts["dependencies"])
    reports = counts["unused"] + counts["adjusted"]
    unused = [f"{each['file']}:{each['line']}: {each['reason']}" for each in reports]
    _tell_unused(unused, len(unused))


def _show_arcs(found: dict[str, Any]) -> None:
    """Arcs of labelled words by type, and how many of them point right."""
    rows = [*found["per_type"].items(), ("all", found)]
    cells = [
        (name, str(row["words"]), str(row["arcs"]), str(row["right"]), _share_text(row["share"]))
        for name, row in rows
    ]
    write("")
    show_table(["labelled words", "words", "arcs", "to the right", "share"], cells)
    if found["sentences_without_tree"]:
        tell(f"sentences without a tree, left out: {found['sentences_without_tree']}")


def _share_text(share: float | None) -> str:
    return "–" if share is None else f"{share:.4f}"


@app.command("convert", short_help="Write annotation in another format or scheme.")
def convert(
    source: InputArgument,
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="the file or folder to write; `-` is standard output")
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
    from ..components.slots import Reader, Writer
    from ..data.conversion import Conversion
    from ..schemes import SCHEMES
    from .components import build, source_key

    target = build(Writer, writer, writer_option or [], flag="--writer-option")
    named: Any = _scheme(scheme, SCHEMES) if scheme else None
    conversion = Conversion(build(Reader, reader, option or [], **source_key(reader, source)), named)
    if output == "-":
        for piece in target.render(conversion.predictions()):
            typer.echo(piece, nl=False)
    else:
        target.check_place(Path(output))
        target.save(conversion.predictions(), Path(output))
    _tell_lost(conversion)


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
        str | None,
        typer.Option(
            "--mode", metavar="strict|conlleval", help="how ill-formed tag sequences count  [default: strict]"
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric", metavar="TYPE", help="another metric: partial, spans, … (`sltk list metric`)"
        ),
    ] = None,
    metric_option: Annotated[
        list[str] | None,
        typer.Option(
            "--metric-option",
            metavar="KEY=VALUE",
            help="a key of the metric: `sltk show metric TYPE`; repeatable",
        ),
    ] = None,
    json: JsonOption = False,
    imports: ImportsOption = None,
) -> None:
    """Score predicted tags like conlleval: two files, or one whose last two columns are gold and predicted.

    Example: `sltk score gold.conll predicted.conll --metric partial`
    """
    run_imports(imports)
    from ..data.scoring import report, score_files
    from ..schemes import SCHEMES

    named: Any = _scheme(scheme, ("auto", *SCHEMES))
    if mode not in (None, "strict", "conlleval"):
        raise UsageError(f"unknown mode `{mode}`: expected `strict` or `conlleval`")
    counted: Any = mode or "strict"
    chosen = _metric(metric, metric_option or [], mode)
    scores = score_files(gold, predicted, named, counted, chosen)
    if json:
        show_json(scores)
    elif chosen is None:
        write(report(scores))
    else:
        from .tables import show_scores

        show_scores(console(), chosen.type_name, scores)


def _metric(name: str | None, options: list[str], mode: str | None) -> Metric | None:
    """The metric that was asked for; None where none was."""
    from ..components.slots import Metric
    from .components import build

    if name is None:
        if options:
            raise UsageError("`--metric-option` needs `--metric`")
        return None
    built = build(Metric, name, options, flag="--metric-option")
    if mode is None:
        return built
    if "mode" not in type(built).model_fields:
        raise UsageError(f"`--mode` means nothing to the metric `{name}`: it counts no spans")
    return built.model_copy(update={"mode": mode})


def _scheme(given: str, known: tuple[str, ...]) -> str:
    from ..errors import Problem

    if given not in known:
        near = nearest(given.upper(), known)
        note = f"schemes: {', '.join(known)}"
        raise UsageError(Problem(f"unknown scheme `{given}`", suggestion=near, notes=(note,)))
    return given


def _tell_lost(conversion: Conversion) -> None:
    if conversion.repaired:
        tell(f"ill-formed tags, read as others: {conversion.repaired}")
    shown = [f"{each.file}:{each.line}: {each.reason}" for each in conversion.unused]
    _tell_unused(shown, conversion.unused_count)


def _tell_unused(lines: list[str], count: int) -> None:
    if not count:
        return
    tell(f"annotations that cannot be used as they are: {count}")
    shown = lines[:_SHOWN]
    for line in shown:
        tell(f"  {line}")
    if count > len(shown):
        tell(f"  … and {count - len(shown)} more (`sltk stats --json` lists all)")
