"""Prodigy: texts with annotated characters, as `prodigy db-out` writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...types import Sentence, Unused
from ..registry import register
from .json_records import JsonReader, JsonRecord
from .json_spans import SpanKeys, char_span, word_offsets
from .json_text import excerpt
from .left_out import attach_reports, text_outside
from .offset_units import CharSpan
from .offsets import AnnotatedText, OffsetReader, Offsets
from .standoff import PartlyAnnotatedReader
from .unread_keys import check_unread

_ANSWERS = ("accept", "reject", "ignore")
_CATEGORIES = ("label", "options", "accept")  # of whole texts
_SPAN = SpanKeys("start", "end", "label")
_SINGLE = (
    "an answer to one suggestion (view `ner`): nobody annotated the words outside it, which are read as `O`"
)


@register.reader("prodigy")
class ProdigyReader(OffsetReader, PartlyAnnotatedReader, JsonReader):
    """Prodigy's JSON lines: objects with `text` and `spans: [{start, end, label}]`; words are the `tokens`, if any.

    Objects whose `answer` is `reject` or `ignore` are left out and reported. An accepted object without `spans` has
    none, unless the answer is on categories (`label`, `options` or `accept`): such objects, and those without `answer`
    and `spans`, are not annotated. Relations and categories are not read. An object is one sentence and one document.
    """

    def annotation_keys(self) -> Sequence[str]:
        """The key of the spans."""
        return ["spans"]

    def texts(self) -> Iterator[AnnotatedText | Sentence]:
        """Yield one text per object that is not left out.

        Raises:
            DataError: not such objects, or tokens that are not in the text or overlap.
        """
        return attach_reports(map(self._parse, self.records()))

    def _parse(self, record: JsonRecord) -> AnnotatedText | Unused:
        answer = record.string("answer") if "answer" in record else None
        if answer not in (None, *_ANSWERS):
            raise record.error(f"`answer` is {excerpt(answer)}, not one of {', '.join(_ANSWERS)}")
        text = record.string("text")
        if answer in ("reject", "ignore"):
            number = len(record.get("spans", list, "a list of spans")) if "spans" in record else 0
            reason = f"left out: its `answer` is `{answer}` ({number} spans)"
            return Unused(record.file, record.line, reason)
        tokens = record.records("tokens") if "tokens" in record else None
        words = None if tokens is None else word_offsets(tokens, text)
        is_answer_on_spans = answer is not None and not any(key in record for key in _CATEGORIES)
        spans: list[CharSpan] | None = [] if is_answer_on_spans else None
        unused: list[Unused] = []
        if "spans" in record:
            items = enumerate(record.get("spans", list, "a list of spans"))
            spans, unused = self.each(items, lambda each: _span(*each, record, words))
        else:
            check_unread(self, record, ["text", "tokens", "relations", "meta", *_CATEGORIES])
        if record.value.get("_view_id") == "ner" or record.value.get("_is_binary") is True:
            unused.append(Unused(record.file, record.line, _SINGLE, adjusted=True))
        if words is not None:
            words = [(start, end) for start, end in words if text[start:end].strip()]
            unused += text_outside(text, words, record.file, record.line)
        reports = (*record.unused, *unused)
        return AnnotatedText(text, spans, record.file, record.line, reports, str(record.number), words)


def _span(number: int, item: object, record: JsonRecord, words: Offsets | None) -> CharSpan:
    """A span, whose tokens must be those at its offsets."""
    step = f"spans[{number}]"
    span = char_span(item, record, step, _SPAN)
    if isinstance(item, dict) and words is not None and {"token_start", "token_end"} <= item.keys():
        inner = record.inner(item, step)
        first, last = inner.integer("token_start"), inner.integer("token_end")
        if not 0 <= first <= last < len(words) or (words[first][0], words[last][1]) != (span.start, span.end):
            raise inner.error(f"tokens {first} to {last} are not at [{span.start}, {span.end})")
    return span
