"""What every command has in common: help, exit codes, the form of errors, what is imported when."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sltk
from sltk.cli import main
from sltk.cli.app import app

HEAVY = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "seqeval", "numpy")

SPEC = """\
name: small
data:
  train: {type: conll, path: train.conll}
backbone: {type: decoder, name: some/model, unmask: 0111, lora: {r: 4}}
"""

TRAIN = "Ann\tB-PER\nsings\tO\n\nBo\tB-PER\nin\tO\nOslo\tB-LOC\n"

SOURCE = Path(sltk.__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(SPEC)
    Path("train.conll").write_text(TRAIN)
    return tmp_path


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own; the last line of standard output lists loaded modules."""
    code = (
        "import sys\nfrom sltk.cli import main\ncode = main(sys.argv[1:])\n"
        "print('\\n' + ' '.join(sorted(m for m in sys.modules if '.' not in m)))\nsys.exit(code)"
    )
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("train", "--help"),
        ("list",),
        ("show", "backbone", "decoder"),
        ("show", "mask", "0111", "--blocks", "30"),
        ("schema",),
        ("check", "spec.yaml"),
        ("check", "spec.yaml", "--data"),
        ("stats", "train.conll", "--reader", "conll"),
        ("convert", "train.conll", "-", "--reader", "conll", "--writer", "jsonl"),
        ("score", "train.conll", "train.conll"),
    ],
    ids=" ".join,
)
def test_commands_without_a_model_import_no_framework(folder, arguments):
    """What needs no model loads neither torch nor transformers, nor what would load them."""
    done = process(*arguments)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.splitlines()[-1].split()
    assert "sltk" in loaded
    assert not set(HEAVY) & set(loaded)


def test_help_imports_no_pydantic():
    """`--help` is instant: it reads no YAML, knows no component, draws no table."""
    loaded = process("--help").stdout.splitlines()[-1].split()
    assert not {"pydantic", "yaml", "rich", *HEAVY} & set(loaded)


def test_every_command_of_the_contract_is_there(capsys):
    """`--help` lists the commands and says how to begin."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in (
        "train",
        "evaluate",
        "predict",
        "export",
        "check",
        "list",
        "show",
        "schema",
        "stats",
        "convert",
    ):
        assert f"\n  {command} " in text
    assert "experiments/quickstart.yaml" in text


@pytest.mark.parametrize("command", [command.name for command in app.registered_commands])
def test_every_command_explains_itself(capsys, command):
    """The help of each command has a sentence, and a word on each option."""
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: sltk {command}" in text
    options = [line for line in text.splitlines() if line.startswith("  --")]
    assert all(len(line.split()) > 2 for line in options if line.rstrip().count("  ") > 1)


def test_without_a_command_there_is_help(capsys):
    """`sltk` alone shows the help and is no success."""
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().out


def test_version(capsys):
    """`--version` prints one line."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sltk {sltk.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["chekc"], "error: unknown command `chekc`\n   = did you mean `check`?\n   = commands: "),
        (
            ["check", "--jsn", "spec.yaml"],
            "error: unknown option `--jsn` for `sltk check`\n   = did you mean `--json`?\n"
            "   = `sltk check --help` lists arguments and options\n",
        ),
        (["check"], "error: missing argument `SPEC`\n  --> sltk check\n"),
        (["check", "a", "b"], "error: got unexpected extra argument(s) (b)\n  --> sltk check\n"),
        (["show", "mask", "01", "--blocks", "few"], "error: invalid value for `--blocks`: "),
        (["check", "--set"], "error: option `--set` requires an argument\n"),
    ],
)
def test_mistakes_on_the_command_line_read_like_other_errors(capsys, arguments, expected):
    """A wrong command, option or argument is exit code 2 and one short error with the nearest name."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(expected)


def test_an_error_cannot_command_the_terminal(folder, capsys):
    """Control characters of the data that it quotes are shown as symbols."""
    (folder / "a.conll").write_text("word B-\x1b[2J\nword X-\x1b[2J\n", encoding="utf-8")
    assert main(["stats", "a.conll", "--reader", "conll", "--option", "scheme=IOB2"]) == 2
    captured = capsys.readouterr()
    assert "X-␛[2J" in captured.err
    assert "\x1b" not in captured.err


def test_errors_name_files_as_they_were_given(folder, capsys):
    """A file named in a spec is shown from where the command runs; one written from the root stays so."""
    (folder / "specs").mkdir()
    spec = folder / "specs" / "spec.yaml"
    text = "name: a\ndata: {train: {type: conll, path: DATA}}\nbackbone: {type: decoder, name: some/model}\n"
    spec.write_text(text.replace("DATA", "../data/words.conll"), encoding="utf-8")
    assert main(["check", "specs/spec.yaml", "--data"]) == 2
    assert "error: there is no `data/words.conll`\n  --> specs/spec.yaml:2:35" in capsys.readouterr().err
    spec.write_text(text.replace("DATA", f"{folder}/data/words.conll"), encoding="utf-8")
    assert main(["check", "specs/spec.yaml", "--data"]) == 2
    assert f"there is no `{folder}/data/words.conll`" in capsys.readouterr().err


def test_a_wrong_spec_tells_all_and_says_that_nothing_happened(folder, capsys):
    """Errors go to standard error, counted, with exit code 2."""
    assert main(["check", "spec.yaml", "--set", "seed=x", "--set", "head.type=crff"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("error: ") == 2
    assert captured.err.endswith("\n\n2 errors. Nothing was read, downloaded or trained.\n")


def test_a_traceback_only_with_debug(folder, capsys):
    """`--debug`, before or after the command, shows where an error was raised; the exit code is the same."""
    assert main(["check", "gone.yaml"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    for arguments in (["--debug", "check", "gone.yaml"], ["check", "gone.yaml", "--debug"]):
        assert main(arguments) == 2
        text = capsys.readouterr().err
        assert "Traceback" in text
        assert "error: `gone.yaml` does not exist" in text


def test_what_cannot_be_written_is_exit_code_1(folder):
    """A full disk is no fault of the input; a file system that takes no more than ten bytes stands in for one."""
    code = (
        "import resource, sys; from sltk.cli import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY)); sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["convert", "train.conll", "x.conll", "--reader", "conll", "--writer", "conll"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: file too large")
    assert not Path("x.conll").exists()


def test_a_place_that_is_no_folder_is_exit_code_2(folder, capsys):
    """It is seen before anything is written."""
    Path("wall").write_text("a file where a folder should be")
    code = main(["convert", "train.conll", "wall/x.conll", "--reader", "conll", "--writer", "conll"])
    assert code == 2
    assert capsys.readouterr().err.startswith("error: `")


def test_ctrl_c_is_exit_code_130(folder):
    """An interrupt ends with 130 and one word, no traceback."""
    os.mkfifo("endless.conll")
    code = "import sys; from sltk.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "stats", "endless.conll", "--reader", "conll"]
    # A shell starts what runs in its background deaf to Ctrl-C; this process is to hear it.
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    finally:
        signal.signal(signal.SIGINT, heard)
    with open("endless.conll", "w"):  # opens once the other side reads
        time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=120)
    assert running.returncode == 130
    assert err == "interrupted\n"


def test_json_is_all_there_is_on_standard_output(folder, capsys):
    """With `--json` a program can read the whole of standard output."""
    for arguments in (
        ["check", "spec.yaml"],
        ["stats", "train.conll", "--reader", "conll"],
        ["score", *["train.conll"] * 2],
    ):
        assert main([*arguments, "--json"]) == 0
        assert isinstance(json.loads(capsys.readouterr().out), dict)
