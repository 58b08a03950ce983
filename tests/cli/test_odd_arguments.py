"""Arguments and values that no file system or number type has: one clear error each, never a bug of sltk."""

from __future__ import annotations

from pathlib import Path

import pytest

from sltk.cli import main

SPEC = """
name: tiny
data:
  train: {type: grammar, part: train, count: 24}
backbone:
  type: decoder
  init: random
  config: {model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2}
  tokenizer: {type: train, vocab_size: 300}
  unmask: 01
"""
NUMBERS = {
    "hexadecimal": "0x" + "f" * 5000,
    "decimal": "1" * 5000,
    "negative": "-" + "9" * 5000,
    "binary": "0b" + "1" * 20000,
    "octal": "0o" + "7" * 6000,
    "large": str(2**70),
    "infinite": "1e999",
    "exponent": "1e" + "1" * 5000,
}
NAMES = {
    "long": "x" * 5000,
    "deep": "/".join(["a"] * 3000),
    "nobody's home": "~nobody-has-this-name/x",
    "loop": "loop",
    "below a file": "a.conll/x",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a spec, a data file, and a link to itself."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(SPEC)
    (tmp_path / "a.conll").write_text("Kai B-PER\nsings O\n")
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


def is_clear(capsys: pytest.CaptureFixture[str], *arguments: str) -> bool:
    """Whether a command succeeds, or ends with exit code 2 and a message of moderate length."""
    code = main(list(arguments))
    error = capsys.readouterr().err
    assert "bug in sltk" not in error, error[:300]
    assert (code, error) == (0, "") or (code == 2 and error.startswith("error:")), (code, error[:300])
    return code == 2


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_numbers_of_any_size_are_read_or_refused(
    folder: Path, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In keys of specs, lists of sweeps, options of readers and the command line."""
    for key in ("seed", "trainer.epochs", "trainer.learning_rate", "max_length", "data.train.count", "name"):
        is_clear(capsys, "check", "tiny.yaml", "--set", f"{key}={number}")
    (folder / "b.yaml").write_text(SPEC.replace("name: tiny", f"name: tiny\nseed: {number}"))
    assert is_clear(capsys, "check", "b.yaml")
    (folder / "b.yaml").write_text(f"{SPEC}sweep: {{grid: {{seed: [{number}, 2]}}}}\n")
    assert is_clear(capsys, "check", "b.yaml")
    assert is_clear(capsys, "sweep", "b.yaml", "--dry-run")
    assert is_clear(capsys, "sweep", "tiny.yaml", "--shard", f"1/{number}")
    assert is_clear(capsys, "sweep", "tiny.yaml", "--limit", number)
    assert is_clear(capsys, "show", "mask", "01", "--blocks", number)
    for key in ("label_column", "word_column", "limit"):
        assert is_clear(capsys, "stats", "a.conll", "--reader", "conll", "--option", f"{key}={number}")


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_impossible_names_of_files_are_refused(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In every place that takes a path."""
    for arguments in (
        ["stats", name, "--reader", "conll"],
        ["stats", "a.conll", "--reader", "conll", "--imports", f"{name}.py"],
        ["convert", name, "-", "--reader", "conll", "--writer", "conll"],
        ["score", name],
        ["score", "a.conll", name],
        ["check", name],
        [
            "check",
            "tiny.yaml",
            "--data",
            "--set",
            "data.train.type=conll",
            "--set",
            f"data.train.path={name}",
        ],
        ["train", name],
        ["evaluate", name],
        ["predict", name, "a.conll"],
        ["export", name, "x"],
        ["report", name],
        ["show", "mask", f"./{name}"],
    ):
        assert is_clear(capsys, *arguments), arguments[0]
