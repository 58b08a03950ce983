"""Splitters: split text into words. One module per splitter."""

from .regex import RegexSplitter
from .spacy import SpacySplitter
from .whitespace import WhitespaceSplitter

__all__ = ["RegexSplitter", "SpacySplitter", "WhitespaceSplitter"]
