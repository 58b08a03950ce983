"""The text of a pretrain spec, sentence by sentence. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from .. import data
from ..errors import DataError
from ..files.safety import encodable
from ..readers.holdout import HoldoutReader
from ..types import Sentence
from .spec import PretrainSpec

Sentences = Callable[[], Iterable[Sentence]]
"""Reads a text from its beginning, as often as it is called."""


def sources(spec: PretrainSpec) -> dict[str, Sentences]:
    """The text of `corpus`, and of `validation` where there is one; `holdout` takes it out of the corpus.

    Raises:
        DataError: as the reader, where it is read for `holdout`, which holds all of it in memory.
    """
    held_out = spec.validation
    if isinstance(held_out, HoldoutReader):
        rest, taken = held_out.divide(list(data.read(spec.corpus)))
        return {"corpus": lambda: rest, "validation": lambda: taken}
    found: dict[str, Sentences] = {"corpus": lambda: data.read(spec.corpus)}
    if held_out is not None:
        found["validation"] = lambda: data.read(held_out)
    return found


def texts(
    sentences: Iterable[Sentence], spacing: Literal["auto", "single", "source"]
) -> Iterator[tuple[str, Sentence]]:
    """The text of each sentence, and the sentence, as they are read.

    Raises:
        DataError: the source text is wanted, and a sentence has none.
    """
    for sentence in sentences:
        if spacing == "source" and sentence.text is None:
            raise DataError.at(
                "this reader gives words and no text; `spacing: single` joins them",
                sentence.file or "(data)",
                sentence.line,
            )
        joined = " ".join(sentence.words) if spacing == "single" else str(sentence.with_text().text)
        yield encodable(joined), sentence
