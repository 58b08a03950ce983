"""spaCy documents as sentences of words, and predicted spans as spans of a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..types import Prediction, Sentence


@dataclass(frozen=True, slots=True)
class DocSentence:
    """A sentence of a document: its words, and the index of the token of each."""

    words: Sentence
    tokens: list[int]

    def spans(self, doc: Any, prediction: Prediction) -> list[tuple[Any, float | None]]:
        """The predicted spans as spans of the document, with their scores."""
        return [
            (_span(doc, self.tokens[span.start], self.tokens[span.end - 1] + 1, span.type), span.score)
            for span in prediction.spans
        ]


def sentences(doc: Any) -> list[DocSentence]:
    """The sentences of a document, or all of it as one; white-space tokens are no words.

    A sentence without words is left out.
    """
    has_boundaries = len(doc) and doc.has_annotation("SENT_START")  # true of an empty document
    parts = doc.sents if has_boundaries else [doc[:]]
    return [sentence for sentence in map(_sentence, parts) if sentence.tokens]


def _sentence(part: Any) -> DocSentence:
    words = [token for token in part if not token.text.isspace()]
    first = part.start_char
    offsets = [(token.idx - first, token.idx + len(token) - first) for token in words]
    sentence = Sentence([token.text for token in words], text=part.text, offsets=offsets)
    return DocSentence(sentence, [token.i for token in words])


def _span(doc: Any, start: int, end: int, label: str) -> Any:
    from spacy.tokens import Span

    return Span(doc, start, end, label=label)
