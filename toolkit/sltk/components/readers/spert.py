"""SpERT: entities and relations, in JSON sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...types import Sentence
from ..registry import register
from .json_records import JsonReader, JsonRecord
from .standoff import PartlyAnnotatedReader
from .unread_keys import check_unread
from .word_spans import WordMention, WordSpanReader, entity_sentence


@register.reader("spert")
class SpertReader(WordSpanReader, PartlyAnnotatedReader, JsonReader):
    """SpERT's JSON: sentences with `tokens` and `entities: [{type, start, end}]`, half-open.

    Relations are not read. A sentence without the key `entities` is not annotated.
    """

    def annotation_keys(self) -> Sequence[str]:
        """The key of the spans."""
        return ["entities"]

    def read_file(self) -> Iterator[Sentence]:
        """Yield sentences in order.

        Raises:
            DataError: not such objects, or an entity outside its sentence.
        """
        for record in self.records():
            words, spans = record.strings("tokens"), None
            if "entities" in record:
                spans = self.spans_at("entities", _mention, words, record)
            else:
                check_unread(self, record, ["tokens", "relations"])
            yield entity_sentence(words, spans, record)


def _mention(entity: JsonRecord) -> WordMention:
    return WordMention(
        entity.integer("start"), entity.integer("end"), entity.string("type"), path=entity.path
    )
