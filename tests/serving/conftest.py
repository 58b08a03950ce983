"""Fixtures for tests of the server."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

import sltk
from served import RUN, GatedLabeller


@pytest.fixture(scope="session")
def labeller(serve_library: ModuleType) -> sltk.Labeller:
    """A trained tagger."""
    return sltk.load(RUN)


@pytest.fixture
def gated(labeller: sltk.Labeller) -> Iterator[GatedLabeller]:
    """A tagger that waits for its gate."""
    waiting = GatedLabeller(labeller)
    yield waiting
    waiting.gate.set()
