"""Text on the command line is taken as typed, and separators have the same names everywhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sltk.cli import main
from sltk.cli.component_options import build, build_reader
from sltk.components.registry import registry
from sltk.components.slots import Metric, Reader, Writer
from sltk.errors import InvalidSpecError, UsageError
from sltk.spec import loading
from sltk.spec.options import alternatives
from sltk.sweeps import plan

SPEC = """\
name: a
data: {train: {type: csv, path: a.csv}}
backbone: {type: decoder, name: some/model}
"""
YAML_SIGNS = [
    ",",
    "|",
    ":",
    ";",
    "'",
    '"',
    "-",
    "?",
    "*",
    "&",
    "!",
    "%",
    "@",
    "`",
    "{",
    "[",
    "#",
    "=",
    "\\",
    ">",
]


def text_fields() -> list[tuple[type, str, str]]:
    """Slot, component and key of every key that holds text only, and may be any text."""
    return [
        (slot, name, key)
        for slot in (Reader, Metric, Writer)
        for name, component in registry.slot(slot.slot).items()
        for key, field in component.model_fields.items()
        if set(alternatives(field.annotation)) <= {str, type(None)} and not field.metadata and key != "name"
    ]


@pytest.mark.parametrize(("slot", "name", "key"), text_fields())
@pytest.mark.parametrize("text", [": ", "a: b", "[x", "1e3", "true", "- a", "a #b", "'", "| ", "0111"])
def test_every_key_of_text_takes_text(slot, name, key, text):
    """No key that holds text needs YAML quotes."""
    path = ["path=x"] if "path" in registry.slot(slot.slot)[name].model_fields else []
    try:
        component = build(slot, name, [*path, f"{key}={text}"])
    except UsageError as error:  # a component may refuse the text itself
        message = str(error)
        component = None
    assert getattr(component, key) == text if component else not re.search("YAML|expected text", message)


@given(st.text(min_size=1).filter(lambda text: "${" not in text))
@example(" ")
@example("\t")
@example("#")
def test_any_text_is_literal(text):
    """What is typed after `=` is the value, except for quotes around all of it."""
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    if not is_quoted and text not in ("null", "~", "Null", "NULL"):
        assert build(Reader, "conll", ["path=x", f"comment={text}"]).comment == text


@pytest.mark.parametrize("sign", YAML_SIGNS)
@pytest.mark.parametrize("reader", ["conll", "csv"])
def test_signs_of_yaml_are_separators(reader, sign):
    """`--option separator=,` needs no further quotes."""
    assert build_reader(reader, "x", [f"separator={sign}"]).separator == sign


@pytest.mark.parametrize("written", ["tab", r"\t", "\t", '"\\t"', "'\t'"])
@pytest.mark.parametrize("reader", ["conll", "csv"])
def test_a_tab_may_be_written_in_several_ways(tmp_path, capsys, reader, written):
    """`tab`, `\\t` and a tab are the same for every reader with columns."""
    text = "Vera\tB-PER\n" if reader == "conll" else "tokens\ttags\n['Vera']\t['B-PER']\n"
    (tmp_path / "a").write_text(text)
    command = ["stats", str(tmp_path / "a"), "--reader", reader, "--option", f"separator={written}", "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["spans"] == {"PER": 1}


@pytest.mark.parametrize("reader", ["conll", "csv"])
def test_a_space_has_a_name(tmp_path, capsys, reader):
    """`space` separates at each space."""
    text = "Vera B-PER\n" if reader == "conll" else "tokens tags\n['Vera'] ['B-PER']\n"
    (tmp_path / "a").write_text(text)
    command = ["stats", str(tmp_path / "a"), "--reader", reader, "--option", "separator=space", "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["spans"] == {"PER": 1}


@pytest.mark.parametrize("written", ["ab", "", "tabs"])
def test_a_csv_separator_is_one_character(written):
    """The `csv` reader takes a name or one character."""
    with pytest.raises(UsageError, match="separator"):
        build_reader("csv", "x", [f"separator={written}"])


def load(tmp_path: Path, *overrides: str):
    (tmp_path / "s.yaml").write_text(SPEC)
    return loading.load(tmp_path / "s.yaml", overrides).spec


@pytest.mark.parametrize("sign", YAML_SIGNS)
def test_set_takes_text(tmp_path, sign):
    """`--set` follows the same rules as `--option`."""
    assert load(tmp_path, f"data.train.separator={sign}").data.train.separator == sign
    assert load(tmp_path, f"backbone.revision=a {sign} b").backbone.revision == f"a {sign} b"


def test_set_takes_text_in_mappings_of_text(tmp_path):
    """The values of a mapping of texts are text, too."""
    spec = load(
        tmp_path,
        "type=instruct",
        "instruct.instruction=Find: all",
        "instruct.options.A=# 1",
        "backbone.unmask=none",
    )
    assert (spec.instruct.instruction, spec.instruct.options) == ("Find: all", {"A": "# 1"})


def test_set_reads_other_values_as_yaml(tmp_path):
    """Lists, mappings, numbers and masks are YAML, and a key that may be unset can be unset."""
    spec = load(
        tmp_path,
        "head={type: mlp, hidden: [8]}",
        "backbone.lora.target_modules=[q_proj]",
        "backbone.unmask=[0, 1]",
        "backbone.tokenizer={type: train}",
        "data.train.limit=5",
        "backbone.revision=null",
    )
    assert spec.head.hidden == [8]
    assert spec.backbone.lora.target_modules == ["q_proj"]
    assert (spec.backbone.unmask, spec.backbone.tokenizer.vocab_size) == ([0, 1], 1000)
    assert (spec.data.train.limit, spec.backbone.revision) == (5, None)


def test_paths_are_text(tmp_path, monkeypatch):
    """A path may contain any sign, and starts from the working directory."""
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path, "data.train.path=a: [b].csv").data.train.path == tmp_path / "a: [b].csv"


def test_variables_are_replaced_in_text(tmp_path, monkeypatch):
    """`${NAME}` is replaced, and an unset variable is an error."""
    monkeypatch.setenv("OWN_NAME", "x: y")
    assert load(tmp_path, "name=${OWN_NAME}!").name == "x: y!"
    monkeypatch.delenv("OWN_NAME")
    with pytest.raises(InvalidSpecError, match="OWN_NAME"):
        load(tmp_path, "name=${OWN_NAME}")


def test_invalid_yaml_is_still_an_error_for_other_keys(tmp_path):
    """A list must be YAML, and the message quotes the command line."""
    with pytest.raises(InvalidSpecError, match=r"not YAML.*\n.*--set metrics=\["):
        load(tmp_path, "metrics=[")


def test_set_takes_text_in_sweeps(tmp_path):
    """The runs of a sweep are changed in the same way."""
    (tmp_path / "s.yaml").write_text(SPEC + "sweep: {grid: {seed: [1, 2]}}\n")
    runs = plan(tmp_path / "s.yaml", ["data.train.separator=|", "name=x: y"]).runs
    assert [run.experiment.data.train.separator for run in runs] == ["|", "|"]
    assert [run.experiment.name for run in runs] == ["x: y", "x: y"]


def test_options_of_metrics_and_writers_are_text(tmp_path, capsys):
    """`--writer-option` follows the same rules."""
    (tmp_path / "a.conll").write_text("Vera\tB-A B\n")
    command = ["convert", str(tmp_path / "a.conll"), str(tmp_path / "a.txt"), "--reader", "conll"]
    options = ["--option", "separator=tab", "--writer", "brat", "--writer-option", "spaces=:"]
    assert main([*command, *options]) == 0
    assert "A:B" in (tmp_path / "a.ann").read_text()
    assert main(["score", str(tmp_path / "a.conll"), "--metric", "seqeval", "--metric-option", "mode=["]) == 2
    assert "expected `strict` or `conlleval`, found `[`" in capsys.readouterr().err
