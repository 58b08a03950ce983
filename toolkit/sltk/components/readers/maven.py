"""MAVEN: event triggers in Wikipedia articles, one document per line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain

from ...types import Sentence
from ..registry import register
from .json_records import JsonReader, JsonRecord
from .json_text import excerpt
from .standoff import PartlyAnnotatedReader
from .unread_keys import check_unread
from .word_spans import TriggerReader, WordMention, optional_text


@register.reader("maven")
class MavenReader(TriggerReader, PartlyAnnotatedReader, JsonReader):
    """MAVEN event triggers: JSON lines, one document per line, with `content` and `events`."""

    def annotation_keys(self) -> Sequence[str]:
        """The key of the triggers."""
        return ["events"]

    def read_file(self) -> Iterator[Sentence]:
        """Yield the sentences of each document, without annotation if it has no `events`.

        Raises:
            DataError: not such objects, or a mention is in no sentence of its document.
        """
        for record in self.records():
            document = record.name("id", record.number)
            contents = record.records("content")
            mentions = None
            if "events" in record:
                mentions = self._mentions(record, len(contents))
            else:
                check_unread(self, record, ["content", "candidates", "negative_triggers"])
            for number, content in enumerate(contents):
                content.unused, record.unused = record.unused, ()
                words, triggers = content.strings("tokens"), None
                if mentions is not None:
                    triggers = self.spans_of(mentions[number], lambda mention: mention, words, content)
                yield self.trigger_sentence(words, triggers, content, document)

    def _mentions(self, record: JsonRecord, sentences: int) -> defaultdict[int, list[WordMention]]:
        """The mentions of a document by the index of their sentence."""
        items = enumerate(record.get("events", list, "a list of objects"))
        events, unused = self.each(items, lambda item: _event(record.inner(item[1], f"events[{item[0]}]")))
        parsed, bad = self.each(chain.from_iterable(events), lambda pair: _mention(*pair, sentences))
        record.unused += (*unused, *bad)
        mentions: defaultdict[int, list[WordMention]] = defaultdict(list)
        for number, mention in parsed:
            mentions[number].append(mention)
        return mentions


def _event(event: JsonRecord) -> list[tuple[str, JsonRecord]]:
    """The mentions of an event, with its type."""
    type_ = event.string("type")
    return [(type_, mention) for mention in event.records("mention")]


def _mention(type_: str, mention: JsonRecord, sentences: int) -> tuple[int, WordMention]:
    """The index of the sentence of a mention, and its words."""
    number, offset = mention.integer("sent_id"), mention.value.get("offset")
    if not 0 <= number < sentences:
        raise mention.error(f"it is in sentence {number}, but the document has {sentences} sentences")
    if not isinstance(offset, list) or [type(item) for item in offset] != [int, int]:
        raise mention.error(f"`offset` is {excerpt(offset)}, not two whole numbers")
    return number, WordMention(
        offset[0], offset[1], type_, optional_text(mention, "trigger_word"), mention.path
    )
