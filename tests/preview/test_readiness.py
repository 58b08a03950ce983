"""Everything that can be known of a run without its weights is checked first: in `check`, and again in `train`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from sltk.cli import main
from sltk.errors import InputError
from sltk.extend import Metric, Reader, Sentence, register
from sltk.spec import loading
from sltk.sweeps import plan
from tiny import LLAMA

MODEL = f"{{type: decoder, init: random, config: {json.dumps(LLAMA)}, tokenizer: {{type: train, vocab_size: 300}}}}"
SPEC = """\
name: a
data:
  train: {{type: conll, path: a.conll}}
  test: {test}
backbone: {backbone}
{more}
"""
DEFAULTS = {"test": "{type: conll, path: a.conll}", "backbone": MODEL, "more": "seed: 1"}


@pytest.fixture(scope="module", autouse=True)
def _register_own() -> None:
    @register.metric("needy")
    class Needy(Metric):
        """A metric that needs packages which nobody has."""

        requires: ClassVar[dict[str, str]] = {"no_such_package": "pip install no-such-package"}

        plots: bool = Field(default=False, description="needs one more package")

        def required_packages(self) -> dict[str, str]:
            return {**self.requires, **({"no_plots": "pip install no-plots"} if self.plots else {})}

    @register.reader("unread")
    class Unread(Reader):
        """A reader that must not be read from."""

        def read(self):
            raise AssertionError("data was read")
            yield Sentence([])


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.conll").write_text("Vera B-PER\n\nKai B-PER\n")
    Path("model").mkdir()
    Path("model/weights.gguf").touch()


def write(**changes: str) -> str:
    Path("spec.yaml").write_text(SPEC.format(**DEFAULTS | changes))
    return "spec.yaml"


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Make packages unavailable, as `import` sees it."""
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)


CASES = [
    ({"more": "trainer: {log_to: [tensorboard]}"}, "pip install 'sltk[tensorboard]'", "spec.yaml:6:11"),
    ({"more": "trainer: {log_to: [wandb]}"}, "pip install 'sltk[wandb]'", "spec.yaml:6:11"),
    ({"more": "splitter: {type: spacy}"}, "pip install 'sltk[spacy]'", "spec.yaml:6:1 "),
    (
        {"more": "splitter: {type: spacy, pipeline: no_such_pipeline}"},
        "spacy download no_such_pipeline",
        "spec.yaml:6",
    ),
    ({"test": "{type: docbin, path: a.conll}"}, "pip install 'sltk[spacy]'", "spec.yaml:4:3 "),
    ({"test": "{type: huggingface, path: a.conll}"}, "pip install 'sltk[huggingface]'", "spec.yaml:4:3 "),
    (
        {"backbone": "{type: decoder, name: ./model, gguf_file: weights.gguf}"},
        "'sltk[gguf]'",
        "spec.yaml:5:53",
    ),
    ({"more": "metrics: [{type: seqeval}, {type: needy}]"}, "pip install no-such-package", "spec.yaml:6:28"),
    ({"more": "metrics: [{type: needy, plots: true}]"}, "pip install no-plots", "spec.yaml:6:11"),
    (
        {"test": "{type: concat, readers: [{type: conll, path: a.conll}]}"},
        "needs tags or spans",
        "spec.yaml:4:3 ",
    ),
    ({"test": "{type: text, path: a.conll}"}, "needs tags or spans", "spec.yaml:4:3 "),
    ({"test": "{type: conll, path: a.conll, label_column: null}"}, "needs tags or spans", "spec.yaml:4:3 "),
    (
        {"backbone": "{type: decoder, name: ./model, gguf_file: weight.gguf}"},
        "`weights.gguf`?",
        "spec.yaml:5:53",
    ),
    (
        {"backbone": "{type: decoder, name: ./model, gguf_file: model/weights.gguf}"},
        "starts from",
        "spec.yaml:5:53",
    ),
    (
        {"backbone": MODEL.replace("{type: decoder", "{type: decoder, gguf_file: a.gguf")},
        "`name`",
        "spec.yaml:5:",
    ),
    (
        {"backbone": MODEL.replace("{type: decoder", "{type: decoder, unmask: '011'")},
        "at least 3 blocks",
        "spec.yaml:5",
    ),
]
ABSENT = ("tensorboard", "tensorboardX", "wandb", "spacy", "datasets", "gguf")


@pytest.mark.parametrize("command", ["check", "train"])
@pytest.mark.parametrize(("changes", "message", "place"), CASES)
def test_what_is_missing_is_an_error_of_the_spec(monkeypatch, capsys, command, changes, message, place):
    """`check` and `train` report the same error at the same place, and nothing is read or written."""
    without(monkeypatch, *ABSENT)
    path = write(**changes)
    Path(path).write_text(
        Path(path).read_text().replace("train: {type: conll, path: a.conll}", "train: {type: unread}")
    )
    assert main([command, path]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert f"--> {place}" in errors
    assert "Nothing was read" in errors
    assert not Path("runs").exists()


@pytest.mark.parametrize("name", ["./nowhere", "./nowhere/weights.gguf"])
def test_a_missing_model_directory_is_a_warning_and_then_an_error(capsys, name):
    """`check` may run on another machine, as for missing data; `train` needs the directory."""
    path = write(backbone=f"{{type: decoder, name: {name}}}")
    assert main(["check", path]) == 0
    assert "with 1 warning" in capsys.readouterr().out
    assert main(["check", path, "--strict"]) == 2
    capsys.readouterr()
    assert main(["train", path]) == 2
    errors = capsys.readouterr().err
    assert "model directory" in errors
    assert "--> spec.yaml:5:33" in errors


def test_all_of_it_is_reported_together(monkeypatch, capsys):
    """Packages, files and the mask."""
    without(monkeypatch, *ABSENT)
    changed = {"test": "{type: docbin, path: b}", "more": "trainer: {log_to: [wandb]}"}
    assert (
        main(["train", write(backbone=MODEL.replace("{type: d", "{unmask: '011', type: d"), **changed)]) == 2
    )
    errors = capsys.readouterr().err
    assert "4 errors." in errors


def test_pretraining_is_checked_too(monkeypatch, capsys):
    """Missing packages and files are found before the model is built."""
    without(monkeypatch, *ABSENT)
    Path("text.yaml").write_text(
        f"name: a\nobjective: clm\ncorpus: {{type: docbin, path: a.conll}}\nbackbone: {MODEL}\n"
        "validation: {type: text, path: nowhere}\ntrainer: {log_to: [wandb]}\n"
    )
    for command, count in (("check", 2), ("pretrain", 3)):
        assert main([command, "text.yaml"]) == 2
        assert f"{count} errors." in capsys.readouterr().err


@pytest.mark.parametrize("command", [["check"], ["sweep"], ["sweep", "--dry-run"]])
def test_sweeps_are_checked_too(monkeypatch, capsys, command):
    """The packages of all runs and of the executor."""
    without(monkeypatch, "ray", *ABSENT)
    more = "sweep: {grid: {trainer.log_to: [[], [wandb]], seed: [1, 2]}}\nexecutor: {type: ray}"
    assert main([command[0], write(more=more), *command[1:]]) == 2
    errors = capsys.readouterr().err
    assert "'sltk[ray]'" in errors
    assert "'sltk[wandb]'" in errors
    assert "2 errors." in errors
    assert not Path("runs").exists()


def test_an_old_plan_can_be_read_without_its_executor(monkeypatch):
    """Only the commands that run a sweep need the packages of its executor."""
    without(monkeypatch, "ray")
    assert len(plan(write(more="sweep: {grid: {seed: [1, 2]}}\nexecutor: {type: ray}")).runs) == 2


@pytest.mark.parametrize(
    "command",
    [
        ["stats", "a.conll", "--reader", "docbin"],
        ["convert", "a.conll", "b", "--reader", "docbin", "--writer", "conll"],
        ["evaluate", "run", "--data", "a.conll", "--reader", "docbin"],
        ["predict", "run", "a.conll", "--reader", "docbin"],
        ["score", "a.conll", "--metric", "needy"],
    ],
    ids=lambda command: command[0],
)
def test_components_on_the_command_line_are_checked_too(monkeypatch, capsys, command):
    """Before a model is loaded."""
    without(monkeypatch, "spacy")
    assert main(command) == 2
    assert "pip install" in capsys.readouterr().err


def test_a_spec_that_needs_nothing_more_is_valid(capsys):
    """No optional package is needed by default."""
    assert main(["check", write()]) == 0
    assert loading.load(write()).spec.trainer.required_packages() == {}


@pytest.mark.parametrize("command", ["train", "pretrain"])
@pytest.mark.parametrize("option", [["--output", "dir"], ["--resume"], ["--force"]])
def test_a_rehearsal_takes_no_run_directory(capsys, command, option):
    """A rehearsal leaves nothing, so options for a run directory are refused."""
    path = write()
    if command == "pretrain":
        Path(path).write_text(
            f"name: a\nobjective: clm\ncorpus: {{type: text, path: a.conll}}\nbackbone: {MODEL}\n"
        )
    assert main([command, path, "--rehearse", *option]) == 2
    assert f"`--rehearse` and `{option[0]}` exclude each other" in capsys.readouterr().err
    assert not Path("dir").exists()


def test_errors_of_train_in_python_are_input_errors(monkeypatch):
    """`sltk.train` raises before it reads."""
    import sltk

    without(monkeypatch, *ABSENT)
    with pytest.raises(InputError, match="wandb"):
        sltk.train(write(more="trainer: {log_to: [wandb]}"))
