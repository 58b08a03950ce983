"""The text of a pretrain spec, sentence by sentence. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from ..components.readers.holdout import HoldoutReader
from ..data.raw import read
from ..errors import DataError
from ..files.safety import encodable
from ..types import Sentence
from .pretrain_spec import PretrainSpec

Sentences = Callable[[], Iterable[Sentence]]
"""Reads a text from its beginning each time it is called."""


def sources(spec: PretrainSpec) -> dict[str, Sentences]:
    """The text of `corpus` and, if the spec has it, of `validation`; `holdout` takes it from the corpus.

    Raises:
        DataError: a source is missing or malformed; only with `holdout`, which reads the corpus into memory.
    """
    validation = spec.validation
    if isinstance(validation, HoldoutReader):
        rest, taken = validation.divide(list(read(spec.corpus)))
        return {"corpus": lambda: rest, "validation": lambda: taken}
    corpora: dict[str, Sentences] = {"corpus": lambda: read(spec.corpus)}
    if validation is not None:
        corpora["validation"] = lambda: read(validation)
    return corpora


def texts(
    sentences: Iterable[Sentence], spacing: Literal["auto", "single", "source"]
) -> Iterator[tuple[str, Sentence]]:
    """Yield the text of each sentence, and the sentence.

    Raises:
        DataError: `spacing` is `source`, and a sentence has no text.
    """
    for sentence in sentences:
        if spacing == "source" and sentence.text is None:
            raise DataError.at(
                "this reader gives words without text; `spacing: single` joins them with spaces",
                sentence.file or "(data)",
                sentence.line,
            )
        joined = " ".join(sentence.words) if spacing == "single" else str(sentence.with_text().text)
        yield encodable(joined), sentence
