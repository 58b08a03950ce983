"""Spans given as word indices, and options for event triggers; shared by ace05, dygie, maven, oneie and spert."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Literal, NamedTuple, TypeVar

from pydantic import Field, model_validator

from ...errors import DataError
from ...types import Sentence, Span, Unused
from ..examples import event_sentences, tagged_sentences
from .json_records import JsonRecord
from .standoff import SKIP_NOTE, StandoffReader

Types = Literal["full", "subtype", "trigger"]
Annotation = Literal["ner", "events"]
_Item = TypeVar("_Item")

# The Penn Treebank's spelling of brackets and quotes, which texts spell as they are.
_TREEBANK = {
    "-LRB-": "(",
    "-RRB-": ")",
    "-LSB-": "[",
    "-RSB-": "]",
    "-LCB-": "{",
    "-RCB-": "}",
    "``": '"',
    "''": '"',
}
_ESCAPE = re.compile("|".join(map(re.escape, _TREEBANK)))


class WordMention(NamedTuple):
    """A span in words, as a file writes it."""

    start: int
    end: int
    """The word after the last."""
    type: str
    text: str | None = None
    """Its text, if the file repeats it."""
    path: str = ""
    """Its place in the record, for messages."""


class WordSpanReader(StandoffReader):
    """A reader of spans given as word indices."""

    def spans_at(
        self, key: str, parse: Callable[[JsonRecord], WordMention], words: list[str], record: JsonRecord
    ) -> list[Span]:
        """The spans in the list of objects at a key of the record; see `spans_of`."""
        items = enumerate(record.get(key, list, "a list of objects"))
        return self.spans_of(
            items, lambda item: parse(record.inner(item[1], f"{key}[{item[0]}]")), words, record
        )

    def spans_of(
        self,
        items: Iterable[_Item],
        parse: Callable[[_Item], WordMention],
        words: list[str],
        record: JsonRecord,
    ) -> list[Span]:
        """The span of each annotation; those that are left out are reported in `record.unused`.

        Raises:
            DataError: an annotation is malformed, not inside the sentence, without a type, or not the text that it
                repeats, with `bad_annotation: error`.
        """
        mentions, unused = self.each(items, parse)
        spans = []
        for mention in mentions:
            problem = _problem(mention, words)
            if problem is None:
                spans.append(Span(mention.start, mention.end, mention.type))
            else:
                problem = f"{mention.path}: {problem}" if mention.path else problem
                error = DataError.at(problem, record.file, record.line, SKIP_NOTE)
                unused.append(self.left_out(error, mention.type or None))
        record.unused += tuple(unused)
        return spans


def entity_sentence(
    words: list[str], spans: list[Span] | None, record: JsonRecord, document: str | None = None
) -> Sentence:
    """A sentence with these spans, which may nest and overlap; with None it is not annotated."""
    return Sentence(words, spans=spans, document=document, **record.origin)


def last_is_inside(last: int, length: int) -> tuple[str, ...]:
    """A note for a span that ends one word after the last: all spans of the file may have such ends."""
    if last != length:
        return ()
    return ("the second number is that of the last word itself: are all spans here one word too long?",)


def _problem(mention: WordMention, words: list[str]) -> str | None:
    start, end, type_, text, _ = mention
    if not 0 <= start < end <= len(words):
        return f"words [{start}, {end}) are not in this sentence, which has {len(words)} words"
    if not type_:
        return f"the span at words [{start}, {end}) has no type"
    if text and _letters("".join(words[start:end])) != _letters(text):
        return f"the words [{start}, {end}) are `{' '.join(words[start:end])}`, not `{text}`"
    return None


def _letters(text: str) -> str:
    """The text without white space, and with `&amp;` and the treebank's brackets and quotes as texts spell them."""
    return _ESCAPE.sub(lambda match: _TREEBANK[match[0]], html.unescape("".join(text.split())))


def optional_text(record: JsonRecord, key: str = "text") -> str | None:
    """The text that an annotation repeats, if it does."""
    return record.string(key) if key in record else None


def event_mention(mention: JsonRecord) -> WordMention:
    """The trigger of an event: `{trigger: {start, end}, event_type}`, which may repeat its `text`."""
    trigger = mention.record("trigger")
    start, end = trigger.integer("start"), trigger.integer("end")
    return WordMention(start, end, mention.string("event_type"), optional_text(trigger), trigger.path)


class TriggerReader(WordSpanReader):
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
        self, words: list[str], triggers: list[Span] | None, record: JsonRecord, document: str | None
    ) -> Sentence:
        """A sentence with these triggers. Without `triggers` (None) it is not annotated.

        Of triggers that share words the last one is kept (as in Dukić and Šnajder 2024); others are `unused`.
        """
        sentence = entity_sentence(words, None if triggers is None else [], record, document)
        for trigger in triggers or ():
            span = Span(trigger.start, trigger.end, self.type_of(trigger.type))
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
        self, words: list[str], spans: list[Span] | None, record: JsonRecord, document: str | None
    ) -> Sentence:
        """A sentence with its entities, which may overlap, or its triggers, which may not."""
        if self.annotation == "events":
            return self.trigger_sentence(words, spans, record, document)
        if self.lowercase and spans is not None:
            spans = [replace(span, type=span.type.lower()) for span in spans]
        return entity_sentence(words, spans, record, document)

    example_sentences = tagged_sentences
