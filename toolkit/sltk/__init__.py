"""Sequence labelling with decoder-only language models whose causal mask is a setting.

    import sltk

    metrics = sltk.train("spec.yaml", "runs/first")
    predictions = sltk.load("runs/first").predict(["Some text."])

`sltk.extend` has everything that a custom component needs. Names are imported on first use: `import sltk` loads
no torch.
"""

from typing import TYPE_CHECKING

from ._imports import on_first_use, redirect_moved_modules
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
    from .exporting import export
    from .reports.assembly import write_report as report
    from .run import Labeller, evaluate, load, pretrain, train
    from .spec.experiment import Experiment
    from .spec.loading import load_data
    from .spec.writing import dump
    from .sweeps.runner import sweep
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
    "evaluate",
    "export",
    "load",
    "load_data",
    "pretrain",
    "register",
    "report",
    "sweep",
    "train",
]

_NAMES = {
    "components.registry": "Component RefusedError register",
    "components.slots": "Aligner Backbone FileReader Head Metric Reader Splitter TaggedReader Writer",
    "errors": "DataError InputError ModelError RunError SltkError SpecError UsageError",
    "exporting": "export",
    "run": "Labeller evaluate load pretrain train",
    "spec.experiment": "Experiment",
    "spec.loading": "load_data",
    "spec.writing": "dump",
    "sweeps.runner": "sweep",
    "types": "Prediction Sentence Span Unused",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}
__getattr__ = on_first_use(__name__, {**_HOMES, "report": "reports.assembly:write_report"})
redirect_moved_modules()


def __dir__() -> list[str]:
    return sorted(__all__)
