"""Set the entities or a span group of a spaCy document, with scores, and without overlapping entities."""

from __future__ import annotations

from typing import Any

SCORE = "sltk_score"
LEFT_OUT = "sltk_left_out"

Scored = tuple[Any, float | None]
"""A span of a document, and its score."""


def register_extensions() -> None:
    """Register `span._.sltk_score` and `doc._.sltk_left_out`."""
    from spacy.tokens import Doc, Span

    if not Span.has_extension(SCORE):
        Span.set_extension(SCORE, default=None)
    if not Doc.has_extension(LEFT_OUT):
        Doc.set_extension(LEFT_OUT, default=())


def set_entities(doc: Any, spans: list[Scored], *, overwrite: bool) -> None:
    """Add entities to those of the document.

    Entities do not overlap. An existing entity stays, unless `overwrite` is set; a blocked token never becomes part
    of one. Entities that give way are listed in `doc._.sltk_left_out`: first and last character, label, score.
    """
    existing = list(doc.ents)
    blocked = [doc[token.i : token.i + 1] for token in doc if token.ent_iob_ == "B" and not token.ent_type]
    taken = _tokens(blocked if overwrite else [*blocked, *existing])
    new: list[Scored] = []
    left_out: list[Scored] = []
    for span, score in spans:
        is_free = taken.isdisjoint(_tokens([span]))
        (new if is_free else left_out).append((span, score))
        taken |= _tokens([span])
    replaced = _tokens([span for span, _ in new])
    kept: list[Any] = []
    for entity in existing:
        if replaced.isdisjoint(_tokens([entity])):
            kept.append(entity)
        else:
            left_out.append((entity, entity._.get(SCORE)))
    doc.set_ents([*kept, *(span for span, _ in new)], blocked=blocked, default="outside")
    _set_scores(new)
    if left_out:
        doc._.set(
            LEFT_OUT, [(span.start_char, span.end_char, span.label_, score) for span, score in left_out]
        )


def set_group(doc: Any, spans: list[Scored], key: str) -> None:
    """Replace the span group `key`; its scores are in `doc.spans[key].attrs["scores"]` too, as with `spancat`."""
    import numpy as np
    from spacy.tokens import SpanGroup

    scores = np.asarray([np.nan if score is None else score for _, score in spans], dtype="float32")
    doc.spans[key] = SpanGroup(doc, name=key, spans=[span for span, _ in spans], attrs={"scores": scores})
    _set_scores(spans)


def _set_scores(spans: list[Scored]) -> None:
    for span, score in spans:
        span._.set(SCORE, score)


def _tokens(spans: list[Any]) -> set[int]:
    return {index for span in spans for index in range(span.start, span.end)}
