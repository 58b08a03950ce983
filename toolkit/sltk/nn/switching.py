"""Another mask for a model that is built already: the same weights, other blocks unmasked."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import ModelError, Problem
from . import proof
from .backbone import PackedBackbone


class MaskSwitch:
    """Sets the mask of a built model. What it computes then is what the model built with that mask computes.

    Args:
        backbone: one that runs on our attention, perhaps with adapters.
        drop_window: whether an unmasked block sees past its sliding window too.

    Raises:
        ModelError: the model runs on attention of its own, or its attention is not what a mask can govern.
    """

    def __init__(self, backbone: PackedBackbone, *, drop_window: bool = False) -> None:
        if not backbone.packs:
            raise ModelError(_cannot("it runs as it is, on attention of its own"))
        self._backbone, self._drop_window = backbone, drop_window
        was_training = backbone.training
        devices = [p.device for p in backbone.parameters() if p.device.type == "cuda"][:1]
        try:
            with torch.random.fork_rng(devices):
                self._modules = proof.attention_modules(backbone.eval().model, backbone.states)
        except proof.UnsuitableError as error:
            raise ModelError(_cannot(str(error))) from error
        finally:
            backbone.train(was_training)
        self.set(backbone.flags)

    @property
    def blocks(self) -> int:
        """How many flags there are."""
        return len(self._modules)

    def set(self, flags: Sequence[bool]) -> None:
        """Have every block obey its flag from now on.

        Raises:
            ModelError: blocks that are one and the same module are to have different masks.
        """
        try:
            proof.assign_flags(self._modules, flags, drop_window=self._drop_window)
        except proof.UnsuitableError as error:
            raise ModelError(_cannot(str(error))) from error
        self._backbone.flags = tuple(flags)


def _cannot(reason: str) -> Problem:
    return Problem(f"the mask of this model cannot be switched: {reason}", path="backbone.name")
