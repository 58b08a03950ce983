"""What became of the responses of a data set, and the best that their format allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ... import schemes
from ...schemes.names import SchemeName
from ...spec.instruct_settings import InstructSpec
from ...types import Prediction, Response, Span
from .prompt import response_text
from .responses import parse

Score = Callable[[Iterable[Prediction]], dict[str, Any]]
_SHOWN = ("precision", "recall", "f1")


def counts(predictions: Iterable[Prediction]) -> dict[str, Any]:
    """How many pieces the responses had, how many of them were of no use and why, and how fast they came."""
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
    """The scores of perfect responses, written from the gold spans and read back: no model does better.

    Gold spans of a type without an option cannot be written; they count as missed.
    """
    perfect = [_perfect(each, spec, scheme) for each in predictions if each.sentence.tags is not None]
    scores = score(perfect)
    return {name: float(scores[name]) for name in _SHOWN if name in scores}


def _perfect(prediction: Prediction, spec: InstructSpec, scheme: SchemeName) -> Prediction:
    sentence = prediction.sentence
    spans = schemes.decode(sentence.tags or [], scheme).spans
    known = [span for span in spans if span.type in spec.options]
    written = Response(response_text(sentence.words, known, spec.options))
    found, response = parse(written, sentence.words, types_of(spec), spec.parsing)
    return labelled(prediction, found, response, scheme)


def labelled(
    prediction: Prediction, spans: Sequence[Span], response: Response, scheme: SchemeName
) -> Prediction:
    """The sentence of `prediction` with these spans as its tags."""
    tags = schemes.encode(spans, len(prediction.words), scheme)
    return Prediction(prediction.sentence, tags, None, list(spans), response)


def types_of(spec: InstructSpec) -> dict[str, str]:
    """The type that each option stands for."""
    return {phrase: type_ for type_, phrase in spec.options.items()}
