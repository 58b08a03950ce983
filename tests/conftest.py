"""Fixtures for all tests. Only this file skips tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

# Tests compare results bit for bit, so the number of threads is fixed, before sltk is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

from sltk.components.registry import registry
from sltk.spec import imports

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# How long an example takes depends on what else the machine does.
settings.register_profile("sltk", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sltk")


@pytest.fixture(scope="module", autouse=True)
def _own_components(request: pytest.FixtureRequest) -> Iterator[None]:
    """Components that a module registers, when it is imported or in its tests, are unknown to the tests of others."""
    registry.slots()  # registers the built-in components before the copy
    homes = ("sltk", request.module.__name__)
    slots = {
        slot: {name: each for name, each in components.items() if each.__module__.startswith(homes)}
        for slot, components in registry._slots.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_slots", slots)
        patch.setattr(imports, "_loaded", {})  # else files that another module has imported register nothing
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests record about trained code is not added to the record of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLTK_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora in SLTK_DATA; tests that use it are skipped if it does not exist."""
    folder = os.environ.get("SLTK_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SLTK_DATA is not a folder of corpora")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of pre-trained models in SLTK_MODELS; tests that use it are skipped if it does not exist."""
    folder = os.environ.get("SLTK_MODELS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SLTK_MODELS is not a folder of models")
    return Path(folder).resolve()


def optional(extra: str, *packages: str) -> Callable[[], ModuleType]:
    """A fixture: the last of these packages; tests that use it are skipped if one of them is not installed."""

    @pytest.fixture(scope="session")
    def library() -> ModuleType:
        reason = f"the extra `{extra}` is not installed"
        return [pytest.importorskip(package, reason=reason) for package in packages][-1]

    return library


datasets_library = optional("huggingface", "datasets")
spacy_library = optional("spacy", "spacy")
ray_library = optional("ray", "ray")
mlflow_library = optional("mlflow", "mlflow")
wandb_library = optional("wandb", "wandb")
tensorboard_library = optional("tensorboard", "tensorboard")
onnx_library = optional("onnx", "onnxscript", "onnxruntime", "onnx")
serve_library = optional("serve", "uvicorn", "fastapi")
gguf_library = optional("gguf", "gguf")
optuna_library = optional("search", "optuna")
presidio_library = optional("dev", "presidio_analyzer")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of an installed Chromium that playwright drives; tests that use it are skipped if there is none."""
    pytest.importorskip("playwright.sync_api", reason="the extra `dev` is not installed")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    return path or pytest.skip("no Chromium is installed")


class SmallDisk:
    """A file system in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, kib: int) -> None:
        """Change its size."""
        subprocess.run(["mount", "-o", f"remount,size={kib}k", str(self.folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 8 KiB; tests that use it are skipped if this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount a file system")
    yield SmallDisk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def known_names_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a small model that knows four names; do not change it."""
    import known_names

    return known_names.train(tmp_path_factory.mktemp("names"))
