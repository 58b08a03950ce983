"""Sequence labelling with decoder-only language models whose causal mask is a setting.

    from sltk import Reader, Sentence, register

What the package offers is listed in `__all__` and imported on first use; `import sltk` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .components.registry import Component, RefusedError, register
    from .components.slots import (
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
    from .errors import DataError, InputError, ModelError, RunError, SltkError, SpecError, UsageError
    from .run import Labeller, load, train
    from .spec.experiment import Experiment
    from .spec.loading import dump, load_data
    from .types import Prediction, Sentence, Span, Unused

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
    "components.registry": ("Component", "RefusedError", "register"),
    "components.slots": (
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
    "errors": ("DataError", "InputError", "ModelError", "RunError", "SltkError", "SpecError", "UsageError"),
    "run": ("Labeller", "load", "train"),
    "spec.experiment": ("Experiment",),
    "spec.loading": ("dump", "load_data"),
    "types": ("Prediction", "Sentence", "Span", "Unused"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module `sltk` has no attribute `{name}`")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
