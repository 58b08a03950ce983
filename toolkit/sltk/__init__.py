"""Sequence labelling with decoder-only language models whose causal mask is a setting.

    from sltk import Reader, Sentence, register

What the package offers is listed in `__all__` and imported on first use; `import sltk` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import dump, load_data
    from .errors import DataError, InputError, ModelError, RunError, SltkError, SpecError, UsageError
    from .registry import Component, RefusedError, register
    from .run import Labeller, load, train
    from .slots import (
        Aligner,
        Backbone,
        FileReader,
        Head,
        Metric,
        Reader,
        Splitter,
        TaggedReader,
        Writer,
    )
    from .spec import Experiment
    from .types import Prediction, Sentence, Span, Unused

__version__ = "0.1.0"

__all__ = [
    "Aligner",
    "Backbone",
    "Component",
    "DataError",
    "Experiment",
    "FileReader",
    "Head",
    "InputError",
    "Labeller",
    "Metric",
    "ModelError",
    "Prediction",
    "Reader",
    "RefusedError",
    "RunError",
    "Sentence",
    "SltkError",
    "Span",
    "SpecError",
    "Splitter",
    "TaggedReader",
    "Unused",
    "UsageError",
    "Writer",
    "__version__",
    "dump",
    "load",
    "load_data",
    "register",
    "train",
]

_HOMES = {
    "config": ("dump", "load_data"),
    "errors": ("DataError", "InputError", "ModelError", "RunError", "SltkError", "SpecError", "UsageError"),
    "registry": ("Component", "RefusedError", "register"),
    "run": ("Labeller", "load", "train"),
    "slots": (
        "Aligner",
        "Backbone",
        "FileReader",
        "Head",
        "Metric",
        "Reader",
        "Splitter",
        "TaggedReader",
        "Writer",
    ),
    "spec": ("Experiment",),
    "types": ("Prediction", "Sentence", "Span", "Unused"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module `sltk` has no attribute `{name}`")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
