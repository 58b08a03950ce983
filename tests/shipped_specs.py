"""Load the specs in experiments/; those of the paper take model and task from environment variables."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from repository import ROOT
from sltk.spec import loading
from sltk.spec.experiment import Experiment

EXPERIMENTS = ROOT / "experiments"
PAPER = EXPERIMENTS / "paper"
MODELS = ("llama2_7b", "mistral_7b", "roberta_base", "roberta_large")
TASKS = ("absa", "chunking", "ner", "triggers")


@contextmanager
def model_and_task(name: str) -> Iterator[str]:
    """Set MODEL and TASK as named by `llama2_7b_ner`; yields the model."""
    model = next(model for model in MODELS if name.startswith(f"{model}_"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL", model)
        patch.setenv("TASK", name.removeprefix(f"{model}_"))
        yield model


def load_shipped(name: str, *settings: str) -> loading.Loaded[Experiment]:
    """Load a file of experiments/ (`smollm2_absa`), or one of the paper's models on a task (`llama2_7b_absa`)."""
    path = EXPERIMENTS / f"{name}.yaml"
    if path.is_file():
        return loading.load(path, settings)
    with model_and_task(name) as model:
        return loading.load(PAPER / f"{model}.yaml", settings)
