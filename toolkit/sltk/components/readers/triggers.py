"""Event triggers: what the readers `ace05` and `maven` have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from ...types import Sentence, Span, Unused
from ..slots import Reader
from .json_records import JsonRecord

Types = Literal["full", "subtype", "trigger"]
Mention = tuple[int, int, str]


class TriggerReader(Reader):
    """A reader of event triggers."""

    types: Types = Field(
        default="full",
        description="of spans: as annotated (full), without what precedes the last colon (subtype), or the "
        "one type `trigger` (trigger: identification)",
    )
    lowercase: bool = Field(default=False, description="write types in lower case")

    def type_of(self, annotated: str) -> str:
        """The type as the options say."""
        if self.types == "trigger":
            return "trigger"
        name = annotated.rsplit(":", 1)[-1] if self.types == "subtype" else annotated
        return name.lower() if self.lowercase else name

    def sentence(
        self, words: list[str], mentions: Iterable[Mention], record: JsonRecord, document: str | None
    ) -> Sentence:
        """The sentence with a span for each mention.

        Of mentions that share words the last one stays (as in Dukić and Šnajder 2024); others are `unused`.

        Raises:
            DataError: a mention that has no words of the sentence.
        """
        spans: list[Span] = []
        unused: list[Unused] = []
        for start, end, type_ in mentions:
            if not 0 <= start < end <= len(words):
                raise record.error(
                    f"words [{start}, {end}) of a trigger, in a sentence of {len(words)} words"
                )
            if not type_:
                raise record.error(f"the trigger at word {start} has no event type")
            span = Span(start, end, self.type_of(type_))
            overwritten = [other for other in spans if other.start < end and start < other.end]
            unused += _reports(overwritten, span, words, record)
            spans = [other for other in spans if other not in overwritten] + [span]
        return Sentence(
            words,
            spans=sorted(spans),
            file=record.file,
            line=record.line,
            document=document,
            unused=(*record.unused, *unused),
        )

    @classmethod
    def example(cls) -> list[Sentence]:
        """Sentences with event triggers."""
        from ..examples import event_sentences

        return event_sentences()


def _reports(overwritten: list[Span], span: Span, words: list[str], record: JsonRecord) -> Iterator[Unused]:
    for other in overwritten:
        trigger = " ".join(words[other.start : other.end])
        reason = f"the trigger `{trigger}` ({other.type}) is overwritten by a later one ({span.type})"
        yield Unused(record.file, record.line, reason, other.type)
