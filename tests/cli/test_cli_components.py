"""The commands list and show."""

from __future__ import annotations

from pathlib import Path

import pytest

from sltk.cli import main
from sltk.components.registry import registry


def run(capsys, *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_list_shows_every_component(capsys):
    """Every component of every slot is listed, with the first sentence of its help."""
    text = run(capsys, "list")
    for slot in registry.slots():
        for name in registry.slot(slot):
            assert any(line.split()[:1] == [name] for line in text.splitlines()), (slot, name)


@pytest.mark.parametrize("word", ["head", "heads", "Head"])
def test_list_of_one_slot(capsys, word):
    """Singular, plural and capitals are accepted."""
    names = [line.split()[0] for line in run(capsys, "list", word).splitlines() if line.strip()]
    assert names[2:] == list(registry.slot("head"))


def test_unknown_slots_and_names_are_reported_with_the_nearest(capsys):
    """A wrong slot or name is exit code 2, with the valid names."""
    assert main(["list", "raeder"]) == 2
    assert "unknown slot `raeder`\n   = did you mean `reader`?\n   = slots: " in capsys.readouterr().err
    assert main(["show", "reader", "conl"]) == 2
    expected = "error: unknown reader `conl`\n   = did you mean `conll`?\n   = available readers: "
    assert capsys.readouterr().err.startswith(expected)


@pytest.mark.parametrize("slot", registry.slots())
def test_show_explains_every_component(capsys, slot):
    """Each component's help and each of its keys are shown."""
    for name, component in registry.slot(slot).items():
        text = run(capsys, "show", slot, name)
        assert text.startswith(f"{slot} {name}   (")
        for key in component.model_fields:
            assert any(line.split()[:1] == [key] for line in text.splitlines()), (slot, name, key)


def test_show_lists_nested_keys(capsys):
    """The keys inside `lora:` are listed as `lora.r`, with type and default."""
    line = next(line for line in run(capsys, "show", "backbone", "decoder").splitlines() if "lora.r" in line)
    assert line.split()[:4] == ["lora.r", "whole", "number", "64"]


def test_show_mask_lists_the_blocks_of_each_digit(capsys):
    """30 blocks in four groups are 8, 8, 7 and 7 blocks; the leftmost digit is nearest to the input."""
    lines = run(capsys, "show", "mask", "0111", "--blocks", "30").splitlines()
    assert lines[0] == "mask 0111 on 30 blocks, input side first: 0-7 causal, 8-29 unmasked"
    assert [line.split() for line in lines[2:]] == [
        ["digit", "1", "blocks", "0", "to", "7", "causal", "(0)"],
        ["digit", "2", "blocks", "8", "to", "15", "unmasked", "(1)"],
        ["digit", "3", "blocks", "16", "to", "22", "unmasked", "(1)"],
        ["digit", "4", "blocks", "23", "to", "29", "unmasked", "(1)"],
    ]


def test_show_mask_of_a_spec(capsys, tmp_path, monkeypatch):
    """The mask of a spec, with the number of blocks from its `config`."""
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(
        "name: small\ndata: {train: {type: grammar}}\nbackbone: {type: decoder, init: random, unmask: 01, "
        "config: {model_type: llama, num_hidden_layers: 3}, tokenizer: {type: train}}\n"
    )
    lines = run(capsys, "show", "mask", "spec.yaml").splitlines()
    assert lines[0] == "mask 01 on 3 blocks, input side first: 0-1 causal, 2 unmasked"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mask", "0111"], "the number of blocks is unknown: add `--blocks N`"),
        (["mask", "0111", "--blocks", "3"], "a mask of 4 digits needs at least 4 blocks; the model has 3"),
        (["mask", "often", "--blocks", "3"], "unknown mask `often`; expected digits such as 0111"),
        (["head", "linear", "--blocks", "3"], "`--blocks` is an option of `sltk show mask` only"),
    ],
)
def test_show_mask_rejects_invalid_arguments(capsys, arguments, message):
    """A mask without blocks, too long, or unknown is exit code 2."""
    assert main(["show", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
