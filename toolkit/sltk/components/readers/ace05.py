"""ACE 2005 event triggers, in the JSON format of common preprocessing scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...types import Sentence
from ..registry import register
from .json_records import JsonReader
from .word_spans import TriggerReader, event_mention

_TRIGGERS = "golden-event-mentions"
_SENTENCE_ID = re.compile(r"(.+)_\d+")


@register.reader("ace05")
class Ace05Reader(TriggerReader, JsonReader):
    """ACE05 event triggers: JSON sentences with `words` and `golden-event-mentions`."""

    def read_file(self) -> Iterator[Sentence]:
        """Yield sentences in order, including those without a trigger; the id `DOCUMENT_7` names the document.

        Raises:
            DataError: not such objects, or a trigger outside its sentence.
        """
        for record in self.records():
            record.get(
                _TRIGGERS, list, "a list of objects"
            )  # more telling than that `words` are missing, too
            words = record.strings("words")
            triggers = self.spans_at(_TRIGGERS, event_mention, words, record)
            match = _SENTENCE_ID.fullmatch(record.name("sentence_id", "") or "")
            document = match.group(1) if match else None
            yield self.trigger_sentence(words, triggers, record, document)
