"""The commands check and schema."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sltk.cli import main
from sltk.components.registry import registry

SPEC = """\
name: small
data:
  train: {type: conll, path: train.conll}
  test: {type: conll, path: test.conll}
backbone: {type: decoder, name: some/model, unmask: 0111, lora: {r: 4}}
trainer: {epochs: 2, gradient_accumulation: 4}
"""
TRAIN = "Ann\tB-PER\nsings\tO\n\nBo\tB-PER\nin\tO\nOslo\tB-LOC\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(SPEC)
    Path("train.conll").write_text(TRAIN)
    Path("test.conll").write_text("Cy\tB-PER\nhums\tO\nnear\tO\nLima\tB-LOC\n")
    return tmp_path


def test_a_valid_spec_is_summarized(folder, capsys):
    """The summary shows the data, the model with its mask and LoRA, and the trainer."""
    assert main(["check", "spec.yaml"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = {line.split()[0]: line for line in captured.out.splitlines() if line.strip()}
    assert lines["mask"].split() == ["mask", "0111"]
    assert lines["LoRA"].split()[:3] == ["LoRA", "r", "4,"]
    assert "conll path" in lines["train"]
    assert "2 epochs, batch 16 × 4, adamw, learning rate 0.0002" in lines["trainer"]
    assert captured.out.endswith("\nThe spec is valid.\n")


def test_a_missing_file_is_a_warning_with_its_position(folder, capsys):
    """Data may be on another machine, so the spec is valid; with `--data` or `--strict` it is an error."""
    Path("test.conll").unlink()
    assert main(["check", "spec.yaml"]) == 0
    captured = capsys.readouterr()
    assert "warning: there is no `test.conll`\n  --> spec.yaml:4:29   (data.test.path)" in captured.err
    assert captured.out.endswith("The spec is valid, with 1 warning.\n")
    assert main(["check", "spec.yaml", "--strict"]) == 2
    assert main(["check", "spec.yaml", "--data"]) == 2
    assert "error: there is no `test.conll`\n" in capsys.readouterr().err


def test_train_reports_a_missing_file_with_its_position(folder, capsys):
    """No other file is read, and a file with a similar name is suggested."""
    Path("test.conll").rename("tests.conll")
    assert main(["train", "spec.yaml"]) == 2
    error = capsys.readouterr().err
    assert "error: there is no `test.conll`\n  --> spec.yaml:4:29   (data.test.path)" in error
    assert "did you mean `tests.conll`?" in error
    assert "sentences" not in error


@pytest.mark.parametrize("size", ["abc", "-4", "0", "true", "1.5"])
def test_check_finds_invalid_sizes_of_a_model(size, folder, capsys):
    """The error names the key and what was expected, without building a model."""
    Path("fresh.yaml").write_text(
        "name: fresh\ndata: {train: {type: conll, path: train.conll}}\n"
        "backbone:\n  type: decoder\n  init: random\n  tokenizer: {type: train}\n  unmask: '01'\n"
        "  config: {model_type: llama, hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 2}\n"
    )
    assert main(["check", "fresh.yaml"]) == 0
    assert main(["check", "fresh.yaml", "--set", f"backbone.config.hidden_size={size}"]) == 2
    error = capsys.readouterr().err
    assert "expected a whole number above 0, found `" in error
    assert "(backbone.config.hidden_size)" in error


def test_a_file_that_is_not_a_spec_is_quoted_in_part(folder, capsys):
    """A long text is shortened in the error."""
    Path("text.yaml").write_text("word " * 300)
    assert main(["check", "text.yaml"]) == 2
    error = capsys.readouterr().err
    assert "a spec is a mapping of keys and values, found `word word" in error
    assert len(error) < 200


def test_the_data_is_counted(folder, capsys):
    """`--data` reads every split and shows its counts side by side; without warnings, `--strict` exits with 0."""
    assert main(["check", "spec.yaml", "--data", "--strict"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = (
        ["data", "train", "test"],
        ["sentences", "2", "1"],
        ["words", "5", "4"],
        ["documents", "not", "marked", "not", "marked"],
        ["scheme", "IOB2", "IOB2"],
        ["spans", "3", "2"],
        ["PER", "2", "1"],
        ["LOC", "1", "1"],
        ["also", "in", "train", "0"],
    )
    assert [row for row in rows if row in shown] == list(shown)


def test_a_tokenizer_that_is_not_available_is_a_note(folder, capsys):
    """If the tokenizer is not on this machine, subwords are not counted; a note says so, not a warning."""
    assert main(["check", "spec.yaml", "--data"]) == 0
    captured = capsys.readouterr()
    assert "note: the tokenizer of `some/model` is not on this machine" in captured.out
    assert "subwords per word" not in captured.out
    assert captured.err == ""


def test_a_tokenizer_that_the_spec_trains_is_used(folder, capsys):
    """The audit trains it too: subwords are in the table and in the JSON."""
    random = (
        "backbone: {type: decoder, init: random, unmask: none, tokenizer: {type: train, vocab_size: 260},"
    )
    shape = " config: {model_type: llama, hidden_size: 8, max_position_embeddings: 6}}\n"
    other_lines = [line for line in SPEC.splitlines(keepends=True) if not line.startswith("backbone")]
    Path("spec.yaml").write_text("".join(other_lines) + random + shape)
    assert main(["check", "spec.yaml", "--data"]) == 0
    out = capsys.readouterr().out
    assert "subwords per word" in out
    assert "longer than 6 subwords" in out
    assert main(["check", "spec.yaml", "--data", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["tokenizer"] == {"found": True, "limit": 6, "note": None}
    assert report["data"]["train"]["subwords"]["over_limit"] == 2


def test_the_head_reports_what_it_covers_and_costs(folder, capsys):
    """Before training: as notes, and with `--json` as a list; without the data, the estimate refers to it."""
    options = ["check", "spec.yaml", "--set", "head.type=span"]
    assert main([*options, "--data", "--json"]) == 0
    captured = capsys.readouterr()
    covered, cost = json.loads(captured.out)["head"]
    assert covered.startswith(
        "head span: candidates of up to 1 words cover 100.00% of the 3 training spans; 0 lost"
    )
    assert "has 3 candidates: about" in cost
    assert [line for line in captured.err.splitlines() if line] == [f"note: {covered}", f"note: {cost}"]
    assert main(options) == 0
    assert "head span: what it covers and costs depends on the data" in capsys.readouterr().out


def test_the_audit_imports_no_torch(folder):
    """Subwords are counted without torch and without transformers."""
    code = (
        "import sys; from sltk.cli import main; code = main(['check', 'spec.yaml', '--data']); "
        "assert code == 0 and not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_malformed_data_is_an_error(folder, capsys):
    """For a line with too few columns, `check --data` reports its position and exits with 2."""
    Path("test.conll").write_text("Cy\tB-PER\nhums\n")
    assert main(["check", "spec.yaml"]) == 0
    assert main(["check", "spec.yaml", "--data"]) == 2
    assert "test.conll:2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("test", "warning"),
    [
        ("Cy\tB-ORG\nhums\tO\n", "types that do not occur in train, so the model cannot learn them: ORG"),
        ("Cy\tB-PER\n\nCy\tB-PER\n", "repeated sentences: 1 of 2"),
        ("Cy\tB-PER\n\nCy\tB-LOC\n", "the same words with different tags: 1\n"),
        ("Ann\tB-PER\nsings\tO\n", "sentences that also occur in train: 1 of 1\n"),
        ("Cy\tI-PER\nhums\tI-LOC\n\nDi\tB-PER\n", "ill-formed tags that were repaired: 2"),
        ("Cy\tO\nhums\tO\n", "nothing is annotated: every tag is O"),
    ],
)
def test_the_audit_warns_about_anomalies(folder, capsys, test, warning):
    """Each anomaly is a warning at the position of the split; with `--strict` the exit code is 2."""
    Path("test.conll").write_text(test)
    keys = "scheme: IOB2" if "I-" in test else "allow_empty: true"
    Path("spec.yaml").write_text(SPEC.replace("path: test.conll", f"path: test.conll, {keys}"))
    assert main(["check", "spec.yaml", "--data"]) == 0
    text = capsys.readouterr().err
    assert f"warning: {warning}" in text
    assert "--> spec.yaml:4:3   (data.test)" in text
    assert main(["check", "spec.yaml", "--data", "--strict"]) == 2


def test_json_holds_the_resolved_spec(folder, capsys):
    """`--json` prints the spec with defaults, the warnings and the counts."""
    assert main(["check", "spec.yaml", "--json", "--data", "--set", "seed=5"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["sound"], report["warnings"]) == (True, [])
    assert report["resolved"]["seed"] == 5
    assert report["resolved"]["backbone"]["unmask"] == "0111"
    assert report["data"]["train"]["types"] == {"LOC": 1, "PER": 2}
    assert report["data"]["train"]["words_per_sentence"]["longest"] == 3
    assert report["between"]["overlaps"][0]["sentences"] == 0


def test_json_holds_the_problems(folder, capsys):
    """For an invalid spec, `--json` prints the problems with position, path and suggestion; exit code 2."""
    assert main(["check", "spec.yaml", "--json", "--set", "trainer.epoch=3"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["sound"] is False
    (problem,) = report["problems"]
    assert (problem["message"], problem["suggestion"]) == ("unknown key `epoch` in `trainer`", "epochs")
    assert (problem["file"], problem["path"]) == ("--set trainer.epoch=3", "trainer")


def test_imported_files_are_printed(folder, capsys):
    """The paths of `imports:` go to standard error, before the files run."""
    Path("mine.py").write_text("import sys; print('running', file=sys.stderr)")
    Path("spec.yaml").write_text(SPEC + "imports: [mine.py]\n")
    assert main(["check", "spec.yaml"]) == 0
    assert capsys.readouterr().err == f"importing {folder}/mine.py\nrunning\n"


def test_the_schema_has_every_key_and_component(capsys):
    """The JSON Schema has the keys of a spec, and each component with its keys and their descriptions."""
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    kinds = schema["else"]
    assert {"name", "data", "backbone", "trainer"} <= set(kinds["else"]["properties"])
    assert {"name", "corpus", "objective", "snapshots"} <= set(kinds["then"]["properties"])
    assert {"extends", "sweep", "search", "data", "corpus"} <= set(schema["then"]["properties"])
    definitions = schema["$defs"]
    readers = {each["properties"]["type"]["const"]: each for each in definitions["Reader"]["oneOf"]}
    assert list(readers) == list(registry.slot("reader"))
    conll = readers["conll"]
    assert conll["properties"]["label_column"]["description"]
    assert conll["additionalProperties"] is False
    assert set(conll["required"]) == {"type", "path"}
    references = {name for name in definitions if f"#/$defs/{name}" in json.dumps(schema)}
    assert references == set(definitions)


def test_the_schema_has_imported_components(folder, capsys):
    """`--imports` adds custom components to the schema."""
    Path("mine.py").write_text(
        "from sltk import Splitter, register\n\n\n"
        '@register.splitter("cli_test_letters")\n'
        'class LetterSplitter(Splitter):\n    """Every letter is a word."""\n'
    )
    assert main(["schema", "--imports", "mine.py"]) == 0
    captured = capsys.readouterr()
    assert "cli_test_letters" in captured.out
    assert captured.err == "importing mine.py\n"


@pytest.mark.parametrize(
    ("text", "setting", "key"),
    [
        (SPEC, "sweep={grid: {seed: [1, 2]}}", "runs"),
        (SPEC, "search={masks: {every: 2}, budget: 1}", "search"),
        (SPEC, "seed=2", "estimate"),
    ],
)
def test_the_keys_of_a_spec_determine_its_kind(folder, capsys, text, setting, key):
    """Keys of `--set` can turn a run into a sweep or a search over masks."""
    Path("spec.yaml").write_text(
        text.replace("  test:", "  validation: {type: conll, path: test.conll}\n  test:")
    )
    assert main(["check", "spec.yaml", "--json", "--set", setting]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report)[:3] == ["spec", "sound", "warnings"]
    assert key in report
