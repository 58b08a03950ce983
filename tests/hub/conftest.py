"""One trained run, its export that transformers can load, and a hub, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

import hub_peer
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


@pytest.fixture(scope="session")
def hub_server() -> Iterator[hub_peer.HubPeer]:
    """One server for all tests, because transformers remembers the address of the hub."""
    with hub_peer.running() as peer:
        yield peer


@pytest.fixture
def hub(hub_server: hub_peer.HubPeer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> hub_peer.HubPeer:
    """An empty hub on loopback that huggingface_hub uses, with an own cache and a valid token."""
    hub_server.reset()
    monkeypatch.setattr(constants, "ENDPOINT", hub_server.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    address = hub_server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", hub_peer.TOKEN)
    return hub_server
