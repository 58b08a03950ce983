"""The commands stats, convert and score; the tests of their modules cover what they compute."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sltk.cli import main

TRAIN = "Ann\tB-PER\nsings\tO\n\nBo\tI-PER\nin\tO\nOslo\tB-LOC\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("train.conll").write_text(TRAIN)
    return tmp_path


def test_stats_counts(folder, capsys):
    """Sentences, words and spans are counted, as text and as JSON."""
    assert main(["stats", "train.conll", "--reader", "conll"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("2 sentences, 5 words, 0 documents\n")
    assert ["PER", "2"] in [line.split() for line in text.splitlines()]
    assert main(["stats", "train.conll", "--reader", "conll", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert set(counts) == {
        *("sentences", "words", "documents", "spans", "tags", "scheme", "repaired", "unused", "adjusted"),
        "changes",
    }
    assert counts["spans"] == {"LOC": 1, "PER": 2}


def test_options_are_keys_of_the_reader(folder, capsys):
    """`--option k=v` takes YAML values, and paths from the working directory."""
    assert main(["stats", "train.conll", "--reader", "conll", "--option", "limit=1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sentences"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--reader", "conl"],
            "error: unknown reader `conl`\n  --> --reader conl   (type)\n   = did you mean `conll`?",
        ),
        (
            ["--reader", "conll", "--option", "lable_column=1", "--option", "limit=none"],
            "error: expected a whole number or nothing, found `none`",
        ),
        (["--reader", "conll", "--option", "limit"], "error: expected `key=value`, for example"),
    ],
)
def test_errors_of_readers_and_options_quote_the_command_line(folder, capsys, arguments, message):
    """The error names the option as it was typed and the nearest valid name; exit code 2."""
    assert main(["stats", "train.conll", *arguments]) == 2
    text = capsys.readouterr().err
    assert message.removesuffix(" or nothing, found `none`") in text
    if "--option" in arguments and len(arguments) > 4:
        assert "--> --option lable_column=1\n   = did you mean `label_column`?" in text
        assert "--> --option limit=none   (limit)" in text


def test_convert_reports_repaired_tags(folder, capsys):
    """The output has the tags of the requested scheme; repairs are counted on standard error."""
    base = ["convert", "train.conll", "-", "--reader", "conll", "--writer", "conll"]
    assert main([*base, "--option", "scheme=IOB2", "--scheme", "BIOES"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "Ann\tS-PER\nsings\tO\n\nBo\tS-PER\nin\tO\nOslo\tS-LOC\n\n"
    assert captured.err == "ill-formed tags that were repaired: 1\n"


def test_convert_leaves_no_partial_output(folder, capsys):
    """If the input is wrong, an existing output file stays unchanged."""
    Path("out.jsonl").write_text("old\n")
    Path("train.conll").write_text(TRAIN + "odd\n")
    assert main(["convert", "train.conll", "out.jsonl", "--reader", "conll", "--writer", "jsonl"]) == 2
    assert "train.conll:7" in capsys.readouterr().err
    assert Path("out.jsonl").read_text() == "old\n"
    assert sorted(path.name for path in folder.iterdir()) == ["out.jsonl", "train.conll"]


def test_convert_rejects_unknown_writers_options_and_schemes(folder, capsys):
    """Each is exit code 2 with the valid names."""
    base = ["convert", "train.conll", "-", "--reader", "conll"]
    assert main([*base, "--writer", "jsnl"]) == 2
    assert "unknown writer `jsnl`\n  --> --writer jsnl" in capsys.readouterr().err
    assert main([*base, "--writer", "jsonl", "--writer-option", "nothing=1"]) == 2
    assert "--> --writer-option nothing=1" in capsys.readouterr().err
    assert main([*base, "--writer", "jsonl", "--scheme", "BIOS"]) == 2
    assert "unknown scheme `BIOS`\n   = did you mean `BIOES`?" in capsys.readouterr().err


def test_score_of_two_files_and_of_one(folder, capsys):
    """Two files, or one with both columns, score the same."""
    Path("gold.conll").write_text("Ann\tB-PER\nsings\tO\nOslo\tB-LOC\n")
    Path("guess.conll").write_text("Ann\tB-PER\nsings\tO\nOslo\tO\n")
    Path("both.conll").write_text("Ann\tB-PER\tB-PER\nsings\tO\tO\nOslo\tB-LOC\tO\n")
    assert main(["score", "gold.conll", "guess.conll", "--json"]) == 0
    two = json.loads(capsys.readouterr().out)
    assert main(["score", "both.conll", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == two
    assert (two["precision"], two["recall"]) == (1.0, 0.5)
    assert main(["score", "both.conll"]) == 0
    assert "precision: 100.00%; recall:  50.00%" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.conll"], "gone.conll"),
        (["train.conll", "--scheme", "IOB"], "unknown scheme `IOB`"),
        (["train.conll", "--mode", "kind"], "unknown mode `kind`: expected `strict` or `conlleval`"),
    ],
)
def test_score_rejects_invalid_arguments(folder, capsys, arguments, message):
    """A missing file, scheme or mode is exit code 2."""
    assert main(["score", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_file_is_named_as_it_was_typed(folder, capsys):
    """The error has the path as it was typed, not the absolute one, and suggests the nearest name in the folder."""
    assert main(["stats", "trian.conll", "--reader", "conll"]) == 2
    assert "  --> trian.conll\n   = did you mean `train.conll`?" in capsys.readouterr().err


def test_a_dash_is_standard_input_for_any_reader_of_files(folder, capsys, monkeypatch):
    """`sltk stats - --reader conll` reads from a pipe."""
    with Path("train.conll").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert main(["stats", "-", "--reader", "conll"]) == 0
    assert capsys.readouterr().out.startswith("2 sentences, 5 words")
