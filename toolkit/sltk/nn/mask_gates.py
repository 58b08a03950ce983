"""Gates that learn a mask: one trainable number per block, which says how open the block is to later tokens.

    sigmoid    scores of later tokens get the bias log σ(θ): 0 opens the block, minus infinity makes it causal
    gumbel     each batch draws whether the block is open, with probability σ(θ); the gradient of θ is that of the
               binary concrete distribution (straight-through; Jang et al. 2017, Maddison et al. 2017)

Where a window is dropped in unmasked blocks, "later" includes all tokens that only an unmasked block sees. Gates act in
training. In evaluation, and at the end, the model has the mask that is most likely if σ(θ) is the probability that a
block is unmasked: among the masks of a group of blocks, the one with the sign of the sum of their θ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backbone import PackedBackbone
from .mask_flags import MaskSwitch

Attend = Callable[..., Tensor]
"""See `attention.Gate`."""


@dataclass(frozen=True)
class SoftGate:
    """A block that is open in part."""

    bias: Tensor
    """[]: added to the scores of later tokens."""

    def attend(self, attend: Attend) -> Tensor:
        """The attention of the block."""
        return attend(True, self.bias)


@dataclass(frozen=True)
class HardGate:
    """A block that is open or not, with a gradient as if it were open in part."""

    is_open: bool
    openness: Tensor
    """[]: from 0 to 1; only its gradient counts."""

    def attend(self, attend: Attend) -> Tensor:
        """The attention of the block; the gradient of `openness` is towards the open block."""
        own = attend(self.is_open)
        with torch.no_grad():
            other = attend(not self.is_open)
            towards_open = own - other if self.is_open else other - own
        return own + (self.openness - self.openness.detach()).to(own.dtype) * towards_open


class MaskGates(nn.Module):
    """The gates of all blocks, and the masks among which they choose.

    Args:
        backbone: the model; its mask becomes the most likely one.
        masks: the flags of each mask, by its name; of equally likely masks, the first is chosen.
        initial: the initial σ(θ) of each block.
        learning_rate: of θ.
        drop_window: whether unmasked blocks ignore their sliding window.

    Raises:
        ModelError: the mask of the model cannot be switched, or not block by block.
    """

    def __init__(
        self,
        backbone: PackedBackbone,
        masks: Mapping[str, Sequence[bool]],
        *,
        initial: float = 0.5,
        learning_rate: float = 0.1,
        drop_window: bool = False,
    ) -> None:
        super().__init__()
        self.masks = masks
        self.learning_rate = learning_rate
        self._switch = MaskSwitch(backbone, drop_window=drop_window)
        for flags in masks.values():
            self._switch.set(flags)
        start = math.log(initial / (1 - initial))
        self.logits = nn.Parameter(torch.full((self._switch.blocks,), start, device=backbone.device))
        self.close()

    def train(self, mode: bool = True) -> Self:
        """Close the gates in evaluation; in training, they are set before each pass."""
        if not mode:
            self.close()
        return super().train(mode)

    def bias(self) -> None:
        """Open each block in part, by its bias."""
        self._set([SoftGate(bias) for bias in F.logsigmoid(self.logits).unbind()])

    def draw(self, uniform: Sequence[float], temperature: float) -> None:
        """Draw which blocks are open.

        Args:
            uniform: one number between 0 and 1 per block, drawn at random.
            temperature: of the gradient; the lower, the closer to the step that was drawn.
        """
        noise = torch.tensor([_logit(number) for number in uniform], device=self.logits.device)
        sums = self.logits + noise
        is_open = sums.detach().gt(0).tolist()
        openness = torch.sigmoid(sums / temperature).unbind()
        self._set([HardGate(*gate) for gate in zip(is_open, openness, strict=True)])

    def close(self) -> None:
        """Set no gate, but the flags of the most likely mask."""
        self._set([None] * self._switch.blocks)
        self._switch.set(self.masks[self.choice()])

    def _set(self, gates: Sequence[SoftGate | HardGate | None]) -> None:
        for module, gate in zip(self._switch.modules, gates, strict=True):
            module.sltk_gate = gate  # type: ignore[assignment]

    def probabilities(self) -> list[float]:
        """σ(θ) of each block."""
        return torch.sigmoid(self.logits.detach().double()).tolist()  # type: ignore[no-any-return]

    def likelihoods(self) -> dict[str, float]:
        """The logarithm of the probability of each mask."""
        logits = self.logits.detach().double().cpu()
        return {
            mask: float(F.logsigmoid(torch.where(torch.tensor(flags), logits, -logits)).sum())
            for mask, flags in self.masks.items()
        }

    def choice(self) -> str:
        """The most likely mask."""
        likelihoods = self.likelihoods()
        return max(likelihoods, key=likelihoods.__getitem__)


def _logit(number: float) -> float:
    number = min(max(number, 1e-12), 1 - 1e-12)
    return math.log(number / (1 - number))
