"""ACE 2005 event triggers, as the JSON that common pre-processing scripts write."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...types import Sentence
from ..registry import register
from . import json_records
from .base import TextFileReader
from .json_records import JsonRecord
from .triggers import Mention, TriggerReader

_SENTENCE_ID = re.compile(r"(.+)_\d+")


@register.reader("ace05")
class Ace05Reader(TriggerReader, TextFileReader):
    """ACE05 event triggers: a JSON array of sentences with `words` and `golden-event-mentions`."""

    def read(self) -> Iterator[Sentence]:
        """Yield sentences in order, those without a trigger too.

        Raises:
            DataError: not a JSON array of such objects, or a trigger outside its sentence.
        """
        for record in json_records.array(self.path, self.encoding, self.encoding_errors):
            mentions = [_mention(mention) for mention in record.records("golden-event-mentions")]
            yield self.sentence(record.strings("words"), mentions, record, _document(record))


def _mention(mention: JsonRecord) -> Mention:
    trigger = mention.record("trigger")
    return trigger.integer("start"), trigger.integer("end"), mention.string("event_type")


def _document(record: JsonRecord) -> str | None:
    """The document of a sentence `DOCUMENT_7`."""
    found = _SENTENCE_ID.fullmatch(str(record.value.get("sentence_id", "")))
    return found.group(1) if found else None
