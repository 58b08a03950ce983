"""One JSON object per sentence: words and tags, or text and spans of its characters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from ...types import Sentence, Unused
from ..registry import register
from ..slots import TaggedReader
from .discontinuous import DiscontinuousReader
from .json_records import JsonReader, JsonRecord
from .json_spans import SpanKeys, char_span, word_offsets
from .offset_units import CharSpan
from .offsets import AnnotatedText, OffsetReader, Offsets
from .standoff import PartlyAnnotatedReader
from .unread_keys import check_unread


@register.reader("jsonl")
class JsonlReader(DiscontinuousReader, TaggedReader, OffsetReader, PartlyAnnotatedReader, JsonReader):
    """JSON objects with `words` and `tags`, or with `text` and `spans: [{start, end, type}]` over its characters.

    A span may also be `[start, end, type]`, and a discontinuous one has its parts in `fragments: [[start, end], …]`.
    If a span repeats its text, it is compared with the text at its offsets.
    The output of the writer `jsonl` is read too: its `words` are objects with text, offsets and tag.
    """

    unwritten_defaults: ClassVar[Mapping[str, Any]] = {
        **DiscontinuousReader.unwritten_defaults,
        "fragments_field": "fragments",
    }

    words_field: str = Field(default="words", description="key of the list of words")
    tags_field: str | None = Field(
        default="tags", description="key of the list of tags, one per word; null: tags are not read"
    )
    text_field: str | None = Field(
        default="text", description="key of the text of the sentence; null: only words are read"
    )
    spans_field: str | None = Field(
        default="spans", description="key of the list of spans of the text; null: spans are not read"
    )
    start_field: str = Field(default="start", description="key in a span: its first character, from 0")
    end_field: str = Field(default="end", description="key in a span: the character after its last")
    type_field: str = Field(default="type", description="key in a span: its type")
    span_text_field: str | None = Field(
        default="text", description="key in a span: its text, if it is repeated; null: it is not compared"
    )
    fragments_field: str | None = Field(
        default="fragments",
        description="key in a span: the parts of a discontinuous span; null: only its start and end are read",
    )

    def annotation_keys(self) -> Sequence[str]:
        """The keys of spans and tags."""
        return [key for key in (self.spans_field, self.tags_field) if key is not None]

    def texts(self) -> Iterator[AnnotatedText | Sentence]:
        """Yield one text or sentence per object, without annotation if an object has neither tags nor spans.

        Raises:
            DataError: not such objects, or its parts contradict each other.
        """
        return map(self._parse, self.records())

    def _parse(self, record: JsonRecord) -> AnnotatedText | Sentence:
        parsed = self._parse_any(record)
        is_bare = parsed.spans is None and (isinstance(parsed, AnnotatedText) or parsed.tags is None)
        if is_bare and self.spans_field is not None and self.tags_field is not None:
            other = (self.text_field or "text", self.words_field)
            advice = "`spans_field: {key}` reads spans and `tags_field: {key}` tags; null reads none"
            check_unread(self, record, other, advice)
        return parsed

    def _parse_any(self, record: JsonRecord) -> AnnotatedText | Sentence:
        tags = self._tags(record)
        if self.text_field is None:
            return self._words_alone(record, tags)
        spans, unused = self._spans(record)
        record.unused += tuple(unused)
        if tags is not None and spans:
            raise record.error(
                f"both `{self.tags_field}` and `{self.spans_field}` annotate this object",
                "`tags_field: null` reads only the spans, `spans_field: null` only the tags",
            )
        text = record.string(self.text_field) if self.text_field in record else None
        if text is None and tags is None and spans is not None:
            raise record.error(
                f"`{self.spans_field}` refers to characters of `{self.text_field}`, which this object lacks"
            )
        if text is None or tags is not None:
            return self._tagged(record, text, tags)
        return self._annotated(record, text, spans)

    def _tags(self, record: JsonRecord) -> list[str] | None:
        if self.tags_field is None or self.tags_field not in record:
            return None
        return record.labels(self.tags_field, named=self.tag_names is not None)

    def _words_alone(self, record: JsonRecord, tags: list[str] | None) -> Sentence:
        sentence = self._tagged(record, None, tags)
        if sentence.tags is None and self.spans_field is not None and self.spans_field in record:
            about = f"`{self.spans_field}` refers to characters of a text"
            raise record.error(f"{about}, but `text_field: null` reads none")
        return sentence

    def _tagged(self, record: JsonRecord, text: str | None, tags: list[str] | None) -> Sentence:
        """A sentence of words with one tag each; without the text if the words are not in it."""
        words, own_tags = self._plain_words(record)
        tags = own_tags if tags is None else tags
        if tags is not None and len(words) != len(tags):
            raise record.error(f"{len(words)} words but {len(tags)} tags")
        return _with_text(words, tags, text, record)

    def _plain_words(self, record: JsonRecord) -> tuple[list[str], list[str] | None]:
        """The words, and their tags if they are objects with a `tag`."""
        if not _are_objects(record, self.words_field):
            return record.strings(self.words_field), None
        items = record.records(self.words_field)
        return [item.string("text") for item in items], self._tags_of(items)

    def _tags_of(self, words: list[JsonRecord]) -> list[str] | None:
        has_tags = self.tags_field is not None and any("tag" in word for word in words)
        return [word.string("tag") for word in words] if has_tags else None

    def _annotated(
        self, record: JsonRecord, text: str, spans: list[CharSpan] | None
    ) -> AnnotatedText | Sentence:
        """A text with its spans, or a sentence if the words have tags, or if there are words and no spans."""
        offsets = None
        if _are_objects(record, self.words_field):
            items = record.records(self.words_field)
            offsets, tags = word_offsets(items, text), self._tags_of(items)
            if tags is not None and not spans:
                words = [text[start:end] for start, end in offsets]
                return Sentence(words, tags, None, text, offsets, **record.origin)
        elif self.words_field in record:
            words = record.strings(self.words_field)
            if not spans:
                sentence = _with_text(words, None, text, record)
                sentence.spans = None if spans is None else []
                return sentence
            offsets = _locate(words, text, record)
        return AnnotatedText(text, spans, record.file, record.line, record.unused, words=offsets)

    def _spans(self, record: JsonRecord) -> tuple[list[CharSpan] | None, list[Unused]]:
        if self.spans_field is None or self.spans_field not in record:
            return None, []
        key = self.spans_field
        keys = SpanKeys(
            self.start_field, self.end_field, self.type_field, self.span_text_field, self.fragments_field
        )
        items = enumerate(record.get(key, list, "a list of spans"))
        return self.each(items, lambda each: char_span(each[1], record, f"{key}[{each[0]}]", keys))


def _are_objects(record: JsonRecord, key: str) -> bool:
    """Whether the words are objects, as the writer `jsonl` writes them."""
    words = record.value.get(key)
    return isinstance(words, list) and bool(words) and isinstance(words[0], dict)


def _with_text(words: list[str], tags: list[str] | None, text: str | None, record: JsonRecord) -> Sentence:
    """A sentence of the words, with the text if they are in it, and otherwise with a report."""
    place = None if text is None else _Places(words, text)
    if place is None or place.missing is None:
        offsets = None if place is None else place.offsets
        return Sentence(words, tags, None, text, offsets, **record.origin)
    report = Unused(record.file, record.line, f"the text is not used: {place.missing}", adjusted=True)
    origin = {**record.origin, "unused": (*record.unused, report)}
    return Sentence(words, tags, **origin)


class _Places:
    """The offsets of words that occur in a text in this order; `missing` says which word does not."""

    def __init__(self, words: list[str], text: str) -> None:
        self.offsets: Offsets = []
        self.missing: str | None = None
        place = 0
        for number, word in enumerate(words, 1):
            start = text.find(word, place)
            if start < 0:
                self.missing = f"word {number}, `{word}`, is not in the text after character {place}"
                return
            place = start + len(word)
            self.offsets.append((start, place))


def _locate(words: list[str], text: str, record: JsonRecord) -> Offsets:
    """The offsets of words in the text, for spans of its characters."""
    places = _Places(words, text)
    if places.missing is not None:
        raise record.error(places.missing, "spans of characters need words that are in the text")
    return places.offsets
