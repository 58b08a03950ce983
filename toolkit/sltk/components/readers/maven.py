"""MAVEN: event triggers of Wikipedia articles, one document a line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ...types import Sentence
from ..registry import register
from . import json_records
from .base import TextFileReader
from .json_records import JsonRecord
from .triggers import Mention, TriggerReader


@register.reader("maven")
class MavenReader(TriggerReader, TextFileReader):
    """MAVEN event triggers: JSONL, a document a line with `content` and `events`."""

    def read(self) -> Iterator[Sentence]:
        """Yield the sentences of each document; without annotation where a document has no `events`.

        Raises:
            DataError: a line is no such object, or a mention is in no sentence of its document.
        """
        for record in json_records.lines(self.path, self.encoding, self.encoding_errors):
            document = str(record.value.get("id", record.line))
            contents = record.records("content")
            mentions = _mentions(record, len(contents))
            for number, content in enumerate(contents):
                content.unused = record.unused if number == 0 else ()
                sentence = self.sentence(content.strings("tokens"), mentions[number], content, document)
                if "events" not in record:
                    sentence.spans = None
                yield sentence


def _mentions(record: JsonRecord, sentences: int) -> defaultdict[int, list[Mention]]:
    """The mentions of a document by the number of their sentence."""
    found: defaultdict[int, list[Mention]] = defaultdict(list)
    for event in record.records("events") if "events" in record else ():
        type_ = event.string("type")
        for mention in event.records("mention"):
            number, offset = mention.integer("sent_id"), mention.value.get("offset")
            if not 0 <= number < sentences:
                raise record.error(f"a mention in sentence {number} of a document that has {sentences}")
            if not isinstance(offset, list) or [type(item) for item in offset] != [int, int]:
                raise record.error(f"the `offset` of a mention is {offset}, not two whole numbers")
            found[number].append((offset[0], offset[1], type_))
    return found
