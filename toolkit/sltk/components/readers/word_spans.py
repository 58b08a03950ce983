"""Spans over words that a file gives as numbers: what the readers `spert`, `dygie` and `oneie` have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, model_validator

from ...types import Sentence, Span
from .json_records import JsonRecord
from .triggers import Mention, TriggerReader

Annotation = Literal["ner", "events"]


def of_words(
    words: list[str], mentions: Iterable[Mention], record: JsonRecord, document: str | None = None
) -> Sentence:
    """The sentence with a span for each mention `(start, end, type)`; spans may nest and overlap.

    Raises:
        DataError: a mention that has no words of the sentence, or no type.
    """
    spans = []
    for start, end, type_ in mentions:
        check(start, end, type_, words, record)
        spans.append(Span(start, end, type_))
    return Sentence(
        words, spans=spans, file=record.file, line=record.line, document=document, unused=record.unused
    )


def check(start: int, end: int, type_: str, words: list[str], record: JsonRecord) -> None:
    """Raises DataError where words [start, end) are none of the sentence, or the type is empty."""
    if not 0 <= start < end <= len(words):
        raise record.error(f"[{start}, {end}) are no words of this sentence, which has {len(words)}")
    if not type_:
        raise record.error(f"the span at words [{start}, {end}) has no type")


class NerOrEventReader(TriggerReader):
    """A reader of files that annotate both named entities and event triggers."""

    annotation: Annotation = Field(
        default="ner", description="which spans: named entities (ner), or triggers of events (events)"
    )

    @model_validator(mode="after")
    def _types_of_triggers(self) -> NerOrEventReader:
        if self.annotation == "ner" and self.types != "full":
            raise ValueError("`types` is about event triggers: it needs `annotation: events`")
        return self

    def annotated(
        self, words: list[str], mentions: list[Mention], record: JsonRecord, document: str | None
    ) -> Sentence:
        """The sentence with its entities, which may overlap, or with its triggers, which may not."""
        if self.annotation == "events":
            return self.sentence(words, mentions, record, document)
        typed = [(start, end, self.type_of(type_)) for start, end, type_ in mentions]
        return of_words(words, typed, record, document)

    @classmethod
    def example(cls) -> list[Sentence]:
        """Sentences with the names of people, places and organisations."""
        from ..examples import tagged_sentences

        return tagged_sentences()
