"""OneIE: entities and events, one sentence per line."""

from __future__ import annotations

from collections.abc import Iterator

from ...types import Sentence
from ..registry import register
from .json_records import JsonReader, JsonRecord
from .standoff import PartlyAnnotatedReader
from .word_spans import NerOrEventReader, WordMention, event_mention, optional_text

_FIELDS = {"ner": "entity_mentions", "events": "event_mentions"}


@register.reader("oneie")
class OneIEReader(NerOrEventReader, PartlyAnnotatedReader, JsonReader):
    """OneIE's JSON lines: one sentence per line, with `tokens`, `entity_mentions` and `event_mentions`, half-open.

    Relations and arguments of events are not read.
    """

    def read_file(self) -> Iterator[Sentence]:
        """Yield sentences in order, without annotation if a line lacks the mentions that `annotation` selects.

        Raises:
            DataError: not such objects, or a mention is outside its sentence.
        """
        field = _FIELDS[self.annotation]
        for record in self.records():
            words = record.strings("tokens")
            spans = self.spans_at(field, self._mention, words, record) if field in record else None
            yield self.sentence(words, spans, record, record.name("doc_id"))

    def _mention(self, mention: JsonRecord) -> WordMention:
        if self.annotation == "events":
            return event_mention(mention)
        start, end, type_ = mention.integer("start"), mention.integer("end"), mention.string("entity_type")
        return WordMention(start, end, type_, optional_text(mention), mention.path)
