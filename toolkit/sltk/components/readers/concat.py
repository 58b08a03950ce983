"""Several sources, one after the other: text for pre-training, or corpora with different annotation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from ...files.safety import printable
from ...schemes import OUTSIDE
from ...types import Sentence
from ..examples import text_sentences
from ..registry import RefusedError, register
from ..slots import Reader
from ..strict import StrictModel
from .sampling import limited

REST = "*"
"""The key of `labels` for all labels that it does not name."""

_Label = Annotated[str, Field(min_length=1)]


class Corpus(StrictModel):
    """One of several annotated corpora."""

    name: str = Field(
        min_length=1, description="names the corpus in scores; a corpus has one name in all splits"
    )
    reader: Reader = Field(description="reads its sentences")
    labels: dict[_Label, _Label] | None = Field(
        default=None,
        description='other names for its types (or plain tags): `{PERSON: PER, "*": O}`; `O` leaves spans of a type '
        "out, and `*` stands for all types that have no entry; types without one keep their name",
    )
    annotates: Literal["all"] | list[_Label] | None = Field(
        default=None,
        description="the types that it annotates, by their new names, or `all` that the model has; an `O` may hide any "
        "other type; by default, in train, the types that occur in it, and elsewhere what train has for this corpus, "
        "or `all`",
    )
    weight: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="how often each of its sentences is read per epoch: 2 for twice, 0.5 for another half of them in "
        "each epoch; in train only",
    )

    def label_of(self, label: str) -> str:
        """The name of a type or a plain tag in the model; `O` if it is left out."""
        labels = self.labels or {}
        return labels.get(label, labels.get(REST, label))

    @field_validator("name")
    @classmethod
    def _is_printable(cls, name: str) -> str:
        if printable(name) != name:
            raise RefusedError("the name of a corpus has control characters")
        return name

    @field_validator("labels")
    @classmethod
    def _maps_something(cls, labels: dict[str, str] | None) -> dict[str, str] | None:
        if labels == {}:
            raise RefusedError("`labels` maps nothing: leave it out")
        if labels and OUTSIDE in labels:
            raise RefusedError(f"`{OUTSIDE}` is no type, so it has no other name", OUTSIDE)
        if labels and REST in labels.values():
            raise RefusedError(f"`{REST}` is no type: it stands for the labels that have no entry")
        return labels

    @field_validator("annotates")
    @classmethod
    def _annotates_types(cls, annotates: Any) -> Any:
        if isinstance(annotates, list):
            if OUTSIDE in annotates or REST in annotates:
                raise RefusedError("`annotates` lists types: `O` and `*` are none")
            if twice := [name for name, count in Counter(annotates).items() if count > 1]:
                raise RefusedError(f"`annotates` lists `{twice[0]}` twice")
        return annotates

    @field_validator("reader")
    @classmethod
    def _reads_annotation(cls, reader: Reader) -> Reader:
        if isinstance(reader, ConcatReader) or reader.type_name == "holdout":
            raise RefusedError(f"reader `{reader.type_name}` cannot be the reader of a corpus")
        if not reader.has_annotation:
            raise RefusedError(f"reader `{reader.type_name}` reads text without annotation here")
        return reader


@register.reader("concat")
class ConcatReader(Reader):
    """The sentences of several sources, one after the other.

    `sources` are corpora whose annotation is kept, each with its own types. `readers` are read without their
    annotation: text for pre-training.
    """

    unwritten_defaults: ClassVar[Mapping[str, Any]] = {
        **Reader.unwritten_defaults,
        **{"readers": [], "sources": [], "temperature": None},
    }

    readers: list[Reader] = Field(
        default=[], description="readers of text, in this order; annotation is left out"
    )
    sources: list[Corpus] = Field(default=[], description="annotated corpora, in this order")
    temperature: float | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="in train, with `sources`: a corpus of n sentences has a share of each epoch in proportion to "
        "n^(1/temperature); 1 for their sizes, large values for equal shares",
    )

    @model_validator(mode="after")
    def _has_one_kind(self) -> ConcatReader:
        if bool(self.readers) == bool(self.sources):
            raise RefusedError(
                "give `sources`, whose annotation is kept, or `readers` for text without annotation"
            )
        if self.readers and self.temperature is not None:
            raise RefusedError("`temperature` is for `sources`", "temperature")
        return self

    @model_validator(mode="after")
    def _check_sources(self) -> ConcatReader:
        for number, source in enumerate(self.sources):
            if source.name in (earlier.name for earlier in self.sources[:number]):
                raise RefusedError(f"two corpora have the name `{source.name}`", f"sources.{number}.name")
            if source.weight is not None and self.temperature is not None:
                raise RefusedError(
                    "give `weight` or `temperature`, not both: each says how often sentences are read",
                    f"sources.{number}.weight",
                )
        if self.sources and self.limit is not None and self.limit_seed is None:
            about = "`limit` would leave out whole corpora: give it to their readers, or set `limit_seed`"
            raise RefusedError(about, "limit")
        return self

    @property
    def has_annotation(self) -> bool:
        """Whether the corpora have annotation; other readers are read without it."""
        return bool(self.sources)

    def paths(self, place: str = "") -> Iterator[tuple[str, Path]]:
        """The paths of all readers, with their keys below `place`."""
        yield from super().paths(place)
        for number, source in enumerate(self.sources):
            yield from source.reader.paths(f"{place}.sources.{number}.reader".lstrip("."))

    def with_inner(self, change: Callable[[Reader], Reader]) -> ConcatReader:
        """The reader, with changed readers of its corpora."""
        changed = [source.model_copy(update={"reader": change(source.reader)}) for source in self.sources]
        return self.model_copy(update={"sources": changed})

    def read(self) -> Iterator[Sentence]:
        """Yield the sentences without annotation, whose meaning differs between sources.

        `sltk.data.corpora` reads the sentences of `sources` with their annotation.
        """
        named: list[tuple[Reader, str | None]] = [(reader, None) for reader in self.readers]
        for reader, corpus in [*named, *((source.reader, source.name) for source in self.sources)]:
            for sentence in limited(reader):
                yield replace(sentence, tags=None, spans=None, corpus=corpus)

    example_sentences = text_sentences
