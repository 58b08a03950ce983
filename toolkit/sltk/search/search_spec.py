"""The `search:` part of a search spec.

    search: {strategy: gaussian, budget: 0.25}

The masks come from `sweep:`, or from `masks: {every: 4}` in the spec of a single run.
"""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from ..components.strict import StrictModel
from ..sweeps.sweep_spec import Every

StrategyName = Literal["gaussian", "shared", "random"]


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
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of the random draws of the search itself")


class SearchPart(StrictModel):
    """The key that a search spec has beyond the keys of a run and of a sweep."""

    model_config = ConfigDict(extra="allow")

    search: SearchSpec = Field(description="how to search for the best mask")
