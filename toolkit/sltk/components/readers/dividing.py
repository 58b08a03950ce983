"""Readers that take their sentences out of the training data instead of reading a source."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from ...errors import DataError, Problem
from ...types import Sentence
from ..slots import Reader

Unit = Literal["sentence", "document"]


class DividingReader(Reader):
    """A part of `train`, in whole sentences or whole documents; both parts keep their order."""

    if TYPE_CHECKING:  # each kind declares them in its own place among its keys
        by: Unit
        seed: int

    def read(self) -> Iterator[Sentence]:
        """Not available: the sentences come from another reader.

        Raises:
            DataError: always; use `divide` instead.
        """
        raise DataError(
            f"`{self.type_name}` reads no sentences itself: it divides `train`; use it for validation or test"
        )

    def divide(self, sentences: Sequence[Sentence]) -> tuple[list[Sentence], list[Sentence]]:
        """Divide sentences into `(rest, held out)`; of the second part at most `limit` sentences are returned.

        Raises:
            DataError: the sentences cannot be divided like this.
        """
        raise NotImplementedError

    def training_part(self, rest: list[Sentence]) -> list[Sentence]:
        """The sentences to train on, of those that no split takes; by default, all."""
        return rest

    def units(self, sentences: Sequence[Sentence], path: str | None = None) -> Sequence[int]:
        """The unit of each sentence, numbered from 0 by first occurrence.

        A unit is a sentence or, with `by: document`, all sentences of a document; a sentence without a document is a
        unit by itself. `path` is the key of the spec that an error is about.

        Raises:
            DataError: `by: document`, but the data has no documents.
        """
        if self.by == "sentence":
            return range(len(sentences))
        if not any(sentence.document is not None for sentence in sentences):
            message = f"`{self.type_name}` with `by: document` needs documents, but train marks none"
            raise DataError(Problem(message, path=path))
        return document_numbers(sentences)


def document_numbers(sentences: Sequence[Sentence]) -> list[int]:
    """The document of each sentence, numbered from 0; a sentence without a document is one by itself."""
    numbers: dict[object, int] = {}
    return [
        numbers.setdefault(
            index if sentence.document is None else (sentence.file, sentence.document), len(numbers)
        )
        for index, sentence in enumerate(sentences)
    ]


def divided(
    sentences: Sequence[Sentence], units: Sequence[int], held_out: Collection[int]
) -> tuple[list[Sentence], list[Sentence]]:
    """`(rest, held out)`: the sentences of other units, and those of the units in `held_out`."""
    parts: tuple[list[Sentence], list[Sentence]] = ([], [])
    for unit, sentence in zip(units, sentences, strict=True):
        parts[unit in held_out].append(sentence)
    return parts
