"""The `search:` part of a search spec.

    search: {strategy: gaussian, budget: 0.25}

The masks come from `sweep:`, or from `masks: {every: 4}` in the spec of a single run.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from ..components.registry import RefusedError
from ..components.strict import StrictModel
from ..sweeps.sweep_spec import Every

StrategyName = Literal["gaussian", "shared", "sigmoid", "gumbel", "random"]
LEARNED = ("sigmoid", "gumbel")
"""The strategies that learn a mask."""


class GateSpec(StrictModel):
    """How a mask is learned; see `nn/mask_gates.py`."""

    learning_rate: float = Field(
        default=0.1, gt=0, description="peak learning rate of the gates; its schedule is that of the weights"
    )
    initial: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="how open a block is at first, from 0 (causal) to 1 (unmasked); default 0.1, and 0.9 in encoders",
    )
    temperature: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = Field(
        default=(1.0, 0.1), description="of `gumbel`, at the first and at the last update"
    )


class SearchSpec(StrictModel):
    """Settings of a search for the best mask."""

    strategy: StrategyName = Field(
        default="gaussian", description="how masks are chosen; see docs/guides/search.md"
    )
    budget: float = Field(
        default=0.25, gt=0, le=1, description="maximum cost, as a share of training every mask once"
    )
    masks: Every | None = Field(
        default=None, description="the masks, if there is no `sweep`: {every: m} is all masks of m digits"
    )
    gates: GateSpec = Field(
        default=GateSpec(), description="how the strategies `sigmoid` and `gumbel` learn a mask"
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of the random draws of the search itself")

    @model_validator(mode="after")
    def _check_gates(self) -> SearchSpec:
        set_here = "gates" in self.model_fields_set
        if set_here and self.strategy not in LEARNED:
            raise RefusedError(
                f"`gates` is for the strategies `sigmoid` and `gumbel`, not `{self.strategy}`", "gates"
            )
        if set_here and self.strategy == "sigmoid" and "temperature" in self.gates.model_fields_set:
            raise RefusedError("`temperature` is for the strategy `gumbel`", "gates")
        return self


class SearchPart(StrictModel):
    """The key that a search spec has beyond the keys of a run and of a sweep."""

    model_config = ConfigDict(extra="allow")

    search: SearchSpec = Field(description="how to search for the best mask")
