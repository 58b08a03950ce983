"""SpERT: entities and relations as a JSON list of sentences."""

from __future__ import annotations

from collections.abc import Iterator

from ...types import Sentence
from ..registry import register
from . import json_records
from .base import TextFileReader
from .json_records import JsonRecord
from .triggers import Mention
from .word_spans import of_words


@register.reader("spert")
class SpertReader(TextFileReader):
    """SpERT's JSON: a list of sentences with `tokens` and `entities: [{type, start, end}]`, half-open.

    Relations are not read. A sentence without the key `entities` is not annotated.
    """

    def read(self) -> Iterator[Sentence]:
        """Yield sentences in order; holds the text of the file.

        Raises:
            DataError: not a JSON list of such objects, or an entity outside its sentence.
        """
        for record in json_records.array(self.path, self.encoding, self.encoding_errors):
            entities = record.records("entities") if "entities" in record else []
            sentence = of_words(record.strings("tokens"), map(_mention, entities), record)
            if "entities" not in record:
                sentence.spans = None
            yield sentence


def _mention(entity: JsonRecord) -> Mention:
    return entity.integer("start"), entity.integer("end"), entity.string("type")
