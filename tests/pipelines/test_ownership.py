"""What others put into a folder is never removed: not by a run that starts there, ends there, or replaces another."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import sltk
import tiny

EXPERIMENT = tiny.spec({"epochs": 1})


def files_in(folder: Path) -> dict[str, bytes]:
    """All files below a folder, with their content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    sltk.train(EXPERIMENT, folder)
    return folder


@pytest.mark.parametrize("options", [{}, {"force": True}, {"resume": True}], ids=["new", "force", "resume"])
@pytest.mark.parametrize(
    "name",
    [
        "corpus/train.conll",
        "checkpoints/best.pt",
        "imports/list.txt",
        "imports/mine.py",
        "model/model.safetensors",
        "log.jsonl.old",
    ],
)
def test_a_folder_of_others_is_no_run(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    """Their folders may have the names of those of a run."""
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / name).write_text("mine")
    before = files_in(tmp_path)
    with pytest.raises(
        sltk.UsageError, match=r"holds other files and no run \((corpus|checkpoints|imports|m|l)"
    ):
        sltk.train(EXPERIMENT, tmp_path, **options)
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("options", [{}, {"force": True}, {"resume": True}], ids=["new", "force", "resume"])
def test_the_spec_of_a_user_is_no_run(tmp_path: Path, options: dict[str, Any]) -> None:
    """A folder of a project with `spec.yaml`, data and models is neither resumed nor replaced."""
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    for name in ("corpus/train.conll", "model/weights.bin", "predictions/old.conll"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("mine")
    before = files_in(tmp_path)
    with pytest.raises(sltk.UsageError, match=r"holds other files and no run"):
        sltk.train(tmp_path / "spec.yaml", tmp_path, **options)
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("options", [{"force": True}, {"resume": True}], ids=["force", "resume"])
def test_a_corpus_of_others_in_a_run_is_kept(finished: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    """The end of a run removes its own `corpus/`, which nobody else may use meanwhile."""
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "corpus").mkdir()
    (run / "corpus/train.conll").write_text("mine")
    before = files_in(run)
    with pytest.raises(sltk.UsageError, match=r"holds other files \(corpus/train.conll\)"):
        sltk.train(EXPERIMENT, run, **options)
    assert files_in(run) == before


@pytest.mark.parametrize("key", ["data.train.path", "backbone.name", "backbone.tokenizer"])
def test_a_run_that_is_read_is_not_replaced(finished: Path, tmp_path: Path, key: str) -> None:
    """Else a run would start from data or weights that no longer exist when it ends."""
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "predictions").mkdir(exist_ok=True)
    (run / "predictions/train.conll").write_text("the O\nsoup B-FOOD\n")
    changes: dict[str, Any] = {
        "data.train.path": {
            "data": {"train": {"type": "conll", "path": str(run / "predictions/train.conll")}},
        },
        "backbone.name": {
            "backbone": {
                "type": "decoder", "name": str(run / "model/base"), "unmask": "01",
                "tokenizer": str(finished / "model/tokenizer"),
            },
        },
        "backbone.tokenizer": {"backbone": tiny.backbone(tokenizer=str(run / "model/tokenizer"))},
    }[key]  # fmt: skip
    spec = {**EXPERIMENT, **changes}
    before = files_in(run)
    with pytest.raises(sltk.UsageError, match="--force would remove what this run reads") as caught:
        sltk.train(spec, run, force=True)
    assert key in str(caught.value)
    assert files_in(run) == before
    sltk.train(spec, tmp_path / "other")


def test_a_run_killed_before_its_spec_is_started_again(finished: Path, tmp_path: Path) -> None:
    """What a killed run leaves is its own: the environment, copies of imports, a corpus, checkpoints."""
    for name in (
        "environment.json",
        "imports/mine.py",
        "checkpoints/checkpoint-3/x",
        "corpus/corpus/tokens.bin",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("{}")
    sltk.train(EXPERIMENT, tmp_path)
    assert tiny.same_weights(tmp_path, finished)
