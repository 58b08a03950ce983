"""Train sequence labellers with decoder-only language models, without the causal mask in chosen blocks.

    import sltk

    metrics = sltk.train("spec.yaml", "runs/first")
    predictions = sltk.load("runs/first").predict(["Some text."])

`sltk.extend` has everything that a custom component needs. Names are imported on first use: `import sltk` loads
no torch.
"""

from typing import TYPE_CHECKING

from ._imports import on_first_use, redirect_moved_modules
from ._version import __version__
from .runtime import cpus, openmp

if TYPE_CHECKING:
    from .errors import InputError, RunError
    from .exporting import export
    from .extend import (
        Aligner,
        Backbone,
        Component,
        DataError,
        FileReader,
        Head,
        Metric,
        ModelError,
        Prediction,
        Reader,
        RefusedError,
        Sentence,
        SltkError,
        Span,
        SpecError,
        Splitter,
        TaggedReader,
        Unused,
        UsageError,
        Writer,
        register,
    )  # fmt: skip
    from .reports.assembly import write_report as report
    from .run import Labeller, evaluate, load, pretrain, train
    from .spec.experiment import Experiment
    from .spec.loading import load_data
    from .spec.writing import dump
    from .sweeps.runner import sweep
    from .thresholds import choose_thresholds

__all__ = [
    "Aligner", "Backbone", "Component", "DataError", "Experiment", "FileReader", "Head", "InputError", "Labeller",
    "Metric", "ModelError", "Prediction", "Reader", "RefusedError", "RunError", "Sentence", "SltkError", "Span",
    "SpecError", "Splitter", "TaggedReader", "Unused", "UsageError", "Writer", "__version__",
    "choose_thresholds", "dump", "evaluate", "export", "load", "load_data", "pretrain", "register", "report",
    "sweep", "train",
]  # fmt: skip

_HOMES = {
    "Experiment": "spec.experiment",
    "InputError": "errors",
    "choose_thresholds": "thresholds",
    "RunError": "errors",
    "dump": "spec.writing",
    "export": "exporting",
    "load_data": "spec.loading",
    "report": "reports.assembly:write_report",
    "sweep": "sweeps.runner",
    **dict.fromkeys(("Labeller", "evaluate", "load", "pretrain", "train"), "run"),
}
__getattr__ = on_first_use(__name__, {**dict.fromkeys(__all__, "extend"), **_HOMES})
redirect_moved_modules()
# Libraries read these settings when they are loaded, so they are made before torch is imported.
openmp.limit_spinning()
cpus.respect_quota()


def __dir__() -> list[str]:
    return sorted(__all__)
