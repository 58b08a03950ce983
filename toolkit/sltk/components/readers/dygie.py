"""DyGIE++: entities and events in documents, one document per line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...types import Sentence, Span
from ..registry import register
from .json_records import JsonReader, JsonRecord
from .json_text import excerpt
from .standoff import PartlyAnnotatedReader
from .unread_keys import check_unread
from .word_spans import NerOrEventReader, WordMention, last_is_inside

_OTHER = (
    *("sentences", "ner", "events", "relations", "clusters"),
    *("predicted_ner", "predicted_events", "predicted_relations", "predicted_clusters"),
)


@register.reader("dygie")
class DygieReader(NerOrEventReader, PartlyAnnotatedReader, JsonReader):
    """DyGIE++'s JSON lines: one document per line, with `sentences`, and `ner` or `events` for each sentence.

    Word indices count from the beginning of the document, and a span includes its last word. Relations,
    coreference and arguments of events are not read.
    """

    def annotation_keys(self) -> Sequence[str]:
        """The key that `annotation` selects."""
        return [self.annotation]

    def read_file(self) -> Iterator[Sentence]:
        """Yield the sentences of each document, without annotation if it lacks the key that `annotation` selects.

        Raises:
            DataError: not such objects, or a span is outside its sentence.
        """
        for record in self.records():
            sentences = [_words(record, number) for number in range(len(_lists(record, "sentences")))]
            annotated = self.annotation in record
            if not annotated:
                check_unread(self, record, _OTHER)
            spans = _lists(record, self.annotation) if annotated else [[] for _ in sentences]
            if len(spans) != len(sentences):
                raise record.error(
                    f"{len(sentences)} sentences but {len(spans)} lists in `{self.annotation}`"
                )
            first = 0
            for number, (words, items) in enumerate(zip(sentences, spans, strict=True)):
                place = record.inner({}, f"{self.annotation}[{number}]")
                place.unused, record.unused = record.unused, ()
                found = self._spans(items, first, words, place) if annotated else None
                yield self.sentence(words, found, place, record.name("doc_key", record.number))
                first += len(words)

    def _spans(self, items: list[Any], first: int, words: list[str], place: JsonRecord) -> list[Span]:
        """The spans of a sentence whose first word is word `first` of the document."""
        return self.spans_of(
            enumerate(items), lambda item: self._mention(*item, first, len(words), place), words, place
        )

    def _mention(self, number: int, item: Any, first: int, length: int, place: JsonRecord) -> WordMention:
        here = JsonRecord({}, place.file, place.line, path=f"{place.path}[{number}]")
        items = (item[:1] if isinstance(item, list) else []) if self.annotation == "events" else [item]
        match items[0] if items else None:
            case [int(start), int(last), str(type_)] if not {type(start), type(last)} & {bool}:
                pass
            case [int(start), str(type_)] if self.annotation == "events" and type(start) is not bool:
                last = start
            case _:
                expected = "[[word, type], …]" if self.annotation == "events" else "[first, last, type]"
                raise here.error(f"expected {expected}, found {excerpt(item)}")
        if not first <= start <= last < first + length:
            extent = f"which has words {first} to {first + length - 1}"
            message = f"words {start} to {last} of the document are not in this sentence, {extent}"
            raise here.error(message, *last_is_inside(last, first + length))
        return WordMention(start - first, last - first + 1, type_, path=here.path)


def _lists(record: JsonRecord, key: str) -> list[list[Any]]:
    lists: list[list[Any]] = record.get(key, list, "a list of lists")
    for number, item in enumerate(lists):
        if not isinstance(item, list):
            raise record.error(f"{key}[{number}] is {excerpt(item)}, not a list")
    return lists


def _words(record: JsonRecord, number: int) -> list[str]:
    name = f"sentences[{number}]"
    return JsonRecord({name: record.value["sentences"][number]}, record.file, record.line).strings(name)
