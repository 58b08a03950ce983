"""The Typer app, options that commands share, and how an error ends a command.

Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 the run failed, 2 the
command line, spec or input is wrong, 130 interrupted.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer._click import exceptions as click
from typer.core import TyperGroup
from typer.main import get_command

from ..errors import InputError, Location, Problem, SltkError, nearest
from ..files.safety import harmless

if TYPE_CHECKING:
    from rich.console import Console

PROGRAM = "sltk"

app = typer.Typer(
    help="Sequence labelling with decoder-only language models whose causal mask is a setting.",
    epilog="A first run: `sltk train experiments/quickstart.yaml`. What a spec may say: `sltk list`.",
    add_completion=False,
    suggest_commands=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

SpecArgument = Annotated[Path, typer.Argument(metavar="SPEC", help="the YAML file of a run")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="change one key, as in `--set trainer.epochs=3`; repeatable"
    ),
]
RunOutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="run directory; without: runs/NAME")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="go on with an interrupted run")]
ForceOption = Annotated[bool, typer.Option("--force", help="replace a run that is there already")]
RehearseOption = Annotated[
    bool, typer.Option("--rehearse", help="run all of it on a tiny model and a few sentences, offline")
]
RetryOption = Annotated[bool, typer.Option("--retry", help="run again what failed, or was damaged")]
ImportsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--imports", metavar="FILE", help="a Python file or module with components of your own; repeatable"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="print the version and end")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="show the traceback of an error; may stand after any command")
    ] = False,
) -> None:
    """Options before the command. `debug` is read by `main`, which takes it out of the arguments."""
    if version:
        from .._version import __version__

        write(f"{PROGRAM} {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        write(context.get_help())
        raise typer.Exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    debug = "--debug" in options
    kept = [word for word in options if word != "--debug"] + given[len(options) :]
    try:
        # Typer turns Ctrl-C into an exit with 130, and returns the code of an exit.
        code = get_command(app).main(args=kept, prog_name=PROGRAM, standalone_mode=False)
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        return _explain(error)
    if code == 130:
        tell("interrupted")
    return code if isinstance(code, int) else 0


def _explain(error: Exception) -> int:
    """Say in one place what went wrong, and give the exit code."""
    if isinstance(error, SltkError):
        _show(str(error) if isinstance(error, InputError) else f"error: {error}")
        _show_count(error)
        return error.exit_code
    if isinstance(error, click.ClickException):
        _show(str(_usage_problem(error)))
        return 2
    if isinstance(error, OSError) and error.strerror:
        named = f"`{error.filename}`: " if error.filename else ""
        _show(f"error: {named}{error.strerror[:1].lower()}{error.strerror[1:]}")
        return 1
    _show(
        f"error: {type(error).__name__}: {error}\n   = this should not happen; `--debug` shows where it did"
    )
    return 1


def _show_count(error: SltkError) -> None:
    if type(error).__name__ == "InvalidSpecError" and isinstance(error, InputError):
        count = len(error.problems)
        tell(f"\n{count} error{'s' if count > 1 else ''}. Nothing was read, downloaded or trained.")


def _usage_problem(error: click.ClickException) -> Problem:
    """A mistake on the command line in the form of every other error."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else PROGRAM
    notes = (f"`{command} --help` lists what there is",)
    unknown = re.fullmatch(r"No such command '(.*)'\.", error.message, re.DOTALL)
    if unknown and context and isinstance(context.command, TyperGroup):
        known = list(context.command.commands)
        near = nearest(unknown[1], known)
        return Problem(
            f"unknown command `{unknown[1]}`", suggestion=near, notes=(f"commands: {', '.join(known)}",)
        )
    if isinstance(error, click.NoSuchOption):
        near = next(iter(error.possibilities or ()), None)
        return Problem(f"unknown option `{error.option_name}` for `{command}`", suggestion=near, notes=notes)
    text = re.sub(r"'([^']*)'", r"`\1`", error.format_message()).rstrip(".")
    return Problem(text[:1].lower() + text[1:], Location(command), notes=notes)


def write(text: str) -> None:
    """A line of a result, to standard output."""
    typer.echo(text)


def tell(text: str) -> None:
    """A line that is no result, to standard error."""
    typer.echo(text, err=True)


def warn(problem: Problem) -> None:
    """A problem that stops nothing."""
    _show(str(problem).replace("error:", "warning:", 1))


def _show(text: str) -> None:
    """An error or warning, its first word coloured where standard error is a terminal.

    It may quote data, and data may hold what a terminal would obey.
    """
    text = "\n".join(map(harmless, _as_given(text).split("\n")))
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        text = re.sub(r"^error:", typer.style("error:", fg="red", bold=True), text, flags=re.MULTILINE)
        text = re.sub(r"^warning:", typer.style("warning:", fg="yellow", bold=True), text, flags=re.MULTILINE)
    tell(text)


_EXCERPT = re.compile(r"^ *\d+ \|.*", re.MULTILINE)


def _as_given(text: str) -> str:
    """Files below the working directory by relative paths, unless a person wrote them from the root.

    Paths in a spec are made absolute when it is read; errors name them as they were given.
    """
    here = os.path.join(os.getcwd(), "")
    written = [*sys.argv[1:], *_EXCERPT.findall(text)]
    return text if any(here in each for each in written) else text.replace(here, "")


def console(width: int = 100) -> Console:
    """A console for tables on standard output, as wide as the terminal, or `width` if it is not a terminal."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else width)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of texts."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console(width=120).print(table)


def show_json(value: Any) -> None:
    """JSON, indented, characters as they are."""
    import json

    write(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def run_imports(items: Sequence[str] | None) -> None:
    """Run the files of `--imports` and say which."""
    from ..spec.imports import load_imports
    from ..yamltree.scalars import resolve_path

    for path in load_imports([resolve_path(item) if item.endswith(".py") else item for item in items or ()]):
        tell(f"imported {path}")
