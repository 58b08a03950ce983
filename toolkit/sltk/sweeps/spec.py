"""What a sweep spec says beside the spec of a run: which keys vary, and where the runs run.

    sweep:
      grid: {backbone.unmask: {every: 4}, seed: [120, 121]}    # every combination
      zip: {trainer.batch_size: [8, 16], trainer.learning_rate: [1e-4, 2e-4]}   # first with first, …
      list: [{name: small, data.train.limit: 500}, {name: whole}]               # settings spelled out
    executor: {type: local}

Where several are given, every combination of them is run.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import nearest
from ..registry import RefusedError
from ..slots import Executor
from ..spec import ImportPath, SpecModel, component


class Every(SpecModel):
    """All masks of so many digits, from all causal to all unmasked."""

    every: int = Field(ge=1, le=12, description="digits of the masks: m gives 2^m of them")


Values = Annotated[list[Any], Field(min_length=1)]
Varied = dict[str, Every | Values]
Settings = dict[str, Any]
ListOfSettings = list[Settings]
NamedSettings = dict[str, Settings]


class Variation(SpecModel):
    """What varies. Keys are dotted, as after `--set`; values are written as in a spec."""

    grid: Varied = Field(default={}, description="every combination of these values")
    zip: Varied = Field(default={}, description="values taken together: the first of each, the second, …")
    list: ListOfSettings = Field(default=[], description="settings spelled out; `name` names them")
    runs: NamedSettings = Field(
        default={}, description="runs by name, each with all its settings; goes with nothing else"
    )

    @model_validator(mode="after")
    def _something_varies(self) -> Variation:
        if not (self.grid or self.zip or self.list or self.runs):
            raise RefusedError("nothing varies: give `grid`, `zip`, `list` or `runs`")
        if self.runs and (self.grid or self.zip or self.list):
            raise RefusedError("`runs` says each run whole: it goes without `grid`, `zip` and `list`", "runs")
        return self

    @model_validator(mode="after")
    def _zipped_are_as_many(self) -> Variation:
        lengths = {key: 2**v.every if isinstance(v, Every) else len(v) for key, v in self.zip.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{key}: {count}" for key, count in lengths.items())
            raise RefusedError(f"zipped keys need as many values each; found {shown}", "zip")
        return self

    @model_validator(mode="after")
    def _varied_once(self) -> Variation:
        listed = {key for item in self.list for key in item}
        for key in self.grid:
            if key in self.zip or key in listed:
                raise RefusedError(f"`{key}` is varied twice", f"grid.{key}")
        for key in self.zip:
            if key in listed:
                raise RefusedError(f"`{key}` is varied twice", f"zip.{key}")
        return self

    @model_validator(mode="after")
    def _every_gives_masks(self) -> Variation:
        for place in ("grid", "zip"):
            for key, values in getattr(self, place).items():
                # A slip of the hand is told later, with the key that was meant.
                if isinstance(values, Every) and nearest(key.rpartition(".")[2], ["unmask"]) is None:
                    raise RefusedError("`every` gives masks: it belongs to `backbone.unmask`", place)
        return self


class SweepPart(BaseModel):
    """The keys of a sweep spec that are not those of a run; the others are checked run by run."""

    model_config = ConfigDict(extra="allow", frozen=True)

    imports: list[ImportPath] = []
    sweep: Variation = Field(description="what varies")
    executor: Executor = Field(
        default_factory=component("executor", "local"), description="where the runs run"
    )
