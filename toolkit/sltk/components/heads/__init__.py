"""Heads: word vectors to tags. There is one file per head; the torch modules are in `sltk.nn`."""

from .crf import CrfHead
from .linear import LinearHead
from .mlp import MlpHead

__all__ = ["CrfHead", "LinearHead", "MlpHead"]
