"""The pretrained model that runs of these tests start from."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiny


@pytest.fixture(scope="package")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained decoder with its output layer, as transformers saves one; its tokenizer has no mask token."""
    return tiny.save_language_model(tmp_path_factory.mktemp("base") / "model")
