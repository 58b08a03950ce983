"""One JSON object per sentence: words and tags, or text and spans of its characters."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ...types import Sentence
from ..registry import register
from ..slots import TaggedReader
from .json_records import JsonReader, JsonRecord
from .json_text import excerpt
from .offsets import CharSpan, OffsetReader, Offsets


@register.reader("jsonl")
class JsonlReader(TaggedReader, OffsetReader, JsonReader):
    """JSON objects with `words` and `tags`, or with `text` and `spans: [{start, end, type}]` over its characters.

    The output of the writer `jsonl` is read too: its `words` are objects with text, offsets and tag.
    """

    words_field: str = Field(default="words", description="key of the list of words")
    tags_field: str | None = Field(
        default="tags", description="key of the list of tags, one per word; null: tags are not read"
    )
    text_field: str = Field(default="text", description="key of the text of the sentence")
    spans_field: str | None = Field(
        default="spans", description="key of the list of spans of the text; null: spans are not read"
    )
    start_field: str = Field(default="start", description="key in a span: its first character, from 0")
    end_field: str = Field(default="end", description="key in a span: the character after its last")
    type_field: str = Field(default="type", description="key in a span: its type")

    def read_file(self) -> Iterator[Sentence]:
        """Yield one sentence per object, without annotation if an object has neither tags nor spans.

        Raises:
            DataError: not such objects, or its parts contradict each other.
        """
        return map(self._sentence, self.records())

    def _sentence(self, record: JsonRecord) -> Sentence:
        tags = self._tags(record)
        spans = self._spans(record)
        if tags is not None and spans:
            raise record.error(
                f"both `{self.tags_field}` and `{self.spans_field}` annotate this object",
                "`tags_field: null` reads only the spans, `spans_field: null` only the tags",
            )
        text = record.string(self.text_field) if self.text_field in record else None
        if tags is None and spans is not None and text is None:
            raise record.error(
                f"`{self.spans_field}` refers to characters of `{self.text_field}`, which this object lacks"
            )
        if tags is not None or text is None:
            words = record.strings(self.words_field)
            if tags is not None and len(words) != len(tags):
                raise record.error(f"{len(words)} words but {len(tags)} tags")
            offsets = None if text is None else _locate(words, text, record)
            return Sentence(words, tags, None, text, offsets, **record.origin)
        offsets, tags = self._words(record, text)
        if tags is not None and not spans:
            words = [text[start:end] for start, end in offsets]
            return Sentence(words, tags, None, text, offsets, **record.origin)
        return self.annotate(text, spans, offsets, **record.origin)

    def _tags(self, record: JsonRecord) -> list[str] | None:
        if self.tags_field is None or self.tags_field not in record:
            return None
        return record.labels(self.tags_field, named=self.tag_names is not None)

    def _words(self, record: JsonRecord, text: str) -> tuple[Offsets, list[str] | None]:
        """Offsets of the words of a text, and tags if the words are objects with a `tag`."""
        words = record.value.get(self.words_field)
        if words is None:
            return self.splitter.split(text), None
        if not isinstance(words, list) or not words or not isinstance(words[0], dict):
            return _locate(record.strings(self.words_field), text, record), None
        items = record.records(self.words_field)
        has_tags = any("tag" in item for item in items)
        return _offsets(items, text), [item.string("tag") for item in items] if has_tags else None

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
    """The offsets in word objects, checked against the text."""
    offsets, end_before = [], 0
    for word in words:
        start, end = word.integer("start"), word.integer("end")
        if not end_before <= start < end <= len(text):
            raise word.error(
                f"the word at [{start}, {end}) overlaps another, is empty or is outside the text"
            )
        if "text" in word and word.string("text") != text[start:end]:
            raise word.error(
                f"the text at [{start}, {end}) is `{text[start:end]}`, not {excerpt(word.value['text'])}"
            )
        offsets.append((start, end))
        end_before = end
    return offsets


def _locate(words: list[str], text: str, record: JsonRecord) -> Offsets:
    """The offsets of words that occur in the text in this order."""
    offsets, place = [], 0
    for number, word in enumerate(words, 1):
        start = text.find(word, place)
        if start < 0:
            raise record.error(f"word {number}, `{word}`, is not in the text after character {place}")
        place = start + len(word)
        offsets.append((start, place))
    return offsets
