"""DyGIE++: entities and events of documents, one document a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...types import Sentence
from ..registry import register
from . import json_records
from .base import TextFileReader
from .json_records import JsonRecord, shown
from .triggers import Mention
from .word_spans import NerOrEventReader, check


@register.reader("dygie")
class DygieReader(NerOrEventReader, TextFileReader):
    """DyGIE++'s JSON lines: a document with `sentences`, and `ner` or `events` for each of them.

    Their numbers count the words of the document, and the last word of a span is included. Relations,
    coreference and arguments of events are not read.
    """

    def read(self) -> Iterator[Sentence]:
        """Yield the sentences of each document; without annotation where it lacks the one asked for.

        Raises:
            DataError: a line is no such object, or a span is outside its sentence.
        """
        for record in json_records.lines(self.path, self.encoding, self.encoding_errors):
            sentences = [_words(record, number) for number in range(len(_lists(record, "sentences")))]
            annotated = self.annotation in record
            spans = _lists(record, self.annotation) if annotated else [[] for _ in sentences]
            if len(spans) != len(sentences):
                raise record.error(
                    f"{len(sentences)} sentences but {len(spans)} lists in `{self.annotation}`"
                )
            yield from self._sentences(record, sentences, spans, annotated)

    def _sentences(
        self, record: JsonRecord, sentences: list[list[str]], spans: list[list[Any]], annotated: bool
    ) -> Iterator[Sentence]:
        document = str(record.value["doc_key"]) if "doc_key" in record else str(record.line)
        first = 0
        for number, (words, listed) in enumerate(zip(sentences, spans, strict=True)):
            place = JsonRecord({}, record.file, record.line, path=f"{self.annotation}[{number}]")
            mentions = [self._mention(item, first, words, place, n) for n, item in enumerate(listed)]
            place.unused, record.unused = record.unused, ()
            sentence = self.annotated(words, mentions, place, document)
            if not annotated:
                sentence.spans = None
            yield sentence
            first += len(words)

    def _mention(self, item: Any, first: int, words: list[str], place: JsonRecord, number: int) -> Mention:
        """A mention over the words of its sentence, which begins at word `first` of the document."""
        here = JsonRecord({}, place.file, place.line, path=f"{place.path}[{number}]")
        found = (item[:1] if isinstance(item, list) else []) if self.annotation == "events" else [item]
        match found[0] if found else None:
            case [int(start), int(last), str(type_)] if not {type(start), type(last)} & {bool}:
                pass
            case [int(start), str(type_)] if self.annotation == "events" and type(start) is not bool:
                last = start
            case _:
                expected = "[[word, type], …]" if self.annotation == "events" else "[first, last, type]"
                raise here.error(f"expected {expected}, found {shown(item)}")
        if not first <= start <= last < first + len(words):
            among = f"which has those from {first} to {first + len(words) - 1}"
            raise here.error(f"words {start} to {last} of the document are not in this sentence, {among}")
        check(start - first, last - first + 1, type_, words, here)
        return start - first, last - first + 1, type_


def _lists(record: JsonRecord, key: str) -> list[list[Any]]:
    found: list[list[Any]] = record.get(key, list, "a list of lists")
    for number, item in enumerate(found):
        if not isinstance(item, list):
            raise record.error(f"{key}[{number}] is {shown(item)}, not a list")
    return found


def _words(record: JsonRecord, number: int) -> list[str]:
    name = f"sentences[{number}]"
    return JsonRecord({name: record.value["sentences"][number]}, record.file, record.line).strings(name)
