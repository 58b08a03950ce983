"""Plain text, a sentence or paragraph a line."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..registry import register, registry
from ..slots import Splitter
from ..textfiles import EncodingErrors, TextFileReader
from ..types import Sentence


def default_splitter() -> Splitter:
    """The splitter of readers of text: `regex`."""
    return registry.find("splitter", "regex").model_validate({})  # type: ignore[return-value]


@register.reader("text")
class TextReader(TextFileReader):
    """Text without annotation, one sentence or paragraph a line; an empty line is an empty sentence."""

    splitter: Splitter = Field(default_factory=default_splitter, description="cuts text into words")
    encoding_errors: EncodingErrors = Field(
        default="replace",
        description="bytes that are not text: replaced by U+FFFD and counted, or an error (strict)",
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
                unused=lines.take_replaced(),
            )

    @classmethod
    def example(cls) -> list[Sentence]:
        """Sentences without annotation."""
        from ..example import text_sentences

        return text_sentences()
