"""Writers: how labelled sentences become text. One file a format; all of them stream."""

from .conll import ConllWriter
from .jsonl import JsonlWriter
from .text import TextWriter

__all__ = ["ConllWriter", "JsonlWriter", "TextWriter"]
