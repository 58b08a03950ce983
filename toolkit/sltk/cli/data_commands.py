"""stats, convert and score: commands on data files, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import Problem, UsageError, nearest
from .app import (
    ImportsOption,
    JsonOption,
    ReaderKeyOption,
    WriterKeyOption,
    app,
    console,
    print_info,
    print_json,
    print_result,
    print_table,
    print_warning,
    run_imports,
)
from .terminal import write_data

if TYPE_CHECKING:
    from ..components.slots import Metric
    from ..data.changes import Changes
    from ..data.conversion import Conversion
    from ..data.scoring import Scored

InputArgument = Annotated[
    str, typer.Argument(metavar="INPUT", help="a file, a folder, or a pattern in quotes: `'data/*.conll'`")
]
ReaderOption = Annotated[
    str, typer.Option("--reader", metavar="TYPE", help="format of the input: `sltk list reader`")
]
_MOST_SHOWN = 10


@app.command("stats", short_help="Count sentences, words, tags and spans of a data file.")
def stats(
    source: InputArgument,
    reader: ReaderOption,
    option: ReaderKeyOption = None,
    dependencies: Annotated[
        bool, typer.Option("--dependencies", help="count the directions of dependency arcs of labelled words")
    ] = False,
    parser: Annotated[
        str | None,
        typer.Option(
            "--parser", metavar="PIPELINE", help="parse with this spaCy pipeline, for data without trees"
        ),
    ] = None,
    json: JsonOption = False,
    imports: ImportsOption = None,
) -> None:
    """Count sentences, words, tags and spans of a data file, and annotations that training cannot use.

    Example: `sltk stats eng.train --reader conll --option label_column=3`
    """
    if parser is not None and not dependencies:
        raise UsageError("--parser needs --dependencies")
    run_imports(imports)
    from ..data.changes import Changes
    from ..data.statistics import statistics
    from .component_options import build_reader

    data_reader = build_reader(reader, source, option)
    changes = Changes()
    counts = statistics(data_reader, changes)
    if dependencies:
        from ..data.arcs import arc_directions, spacy_parser

        counts["dependencies"] = arc_directions(data_reader, spacy_parser(parser) if parser else None)
    if json:
        print_json(counts)
        return
    print_result(f"{counts['sentences']} sentences, {counts['words']} words, {counts['documents']} documents")
    scheme = counts["scheme"] or ("spans" if counts["spans"] else "none (no tags)")
    print_result(f"scheme: {scheme}; repaired tags: {counts['repaired']}")
    if "tag_style" in counts:
        print_result(counts["tag_style"]["description"])
    print_result("")
    kind = "spans" if counts["spans"] else "tags"
    rows = [(name, str(count)) for name, count in counts[kind].items()]
    print_table([kind, "count"], [*rows, ("all", str(sum(counts[kind].values())))])
    _print_overlaps(counts)
    if dependencies:
        _print_arcs(counts["dependencies"])
    _print_changes(changes)
    _print_warning(counts.get("warning"))


def _print_overlaps(counts: dict[str, Any]) -> None:
    """Spans that share words with others, in which way, and the heads that find them; discontinuous spans."""
    from ..data.data_report import KEEP_OVERLAPS

    if overlaps := counts.get("overlaps"):
        kinds = (
            f"{overlaps['inside']} inside others, {overlaps['same_words']} over the same words, "
            f"{overlaps['crossing']} crossing"
        )
        print_result(
            f"{overlaps['spans']} spans overlap: {kinds}; {overlaps['layers']} layers hold all of them"
        )
        print_info(f"a head with one tag per word leaves some out: {KEEP_OVERLAPS}")
    if number := counts.get("discontinuous"):
        print_result(f"discontinuous spans: {number}")


def _print_arcs(counts: dict[str, Any]) -> None:
    """Arcs of labelled words by type, and how many of them point right."""
    cells = [
        (
            name, str(row["words"]), str(row["arcs"]), str(row["right"]),
            "–" if row["share"] is None else f"{row['share']:.4f}",
        )
        for name, row in [*counts["per_type"].items(), ("all", counts)]
    ]  # fmt: skip
    print_result("")
    print_table(["labelled words", "words", "arcs", "to the right", "share"], cells)
    if counts["sentences_without_tree"]:
        print_info(f"sentences left out because they have no tree: {counts['sentences_without_tree']}")


@app.command("convert", short_help="Convert annotation to another format or tag scheme.")
def convert(
    source: InputArgument,
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="file or folder to write; `-` is standard output")
    ],
    reader: ReaderOption,
    writer: Annotated[
        str, typer.Option("--writer", metavar="TYPE", help="format of the output: `sltk list writer`")
    ],
    option: ReaderKeyOption = None,
    writer_option: WriterKeyOption = None,
    scheme: Annotated[
        str | None,
        typer.Option("--scheme", metavar="NAME", help="scheme of the written tags  [default: as read]"),
    ] = None,
    imports: ImportsOption = None,
) -> None:
    """Convert annotation from one format to another, or to another tag scheme.

    Example: `sltk convert eng.train train.jsonl --reader conll --option label_column=3 --writer jsonl`
    """
    run_imports(imports)
    from ..components.slots import Writer
    from ..data.changes import written
    from ..data.conversion import Conversion
    from ..schemes import SCHEMES
    from .component_options import build, build_reader, check_output

    target = build(Writer, writer, writer_option, flag="--writer-option")
    tag_scheme: Any = _check_scheme(scheme, SCHEMES) if scheme else None
    data_reader = build_reader(reader, source, option)
    check_output(target, output, [data_reader])
    conversion = Conversion(data_reader, tag_scheme)
    predictions = written(conversion.predictions(), target, conversion.changes)
    if output == "-":
        write_data(target.render(predictions))
    else:
        target.save(predictions, Path(output))
    _print_losses(conversion)


@app.command("score", short_help="Score predicted tags, like conlleval.")
def score(
    gold: Annotated[
        Path,
        typer.Argument(
            metavar="GOLD",
            help="file with gold tags in the last column",
        ),
    ],
    predicted: Annotated[
        Path | None,
        typer.Argument(
            metavar="PREDICTED",
            help="file with predicted tags  [default: GOLD has both in its last two columns]",
        ),
    ] = None,
    reader: Annotated[
        str | None,
        typer.Option(
            "--reader",
            metavar="TYPE",
            help="format of both files, such as jsonl or brat: `sltk list reader`  [default: columns]",
        ),
    ] = None,
    option: ReaderKeyOption = None,
    scheme: Annotated[
        str | None,
        typer.Option(
            "--scheme",
            metavar="NAME",
            help="scheme of the tags, or `auto` to detect it  [default: IOB2; with --reader, one that holds all spans]",
        ),
    ] = None,
    tag_style: Annotated[
        str,
        typer.Option(
            "--tag-style", metavar="NAME", help="how tags are written: auto, prefix, suffix, letters or types"
        ),
    ] = "auto",
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            metavar="strict|conlleval",
            help="how to count ill-formed tag sequences  [default: strict]",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric", metavar="TYPE", help="use another metric: partial, spans, … (`sltk list metric`)"
        ),
    ] = None,
    metric_option: Annotated[
        list[str] | None,
        typer.Option(
            "--metric-option",
            metavar="KEY=VALUE",
            help="set a key of the metric: `sltk show metric TYPE`; repeatable",
        ),
    ] = None,
    json: JsonOption = False,
    imports: ImportsOption = None,
) -> None:
    """Score predicted tags like conlleval: two files, or one whose last two columns are gold and predicted.

    With --reader, both are files or folders of any format, whose spans may overlap.

    Example: `sltk score gold.conll predicted.conll --metric partial`
    """
    run_imports(imports)
    from ..data.scoring import conlleval_report, other_types, scored_files
    from ..schemes import SCHEMES

    tag_scheme: Any = _check_scheme(scheme, ("auto", *SCHEMES)) if scheme else None
    if mode not in (None, "strict", "conlleval"):
        raise UsageError(f"unknown mode `{mode}`: expected `strict` or `conlleval`")
    tag_mode: Any = mode or "strict"
    style: Any = _check_style(tag_style)
    other = _metric(metric, metric_option or [], mode)
    if reader is not None:
        result = _scored_sources(gold, predicted, reader, option, tag_scheme, tag_mode, other, style)
    elif option:
        raise UsageError("`--option` needs `--reader`")
    else:
        result = scored_files(gold, predicted, tag_scheme or "IOB2", tag_mode, other, style)
    if json:
        print_json(result.as_json())
    elif other is None:
        print_result(conlleval_report(result.scores))
    else:
        from .score_tables import show_scores

        show_scores(console(), other.type_name, result.scores)
    for note in result.notes:
        print_info(note)
    for message in other_types(result.scores):
        _print_warning(message)
    _print_changes(result.changes)


def _scored_sources(
    gold: Path,
    predicted: Path | None,
    reader: str,
    option: list[str] | None,
    scheme: Any,
    mode: Any,
    metric: Metric | None,
    style: str,
) -> Scored:
    """The scores of two sources of one format.

    Raises:
        UsageError: there is no second source, or an option is for columns.
    """
    from ..data.source_scoring import scored_sources
    from .component_options import build_reader

    if predicted is None:
        raise UsageError(
            "`--reader` needs a second file or folder: `sltk score GOLD PREDICTED --reader TYPE`"
        )
    if style != "auto":
        raise UsageError(f"`--tag-style` is for columns: with --reader it is `--option tag_style={style}`")
    one, other = (build_reader(reader, str(source), option) for source in (gold, predicted))
    return scored_sources(one, other, None if scheme == "auto" else scheme, mode, metric)


def _metric(name: str | None, options: list[str], mode: str | None) -> Metric | None:
    """The metric of `--metric`, in the mode of `--mode`; None without `--metric`.

    Raises:
        UsageError: the metric does not exist, its options are wrong, or it has no mode.
    """
    from ..components.slots import Metric
    from .component_options import build

    if name is None:
        if options:
            raise UsageError("`--metric-option` needs `--metric`")
        return None
    metric = build(Metric, name, options, flag="--metric-option")
    if mode is None:
        return metric
    if "mode" not in type(metric).model_fields:
        raise UsageError(f"`--mode` does not apply to the metric `{name}`: it counts no spans")
    return metric.model_copy(update={"mode": mode})


def _check_scheme(name: str, known: tuple[str, ...]) -> str:
    """Check the name of a scheme, and return it.

    Raises:
        UsageError: the scheme is unknown.
    """
    if name not in known:
        near = {"BIO": "IOB2", "IOBES": "BIOES"}.get(name.upper()) or nearest(name.upper(), known)
        notes = (f"schemes: {', '.join(known)}",)
        raise UsageError(Problem(f"unknown scheme `{name}`", suggestion=near, notes=notes))
    return name


def _check_style(name: str) -> str:
    """Check the name of a tag style, and return it.

    Raises:
        UsageError: the style is unknown.
    """
    from ..schemes.styles import STYLES

    known = ("auto", *STYLES)
    if name not in known:
        notes = (f"tag styles: {', '.join(known)}",)
        raise UsageError(Problem(f"unknown tag style `{name}`", suggestion=nearest(name, known), notes=notes))
    return name


def _print_losses(conversion: Conversion) -> None:
    if conversion.reading and conversion.reading.style and conversion.scheme != "plain":
        print_info(str(conversion.reading.style))
    if conversion.repaired:
        print_info(f"ill-formed tags that were repaired: {conversion.repaired}")
    _print_changes(conversion.changes)
    _print_warning(conversion.reading.warning if conversion.reading else None)


def _print_warning(message: str | None) -> None:
    if message:
        print_warning(Problem(message))


def _print_changes(changes: Changes) -> None:
    if changes.count:
        print_info(f"annotations left out or changed: {changes.count}")
    for line in changes.lines(_MOST_SHOWN):
        print_info(f"  {line}")
