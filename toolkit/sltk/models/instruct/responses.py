"""Read responses back as spans: tolerantly, or as in the paper (section 5); count and score them.

Both modes split a response at `;`, split each piece at its last `:`, and search the sentence for the words of the span,
from a cursor that moves forward.

paper       A malformed piece, or one of an unknown type, discards all spans of the sentence. The search never goes
            back behind the cursor.
tolerant    A malformed piece is skipped. A span that does not follow the cursor is matched at its first free place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from ... import schemes
from ...schemes.names import SchemeName
from ...spec.instruct_settings import OPTION, SPAN, InstructSpec
from ...types import Prediction, Response, Sentence, Span
from .prompt import readable, response_text

Score = Callable[[Sequence[Prediction]], dict[str, Any]]


def read_response(
    response: Response, sentence: Sentence, spec: InstructSpec, scheme: SchemeName
) -> Prediction:
    """Label a sentence with the spans that a response names."""
    types = {phrase: type_ for type_, phrase in spec.options.items()}
    spans, response = parse(response, sentence.words, types, spec.parsing)
    return Prediction(sentence, schemes.encode(spans, len(sentence), scheme), None, spans, response, scheme)


def parse(
    response: Response, words: Sequence[str], types: dict[str, str], mode: Literal["tolerant", "paper"]
) -> tuple[list[Span], Response]:
    """The spans that a response names, in order, and the response with counts of the pieces that were not used.

    Args:
        response: the response of the model.
        words: the words of the sentence.
        types: the type of each option.
        mode: what a malformed piece discards: itself, or all spans of the sentence (`paper`).
    """
    text = response.text.strip()
    pieces = text.split(SPAN) if text else []
    pairs = [pair for piece in pieces if (pair := _text_and_option(piece)) is not None]
    known = [pair for pair in pairs if pair[1] in types]
    counted = replace(
        response,
        pieces=len(pieces),
        malformed=len(pieces) - len(pairs),
        unknown_type=len(pairs) - len(known),
    )
    if mode == "paper" and len(known) < len(pieces):
        return [], replace(counted, lost_sentence=True)
    spans = _match(known, readable(words), types, forward_only=mode == "paper")
    return sorted(spans), replace(counted, unmatched=len(known) - len(spans))


def _text_and_option(piece: str) -> tuple[str, str] | None:
    """Text and option of a piece; None if it is malformed."""
    text, _, option = (part.strip() for part in piece.rpartition(OPTION))
    return (text, option) if text and option else None


def _match(
    pairs: Sequence[tuple[str, str]], words: Sequence[str], types: dict[str, str], *, forward_only: bool
) -> list[Span]:
    """Spans without overlap for the texts that occur in the sentence."""
    spans: list[Span] = []
    is_taken = [False] * len(words)
    cursor = 0
    for text, option in pairs:
        places = list(_places(text, words, is_taken))
        ahead = (place for place in places if place[0] >= cursor)
        place = next(ahead, places[0] if places and not forward_only else None)
        if place is None:
            continue
        start, end = place
        spans.append(Span(start, end, types[option]))
        is_taken[start:end] = [True] * (end - start)
        cursor = max(cursor, end)
    return spans


def _places(text: str, words: Sequence[str], is_taken: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Words that give the text when joined by spaces, and that belong to no span yet."""
    for start in range(len(words)):
        end, length = start, -1
        while end < len(words) and length < len(text):
            length += 1 + len(words[end])
            end += 1
        if length == len(text) and " ".join(words[start:end]) == text and not any(is_taken[start:end]):
            yield start, end


def counts(predictions: Iterable[Prediction]) -> dict[str, Any]:
    """Number of responses and pieces, number of pieces that could not be used by reason, and speed."""
    responses = [each.response for each in predictions if each.response is not None]
    seconds = sum(response.seconds for response in responses)
    return {
        "responses": len(responses),
        "pieces": sum(response.pieces for response in responses),
        "malformed": sum(response.malformed for response in responses),
        "unknown_type": sum(response.unknown_type for response in responses),
        "unmatched": sum(response.unmatched for response in responses),
        "lost_sentences": sum(response.lost_sentence for response in responses),
        "cut": sum(response.is_cut for response in responses),
        "seconds": round(seconds, 3),
        "sentences_per_second": round(len(responses) / seconds, 2) if seconds else None,
    }


def ceiling(
    predictions: Iterable[Prediction], spec: InstructSpec, scheme: SchemeName, score: Score
) -> dict[str, float]:
    """The scores of perfect responses, made from the gold spans and read back: no model can score higher.

    Gold spans of a type without an option cannot be written and count as missed.
    """
    perfect = [_perfect(each, spec, scheme) for each in predictions if each.sentence.tags is not None]
    scores = score(perfect)
    return {name: float(scores[name]) for name in ("precision", "recall", "f1") if name in scores}


def _perfect(prediction: Prediction, spec: InstructSpec, scheme: SchemeName) -> Prediction:
    sentence = prediction.sentence
    spans = schemes.decode(sentence.tags or [], scheme).spans
    known = [span for span in spans if span.type in spec.options]
    response = Response(response_text(sentence.words, known, spec.options))
    return read_response(response, sentence, spec, scheme)
