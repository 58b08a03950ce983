"""Counts of the responses on a data set, and the best scores that their format allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ... import schemes
from ...schemes.names import SchemeName
from ...spec.instruct_settings import InstructSpec
from ...types import Prediction, Response
from .prompt import response_text
from .responses import read_response

Score = Callable[[Iterable[Prediction]], dict[str, Any]]


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
