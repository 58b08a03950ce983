"""MAVEN: event triggers in Wikipedia articles, one document per line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ...types import Sentence
from ..registry import register
from .json_records import JsonReader, JsonRecord
from .standoff import PartlyAnnotatedReader
from .word_spans import Mention, TriggerReader


@register.reader("maven")
class MavenReader(TriggerReader, PartlyAnnotatedReader, JsonReader):
    """MAVEN event triggers: JSON lines, one document per line, with `content` and `events`."""

    def read_file(self) -> Iterator[Sentence]:
        """Yield the sentences of each document, without annotation if it has no `events`.

        Raises:
            DataError: not such objects, or a mention is in no sentence of its document.
        """
        for record in self.records():
            document = record.name("id", record.number)
            contents = record.records("content")
            mentions = _mentions(record, len(contents))
            for number, content in enumerate(contents):
                content.unused = record.unused if number == 0 else ()
                triggers = mentions[number] if "events" in record else None
                yield self.trigger_sentence(content.strings("tokens"), triggers, content, document)


def _mentions(record: JsonRecord, sentences: int) -> defaultdict[int, list[Mention]]:
    """The mentions of a document by the index of their sentence."""
    mentions: defaultdict[int, list[Mention]] = defaultdict(list)
    for event in record.records("events") if "events" in record else ():
        type_ = event.string("type")
        for mention in event.records("mention"):
            number, offset = mention.integer("sent_id"), mention.value.get("offset")
            if not 0 <= number < sentences:
                raise record.error(
                    f"a mention is in sentence {number}, but the document has {sentences} sentences"
                )
            if not isinstance(offset, list) or [type(item) for item in offset] != [int, int]:
                raise record.error(f"the `offset` of a mention is {offset}, not two whole numbers")
            mentions[number].append((offset[0], offset[1], type_))
    return mentions
