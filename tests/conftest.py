"""Fixtures of every test. All skipping happens here."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pytest

# Two cores, and tests that compare bits: one thread a process unless the environment says otherwise.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def corpora() -> Path:
    """Folder of the real corpora, named by SLTK_DATA; tests that want it are skipped where it is absent."""
    folder = os.environ.get("SLTK_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SLTK_DATA names no folder of corpora")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def models() -> Path:
    """Folder of the pretrained models, named by SLTK_MODELS; tests that want it skip where it is absent."""
    folder = os.environ.get("SLTK_MODELS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SLTK_MODELS names no folder of models")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def datasets_library() -> ModuleType:
    """The optional `datasets` package; tests that want it are skipped where it is not installed."""
    return pytest.importorskip("datasets", reason="the extra `huggingface` is not installed")


@pytest.fixture(scope="session")
def spacy_library() -> ModuleType:
    """The optional `spacy` package; tests that want it are skipped where it is not installed."""
    return pytest.importorskip("spacy", reason="the extra `spacy` is not installed")


@pytest.fixture(scope="session")
def ray_library() -> ModuleType:
    """The optional `ray` package; tests that want it are skipped where it is not installed."""
    return pytest.importorskip("ray", reason="the extra `ray` is not installed")
