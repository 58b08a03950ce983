"""OneIE: entities and events, a sentence a line."""

from __future__ import annotations

from collections.abc import Iterator

from ...types import Sentence
from ..registry import register
from . import json_records
from .base import TextFileReader
from .json_records import JsonRecord
from .triggers import Mention
from .word_spans import NerOrEventReader

_FIELDS = {"ner": "entity_mentions", "events": "event_mentions"}


@register.reader("oneie")
class OneIEReader(NerOrEventReader, TextFileReader):
    """OneIE's JSON lines: a sentence with `tokens`, `entity_mentions` and `event_mentions`, half-open.

    Relations and arguments of events are not read.
    """

    def read(self) -> Iterator[Sentence]:
        """Yield sentences in order; without annotation where a line lacks the mentions asked for.

        Raises:
            DataError: a line is no such object, or a mention is outside its sentence.
        """
        field = _FIELDS[self.annotation]
        for record in json_records.lines(self.path, self.encoding, self.encoding_errors):
            mentions = [self._mention(each) for each in record.records(field)] if field in record else []
            document = str(record.value["doc_id"]) if "doc_id" in record else None
            sentence = self.annotated(record.strings("tokens"), mentions, record, document)
            if field not in record:
                sentence.spans = None
            yield sentence

    def _mention(self, mention: JsonRecord) -> Mention:
        if self.annotation == "ner":
            return mention.integer("start"), mention.integer("end"), mention.string("entity_type")
        trigger = mention.record("trigger")
        return trigger.integer("start"), trigger.integer("end"), mention.string("event_type")
