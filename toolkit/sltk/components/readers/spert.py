"""SpERT: entities and relations, in JSON sentences."""

from __future__ import annotations

from collections.abc import Iterator

from ...types import Sentence
from ..registry import register
from .json_records import JsonReader, JsonRecord
from .standoff import PartlyAnnotatedReader
from .word_spans import Mention, entity_sentence


@register.reader("spert")
class SpertReader(PartlyAnnotatedReader, JsonReader):
    """SpERT's JSON: sentences with `tokens` and `entities: [{type, start, end}]`, half-open.

    Relations are not read. A sentence without the key `entities` is not annotated.
    """

    def read_file(self) -> Iterator[Sentence]:
        """Yield sentences in order.

        Raises:
            DataError: not such objects, or an entity outside its sentence.
        """
        for record in self.records():
            mentions = map(_mention, record.records("entities")) if "entities" in record else None
            yield entity_sentence(record.strings("tokens"), mentions, record)


def _mention(entity: JsonRecord) -> Mention:
    return entity.integer("start"), entity.integer("end"), entity.string("type")
