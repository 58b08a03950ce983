"""Splitters: how text becomes words. One file a splitter."""

from .regex import RegexSplitter
from .whitespace import WhitespaceSplitter

__all__ = ["RegexSplitter", "WhitespaceSplitter"]
