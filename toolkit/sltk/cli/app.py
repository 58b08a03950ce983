"""The Typer app, options shared by commands, output, and errors.

Results go to standard output, everything else to standard error. Exit codes: 0 success, 1 the run failed, 2 the
command line, the spec or the input is wrong, 130 interrupted, 141 nobody reads standard output any more.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast, get_args

import typer
from typer.main import get_command

from .. import _interrupt
from ..files.safety import json_text
from ..runtime import cpus, launch_settings
from ..runtime.departures import is_reported
from .error_messages import PROGRAM, print_warning, working_directory
from .process_errors import print_once
from .terminal import prepare, print_diagnostic, print_info, print_result, write_data

if TYPE_CHECKING:
    from rich.console import Console

    from ..spec.imports import ImportPolicy
    from ..types import PrecisionSetting

__all__ = ["app", "console", "main", "print_info", "print_result", "print_warning"]

_INTERRUPTED = 130

app = typer.Typer(
    help="Train sequence labellers from one YAML file, above all with decoder-only language models whose causal "
    "mask is removed in some blocks.",
    epilog="First run: `sltk train experiments/quickstart.yaml`. Components of a spec: `sltk list`.",
    add_completion=False,
    suggest_commands=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

SpecArgument = Annotated[Path, typer.Argument(metavar="SPEC", help="spec, a YAML file")]
RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="run directory, exported model, or model on the hub")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="override a key, as in `--set trainer.epochs=3`; repeatable"
    ),
]
RunOutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="run directory  [default: runs/NAME]")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="continue an interrupted run")]
ForceOption = Annotated[bool, typer.Option("--force", help="replace an existing run")]
RehearseOption = Annotated[
    bool, typer.Option("--rehearse", help="run every step offline, on a tiny model and a few sentences")
]
RetryOption = Annotated[bool, typer.Option("--retry", help="repeat failed and damaged runs")]
ReaderKeyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="KEY=VALUE", help="set a key of the reader: `sltk show reader TYPE`; repeatable"
    ),
]
WriterKeyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--writer-option",
        metavar="KEY=VALUE",
        help="set a key of the writer: `sltk show writer TYPE`; repeatable",
    ),
]
ImportsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--imports", metavar="FILE", help="Python file or module with custom components; repeatable"
    ),
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-code", help="run the `imports:` of a run directory that was not trained on this machine"
    ),
]
DecodeOption = Annotated[
    str | None,
    typer.Option(
        "--decode",
        metavar="HOW",
        help="head, or constrained for tags that the scheme allows  [default: what the head says]",
    ),
]
PrecisionOption = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="FORMAT",
        help="of matrix products: auto, bf16, fp16 or fp32  [default: as trained on such a device, otherwise auto]",
    ),
]
SpanScoreOption = Annotated[
    str | None,
    typer.Option(
        "--span-score",
        metavar="HOW",
        help="score of a span: product, minimum or marginal  [default: what the head says]",
    ),
]
ThresholdsOption = Annotated[
    str,
    typer.Option(
        "--thresholds", metavar="WHICH", help="stored (by `sltk thresholds`), or none to keep all spans"
    ),
]


def _use_threads(count: int | None) -> int | None:
    """Set the number of threads while the command line is read, before torch is imported."""
    if count is not None:
        if count > (usable := cpus.usable_cpus()):
            print_diagnostic(
                f"warning: --threads {count}: this process may use {usable} CPUs, and more threads are slower"
            )
        cpus.use_threads(count)
    return count


ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, max=cpus.MAX_THREADS, metavar="N", callback=_use_threads,
        help="CPU threads of a process  [default: OMP_NUM_THREADS, or the CPUs that it may use]",
    ),
]  # fmt: skip
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="show the traceback of an error; allowed after any command")
    ] = False,
) -> None:
    """Options before the command. `main` reads `--debug` and removes it from the arguments."""
    if version:
        from .._version import __version__

        print_result(f"{PROGRAM} {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print_result(context.get_help())
        raise typer.Exit(2)
    launch_settings.check_command(context.invoked_subcommand)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    prepare()
    if working_directory() is None:  # nothing relative to it can be found, and torch does not start
        print_diagnostic("error: the working directory has been deleted: change to another one")
        return 2
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = words[: words.index("--")] if "--" in words else words
    debug, is_silent = "--debug" in options, False
    words = [word for word in options if word != "--debug"] + words[len(options) :]
    try:
        with _own_warnings():
            # Typer turns Ctrl-C into an exit with 130, and returns the code of an exit.
            code = get_command(app).main(args=words, prog_name=PROGRAM, standalone_mode=False)
    except KeyboardInterrupt as error:
        code, is_silent = _INTERRUPTED, is_reported(error)
    except (Exception, SystemExit) as error:
        is_silent = is_reported(error)
        if debug:
            print_info("".join(traceback.format_exception(error)).rstrip("\n"))
        code = _INTERRUPTED if _interrupt.happened() else print_once(error)
    if code == _INTERRUPTED and not is_silent:
        print_info("interrupted")
    return code if isinstance(code, int) else 0


@contextmanager
def _own_warnings() -> Iterator[None]:
    """Print Python warnings of sltk like its other warnings, without the line of code."""
    package = Path(__file__).parents[1]
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_own(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if Path(filename).is_relative_to(package):
                print_diagnostic(f"warning: {message}")
            else:
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = show_own
        yield


def console(width: int = 100) -> Console:
    """A console for tables on standard output, as wide as the terminal, or `width` if it is not a terminal."""
    from .rich_console import SafeConsole

    return SafeConsole(width=width)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of texts."""
    from rich import box
    from rich.table import Table

    from .rich_console import shown

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(shown(column))
    for row in rows:
        table.add_row(*map(shown, row))
    console(width=120).print(table)


def print_json(value: Any) -> None:
    """Print indented JSON, without escaping letters outside ASCII."""
    write_data([json_text(value, indent=2, default=str) + "\n"])


def run_imports(items: Sequence[str] | None) -> None:
    """Import the files and modules of `--imports`; each is printed before it runs."""
    from ..spec.imports import load_imports
    from ..yamltree.scalars import resolve_import

    load_imports([resolve_import(item) for item in items or ()], import_policy())


def checked_precision(name: str | None) -> PrecisionSetting | None:
    """The value of `--precision`.

    Raises:
        UsageError: it is not the name of a number format.
    """
    from ..decoding.decisions import check_name
    from ..types import PrecisionSetting

    if name is not None:
        check_name("precision", name, get_args(PrecisionSetting))
    return cast("PrecisionSetting | None", name)


def import_policy(trust_code: bool = False) -> ImportPolicy:
    """Print each file and module of `imports:` before it runs; `trust_code` is the value of `--trust-code`."""
    from ..spec.imports import ImportPolicy

    return ImportPolicy(trust_code, print_info)
