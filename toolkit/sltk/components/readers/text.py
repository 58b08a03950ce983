"""Plain text, a sentence or paragraph a line."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ...files.text_lines import EncodingErrors
from ...types import Sentence
from ..registry import register
from .base import TextFileReader
from .offsets import SplittingReader


@register.reader("text")
class TextReader(SplittingReader, TextFileReader):
    """Text without annotation, one sentence or paragraph a line; an empty line is an empty sentence."""

    encoding_errors: EncodingErrors = Field(
        default="replace",
        description="bytes that are not text: replaced by U+FFFD and counted (replace), or an error (strict)",
    )

    one_document: bool = Field(
        default=False,
        description="the lines are one document: a model with `document_context` reads a line among its neighbours",
    )

    def read(self) -> Iterator[Sentence]:
        """Yield a sentence a line as the lines come; holds one at a time."""
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
                unused=lines.take_replaced(),
            )

    @classmethod
    def example(cls) -> list[Sentence]:
        """Sentences without annotation."""
        from ..examples import text_sentences

        return text_sentences()
