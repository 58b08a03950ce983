"""The `sweep:` and `executor:` parts of a sweep spec: which keys vary, and where the runs are executed.

    sweep:
      grid: {backbone.unmask: {every: 4}, seed: [120, 121]}    # every combination
      zip: {trainer.batch_size: [8, 16], trainer.learning_rate: [1e-4, 2e-4]}   # first with first, …
      list: [{name: small, data.train.limit: 500}, {name: whole}]               # settings spelled out
      compare: ["small:whole"]                                                  # what `sltk report` tests
    executor: {type: local}

If there are several of `grid`, `zip` and `list`, every combination of them is run.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from ..components.registry import RefusedError
from ..components.slots import Executor
from ..components.strict import StrictModel
from ..errors import nearest
from ..spec.experiment import ImportPath, component


class Every(StrictModel):
    """All masks with this many digits, from all causal to all unmasked."""

    every: int = Field(ge=1, le=12, description="number of digits m; there are 2^m masks")


Values = Annotated[list[Any], Field(min_length=1)]
Varied = dict[str, Every | Values]
Settings = dict[str, Any]
ListOfSettings = list[Settings]
NamedSettings = dict[str, Settings]


def _without_space(value: Any) -> Any:
    """Refuse `A: B`, which YAML reads as a mapping."""
    if isinstance(value, dict) and len(value) == 1:
        first, second = next(iter(value.items()))
        if isinstance(second, str | int):
            raise RefusedError(f"a comparison has no space after the colon: `{first}:{second}`")
    return value


ListOfComparisons = list[Annotated[str, BeforeValidator(_without_space)]]


class Variation(StrictModel):
    """The settings that vary between runs. Keys are dotted, as in `--set`; values are written as in a spec."""

    grid: Varied = Field(default={}, description="every combination of these values")
    zip: Varied = Field(
        default={}, description="values that vary together: the first of each key, then the second, …"
    )
    list: ListOfSettings = Field(default=[], description="settings listed one by one; `name` names them")
    runs: NamedSettings = Field(
        default={}, description="runs by name, each with all its settings; cannot be combined with the others"
    )

    compare: ListOfComparisons = Field(
        default=[],
        description="comparisons that `sltk report` tests, by the names in `list`: `A:B` for A minus B, or "
        "`A:B::C:D` for (A minus B) minus (C minus D)",
    )

    @model_validator(mode="after")
    def _check_parts(self) -> Variation:
        if not (self.grid or self.zip or self.list or self.runs):
            raise RefusedError("nothing varies: add `grid`, `zip`, `list` or `runs`")
        if self.runs and (self.grid or self.zip or self.list):
            raise RefusedError(
                "`runs` gives each run in full: it cannot be combined with `grid`, `zip` or `list`", "runs"
            )
        return self

    @model_validator(mode="after")
    def _check_zip_lengths(self) -> Variation:
        lengths = {key: 2**v.every if isinstance(v, Every) else len(v) for key, v in self.zip.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{key}: {count}" for key, count in lengths.items())
            raise RefusedError(f"zipped keys need the same number of values; found {shown}", "zip")
        return self

    @model_validator(mode="after")
    def _check_varied_once(self) -> Variation:
        listed = {key for item in self.list for key in item}
        for part, others in (("grid", {*self.zip, *listed}), ("zip", listed)):
            for key in getattr(self, part):
                if key in others:
                    raise RefusedError(f"`{key}` is varied twice", f"{part}.{key}")
        return self

    @model_validator(mode="after")
    def _check_every(self) -> Variation:
        for part in ("grid", "zip"):
            for key, values in getattr(self, part).items():
                # A misspelt `unmask` is reported later, with a suggestion.
                if isinstance(values, Every) and nearest(key.rpartition(".")[2], ["unmask"]) is None:
                    raise RefusedError("`every` gives masks: it can only vary `backbone.unmask`", part)
        return self


class ExecutorPart(StrictModel):
    """The key of a spec of several runs that says where they are executed."""

    model_config = ConfigDict(extra="allow")

    executor: Executor = Field(
        default_factory=component("executor", "local"), description="where the runs are executed"
    )


class SweepPart(ExecutorPart):
    """The keys of a sweep spec beyond those of a run, which are checked for each run."""

    imports: list[ImportPath] = Field(default=[])
    sweep: Variation = Field(description="the settings that vary")
