"""The data types of sltk: sentences, spans and predictions, without tensors or files.

Spans are half-open over words: `Span(0, 2, "PER")` covers the words 0 and 1.
Offsets are half-open over the characters of a text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Precision = Literal["fp32", "bf16", "fp16"]
"""The number format of matrix products."""
PrecisionSetting = Literal["auto", "bf16", "fp16", "fp32"]
"""What a spec or a caller asks for; the device decides what `auto` is."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Words from `start` up to, but not including, `end`, with a type."""

    start: int
    end: int
    type: str
    score: float | None = field(default=None, compare=False)
    """For predicted spans, the model's confidence; by default, the product of the tag probabilities of the words."""
    fragments: tuple[tuple[int, int], ...] = field(default=(), compare=False)
    """The words of each part of a discontinuous span, half-open, if this is its hull or one of its parts."""


@dataclass(frozen=True, slots=True)
class Unused:
    """An annotation that was left out or changed, and the reason."""

    file: str
    line: int | None
    reason: str
    type: str | None = None
    """The type of the span that is left out; None if it is not a span, or is used after all."""
    adjusted: bool = False
    """Whether it is used after all, with a change: words split for a span, or bytes of a line replaced."""


@dataclass(slots=True)
class Sentence:
    """A sentence: its words, and optionally its annotation and the text it comes from.

    The annotation is either `tags`, one per word in the scheme of the reader, or `spans`.
    With `text` there are `offsets`: `text[start:end]` is the word.
    """

    words: list[str]
    tags: list[str] | None = None
    spans: list[Span] | None = None
    text: str | None = None
    offsets: list[tuple[int, int]] | None = None
    file: str | None = None
    line: int | None = None
    """The line where the sentence begins, from 1."""
    document: str | None = None
    unused: tuple[Unused, ...] = ()
    """Annotations of this sentence that were left out or changed."""
    heads: list[int | None] | None = None
    """Dependency tree, if the source has one: the index of the head of each word, None for the root."""
    word_lines: Sequence[int] | None = field(default=None, repr=False, compare=False)
    """The line of each word, if the source has one word per line."""
    corpus: str | None = None
    """The name of the corpus that the sentence is from, if the data has several."""
    annotated: frozenset[str] | None = None
    """The types that its corpus annotates; None: all. Any other type may hide behind an `O`."""
    position: int | None = field(default=None, repr=False, compare=False)
    """Its place in the data that cross-validation divides, from 0, if it is in the test part of a fold."""

    def __post_init__(self) -> None:
        if self.tags is not None and len(self.tags) != len(self.words):
            raise ValueError(f"{len(self.words)} words but {len(self.tags)} tags")
        if (self.text is None) != (self.offsets is None):
            raise ValueError("`text` and `offsets` go together")
        if self.offsets is not None and len(self.offsets) != len(self.words):
            raise ValueError(f"{len(self.words)} words but {len(self.offsets)} offsets")

    def __len__(self) -> int:
        return len(self.words)

    def unannotated(self, types: Iterable[str]) -> frozenset[str]:
        """Those of `types`, the types of a model, that the sentence may have without an annotation."""
        return frozenset() if self.annotated is None else frozenset(types) - self.annotated

    def line_of(self, word: int) -> int | None:
        """The line of a word, or that of the sentence if the source has several words per line."""
        return self.word_lines[word] if self.word_lines else self.line

    def with_text(self) -> Sentence:
        """The sentence with its text, or with its words joined by single spaces if it has none."""
        if self.text is not None:
            return self
        offsets, start = [], 0
        for word in self.words:
            offsets.append((start, start + len(word)))
            start += len(word) + 1
        return replace(self, text=" ".join(self.words), offsets=offsets)


@dataclass(frozen=True, slots=True)
class Response:
    """The response of a language model to a prompt for the spans of a sentence, and counts of its unusable pieces."""

    text: str
    is_cut: bool = False
    """Whether the response reached the maximum length."""
    pieces: int = 0
    malformed: int = 0
    """Pieces that are not `span text:option`."""
    unknown_type: int = 0
    """Pieces with an option that the prompt does not list."""
    unmatched: int = 0
    """Pieces whose text is not in the sentence, or only in words of other spans."""
    lost_sentence: bool = False
    """Whether an unusable piece made all pieces of the sentence unusable."""
    seconds: float = field(default=0.0, compare=False)
    """Its share of the time of its batch."""


@dataclass(slots=True)
class Prediction:
    """A sentence with the predictions of a model; gold annotation stays in `sentence`.

    `tags` are those that the model chose, and metrics score. They may be ill-formed; `spans` are the well-formed ones.
    """

    sentence: Sentence
    tags: list[str]
    scores: list[float] | None = None
    """Probability of each word's tag."""
    spans: list[Span] = field(default_factory=list)
    response: Response | None = None
    """The text that a model of type `instruct` generated."""
    scheme: str | None = None
    """Scheme of the tags, in which writers encode the spans; None: unknown, so that tags are written as they are."""
    uncertainty: float | None = None
    """The model's uncertainty about the sentence, if it was asked for."""
    unscored: list[Span] = field(default_factory=list)
    """Predicted spans (or words with plain tags) of types that the sentence's corpus does not annotate: nobody knows
    whether they are right, so that `tags` and `spans` are without them where a model is scored."""
    as_trained: Prediction | None = field(default=None, repr=False, compare=False)
    """What the head chose, if constrained decoding was asked to compare itself with it."""

    @property
    def words(self) -> list[str]:
        """The words of the sentence."""
        return self.sentence.words

    @property
    def text(self) -> str:
        """The text of the sentence, or its words joined by spaces."""
        text = self.sentence.with_text().text
        assert text is not None
        return text


def span_score(scores: Iterable[float]) -> float:
    """Score of a span: the product of its words' tag probabilities."""
    return math.prod(scores, start=1.0)
