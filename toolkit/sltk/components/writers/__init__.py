"""Writers: how labelled sentences become text. One file a format; all of them stream."""

from .brat import BratWriter
from .conll import ConllWriter
from .html import HtmlWriter
from .jsonl import JsonlWriter
from .spans import SpansWriter
from .text import TextWriter

__all__ = ["BratWriter", "ConllWriter", "HtmlWriter", "JsonlWriter", "SpansWriter", "TextWriter"]
