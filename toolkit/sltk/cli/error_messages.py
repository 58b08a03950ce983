"""Errors and warnings of any kind as text on standard error, and their exit codes."""

from __future__ import annotations

import errno
import os
import re
import sys

from typer._click import exceptions as click
from typer.core import TyperGroup

from ..errors import (
    DiskFullError,
    InputError,
    InvalidSpecError,
    Location,
    Problem,
    SltkError,
    nearest,
    shorten,
)
from ..files.disk_space import is_disk_full
from ..files.memory_shortage import is_out_of_memory, memory_message
from .terminal import OutputClosedError, print_diagnostic, print_info

PROGRAM = "sltk"
_BROKEN_PIPE = 141
_MODEL_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "safetensors", "seqeval")
"""Requirements of sltk that ONNX exports run without, so a small installation may lack them."""
_IMPOSSIBLE_NAMES = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR)


def print_error(error: Exception | SystemExit) -> int:
    """Print an error of any kind, and return the exit code."""
    if isinstance(error, OutputClosedError):
        return _print_closed(error)
    if isinstance(error, SystemExit):
        return _print_exit(error)
    if isinstance(error, SltkError):
        return _print_own(error)
    text, code = _text_and_code(error)
    _print_located(text)
    return code


def _text_and_code(error: Exception) -> tuple[str, int]:
    """The message and the exit code of an error that sltk did not raise."""
    if isinstance(error, click.ClickException):
        return str(_usage_problem(error)), 2
    if is_out_of_memory(error):
        advice = "read less at once: `--option limit=N`, or smaller files; or close other programs"
        return f"error: {memory_message('running this command', error)}\n   = {advice}", 1
    if is_disk_full(error) and not isinstance(error, OSError):
        return f"error: the disk is full: {error}", 1
    if isinstance(error, OSError) and error.strerror:
        file = f"`{shorten(str(error.filename))}`: " if error.filename else ""
        text = f"error: {file}{error.strerror[:1].lower()}{error.strerror[1:]}"
        return text, 2 if error.errno in _IMPOSSIBLE_NAMES else 1
    if isinstance(error, UnicodeError):
        return _unicode_text(error), 2
    if isinstance(error, RecursionError):
        return "error: something in the input is nested too deeply\n   = `--debug` shows where", 2
    if isinstance(error, ModuleNotFoundError) and error.name in _MODEL_PACKAGES:
        note = "install sltk with all its requirements; without this package it runs ONNX exports only"
        return f"error: the package `{error.name}` is not installed\n   = {note}", 2
    return (
        f"error: {type(error).__name__}: {error}\n"
        "   = this is a bug in sltk: run the command again with `--debug` and report the traceback"
    ), 1


def _print_closed(error: OutputClosedError) -> int:
    if error.exit_code != _BROKEN_PIPE:
        print_diagnostic(f"error: {error}")
    return error.exit_code


def _print_exit(error: SystemExit) -> int:
    """The exit code if typer could not write a help text; other exits are those of custom code."""
    if isinstance(error.__context__, BrokenPipeError):
        return _BROKEN_PIPE
    raise error


def _print_own(error: SltkError) -> int:
    text = str(error)
    if isinstance(error, DiskFullError):  # begins like an error of the operating system
        text = text[:1].lower() + text[1:]
    _print_located(text if isinstance(error, InputError) else f"error: {text}")
    if isinstance(error, InvalidSpecError):
        count = len(error.problems)
        print_info(f"\n{count} error{'s' if count > 1 else ''}. Nothing was read, downloaded or trained.")
    return error.exit_code


def _unicode_text(error: UnicodeError) -> str:
    """The message for text that an encoding does not have: a file name, or an argument of another encoding."""
    if isinstance(error, UnicodeEncodeError):
        part = error.object[max(0, error.start - 20) : error.end + 20]
        return (
            f"error: `{part}` has characters that {error.encoding} cannot encode\n"
            "   = file names and arguments are in the encoding of the locale: set `PYTHONUTF8=1` or a UTF-8 locale"
        )
    return f"error: a file is not valid text: {error}"


def _usage_problem(error: click.ClickException) -> Problem:
    """A command-line error in the format of every other error."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else PROGRAM
    notes = (f"`{command} --help` lists arguments and options",)
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


def print_warning(problem: Problem) -> None:
    """Print a problem that does not stop the command."""
    _print_located(str(problem).replace("error:", "warning:", 1))


def _print_located(text: str) -> None:
    """Print an error or a warning; paths in it are shown as the user wrote them."""
    here = working_directory()
    print_diagnostic(text if here is None else _with_relative_paths(text, os.path.join(here, "")))


def working_directory() -> str | None:
    """The working directory; None if it has been deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


_EXCERPT = re.compile(r"^ *\d+ \|.*", re.MULTILINE)


def _with_relative_paths(text: str, here: str) -> str:
    """Make paths below the working directory `here` relative, unless the command line or the spec has them absolute.

    Paths in a spec are made absolute when it is read; errors show them as the user wrote them.
    """
    sources = [*sys.argv[1:], *_EXCERPT.findall(text)]
    return text if any(here in source for source in sources) else text.replace(here, "")
