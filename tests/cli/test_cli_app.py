"""Behaviour of all commands: help, exit codes, format of errors, lazy imports."""

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
from labelled_runs import write_run
from sltk.cli import main
from sltk.cli.app import app
from sltk.types import Span

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


@pytest.fixture
def run(folder):
    """A finished run that labelled a sentence of the spec, and was trained on others."""
    Path("other.conll").write_text("Cy\tB-PER\n")
    data = {"train": {"type": "conll", "path": "other.conll"}}
    backbone = {"type": "decoder", "name": "some/model"}
    ann = Span(0, 1, "PER")
    return write_run(folder / "run", [("Ann sings", [ann], [ann])], data=data, backbone=backbone)


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in its own process; the last line of standard output lists the imported modules."""
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
        ("check", "spec.yaml", "--data", "--suspects", "run"),
        ("report", "--errors", "run"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("run")
def test_commands_without_a_model_import_no_framework(arguments):
    """Commands that need no model import neither torch nor transformers, nor anything that imports them.

    `score` compares its scores with those of seqeval, and `check --data` finds repeated sentences with numpy.
    """
    done = process(*arguments)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.splitlines()[-1].split()
    assert "sltk" in loaded
    needed = {"score": {"seqeval", "numpy"}, "check": {"numpy"} if "--data" in arguments else set()}
    assert set(HEAVY) & set(loaded) <= needed.get(arguments[0], set())


def test_help_imports_no_pydantic():
    """`--help` imports neither pydantic, yaml nor rich."""
    loaded = process("--help").stdout.splitlines()[-1].split()
    assert not {"pydantic", "yaml", "rich", *HEAVY} & set(loaded)


def test_help_lists_every_command_of_the_contract(capsys):
    """`--help` lists the commands and names a first run."""
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
    """The help of each command has a usage line and a description of each option."""
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: sltk {command}" in text
    options = [line for line in text.splitlines() if line.startswith("  --")]
    assert all(len(line.split()) > 2 for line in options if line.rstrip().count("  ") > 1)


def test_without_a_command_the_help_is_shown(capsys):
    """`sltk` alone prints the help and exits with 2."""
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
def test_usage_errors_have_the_format_of_other_errors(capsys, arguments, expected):
    """A wrong command, option or argument gives exit code 2 and one short error with the nearest name."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(expected)


def test_errors_cannot_control_the_terminal(folder, capsys):
    """Control characters in quoted data are shown as symbols."""
    (folder / "a.conll").write_text("word B-\x1b[2J\nword X-\x1b[2J\n", encoding="utf-8")
    assert main(["stats", "a.conll", "--reader", "conll", "--option", "scheme=IOB2"]) == 2
    captured = capsys.readouterr()
    assert "X-␛[2J" in captured.err
    assert "\x1b" not in captured.err


def test_errors_show_paths_as_the_user_wrote_them(folder, capsys):
    """A relative path in a spec is shown relative to the working directory; an absolute path stays absolute."""
    (folder / "specs").mkdir()
    spec = folder / "specs" / "spec.yaml"
    text = "name: a\ndata: {train: {type: conll, path: DATA}}\nbackbone: {type: decoder, name: some/model}\n"
    spec.write_text(text.replace("DATA", "../data/words.conll"), encoding="utf-8")
    assert main(["check", "specs/spec.yaml", "--data"]) == 2
    assert "error: there is no `data/words.conll`\n  --> specs/spec.yaml:2:35" in capsys.readouterr().err
    spec.write_text(text.replace("DATA", f"{folder}/data/words.conll"), encoding="utf-8")
    assert main(["check", "specs/spec.yaml", "--data"]) == 2
    assert f"there is no `{folder}/data/words.conll`" in capsys.readouterr().err


def test_all_errors_of_a_spec_are_reported_together(folder, capsys):
    """Errors go to standard error, followed by their number, and the exit code is 2."""
    assert main(["check", "spec.yaml", "--set", "seed=x", "--set", "head.type=crff"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("error: ") == 2
    assert captured.err.endswith("\n\n2 errors. Nothing was read, downloaded or trained.\n")


def test_tracebacks_are_shown_with_debug_only(folder, capsys):
    """`--debug`, before or after the command, shows the traceback; the exit code is the same."""
    assert main(["check", "gone.yaml"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    for arguments in (["--debug", "check", "gone.yaml"], ["check", "gone.yaml", "--debug"]):
        assert main(arguments) == 2
        text = capsys.readouterr().err
        assert "Traceback" in text
        assert "error: `gone.yaml` does not exist" in text


def test_a_full_disk_is_exit_code_1(folder):
    """A full disk is not an error of the input; here, a limit of ten bytes per file stands in for it."""
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


def test_an_output_below_a_file_is_exit_code_2(folder, capsys):
    """The error comes before anything is written."""
    Path("wall").write_text("a file where a folder should be")
    code = main(["convert", "train.conll", "wall/x.conll", "--reader", "conll", "--writer", "conll"])
    assert code == 2
    assert capsys.readouterr().err.startswith("error: `")


def test_ctrl_c_is_exit_code_130(folder):
    """An interrupt ends the command with 130 and one word, without a traceback."""
    code = "import sys; from sltk.cli import main; print('started', flush=True); sys.exit(main())"
    command = [sys.executable, "-c", code, "stats", "-", "--reader", "conll"]
    # A shell lets background processes ignore Ctrl-C; this one must not.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running = subprocess.Popen(command, text=True, env=ENVIRONMENT, **pipes)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert running.stdout is not None
    assert running.stdout.readline() == "started\n"
    time.sleep(1)  # it reads standard input, which has no end
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 130
    assert err == "interrupted\n"


def test_standard_output_holds_only_the_json(folder, capsys):
    """With `--json`, standard output is one JSON object."""
    for arguments in (
        ["check", "spec.yaml"],
        ["stats", "train.conll", "--reader", "conll"],
        ["score", *["train.conll"] * 2],
    ):
        assert main([*arguments, "--json"]) == 0
        assert isinstance(json.loads(capsys.readouterr().out), dict)
