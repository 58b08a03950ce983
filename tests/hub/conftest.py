"""One trained run, and its export that transformers can load, for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

import sltk
import tiny


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a causal decoder with a linear head, on data with all splits."""
    folder = tmp_path_factory.mktemp("hub") / "run"
    spec = tiny.spec({"epochs": 1}, data=tiny.all_splits(), backbone=tiny.backbone(unmask="none"))
    sltk.train({**spec, "name": "reviews"}, folder)
    return folder


@pytest.fixture(scope="session")
def plain_export(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of that run; tests must not change it."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    sltk.export(trained_run, folder)
    return folder
