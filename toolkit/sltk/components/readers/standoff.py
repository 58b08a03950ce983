"""Base classes of readers of standoff annotation: spans that name their place in a text or among words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, TypeVar

from pydantic import Field

from ...errors import DataError
from ...types import Unused
from ..slots import Reader

Unannotated = Literal["error", "outside", "skip"]
BadAnnotation = Literal["error", "skip"]
SKIP_NOTE = "`bad_annotation: skip` leaves such annotations out and counts them"
"""A note for errors about one annotation."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class StandoffReader(Reader):
    """A reader of spans that are written apart from the words."""

    bad_annotation: BadAnnotation = Field(
        default="error",
        description="an annotation that is malformed, outside its text, or not the text that it repeats: an error, "
        "or left out and counted (skip)",
    )

    def each(
        self, items: Iterable[_Item], parse: Callable[[_Item], _Result]
    ) -> tuple[list[_Result], list[Unused]]:
        """Parse each annotation; with `bad_annotation: skip`, also returns reports of those that cannot be parsed.

        Raises:
            DataError: raised by `parse`, with `bad_annotation: error`.
        """
        results: list[_Result] = []
        unused: list[Unused] = []
        for item in items:
            try:
                results.append(parse(item))
            except DataError as error:
                unused.append(self.left_out(error))
        return results, unused

    def left_out(self, error: DataError, type_: str | None = None) -> Unused:
        """The report of an annotation that is left out because of `error`; `type_` is its type, if it is known.

        Raises:
            DataError: `error` itself, with `bad_annotation: error`.
        """
        if self.bad_annotation == "error":
            raise error
        (problem,) = error.problems
        file, line = (problem.location.file, problem.location.line) if problem.location else ("(data)", None)
        return Unused(file, line, f"left out: {problem.message}", type_)


class PartlyAnnotatedReader(Reader):
    """A reader of a format in which a sentence may have no annotation, which differs from having no spans."""

    unannotated: Unannotated = Field(
        default="error",
        description="a sentence without annotation among annotated ones: an error, read as if it had no spans "
        "(outside), or left out and counted (skip)",
    )
