r"""Separators of columns in a spec and on the command line: `tab`, `space`, `\t`, or literal text."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

_NAMES = {"tab": "\t", r"\t": "\t", "space": " "}

Separator = Annotated[str, Field(min_length=1)]
"""A separator as it is written in a spec; `separator_text` is its text."""


def separator_text(written: str) -> str:
    """The text of a separator: names are replaced, any other text is literal."""
    return _NAMES.get(written, written)


def _check_one_character(written: str) -> str:
    if len(separator_text(written)) != 1:
        raise ValueError("expected `tab`, `space` or one character")
    return written


SeparatorCharacter = Annotated[Separator, AfterValidator(_check_one_character)]
"""A separator of a single character."""
