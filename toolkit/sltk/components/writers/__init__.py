"""Writers: labelled sentences as text, sentence by sentence. One module per format, and what they share."""

from .brat import BratWriter
from .conll import ConllWriter
from .html import HtmlWriter
from .jsonl import JsonlWriter
from .label_studio import LabelStudioWriter
from .spans import SpansWriter
from .text import TextWriter

__all__ = [
    "BratWriter",
    "ConllWriter",
    "HtmlWriter",
    "JsonlWriter",
    "LabelStudioWriter",
    "SpansWriter",
    "TextWriter",
]
