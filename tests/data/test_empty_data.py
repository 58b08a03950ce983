"""Data without a single span is an error before training and scoring, unless it is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sltk
from repository import ROOT
from sltk.cli.app import main
from sltk.data.splits import load_splits
from sltk.errors import DataError
from sltk.preview.audit import audit
from sltk.spec import loading
from sltk.spec.experiment import Experiment

RUN = ROOT / "tests" / "stored_runs" / "tagger"
FULL, EMPTY = "Vera B-PER\nleft O\n\nKai B-PER\n\nBo B-PER\n", "Vera O\nleft O\n\nKai O\n\nBo O\n"
SPLITS = ("train", "validation", "test")


def experiment(folder: Path, empty: str, **options: Any) -> Experiment:
    """A spec in which the split `empty` has no span."""
    readers: dict[str, Any] = {}
    for name in SPLITS:
        path = folder / f"{name}.conll"
        path.write_text(EMPTY if name == empty else FULL, encoding="utf-8")
        readers[name] = {"type": "conll", "path": str(path)} | (options if name == empty else {})
    backbone = {"type": "decoder", "init": "random", "config": {"model_type": "llama"}, "unmask": "0"}
    spec = {"name": "x", "data": readers, "backbone": backbone | {"tokenizer": {"type": "train"}}}
    loaded: Experiment = loading.load(spec).spec
    return loaded


@pytest.mark.parametrize("name", SPLITS)
def test_a_split_without_spans(tmp_path: Path, name: str) -> None:
    """The error names the split, its size and its file; `allow_empty` accepts it."""
    spec = experiment(tmp_path, name)
    with pytest.raises(DataError, match=f"{name} has 3 sentences, 4 words and no span") as caught:
        load_splits(spec.data, "IOB2")
    assert f"--> {tmp_path / name}.conll" in str(caught.value)
    assert "`allow_empty: true`" in str(caught.value)
    allowed = experiment(tmp_path, name, allow_empty=True)
    assert set(load_splits(allowed.data, "IOB2")) == set(SPLITS)


def test_training_stops_before_the_model_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`train` reports it before it builds a model or writes anything."""
    spec = experiment(tmp_path, "train")
    with pytest.raises(DataError, match="train has 3 sentences"):
        sltk.train(spec, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_held_out_part_without_spans(tmp_path: Path) -> None:
    """A part that `holdout` takes from train needs a span, too."""
    path = tmp_path / "train.conll"
    path.write_text("".join(f"w{number} O\n\n" for number in range(50)) + "Vera B-PER\n", encoding="utf-8")
    data = {"train": {"type": "conll", "path": str(path)}, "validation": {"type": "holdout", "count": 1}}
    backbone = {"type": "decoder", "init": "random", "config": {"model_type": "llama"}, "unmask": "0"}
    for allow in (False, True):
        data["validation"]["allow_empty"] = allow
        spec = {"name": "x", "data": data, "backbone": backbone | {"tokenizer": {"type": "train"}}}
        loaded = loading.load(spec).spec
        if allow:
            assert len(load_splits(loaded.data, "IOB2")["validation"]) == 1
        else:
            with pytest.raises(DataError, match="validation has 1 sentences, 1 words and no span"):
                load_splits(loaded.data, "IOB2")


def test_spans_that_are_left_out_are_named(tmp_path: Path) -> None:
    """If spans were left out, the error says why."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "Vera left", "spans": [[0, 99, "PER"]]}) + "\n", encoding="utf-8")
    reader = {"type": "jsonl", "path": str(path), "bad_annotation": "skip"}
    backbone = {"type": "decoder", "init": "random", "config": {"model_type": "llama"}, "unmask": "0"}
    spec = {"name": "x", "data": {"train": reader}, "backbone": backbone | {"tokenizer": {"type": "train"}}}
    with pytest.raises(DataError, match=r"left out or changed: .*is not inside this text of 9 characters"):
        load_splits(loading.load(spec).spec.data, "IOB2")


@pytest.mark.parametrize(("tags", "is_empty"), [("_", True), ("O", True), ("NOUN", False)])
def test_plain_tags(tmp_path: Path, tags: str, is_empty: bool) -> None:
    """Plain tags need one other than `O` and `_`, which stand for no tag."""
    path = tmp_path / "a.conll"
    path.write_text(f"Vera {tags}\nleft {tags}\n", encoding="utf-8")
    reader = {"type": "conll", "path": str(path), "scheme": "plain"}
    backbone = {"type": "decoder", "init": "random", "config": {"model_type": "llama"}, "unmask": "0"}
    spec = loading.load(
        {
            "name": "x",
            "scheme": "plain",
            "data": {"train": reader},
            "backbone": backbone | {"tokenizer": {"type": "train"}},
        }
    ).spec
    if is_empty:
        with pytest.raises(DataError, match="no tag other than `O` and `_`"):
            load_splits(spec.data, "plain")
    else:
        assert len(load_splits(spec.data, "plain")["train"]) == 1


def test_evaluate_on_data_without_spans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`evaluate --data` reports it before the model is loaded; the reader's `allow_empty` scores it."""
    path = tmp_path / "empty.conll"
    path.write_text(EMPTY, encoding="utf-8")
    command = ["evaluate", str(RUN), "--data", str(path), "--reader", "conll"]
    assert main(command) == 2
    assert "3 sentences, 4 words and no span" in capsys.readouterr().err
    assert main([*command, "--option", "allow_empty=true", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["support"] == 0


def test_check_reads_the_data(tmp_path: Path) -> None:
    """`check --data` reports it, too."""
    with pytest.raises(DataError, match="test has 3 sentences, 4 words and no span"):
        audit(loading.load(experiment(tmp_path, "test")))
