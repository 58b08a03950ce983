"""Sentences without annotation among annotated ones: an error, sentences without spans, or left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..components.slots import Reader
from ..errors import DataError
from ..types import Sentence, Unused

_NOTE = (
    "`unannotated: outside` reads such sentences as if they had no spans, `unannotated: skip` leaves them out"
)


def is_annotated(sentence: Sentence) -> bool:
    """Whether a sentence has tags or spans, of which there may be none."""
    return sentence.tags is not None or sentence.spans is not None


def resolve(sentences: Iterable[Sentence], reader: Reader, source: object) -> Iterator[Sentence]:
    """Yield sentences of which all are annotated, or none, as the reader's `unannotated` says.

    Raises:
        DataError: only some are annotated, with `unannotated: error`; or none is, with `skip`.
    """
    unannotated = getattr(reader, "unannotated", None)
    if unannotated == "outside":
        return map(_outside, sentences)
    if unannotated == "skip":
        return _annotated_only(sentences, source)
    notes = (_NOTE,) if "unannotated" in type(reader).model_fields else ()
    return _check(sentences, source, notes)


def _check(sentences: Iterable[Sentence], source: object, notes: tuple[str, ...]) -> Iterator[Sentence]:
    first: Sentence | None = None
    for sentence in sentences:
        first = first or sentence
        if is_annotated(sentence) != is_annotated(first):
            bare = first if is_annotated(sentence) else sentence
            message = "this sentence has no tags or spans, but others have"
            raise DataError.at(message, bare.file or source, bare.line, *notes)
        yield sentence


def _outside(sentence: Sentence) -> Sentence:
    if is_annotated(sentence):
        return sentence
    report = _report(sentence, "read as if it had no spans", adjusted=True)
    return replace(sentence, spans=[], unused=(*sentence.unused, report))


def _annotated_only(sentences: Iterable[Sentence], source: object) -> Iterator[Sentence]:
    """The annotated sentences, with reports of those that are left out."""
    last: Sentence | None = None
    reports: list[Unused] = []
    for sentence in sentences:
        if not is_annotated(sentence):
            reports += (*sentence.unused, _report(sentence, "left out", adjusted=False))
            continue
        if last is not None:
            yield _with_reports(last, reports)
        else:
            sentence = _with_reports(sentence, reports)
        last, reports = sentence, []
    if last is not None:
        yield _with_reports(last, reports)
    elif reports:
        message = "no sentence is annotated, so `unannotated: skip` leaves out all of them"
        raise DataError.at(message, source)


def _with_reports(sentence: Sentence, reports: list[Unused]) -> Sentence:
    return replace(sentence, unused=(*sentence.unused, *reports)) if reports else sentence


def _report(sentence: Sentence, action: str, *, adjusted: bool) -> Unused:
    reason = f"a sentence of {len(sentence)} words without annotation, {action}"
    return Unused(sentence.file or "(data)", sentence.line, reason, adjusted=adjusted)
