"""`sltk report`: finished runs as tables, figures and tests.

    records.py      one run as one JSON object; files of them can be committed
    discovery.py    finds runs and records; run_reader.py and predictions.py read a run directory
    comparable.py   which runs may stand in one table
    study.py        tasks, configurations, seeds, means
    checkpoints.py  curves over the checkpoints of pre-training
    evidence.py     the tests of `sltk.significance` that the runs allow
    tables.py, responses.py, figures.py, diagnostics.py, pages.py    text and pictures
    assembly.py     READ THIS FIRST: all of it in a line

What the package offers is imported on first use: others take the order of masks from here, and need no numpy for it.
Imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .assembly import Report, report
    from .discovery import Found, collect
    from .evidence import Comparison, Evidence, weigh
    from .figures import Point, checkpoint_curves
    from .plotting import save, style
    from .records import Record, read_records, write_records
    from .run_reader import read_run
    from .study import Configuration, Study, Summary, Task, arrange
    from .tables import choice_text

__all__ = [
    "Comparison",
    "Configuration",
    "Evidence",
    "Found",
    "Point",
    "Record",
    "Report",
    "Study",
    "Summary",
    "Task",
    "arrange",
    "checkpoint_curves",
    "choice_text",
    "collect",
    "read_records",
    "read_run",
    "report",
    "save",
    "style",
    "weigh",
    "write_records",
]

_HOMES = {
    "assembly": (
        "Report",
        "report",
    ),
    "discovery": (
        "Found",
        "collect",
    ),
    "evidence": (
        "Comparison",
        "Evidence",
        "weigh",
    ),
    "figures": (
        "Point",
        "checkpoint_curves",
    ),
    "plotting": (
        "save",
        "style",
    ),
    "records": (
        "Record",
        "read_records",
        "write_records",
    ),
    "run_reader": ("read_run",),
    "study": (
        "Configuration",
        "Study",
        "Summary",
        "Task",
        "arrange",
    ),
    "tables": ("choice_text",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module `sltk.reports` has no attribute `{name}`")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
