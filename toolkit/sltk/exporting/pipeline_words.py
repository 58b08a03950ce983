"""Compare the words of transformers' pipeline "token-classification" with those of sltk.

With the strategy `first` the pipeline labels each word by its first subword, as sltk does, but it finds words itself:
from spaces, or from the marks of WordPiece.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from transformers import TokenClassificationPipeline

from .gate_texts import Case


class PipelineWord(NamedTuple):
    """A word as the pipeline labels it."""

    start: int
    end: int
    label: int
    score: float
    """Probability of the label."""


class Disagreement(NamedTuple):
    """A difference between the pipeline and sltk."""

    kind: str
    """`joined`, `cut`, `blank` (white space is a word), or `score`."""
    example: str
    """The word."""


class PipelineCheck:
    """Labels texts with transformers' pipeline, word by word.

    Args:
        classifier: a token classifier of transformers.
        tokenizer: its tokenizer.
    """

    def __init__(self, classifier: Any, tokenizer: Any) -> None:
        self._config = classifier.config
        self._pipeline: Any = TokenClassificationPipeline(
            model=classifier, tokenizer=tokenizer, device=classifier.device
        )

    def words(self, case: Case) -> list[PipelineWord]:
        """The words of a text, in order, with their labels."""
        options = {"is_split_into_words": True} if case.is_split else {}
        with _separate_words(self._config), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the pipeline warns about the words that are compared here
            (groups,) = self._pipeline(
                [case.input], aggregation_strategy="first", ignore_labels=[], **options
            )
        return [
            PipelineWord(
                *_trimmed(case.text, group["start"], group["end"]),
                int(group["entity_group"]),
                float(group["score"]),
            )
            for group in groups
        ]

    def compare(self, case: Case, probabilities_WL: np.ndarray, tolerance: float) -> Iterator[Disagreement]:
        """The differences from the words of a text with these probabilities of labels."""
        found = self.words(case)
        for word in found:
            if word.start == word.end:
                yield Disagreement("blank", _next_word(case, word.start))
            inside = [(a, b) for a, b in case.offsets if word.start < b and a < word.end]
            if len(inside) > 1:
                yield Disagreement("joined", case.text[inside[0][0] : inside[1][1]])
        by_bounds = {(word.start, word.end): word for word in found}
        for (start, end), scores_L in zip(case.offsets, probabilities_WL, strict=True):
            match = by_bounds.get((start, end))
            if match is None:
                if not any(word.start <= start and end <= word.end for word in found):
                    yield Disagreement("cut", case.text[start:end])
            elif abs(match.score - scores_L[match.label]) > tolerance or not np.isclose(
                scores_L[match.label], scores_L.max(), atol=tolerance
            ):
                yield Disagreement("score", case.text[start:end])


@contextmanager
def _separate_words(config: Any) -> Iterator[None]:
    """Number the labels and mark each as the beginning of an entity, so that the pipeline joins no words."""
    labels: Mapping[int, str] = config.id2label
    config.id2label = {number: f"B-{number}" for number in labels}
    try:
        yield
    finally:
        config.id2label = labels


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Bounds without white space: offsets of SentencePiece cover the space before a word."""
    part = text[start:end]
    if not part.strip():
        return end, end
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())


def _next_word(case: Case, position: int) -> str:
    """The word after a position of the text."""
    return next((case.text[start:end] for start, end in case.offsets if start >= position), "")
