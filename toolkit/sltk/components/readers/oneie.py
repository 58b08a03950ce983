"""OneIE: entities and events, one sentence per line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...types import Sentence
from ..registry import register
from .json_records import JsonReader, JsonRecord
from .standoff import PartlyAnnotatedReader
from .unread_keys import check_unread
from .word_spans import NerOrEventReader, WordMention, event_mention, optional_text

_FIELDS = {"ner": "entity_mentions", "events": "event_mentions"}


@register.reader("oneie")
class OneIEReader(NerOrEventReader, PartlyAnnotatedReader, JsonReader):
    """OneIE's JSON lines: one sentence per line, with `tokens`, `entity_mentions` and `event_mentions`, half-open.

    Relations and arguments of events are not read.
    """

    def annotation_keys(self) -> Sequence[str]:
        """The key that `annotation` selects."""
        return [_FIELDS[self.annotation]]

    def read_file(self) -> Iterator[Sentence]:
        """Yield sentences in order, without annotation if a line lacks the mentions that `annotation` selects.

        Raises:
            DataError: not such objects, or a mention is outside its sentence.
        """
        field = _FIELDS[self.annotation]
        for record in self.records():
            words = record.strings("tokens")
            spans = None
            if field in record:
                spans = self.spans_at(field, self._mention, words, record)
            else:
                check_unread(self, record, ["tokens", "relation_mentions", *_FIELDS.values()])
            yield self.sentence(words, spans, record, record.name("doc_id"))

    def _mention(self, mention: JsonRecord) -> WordMention:
        if self.annotation == "events":
            return event_mention(mention)
        start, end, type_ = mention.integer("start"), mention.integer("end"), mention.string("entity_type")
        return WordMention(start, end, type_, optional_text(mention), mention.path)
