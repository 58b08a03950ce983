"""One JSON object a sentence: words and tags, or text and spans of its characters."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ...types import Sentence
from ..registry import register
from ..slots import TaggedReader
from . import json_records
from .base import TextFileReader
from .json_records import JsonRecord, shown
from .offsets import CharSpan, OffsetReader, Offsets, annotated


@register.reader("jsonl")
class JsonlReader(TaggedReader, OffsetReader, TextFileReader):
    """One object a line: `words` and `tags`, or `text` and `spans: [{start, end, type}]` over its characters.

    What the writer `jsonl` writes is read too: `words` that are objects with text, offsets and tag.
    """

    words_field: str = Field(default="words", description="list of words")
    tags_field: str | None = Field(default="tags", description="list of tags, one a word; null: not read")
    text_field: str = Field(default="text", description="text of the sentence")
    spans_field: str | None = Field(
        default="spans", description="list of annotated spans of the text; null: not read"
    )
    start_field: str = Field(default="start", description="of a span: its first character, from 0")
    end_field: str = Field(default="end", description="of a span: the character after its last")
    type_field: str = Field(default="type", description="of a span: its type")

    def read(self) -> Iterator[Sentence]:
        """Yield a sentence an object; without annotation where an object has neither tags nor spans.

        Raises:
            DataError: a line is no such object, or its parts contradict each other.
        """
        for record in json_records.lines(self.path, self.encoding, self.encoding_errors):
            yield self._sentence(record)

    def _sentence(self, record: JsonRecord) -> Sentence:
        tags, spans = self._tags(record), self._spans(record)
        if tags is not None:
            if spans:
                raise record.error(
                    f"both `{self.tags_field}` and `{self.spans_field}` annotate this object",
                    "`tags_field: null` reads the spans alone, `spans_field: null` the tags",
                )
            return self._tagged(record, tags)
        if self.text_field in record:
            return self._of_text(record, record.string(self.text_field), spans)
        if spans is not None:
            raise record.error(
                f"`{self.spans_field}` are of the characters of `{self.text_field}`, which this object lacks"
            )
        return self._tagged(record, None)

    def _tagged(self, record: JsonRecord, tags: list[str] | None) -> Sentence:
        words = record.strings(self.words_field)
        if tags is not None and len(words) != len(tags):
            raise record.error(f"{len(words)} words but {len(tags)} tags")
        text = record.string(self.text_field) if self.text_field in record else None
        offsets = None if text is None else _located(words, text, record)
        return Sentence(
            words, tags, None, text, offsets, file=record.file, line=record.line, unused=record.unused
        )

    def _of_text(self, record: JsonRecord, text: str, spans: list[CharSpan] | None) -> Sentence:
        """A sentence of a text: with the words given, else those of the splitter."""
        offsets, tags = self._words_of(record, text)
        if tags is not None and not spans:
            words = [text[start:end] for start, end in offsets]
            return Sentence(
                words, tags, None, text, offsets, file=record.file, line=record.line, unused=record.unused
            )
        sentence = annotated(
            text,
            spans or [],
            offsets,
            self.misaligned,
            file=record.file,
            line=record.line,
            unused=record.unused,
        )
        if spans is None:
            sentence.spans = None
        return sentence

    def _words_of(self, record: JsonRecord, text: str) -> tuple[Offsets, list[str] | None]:
        """Offsets of the words, and their tags where words are objects that have one."""
        words = record.value.get(self.words_field)
        if words is None:
            return self.splitter.split(text), None
        if not isinstance(words, list) or not words or not isinstance(words[0], dict):
            return _located(record.strings(self.words_field), text, record), None
        items = record.records(self.words_field)
        has_tags = any("tag" in item for item in items)
        return _offsets(items, text), [item.string("tag") for item in items] if has_tags else None

    def _tags(self, record: JsonRecord) -> list[str] | None:
        if self.tags_field is None or self.tags_field not in record:
            return None
        return record.strings(self.tags_field)

    def _spans(self, record: JsonRecord) -> list[CharSpan] | None:
        if self.spans_field is None or self.spans_field not in record:
            return None
        return [
            CharSpan(
                span.integer(self.start_field), span.integer(self.end_field), span.string(self.type_field)
            )
            for span in record.records(self.spans_field)
        ]


def _offsets(words: list[JsonRecord], text: str) -> Offsets:
    """Where words given as objects say that they stand; what they say of their text must be there."""
    found, end_before = [], 0
    for word in words:
        start, end = word.integer("start"), word.integer("end")
        if not end_before <= start < end <= len(text):
            raise word.error(
                f"the word at [{start}, {end}) overlaps another, is empty or is outside the text"
            )
        if "text" in word and word.string("text") != text[start:end]:
            raise word.error(
                f"the text at [{start}, {end}) is `{text[start:end]}`, not {shown(word.value['text'])}"
            )
        found.append((start, end))
        end_before = end
    return found


def _located(words: list[str], text: str, record: JsonRecord) -> Offsets:
    """Where each word stands in the text, in order."""
    offsets, place = [], 0
    for number, word in enumerate(words, 1):
        start = text.find(word, place)
        if start < 0:
            raise record.error(f"word {number}, `{word}`, is not in the text after character {place}")
        place = start + len(word)
        offsets.append((start, place))
    return offsets
