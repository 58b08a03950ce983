"""`sltk check` of sweeps and searches: every run is checked, and what is the same in many is told once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Problem
from .frame import write
from .spec_kinds import Audited, SpecKind

if TYPE_CHECKING:
    from ..search import SearchPlan
    from ..sweeps import Plan


class SweepKind(SpecKind["Plan"]):
    """Many runs, which differ in what the spec says."""

    def load(self, spec: Path, overrides: Sequence[str]) -> Plan:
        """Read it, and validate every run."""
        from .. import sweeps

        return sweeps.plan(spec, overrides)

    def imported(self, loaded: Plan) -> Iterable[Path]:
        """The files of `imports:` that were run."""
        return loaded.imported

    def check(self, loaded: Plan) -> None:
        """Masks and LoRA targets fit their models, as far as these are known."""
        from .. import sweeps

        sweeps.check_models(loaded)

    def missing_files(self, loaded: Plan) -> list[Problem]:
        """A problem for each file that is not there."""
        from .. import sweeps

        return sweeps.missing_files(loaded)

    def audit(self, loaded: Plan) -> Audited:
        """What is odd in the data of any run."""
        from .. import sweeps

        return Audited(sweeps.audit(loaded))

    def report(self, loaded: Plan) -> dict[str, Any]:
        """All runs with their settings, and the resolved spec of the first."""
        return {
            "runs": [{"name": run.name, "settings": dict(run.settings)} for run in loaded.runs],
            "executor": loaded.executor.model_dump(mode="json"),
            "resolved": loaded.runs[0].resolved,
        }

    def show(self, loaded: Plan) -> None:
        """What varies, and the first run."""
        from ..estimates.estimate import estimate
        from ..specs.summary import component_text, summary_lines

        executor = component_text(loaded.executor)
        write(f"{loaded.name}: a sweep of {len(loaded.runs)} runs, executor {executor}")
        for line in _varied(loaded):
            write(line)
        first = loaded.runs[0]
        write(f"\nThe first of them, {first.name}:")
        for line in summary_lines(first.experiment, estimate(first.experiment)):
            write(line)


class SearchKind(SpecKind["SearchPlan"]):
    """A sweep of which only a part is trained."""

    _sweep = SweepKind()

    def load(self, spec: Path, overrides: Sequence[str]) -> SearchPlan:
        """Read it, and validate every run that might be."""
        from .. import search

        return search.plan(spec, overrides)

    def imported(self, loaded: SearchPlan) -> Iterable[Path]:
        """The files of `imports:` that were run."""
        return self._sweep.imported(loaded.sweep)

    def check(self, loaded: SearchPlan) -> None:
        """As that of its sweep."""
        self._sweep.check(loaded.sweep)

    def missing_files(self, loaded: SearchPlan) -> list[Problem]:
        """A problem for each file that is not there."""
        return self._sweep.missing_files(loaded.sweep)

    def audit(self, loaded: SearchPlan) -> Audited:
        """As that of its sweep."""
        return self._sweep.audit(loaded.sweep)

    def report(self, loaded: SearchPlan) -> dict[str, Any]:
        """The sweep, and how it is searched."""
        return self._sweep.report(loaded.sweep) | {"search": loaded.settings.model_dump(mode="json")}

    def show(self, loaded: SearchPlan) -> None:
        """The same in words."""
        from .search_commands import told

        for line in told(loaded):
            write(line)
        self._sweep.show(loaded.sweep)


def _varied(plan: Plan) -> Iterator[str]:
    """Each key that varies, with its values."""
    keys = dict.fromkeys(key for run in plan.runs for key in run.settings)
    for key in keys:
        values = list(dict.fromkeys(run.settings[key] for run in plan.runs if key in run.settings))
        more = f", … {len(values)} values" if len(values) > 16 else ""
        yield f"  {key}: {', '.join(values[:16])}{more}"
