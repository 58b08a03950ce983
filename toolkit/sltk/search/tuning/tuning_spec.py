"""The `search:` part of a spec that searches over values of keys.

search:
  space:
    trainer.learning_rate: {log_uniform: [1e-5, 1e-3]}
    head: {choice: [{type: linear}, {type: crf}]}
  trials: 30
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from ...components.registry import RefusedError
from ...components.strict import StrictModel
from ...errors import nearest
from ...runtime.optional_imports import install_extra

TuningStrategy = Literal["tpe", "random"]
PruningRule = Literal["median", "halving", "none"]
Bounds = tuple[float, float]
WholeBounds = tuple[int, int]
ListOfChoices = Annotated[list[Any], Field(min_length=1)]
KINDS = ("uniform", "log_uniform", "int", "choice")
_FORMS = "`{log_uniform: [1e-5, 1e-3]}`, `{uniform: [0, 0.5]}`, `{int: [8, 64]}` or `{choice: [a, b]}`"


class Range(StrictModel):
    """The values that a key may have in a trial."""

    uniform: Bounds | None = Field(default=None, description="numbers from low to high")
    log_uniform: Bounds | None = Field(
        default=None, description="numbers from low to high, each order of magnitude equally likely"
    )
    int: WholeBounds | None = Field(default=None, description="whole numbers from low to high, both included")
    choice: ListOfChoices | None = Field(default=None, description="values as in a spec, also mappings")

    @model_validator(mode="before")
    @classmethod
    def _check_form(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise RefusedError(f"expected a range: {_FORMS}")
        for key, inner in value.items():
            if key not in KINDS:
                nested = (
                    [f"write nested keys with a dot: `….{key}: {{…}}`"] if isinstance(inner, dict) else []
                )
                notes = [f"expected {_FORMS}", *nested]
                raise RefusedError(f"unknown range `{key}`", key, suggestion=nearest(key, KINDS), notes=notes)
        return value

    @model_validator(mode="after")
    def _check_kind(self) -> Range:
        if len(self.model_fields_set) != 1 or (self.bounds is None and self.choice is None):
            raise RefusedError(f"expected one of {_FORMS}")
        if self.bounds is not None:
            low, high = self.bounds
            if low >= high:
                about = "empty" if low == high else "reversed"
                raise RefusedError(
                    f"the range is {about}: expected low < high, found [{low:g}, {high:g}]", self.kind
                )
            if self.kind == "log_uniform" and low <= 0:
                raise RefusedError(
                    f"a logarithmic range must be above 0, found [{low:g}, {high:g}]", self.kind
                )
        return self

    @property
    def kind(self) -> str:
        """`uniform`, `log_uniform`, `int` or `choice`."""
        return next(iter(self.model_fields_set), "")

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Lowest and highest value, both included; None for choices."""
        return self.uniform or self.log_uniform or self.int


def _as_rule(value: Any) -> Any:
    """`median` as `{rule: median}`."""
    return {"rule": "none" if value is None else value} if value is None or isinstance(value, str) else value


class PruningSpec(StrictModel):
    """When a trial is stopped early, by its validation score after each epoch."""

    rule: PruningRule = Field(
        default="median",
        description="`median`: its best score so far is below the median of the finished trials at that epoch; "
        "`halving`: it is not among the best 1/`factor` that reached that epoch (ASHA); `none`: never",
    )
    min_epochs: int = Field(default=1, ge=1, description="epochs that each trial gets")
    startup: int = Field(
        default=5, ge=1, description="of `median`: finished trials before the first is stopped"
    )
    factor: int = Field(
        default=3,
        ge=2,
        description="of `halving`: decisions are made after min_epochs, min_epochs × factor, … epochs",
    )

    @model_validator(mode="after")
    def _check_rule(self) -> PruningSpec:
        for key, rule in (("startup", "median"), ("factor", "halving")):
            if key in self.model_fields_set and self.rule != rule:
                raise RefusedError(f"`{key}` is for the rule `{rule}`, not `{self.rule}`", key)
        return self


class TuningSpec(StrictModel):
    """Settings of a search over values of keys."""

    requires: ClassVar[Mapping[str, str]] = {"optuna": install_extra("search")}
    required_by: ClassVar[str] = "space"

    strategy: TuningStrategy = Field(
        default="tpe",
        description="`tpe`: values like those of the best trials (tree-structured Parzen estimator); `random`",
    )
    space: dict[str, Range] = Field(
        description="dotted keys of the spec, as in `--set`, and the values that each may have"
    )
    trials: int = Field(default=20, ge=1, description="number of trials, including stopped and failed ones")
    pruning: Annotated[PruningSpec, BeforeValidator(_as_rule)] = Field(
        default=PruningSpec(rule="none"),
        description="when a trial is stopped early; also only the rule, as in `pruning: median`",
    )
    random_trials: int = Field(
        default=10, ge=1, description="of `tpe`: number of trials with random values before it is used"
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of the proposed values")

    @model_validator(mode="after")
    def _check_space(self) -> TuningSpec:
        if not self.space:
            raise RefusedError(
                "nothing varies: add a key, as in `trainer.batch_size: {int: [8, 64]}`", "space"
            )
        return self

    @model_validator(mode="after")
    def _check_strategy(self) -> TuningSpec:
        if "random_trials" in self.model_fields_set and self.strategy != "tpe":
            raise RefusedError("`random_trials` is for the strategy `tpe`", "random_trials")
        return self


class TuningPart(StrictModel):
    """The key that such a spec has beyond the keys of a run."""

    model_config = ConfigDict(extra="allow")

    search: TuningSpec = Field(description="how to search for the best values of keys")
