"""Standard streams: escapes, encodings, colours, closed streams, interrupts. Each test runs a real process."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import warm
from sltk.cli import main

HOSTILE = "\x1b]52;c;aGk=\x07\x1b[31m\x9b2J"
SPEC = """
name: tiny
data:
  train: {type: grammar, part: train, count: 12}
  test: {type: conll, path: data.conll}
backbone:
  type: decoder
  init: random
  config: {model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2}
  tokenizer: {type: train, vocab_size: 300}
trainer: {max_steps: 1}
"""
DATA = "sing O\nVera B-PER\n\nKai B-PER\n"
LOCALES = [
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
]
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
STYLES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "tiny.yaml").write_text(SPEC)
    (folder / "data.conll").write_text(DATA)
    assert main(["train", str(folder / "tiny.yaml"), "--output", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a data file whose tags and whose name hold terminal escapes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.conll").write_text(DATA)
    (tmp_path / f"{HOSTILE}.conll").write_text(f"Vera B-{HOSTILE}\nsings I-{HOSTILE}x\n\nKai{HOSTILE} O\n")
    return tmp_path


def sltk(
    *arguments: str, stdin: bytes = b"", redirect: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in its own process; `redirect` is shell text such as `>&-`."""
    python = [sys.executable] if environment in LOCALES else warm.python()
    command = ["bash", "-c", f'exec "$@" {redirect}', "bash", *python, "-m", "sltk", *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, env={**os.environ, **environment}, check=False, timeout=300
    )


def on_terminal(*arguments: str, **environment: str) -> str:
    """What a process writes to a terminal."""
    command = [*warm.python(), "-m", "sltk", *arguments]
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(environment)
        os.execv(command[0], command)
    return read_all(terminal, child)


def read_all(terminal: int, child: int) -> str:
    """What is written to a terminal until the process ends."""
    written = b""
    while select.select([terminal], [], [], 120)[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the process has ended
            break
        if not piece:
            break
        written += piece
    os.close(terminal)
    os.waitpid(child, 0)
    return written.decode(errors="surrogateescape").replace("\r\n", "\n")


def commands_with_hostile_names() -> Iterator[Sequence[str]]:
    file = f"{HOSTILE}.conll"
    yield "stats", file, "--reader", "conll"
    yield "score", file, file
    yield "score", file, file, "--metric", "spans"
    yield "score", file, file, "--scheme", "plain"
    yield "stats", f"{HOSTILE}.none", "--reader", "conll"
    yield "convert", file, f"{HOSTILE}/x/y", "--reader", "conll", "--writer", "conll", "--scheme", HOSTILE
    yield "convert", file, "-", "--reader", "conll", "--writer", "spans"
    yield "convert", file, "-", "--reader", "conll", "--writer", "conll"
    yield "convert", file, "-", "--reader", "conll", "--writer", "jsonl"
    yield "stats", file, "--reader", HOSTILE
    yield HOSTILE, "x"
    yield "check", f"{HOSTILE}.yaml"
    yield "stats", file, "--reader", "conll", "--debug", "--option", f"scheme={HOSTILE}"


@pytest.mark.slow
@pytest.mark.parametrize("arguments", list(commands_with_hostile_names()), ids=lambda each: each[0])
def test_no_name_controls_the_terminal(folder: Path, arguments: Sequence[str]) -> None:
    """Escapes in words, tags, types, file names and options are shown as symbols, on both streams."""
    assert not CONTROL.search(on_terminal(*arguments, NO_COLOR="1"))


def test_escapes_in_tables_are_symbols_and_columns_stay_aligned(folder: Path) -> None:
    """A type with escapes is shown as wide as it looks."""
    done = sltk("stats", f"{HOSTILE}.conll", "--reader", "conll")
    lines = done.stdout.decode().splitlines()
    rows = [line for line in lines if re.search(r" \d+ *$", line) and ":" not in line]
    assert any("␛]52;c;aGk=␇␛[31m\ufffd2J" in line for line in rows)
    assert len({re.search(r"\d+ *$", line).start() for line in rows}) == 1  # type: ignore[union-attr]


@pytest.mark.slow
def test_evaluate_and_check_show_hostile_names_as_symbols(run: Path, folder: Path) -> None:
    """Tables, notes and audits of data with escapes are safe; so is the name of the spec."""
    file = f"{HOSTILE}.conll"
    spec = folder / f"{HOSTILE}.yaml"
    spec.write_text(
        SPEC.replace("{type: grammar, part: train, count: 12}", "{type: conll, path: data.conll}")
    )
    for arguments in (
        ["evaluate", str(run), "--data", file, "--reader", "conll"],
        ["evaluate", str(run), "--data", file, "--reader", "conll", "--json"],
        ["predict", str(run), file, "--reader", "conll", "--format", "conll"],
        ["predict", str(run), file],
        ["check", str(spec), "--data", "--set", f'data.test.path="{HOSTILE}.conll"'.replace("\x1b", "\\e")],
        ["check", str(spec), "--json"],
    ):
        assert not CONTROL.search(on_terminal(*arguments, NO_COLOR="1"))


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["conll", "jsonl", "spans", "text", "html"])
def test_data_is_written_byte_for_byte(folder: Path, writer: str) -> None:
    """Standard output gets the same bytes as a file, escapes included."""
    data = b"\x1b[31mred O\n\x1b[0m O\nVera B-PER\n\nK\xc3\xa4i\xc2\x9b B-\x1b[1m\n"
    (folder / "in.conll").write_bytes(data)
    for source in ("in.conll", "-"):
        done = sltk("convert", source, "-", "--reader", "conll", "--writer", writer, stdin=data)
        assert done.returncode == 0
        assert sltk("convert", "in.conll", "out", "--reader", "conll", "--writer", writer).returncode == 0
        assert done.stdout == (folder / "out").read_bytes()
    if writer == "conll":
        assert done.stdout == data.replace(b" ", b"\t") + b"\n"


@pytest.mark.slow
@pytest.mark.parametrize("locale", LOCALES, ids=lambda each: next(iter(each.values())))
@pytest.mark.parametrize(
    "arguments",
    [
        ["stats", "data.conll", "--reader", "conll"],
        ["stats", "data.conll", "--reader", "conll", "--json"],
        ["score", "data.conll", "data.conll", "--metric", "spans"],
        ["convert", "data.conll", "-", "--reader", "conll", "--writer", "conll"],
        ["convert", "data.conll", "-", "--reader", "conll", "--writer", "text"],
        ["check", "tiny.yaml"],
    ],
    ids=" ".join,
)
def test_output_is_utf8_in_every_locale(folder: Path, locale: dict[str, str], arguments: list[str]) -> None:
    """The bytes are the same as in a UTF-8 locale."""
    (folder / "tiny.yaml").write_text(SPEC)
    (folder / "data.conll").write_text("Käi B-PERSÖN\n東 O\n😀 B-É\n")
    expected = sltk(*arguments)
    done = sltk(*arguments, **locale)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected.stdout, expected.stderr)


@pytest.mark.parametrize("locale", LOCALES, ids=lambda each: next(iter(each.values())))
def test_names_that_a_locale_lacks_are_one_clear_error(folder: Path, locale: dict[str, str]) -> None:
    """A file name in a spec that the locale cannot encode is exit code 2, unless it can be opened."""
    (folder / "tiny.yaml").write_text(SPEC.replace("path: data.conll", "path: dätä.conll"), encoding="utf-8")
    (folder / "dätä.conll").write_text(DATA)
    done = sltk("check", "tiny.yaml", "--data", **locale)
    assert done.returncode == (2 if "LC_ALL" in locale else 0)
    assert b"bug in sltk" not in done.stderr
    assert done.stderr.count(b"error:") == (1 if "LC_ALL" in locale else 0)


def test_arguments_that_are_not_utf8_are_one_clear_error(folder: Path) -> None:
    """Bytes that no text has give exit code 2."""
    command = [
        sys.executable,
        "-m",
        "sltk",
        "convert",
        "data.conll",
        "-",
        "--reader",
        "conll",
        "--writer",
        "html",
    ]
    done = subprocess.run([*command, "--writer-option", b"title=\xff"], capture_output=True, check=False)
    assert done.returncode in (0, 2)
    assert b"bug in sltk" not in done.stderr
    assert done.stdout.decode() == "" or "\ufffd" in done.stdout.decode()


PLAIN = [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}]


@pytest.mark.slow
@pytest.mark.parametrize("environment", PLAIN, ids=repr)
def test_no_color_is_honoured_everywhere(run: Path, folder: Path, environment: dict[str, str]) -> None:
    """Predictions, tables, notes, errors, help and progress bars have no colours and no other styles."""
    (folder / "tiny.yaml").write_text(SPEC)
    commands = [
        ["stats", "data.conll", "--reader", "conll"],
        ["stats", "none.conll", "--reader", "conll"],
        ["train", "--help"],
        ["predict", str(run), "data.conll", "--reader", "conll"],
        ["evaluate", str(run)],
        ["train", "tiny.yaml", "--output", "again", "--force"],
    ]
    for arguments in commands if len(environment) == 1 else commands[:4]:
        shown = on_terminal(*arguments, **environment)
        assert shown
        assert not STYLES.search(shown)
        if environment.get("TERM") == "dumb":
            assert "\x1b" not in shown


def test_colours_are_used_where_they_are_wanted(folder: Path) -> None:
    """A terminal gets colours; an empty NO_COLOR does not turn them off, and a file never has any."""
    environment = {"TERM": "xterm-256color", "NO_COLOR": ""}
    assert "\x1b[31m" in on_terminal("stats", "none.conll", "--reader", "conll", **environment)
    assert (
        b"\x1b" not in sltk("stats", "none.conll", "--reader", "conll", FORCE_COLOR="1", **environment).stderr
    )


STATS = ("stats", "data.conll", "--reader", "conll")
CONVERT = ("convert", "data.conll", "-", "--reader", "conll", "--writer", "conll")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [STATS, (*STATS, "--json"), CONVERT, ("list",), ("--version",)], ids=" ".join
)
@pytest.mark.parametrize(
    ("redirect", "code", "message"),
    [
        (">&-", 1, b"error: standard output is closed\n"),
        (">/dev/full", 1, b"error: cannot write to standard output: No space left on device\n"),
        ("> >(:)", 141, b""),
        (">&- 2>&-", 1, b""),
        (">/dev/full 2>/dev/full", 1, b""),
    ],
)
def test_a_lost_result_is_no_success(
    folder: Path, arguments: Sequence[str], redirect: str, code: int, message: bytes
) -> None:
    """If standard output is closed, full or no longer read, the exit code says so."""
    if code == 141:
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [*warm.python(), "-m", "sltk", *arguments], stdout=writer, stderr=subprocess.PIPE, check=False
        )
        os.close(writer)
    else:
        done = sltk(*arguments, redirect=redirect)
    assert (done.returncode, done.stderr) == (code, message)


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_messages_that_nobody_reads_change_nothing(folder: Path, redirect: str) -> None:
    """Without standard error, results and exit codes are the same."""
    expected = sltk(*STATS)
    done = sltk(*STATS, redirect=redirect)
    assert (done.returncode, done.stdout) == (0, expected.stdout)
    assert sltk("stats", "none", "--reader", "conll", redirect=redirect).returncode == 2


def test_a_closed_standard_input_is_an_error_of_the_input(folder: Path) -> None:
    """Reading from it is exit code 2; commands that do not read it work."""
    done = sltk("stats", "-", "--reader", "conll", redirect="<&-")
    assert (done.returncode, done.stderr) == (2, b"error: standard input is closed\n  --> -\n")
    assert sltk(*STATS, redirect="<&-").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("redirect", [">&-", "<&- >&- 2>&-", "> >(:)"])
def test_a_finished_run_is_a_success_even_if_nobody_reads_its_scores(folder: Path, redirect: str) -> None:
    """Training ends with 0 if the run directory is complete: it holds what would have been printed."""
    (folder / "tiny.yaml").write_text(SPEC)
    done = sltk("train", "tiny.yaml", "--output", "run", redirect=redirect)
    assert done.returncode == 0
    assert "test" in json.loads((folder / "run" / "metrics.json").read_text())


@pytest.mark.parametrize(
    "arguments",
    [STATS, ("train", "/none.yaml"), ("list",), ("check", "tiny.yaml"), ("report", ".")],
    ids=" ".join,
)
def test_a_deleted_working_directory_is_one_clear_error(folder: Path, arguments: Sequence[str]) -> None:
    """Exit code 2, before anything is done."""
    command = ["bash", "-c", 'mkdir gone; cd gone; rmdir ../gone; exec "$@"', "bash", sys.executable]
    done = subprocess.run([*command, "-m", "sltk", *arguments], capture_output=True, check=False)
    message = b"error: the working directory has been deleted: change to another one\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", message)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [STATS, ("predict", "RUN", "-")], ids=" ".join)
def test_an_interrupt_at_any_moment_is_exit_code_130(
    run: Path, folder: Path, arguments: Sequence[str]
) -> None:
    """Also while libraries are imported, without a traceback; a command that was faster ends with 0."""
    arguments = [str(run) if each == "RUN" else each for each in arguments]
    code = (
        "from sltk import __main__, _interrupt\n"
        "remember = _interrupt.remember\n"
        "_interrupt.remember = lambda: (remember(), print('started', flush=True))\n"
        "__main__.run()"
    )
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    try:
        for delay in (0.05, 0.1, 0.2, 0.5, 1.0, 2.0):
            running = subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert running.stdout is not None
            assert running.stdout.readline() == "started\n"
            time.sleep(delay)
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=120)
            assert running.returncode in (0, 130), (delay, err)
            if running.returncode == 130:
                assert err.endswith("interrupted\n")
                assert "Traceback" not in err
    finally:
        signal.signal(signal.SIGINT, previous)


@pytest.mark.slow
def test_a_progress_bar_does_not_take_predictions_away(run: Path, folder: Path) -> None:
    """With standard output in a file and a bar on the terminal, every line is in the file and none on the terminal."""
    (folder / "many.txt").write_text("Kai sings\n" * 600)
    command = [*warm.python(), "-m", "sltk", "predict", str(run), "many.txt"]
    child, terminal = pty.fork()
    if child == 0:
        os.dup2(os.open("out.txt", os.O_WRONLY | os.O_CREAT), 1)
        os.execv(command[0], command)
    shown = read_all(terminal, child)
    assert len((folder / "out.txt").read_text().splitlines()) == 600
    assert "labelling" in shown
    assert "sings" not in shown
