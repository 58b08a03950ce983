"""Splitters: how text becomes words. One file a splitter."""

from .regex import RegexSplitter
from .spacy import SpacySplitter
from .whitespace import WhitespaceSplitter

__all__ = ["RegexSplitter", "SpacySplitter", "WhitespaceSplitter"]
