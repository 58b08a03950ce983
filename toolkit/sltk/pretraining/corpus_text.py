"""The text of a pretrain spec, sentence by sentence. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..components.readers.holdout import HoldoutReader
from ..data.raw import read
from ..errors import DataError, Problem
from ..files.safety import encodable
from ..types import Sentence
from .pretrain_spec import PretrainSpec

Sentences = Callable[[], Iterable[Sentence]]
"""Reads a text from its beginning, as often as it is called."""


def sources(spec: PretrainSpec) -> dict[str, Sentences]:
    """The text of `corpus`, and of `validation` where there is one; `holdout` takes it out of the corpus.

    Raises:
        DataError: as the reader, where it is read for `holdout`, which holds all of it in memory.
    """
    held_out = spec.validation
    if isinstance(held_out, HoldoutReader):
        rest, taken = held_out.divide(list(read(spec.corpus)))
        return {"corpus": lambda: rest, "validation": lambda: taken}
    found: dict[str, Sentences] = {"corpus": lambda: read(spec.corpus)}
    if held_out is not None:
        found["validation"] = lambda: read(held_out)
    return found


@dataclass(frozen=True)
class TextCounts:
    """Sentences and words of each text of a pretrain spec."""

    counts: dict[str, dict[str, int]]
    warnings: Sequence[Problem] = ()

    def as_json(self) -> dict[str, Any]:
        """Counts by the key of the spec."""
        return {"data": self.counts}

    def lines(self) -> Iterator[str]:
        """One line per text."""
        for name, count in self.counts.items():
            yield f"{name}: {count['sentences']:,} sentences, {count['words']:,} words"


def count_text(spec: PretrainSpec) -> TextCounts:
    """Read each text once, without holding it in memory, and count it.

    Raises:
        DataError: a source is missing or malformed.
    """
    counts = {}
    for name, sentences in sources(spec).items():
        lengths = [len(sentence) for sentence in sentences()]
        counts[name] = {"sentences": len(lengths), "words": sum(lengths)}
    return TextCounts(counts)


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
