"""What a card says about a run. An export stores it as `card.json`, so that its card can be written again.

The facts contain no text of any corpus, and of paths only the last part.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Number = int | float


class _Facts(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class BaseFacts(_Facts):
    """The pre-trained model that a run started from."""

    name: str
    revision: str | None = None
    is_on_hub: bool = False
    """Whether the spec named it by its name on the hub; otherwise, only the name of its folder is known."""


class SplitFacts(_Facts):
    """The data of a split."""

    source: str
    """The name of a data set on the hub, of a file, or of a reader."""
    is_on_hub: bool = False
    sentences: int | None = None
    words: int | None = None


class ScoreFacts(_Facts):
    """The scores of a split by the first metric of the run."""

    values: dict[str, Number] = {}
    intervals: dict[str, tuple[float, float]] = {}
    per_type: dict[str, dict[str, Number]] = {}
    type_intervals: dict[str, tuple[float, float]] = {}
    signature: str | None = None
    verified_by: str | None = None


class ProofFacts(_Facts):
    """The proof of the mask."""

    holds: bool
    stock_difference: float | None = None


class CardFacts(_Facts):
    """Everything that a card says about a run; the folder of the model says the rest."""

    format: Literal[1] = 1
    name: str
    base: BaseFacts | None = None
    first_blocks: int | None = None
    """How many blocks of the base model are used, if not all of them."""
    adaptation: Literal["adapter", "full", "frozen", "scratch"] = "full"
    """How the weights of the backbone were trained."""
    quantization: str | None = None
    origin: str | None = None
    """The run of `sltk pretrain` that this run started from."""
    objective: Literal["clm", "mlm", "mntp"] | None = None
    """Its objective, if it is known."""
    data: dict[str, SplitFacts] = {}
    scores: dict[str, ScoreFacts] = {}
    proof: ProofFacts | None = None
    settings: dict[str, str | Number | bool | None] = {}
    cost: dict[str, Number | None] = {}
    versions: dict[str, str] = {}
    device: str | None = None
