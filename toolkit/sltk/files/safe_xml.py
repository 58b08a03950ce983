"""A parser of XML that expands no entities and fetches nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn
from xml.parsers import expat


def new_parser(refuse: Callable[[], NoReturn]) -> Any:
    """A parser that calls `refuse`, which raises an error, at a document type declaration.

    Only such a declaration defines entities, so without one there are none to expand or to fetch.
    """
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = lambda *_: refuse()
    return parser


def syntax_error(error: expat.ExpatError | LookupError | ValueError) -> str:
    """What is wrong with XML that is not well-formed; the encoding that it names may be unknown."""
    if isinstance(error, expat.ExpatError):
        return f"not well-formed XML: {expat.errors.messages[error.code]} (column {error.offset + 1})"
    return f"not well-formed XML: {error}"
