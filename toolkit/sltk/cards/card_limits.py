"""The limitations of a model that follow from its settings and its scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .card_facts import CardFacts
from .markdown import escaped

_FEW_SPANS = 30
"""The F1 of a type with fewer gold spans says little."""


def limits(facts: CardFacts | None, description: Mapping[str, Any], thresholds: str | None) -> Iterator[str]:
    """Limitations that follow from the settings and the scores; `thresholds` are those that sltk applies."""
    if description["scheme"] != "plain":
        yield "Spans neither overlap nor nest: each word has one tag."
    yield from _limits_of_reading(description)
    if thresholds is not None:
        yield f"sltk leaves out spans below its thresholds ({escaped(thresholds)}); the scores above are without them."
    if facts is None:
        yield "Nothing is recorded about its training and its scores."
        return
    if not facts.scores:
        yield "It was scored on no data."
    elif facts.settings.get("seed") is not None:
        yield "The scores are those of one run with one seed; the intervals cover the choice of sentences only."
    test = facts.scores.get("test") or facts.scores.get("validation")
    rare = [type_ for type_, values in (test.per_type if test else {}).items() if _is_rare(values)]
    if rare:
        yield f"The scores of these types rest on fewer than {_FEW_SPANS} spans: {', '.join(map(escaped, rare))}."
    if facts.quantization:
        kind = escaped(facts.quantization)
        yield f"It was trained on {kind} weights; an export has float32 weights, so its scores may differ slightly."


def _is_rare(values: Mapping[str, float]) -> bool:
    return values.get("support", 0) < _FEW_SPANS


def _limits_of_reading(description: Mapping[str, Any]) -> Iterator[str]:
    length = description["max_length"]
    limit = f"{length} subwords" if length else "the maximum length of the model"
    if description.get("type", "tagger") == "instruct":
        yield f"It generates the spans as text, so it is slower than a tagger; prompt and sentence must fit {limit}."
        return
    if description.get("on_overflow") == "error":
        yield f"Sentences longer than {limit} are refused."
    else:
        yield f"Sentences longer than {limit} are read in overlapping windows, which cannot see each other."
    if description.get("document_context"):
        yield (
            f"It was trained with up to {description['document_context']} subwords of the same document on each side; "
            "without them, scores are lower."
        )
    repeat = description["components"].get("backbone", {}).get("repeat", 0)
    if isinstance(repeat, int) and repeat > 0:
        yield f"It reads each sentence {repeat + 1} times in a row, which takes about as many times as long as once."
    if description.get("spacing") == "single":
        yield "It reads the words of a sentence joined by single spaces, whatever is between them in the text."
