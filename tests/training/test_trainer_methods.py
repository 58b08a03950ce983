"""A version of transformers whose Trainer lacks what sltk overrides is refused on import."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers import Trainer

import sltk
import tiny
from sltk.errors import UsageError
from sltk.training.trainer import PackedTrainer
from sltk.training.trainer_methods import METHODS, TESTED, check

ROOT = Path(__file__).resolve().parents[2]
SPECIAL = {"evaluate"}
"""Overridden completely, with any arguments."""


def test_the_installed_version_has_all_methods() -> None:
    check(Trainer)


def test_every_method_that_is_overridden_or_called_is_checked() -> None:
    """A method of the Trainer that is overridden without being listed could vanish unnoticed."""
    own = PackedTrainer.__mro__[: PackedTrainer.__mro__.index(Trainer)]
    overridden = {
        name for each in own for name in vars(each) if hasattr(Trainer, name) and not name.startswith("__")
    }
    assert {"_save", "training_step"} <= overridden
    assert overridden <= METHODS.keys() | SPECIAL
    source = "".join(path.read_text() for path in (ROOT / "toolkit/sltk/training").glob("*.py"))
    called = set(re.findall(r"(?:self|super\(\)|trainer)\.(_[a-z]\w*)\(", source))
    assert {name for name in called if hasattr(Trainer, name)} <= METHODS.keys()


@pytest.mark.parametrize("name", ["_save", "_get_grad_norm", "get_batch_samples"])
def test_a_missing_method_is_named_with_both_versions(name: str) -> None:
    methods: dict[str, Any] = {key: getattr(Trainer, key) for key in METHODS if key != name}
    with pytest.raises(UsageError) as error:
        check(type("Trainer", (), methods))
    text = str(error.value)
    assert f"transformers {transformers.__version__} does not fit sltk" in text
    assert f"its Trainer has no method `{name}`" in text
    assert f"pip install 'transformers=={TESTED}.*'" in text


def test_other_arguments_are_named() -> None:
    """An override would get arguments that it does not take."""

    class Later(Trainer):  # type: ignore[misc]
        def _save(self, output_dir: Any = None, state_dict: Any = None, sharded: bool = False) -> None: ...

    with pytest.raises(
        UsageError, match=re.escape("(output_dir, state_dict, sharded), expected (output_dir, ")
    ):
        check(Later)


def test_no_run_starts_with_such_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused when training is imported, before data or a model is read."""
    monkeypatch.delattr(Trainer, "_get_grad_norm")
    for module in ("trainer", "fit"):
        monkeypatch.delitem(sys.modules, f"sltk.training.{module}", raising=False)
    data = {"train": {"type": "conll", "path": "missing.conll"}}
    with pytest.raises(UsageError, match="its Trainer has no method `_get_grad_norm`"):
        sltk.train(tiny.spec(data=data), tmp_path / "run")
    assert not (tmp_path / "run/spec.yaml").exists()


def test_transformers_is_capped_at_the_tested_minor() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (pinned,) = [line for line in project["dependencies"] if line.startswith("transformers")]
    major, minor = TESTED.split(".")
    assert pinned == f"transformers>={TESTED},<{major}.{int(minor) + 1}"
    assert f"\ntransformers=={TESTED}." in (ROOT / "constraints.txt").read_text()
