"""Spans given as word indices, and options for event triggers; shared by ace05, dygie, maven, oneie and spert."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field, model_validator

from ...types import Sentence, Span, Unused
from ..examples import event_sentences, tagged_sentences
from ..slots import Reader
from .json_records import JsonRecord

Types = Literal["full", "subtype", "trigger"]
Annotation = Literal["ner", "events"]
Mention = tuple[int, int, str]
"""Start and end (not included) in words, and type."""


def entity_sentence(
    words: list[str], mentions: Iterable[Mention] | None, record: JsonRecord, document: str | None = None
) -> Sentence:
    """A sentence with one span per mention; spans may nest and overlap. Without `mentions` it is not annotated.

    Raises:
        DataError: a mention is not inside the sentence, or has no type.
    """
    spans = None if mentions is None else [check_mention(each, words, record) for each in mentions]
    return Sentence(words, spans=spans, document=document, **record.origin)


def check_mention(mention: Mention, words: list[str], record: JsonRecord) -> Span:
    """The mention as a span.

    Raises:
        DataError: the mention is not inside the sentence, or has no type.
    """
    start, end, type_ = mention
    if not 0 <= start < end <= len(words):
        raise record.error(f"words [{start}, {end}) are not in this sentence, which has {len(words)} words")
    if not type_:
        raise record.error(f"the span at words [{start}, {end}) has no type")
    return Span(start, end, type_)


def event_mention(mention: JsonRecord) -> Mention:
    """The trigger of an event: `{trigger: {start, end}, event_type}`."""
    trigger = mention.record("trigger")
    return trigger.integer("start"), trigger.integer("end"), mention.string("event_type")


class TriggerReader(Reader):
    """A reader of event triggers."""

    types: Types = Field(
        default="full",
        description="types of spans: as annotated (full), only the part after the last colon (subtype), or the "
        "single type `trigger` (trigger: identification)",
    )
    lowercase: bool = Field(default=False, description="write types in lower case")

    def type_of(self, annotated: str) -> str:
        """The type after applying the options."""
        if self.types == "trigger":
            return "trigger"
        name = annotated.rsplit(":", 1)[-1] if self.types == "subtype" else annotated
        return name.lower() if self.lowercase else name

    def trigger_sentence(
        self, words: list[str], mentions: Iterable[Mention] | None, record: JsonRecord, document: str | None
    ) -> Sentence:
        """A sentence with one span per mention. Without `mentions` it is not annotated.

        Of mentions that share words the last one is kept (as in Dukić and Šnajder 2024); others are `unused`.

        Raises:
            DataError: a mention is not inside the sentence, or has no type.
        """
        sentence = entity_sentence(words, None if mentions is None else [], record, document)
        for mention in mentions or ():
            checked = check_mention(mention, words, record)
            span = Span(checked.start, checked.end, self.type_of(checked.type))
            spans = sentence.spans or []
            overwritten = [other for other in spans if other.start < span.end and span.start < other.end]
            sentence.unused += tuple(_overwritten(overwritten, span, words, record))
            sentence.spans = sorted([other for other in spans if other not in overwritten] + [span])
        return sentence

    example_sentences = event_sentences


def _overwritten(spans: list[Span], by: Span, words: list[str], record: JsonRecord) -> Iterator[Unused]:
    for span in spans:
        trigger = " ".join(words[span.start : span.end])
        reason = f"the trigger `{trigger}` ({span.type}) is overwritten by a later one ({by.type})"
        yield Unused(record.file, record.line, reason, span.type)


class NerOrEventReader(TriggerReader):
    """A reader of files that annotate both named entities and event triggers."""

    annotation: Annotation = Field(
        default="ner", description="spans to read: named entities (ner), or event triggers (events)"
    )

    @model_validator(mode="after")
    def _types_of_triggers(self) -> NerOrEventReader:
        if self.annotation == "ner" and self.types != "full":
            raise ValueError("`types` applies to event triggers: it needs `annotation: events`")
        return self

    def sentence(
        self, words: list[str], mentions: list[Mention] | None, record: JsonRecord, document: str | None
    ) -> Sentence:
        """A sentence with its entities, which may overlap, or its triggers, which may not."""
        if self.annotation == "events":
            return self.trigger_sentence(words, mentions, record, document)
        if self.lowercase and mentions is not None:
            mentions = [(start, end, type_.lower()) for start, end, type_ in mentions]
        return entity_sentence(words, mentions, record, document)

    example_sentences = tagged_sentences
