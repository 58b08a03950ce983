"""Heads: word vectors to tags or spans. There is one file per head; the torch modules are in `sltk.nn`."""

from .crf import CrfHead
from .layered import LayeredHead
from .linear import LinearHead
from .mlp import MlpHead
from .span import SpanHead

__all__ = ["CrfHead", "LayeredHead", "LinearHead", "MlpHead", "SpanHead"]
