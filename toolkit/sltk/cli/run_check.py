"""`sltk check` of the spec of a run."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Problem
from .frame import write
from .spec_kinds import Audited, SpecKind

if TYPE_CHECKING:
    from ..config import Loaded
    from ..spec import Experiment


class RunKind(SpecKind["Loaded[Experiment]"]):
    """One run: train, then score."""

    def load(self, spec: Path, overrides: Sequence[str]) -> Loaded[Experiment]:
        """Read and validate it."""
        from .. import config

        return config.load(spec, overrides)

    def imported(self, loaded: Loaded[Experiment]) -> Iterable[Path]:
        """The files of `imports:` that were run."""
        return loaded.imported

    def check(self, loaded: Loaded[Experiment]) -> None:
        """Mask and LoRA targets fit the model, as far as it is known."""
        from ..estimates.estimate import check_model

        check_model(loaded)

    def missing_files(self, loaded: Loaded[Experiment]) -> list[Problem]:
        """A problem for each file that is not there."""
        from ..data import missing_files, readers_of

        return missing_files(loaded, readers_of(loaded.experiment.data))

    def audit(self, loaded: Loaded[Experiment]) -> Audited:
        """Counts of each split and between them, as tables."""
        from ..audit import audit

        found = audit(loaded)

        def show() -> None:
            from rich.console import Console

            from .audit_tables import show_audit

            show_audit(Console(highlight=False, width=None if sys.stdout.isatty() else 100), found)

        return Audited(found.warnings, found.as_json(), show)

    def report(self, loaded: Loaded[Experiment]) -> dict[str, Any]:
        """The resolved spec, and what the run would take."""
        from ..estimates.estimate import estimate

        expected = estimate(loaded.experiment)
        return {
            "resolved": loaded.experiment.model_dump(mode="json", serialize_as_any=True),
            "estimate": expected.as_json() if expected is not None else None,
        }

    def show(self, loaded: Loaded[Experiment]) -> None:
        """The same in words."""
        from ..estimates.estimate import estimate
        from ..specs.summary import summary_lines

        for line in summary_lines(loaded.experiment, estimate(loaded.experiment)):
            write(line)
