"""Plain text, one sentence or paragraph per line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from ...files.sniffing import Content
from ...files.text_lines import EncodingErrors
from ...types import Sentence
from ..examples import text_sentences
from ..registry import register
from .offsets import SplittingReader
from .text_file import TextFileReader


@register.reader("text")
class TextReader(SplittingReader, TextFileReader):
    """Text without annotation, one sentence or paragraph per line; an empty line is an empty sentence."""

    content: ClassVar[Content] = "text"

    encoding_errors: EncodingErrors = Field(
        default="replace",
        description="bytes that are invalid in the encoding: replaced by U+FFFD and counted (replace), or an "
        "error (strict)",
    )

    one_document: bool = Field(
        default=False,
        description="treat all lines as one document, so that a model with `document_context` also reads "
        "neighbouring lines",
    )

    @property
    def has_annotation(self) -> bool:
        """False: the sentences have no annotation."""
        return False

    def read_file(self) -> Iterator[Sentence]:
        """Yield one sentence per line; holds one in memory."""
        lines = self.open()
        for number, line in lines:
            offsets = self.splitter.split(line)
            yield Sentence(
                [line[start:end] for start, end in offsets],
                text=line,
                offsets=offsets,
                file=str(self.path),
                line=number,
                document="1" if self.one_document else None,
                unused=lines.take_replacements(),
            )

    example_sentences = text_sentences
