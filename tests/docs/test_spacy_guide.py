"""The code of docs/guides/spacy.md runs as shown and prints what the page shows."""

from __future__ import annotations

import importlib
import re
import socket
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest

from repository import ROOT

PAGE = (ROOT / "docs" / "guides" / "spacy.md").read_text(encoding="utf-8")
PLAIN, PRESIDIO = PAGE.split("\n## Presidio\n")
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _surroundings(
    spacy_library: ModuleType, known_names_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with the run of the page, and no network."""
    importlib.import_module("sltk.integrations.spacy_component")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "names").symlink_to(known_names_run)
    monkeypatch.chdir(tmp_path)

    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("the network is used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def check_blocks(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the code of a part of the page, block by block, and compare what each prints."""
    names: dict[str, Any] = {}
    blocks = BLOCK.findall(text)
    assert blocks
    for code, shown in blocks:
        exec(code, names)
        assert capsys.readouterr().out == shown


def test_the_component_works_as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Entities, span groups, and pipelines that are saved and loaded."""
    check_blocks(PLAIN, capsys)


def test_the_recipe_for_presidio_works_as_shown(
    presidio_library: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Presidio finds the entities of the model, with its scores, and those of its own recognizers."""
    check_blocks(PRESIDIO, capsys)
