"""Base class of readers of one text file."""

from __future__ import annotations

import codecs
from typing import ClassVar

from pydantic import Field, field_validator

from ...files.sniffing import Content
from ...files.text_lines import EncodingErrors, TextLines
from ..slots import FileReader


class TextFileReader(FileReader):
    """A reader of text files."""

    content: ClassVar[Content] = "columns"
    """What its files hold, so that a file of another kind is an error."""

    encoding: str = Field(
        default="utf-8", description="encoding of the file; a byte-order mark takes precedence"
    )
    encoding_errors: EncodingErrors = Field(
        default="strict",
        description="bytes that are invalid in the encoding: an error (strict), or replaced by U+FFFD and "
        "counted (replace)",
    )

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError:
            raise ValueError(
                f"unknown encoding `{value}`; usual ones: utf-8, latin-1, cp1252, utf-16"
            ) from None
        return value

    def open(self) -> TextLines:
        """The lines of the file."""
        return TextLines(self.path, self.encoding, self.encoding_errors, content=self.content)
