"""`sltk sweep` and `sltk check` of sweeps on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sltk.cli import main

SPEC = """
name: tiny
data:
  train: {type: grammar, part: train, count: 12}
  validation: {type: grammar, part: validation, count: 4}
backbone:
  type: decoder
  init: random
  config: {model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2}
  tokenizer: {type: train, vocab_size: 300}
trainer: {max_steps: 1}
sweep:
  grid: {backbone.unmask: [01, 11], seed: [1, 2]}
executor: {type: local, isolated: false}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A sweep of four runs of one update."""
    (tmp_path / "sweep.yaml").write_text(SPEC)
    return tmp_path / "sweep.yaml"


def test_a_dry_run_shows_the_plan_and_writes_nothing(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run prints the state of each run, and that time and disk space are unknown."""
    folder = spec.parent / "out"
    assert main(["sweep", str(spec), "--output", str(folder), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "waiting  unmask=01,seed=1\n" in printed
    assert "4 runs: 4 waiting" in printed
    assert "unknown until the first run is finished" in printed
    assert not folder.exists()


def test_a_sweep_is_run_and_resumed(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`sweep` prints one line per finished run and a summary, and does not repeat finished runs."""
    arguments = ["sweep", str(spec), "--output", str(spec.parent / "out")]
    assert main([*arguments, "--limit", "1"]) == 0
    output = capsys.readouterr()
    assert "1/4  unmask=01,seed=1: validation" in output.err
    assert "4 runs: 1 done, 3 waiting" in output.out
    assert main([*arguments, "--only", "seed=1"]) == 0
    assert "2 runs: 2 done" in capsys.readouterr().out
    assert main([*arguments, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "4 runs: 2 done, 2 waiting" in printed
    assert "per run" in printed.splitlines()[-1]


def test_a_failing_run_ends_the_command_with_1(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the run and the reason, and the log."""
    text = SPEC.replace("seed: [1, 2]", "data.train.count: [12], trainer.learning_rate: [1e-3, 1e30]")
    spec.write_text(text.replace("max_steps: 1", "max_steps: 3, clip: null"))
    assert main(["sweep", str(spec), "--output", str(spec.parent / "out"), "--only", "unmask=01"]) == 1
    output = capsys.readouterr()
    assert "1 of 2 runs failed" in output.err
    assert "learning_rate=1e30: RunError: the" in output.err
    assert "to repeat these runs: `--retry`" in output.err
    assert "2 runs: 1 done, 1 failed" in output.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard", "5/4"], "expected I/N"),
        (["--shard", "four"], "expected I/N"),
        (["--only", "sed=1"], "`sed` does not vary"),
        (["--extend", "--old-plan"], "--extend and --old-plan exclude each other"),
        (["--set", "backbone.unmsk=01"], "did you mean `unmask`?"),
        (["--set", "backbone.config.num_hidden_layers=1"], "a mask of 2 digits needs at least 2 blocks"),
    ],
)
def test_mistakes_are_reported_before_anything_runs(
    spec: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 2, and no folder is created."""
    assert main(["sweep", str(spec), "--output", str(spec.parent / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (spec.parent / "out").exists()


def test_check_describes_a_sweep(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In words and as JSON; every run is checked, and an error that several runs share is reported once."""
    assert main(["check", str(spec), "--data"]) == 0
    printed = capsys.readouterr().out
    assert "tiny: a sweep of 4 runs" in printed
    assert "backbone.unmask: 01, 11" in printed
    assert "The spec is valid" in printed
    assert main(["check", str(spec), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in report["runs"]][:2] == ["unmask=01,seed=1", "unmask=01,seed=2"]
    assert report["sound"] is True
    spec.write_text(SPEC.replace("[01, 11]", "[01, 0111]"))
    assert main(["check", str(spec), "--json"]) == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [(each["line"], each["path"]) for each in problems] == [(13, "backbone.unmask")]


HEADS = "{name: wide, head: {type: span}}, {name: deep, head: {type: layered}}"


def test_check_fits_every_head_to_the_data(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--data` reports what each head covers, and a limit that loses too many spans is an error before any run."""
    arguments = ["check", str(spec), "--data", "--set"]
    assert main([*arguments, f"sweep={{list: [{HEADS}]}}"]) == 0
    notes = capsys.readouterr().err
    assert "head span: candidates of up to" in notes
    assert "head layered: 1 layer holds 100.00%" in notes
    narrow = "{name: narrow, head: {type: span, max_width: 1}}"
    assert main([*arguments, f"sweep={{list: [{HEADS}, {narrow}]}}"]) == 2
    assert "candidates of up to 1 words cover" in capsys.readouterr().err


def test_missing_data_is_a_warning_of_check(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Missing data is reported once for all runs, with its line in the spec."""
    spec.write_text(
        SPEC.replace("{type: grammar, part: train, count: 12}", "{type: conll, path: nowhere.conll}")
    )
    assert main(["check", str(spec)]) == 0
    error = capsys.readouterr().err
    assert error.count("nowhere.conll`") == 1
    assert "sweep.yaml:4:" in error
    assert main(["check", str(spec), "--strict"]) == 2


def test_train_rejects_a_sweep(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the right command."""
    assert main(["train", str(spec)]) == 2
    assert f"run `sltk sweep {spec}`" in capsys.readouterr().err
