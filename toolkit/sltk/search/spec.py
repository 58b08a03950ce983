"""What a search spec says beside the spec of a sweep.

    search: {strategy: gaussian, budget: 0.25}

Which masks there are is said by `sweep:`, or by `masks: {every: 4}` where the spec is that of a single run.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..spec import SpecModel
from ..sweeps.spec import Every

StrategyName = Literal["gaussian", "linear", "shared", "combined", "halving", "random"]


class SearchSpec(SpecModel):
    """How the best mask is looked for."""

    strategy: StrategyName = Field(
        default="gaussian", description="how masks are chosen; see docs/guides/search.md"
    )
    budget: float = Field(
        default=0.25, gt=0, le=1, description="what may be spent, as a share of training every mask once"
    )
    masks: Every | None = Field(
        default=None, description="the masks, where no `sweep` says which: {every: m} is all of m digits"
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of the draws of the search itself")


class SearchPart(BaseModel):
    """The key of a search spec that is neither of a run nor of a sweep."""

    model_config = ConfigDict(extra="allow", frozen=True)

    search: SearchSpec = Field(description="how the best mask is looked for")
