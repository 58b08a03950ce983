"""The kinds of specs that `sltk check` knows: one labelling or pre-training run, a sweep, a search.

`load` gives a `CheckedSpec`: the previews of its runs, and what the kind adds to the output. For a new kind, add a
branch to `load`, and a subclass if the kind adds output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import search, sweeps
from ..errors import Problem
from ..pretraining.pretrain_spec import PretrainSpec
from ..pretraining.pretraining_preview import PretrainingPreview
from ..preview.model_check import study_only
from ..preview.run_preview import LabellingPreview, RunPreview, raise_if
from ..preview.summary import component_text
from ..search import tuning
from ..spec import loading
from ..spec.imports import ImportPolicy
from ..yamltree.extends import spec_kind
from .sweep_display import search_lines
from .tuning_display import space_lines


@dataclass(frozen=True)
class CheckedSpec:
    """A valid spec: its runs, and what its kind adds to the summary and to `--json`."""

    runs: Sequence[RunPreview[Any]]
    """One run, or all runs of a sweep."""

    def missing_packages(self) -> list[Problem]:
        """Problems with packages that do not belong to a run."""
        return []

    def summary(self) -> Iterator[str]:
        """A summary of the run, line by line; for several runs, the first is shown."""
        return self.runs[0].summary()

    def as_json(self) -> dict[str, Any]:
        """The summary for `--json`."""
        return self.runs[0].as_json()


@dataclass(frozen=True)
class CheckedSweep(CheckedSpec):
    """A spec with `sweep:`, and the plan of its runs."""

    plan: sweeps.Plan

    def missing_packages(self) -> list[Problem]:
        """Problems with the packages of the executor."""
        return self.plan.missing_packages()

    def summary(self) -> Iterator[str]:
        """The number of runs, the keys that vary, and the summary of the first run."""
        plan = self.plan
        yield f"{plan.name}: a sweep of {len(plan.runs)} runs, executor {component_text(plan.executor)}"
        for key in dict.fromkeys(key for run in plan.runs for key in run.settings):
            values = list(dict.fromkeys(run.settings[key] for run in plan.runs if key in run.settings))
            more = f", … {len(values)} values" if len(values) > 16 else ""
            yield f"  {key}: {', '.join(values[:16])}{more}"
        yield f"\nThe first run, {plan.runs[0].name}:"
        yield from super().summary()

    def as_json(self) -> dict[str, Any]:
        """All runs with their settings, and the resolved spec of the first."""
        return {
            "runs": [{"name": run.name, "settings": dict(run.settings)} for run in self.plan.runs],
            "executor": self.plan.executor.model_dump(mode="json"),
            "resolved": self.plan.runs[0].resolved,
        }


@dataclass(frozen=True)
class CheckedSearch(CheckedSweep):
    """A spec with `search:`: a sweep of which only a part is trained."""

    search: search.SearchPlan

    def summary(self) -> Iterator[str]:
        """The masks and the budget, then the sweep."""
        yield from search_lines(self.search)
        yield from super().summary()

    def as_json(self) -> dict[str, Any]:
        """The sweep, and the settings of the search."""
        return super().as_json() | {"search": self.search.settings.model_dump(mode="json")}


@dataclass(frozen=True)
class CheckedTuning(CheckedSpec):
    """A spec whose `search:` has a `space`: a run in which the values of some keys are searched."""

    plan: tuning.TuningPlan

    def missing_packages(self) -> list[Problem]:
        """Problems with the packages of the search and of its executor."""
        return self.plan.missing_packages()

    def summary(self) -> Iterator[str]:
        """The keys with their ranges, and the summary of a run with the first values."""
        yield f"{self.plan.name}: a search, executor {component_text(self.plan.executor)}"
        yield from space_lines(self.plan)
        yield "\nA run with the first value of each key:"
        yield from super().summary()

    def as_json(self) -> dict[str, Any]:
        """The settings of the search, and the resolved spec with the first values."""
        values = self.plan.resolved()
        return super().as_json() | {"search": values["search"], "executor": values["executor"]}


def load(spec: Path, overrides: Sequence[str], policy: ImportPolicy) -> CheckedSpec:
    """Load a spec of any kind; `policy` decides which `imports:` may run.

    Raises:
        InputError: the spec is invalid; `problems` lists all errors.
    """
    kind = spec_kind(spec, overrides)
    if kind == "search" and tuning.has_space(spec, overrides):
        planned = tuning.plan(spec, overrides, policy)
        return CheckedTuning(tuning_previews(planned), planned)
    if kind == "search":
        searched = search.plan(spec, overrides, policy)
        plan = searched.sweep
        return CheckedSearch(previews(plan), plan, searched)
    if kind in ("sweep", "folds"):
        plan = sweeps.plan(spec, overrides, policy)
        return CheckedSweep(previews(plan), plan)
    if kind == "pretraining":
        text = loading.load_as(PretrainSpec, spec, overrides, policy)
        return CheckedSpec([PretrainingPreview(text)])
    loaded = loading.load(spec, overrides, policy)
    with loaded.locate_errors():
        raise_if(study_only(loaded.spec.backbone))
    return CheckedSpec([LabellingPreview(loaded)])


def previews(plan: sweeps.Plan) -> list[LabellingPreview]:
    """The runs of a sweep before they start."""
    return [LabellingPreview(run.loaded) for run in plan.runs]


def tuning_previews(plan: tuning.TuningPlan) -> list[LabellingPreview]:
    """Runs that have each choice of a search, and each end of a range, once; the first has the first value of each."""
    return [LabellingPreview(run.loaded) for run in plan.variants()]
