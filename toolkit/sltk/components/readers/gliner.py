"""GLiNER's training data: words, and spans over them, in JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from ...types import Sentence, Span
from ..registry import register
from .json_records import JsonReader, JsonRecord
from .json_text import excerpt
from .standoff import PartlyAnnotatedReader, StandoffReader
from .unread_keys import check_unread
from .word_spans import last_is_inside


@register.reader("gliner")
class GlinerReader(StandoffReader, PartlyAnnotatedReader, JsonReader):
    """GLiNER's JSON: objects with `tokenized_text` and `ner: [[first, last, type]]`, the last word included.

    Spans may overlap. Other keys, such as `negatives`, are not read. An object without `ner` is not annotated.
    """

    def annotation_keys(self) -> Sequence[str]:
        """The key of the spans."""
        return ["ner"]

    def read_file(self) -> Iterator[Sentence]:
        """Yield one sentence per object.

        Raises:
            DataError: not such objects, or a span outside its sentence.
        """
        for record in self.records():
            sentence = Sentence(record.strings("tokenized_text"), **record.origin)
            if "ner" in record:
                spans = record.get("ner", list, "a list of spans")
                items = [(item, record.inner({}, f"ner[{number}]")) for number, item in enumerate(spans)]
                sentence.spans, unused = self.each(items, partial(_span, words=sentence.words))
                sentence.unused += tuple(unused)
            else:
                check_unread(self, record, ["tokenized_text", "negatives"])
            yield sentence


def _span(item: tuple[Any, JsonRecord], words: list[str]) -> Span:
    value, here = item
    match value:
        case [int(first), int(last), str(type_)] if not {type(first), type(last)} & {bool}:
            if not 0 <= first <= last < len(words):
                extent = f"which has words 0 to {len(words) - 1}"
                message = f"words {first} to {last} are not in this sentence, {extent}"
                raise here.error(message, *last_is_inside(last, len(words)))
            if not type_:
                raise here.error(f"the span of words {first} to {last} has no type")
            return Span(first, last + 1, type_)
    raise here.error(f"expected [first, last, type], found {excerpt(value)}")
