"""Several sources, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pydantic import Field

from ...types import Sentence
from ..examples import text_sentences
from ..registry import register
from ..slots import Reader
from .sampling import limited


@register.reader("concat")
class ConcatReader(Reader):
    """The sentences of several readers, one after the other, without their annotation: text for pre-training."""

    readers: list[Reader] = Field(min_length=1, description="the readers, in this order")

    @property
    def has_annotation(self) -> bool:
        """False: the sentences have no annotation."""
        return False

    def read(self) -> Iterator[Sentence]:
        """Yield the sentences without annotation: tags of different sources may have different meanings."""
        for reader in self.readers:
            for sentence in limited(reader):
                yield replace(sentence, tags=None, spans=None)

    example_sentences = text_sentences
