"""What flows through sltk: sentences in, predictions out. No tensors, no files.

Spans are half-open over words: `Span(0, 2, "PER")` covers the words 0 and 1.
Offsets are half-open over the characters of a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Words `start` to `end` (not included) have the type `type`."""

    start: int
    end: int
    type: str
    score: float | None = field(default=None, compare=False)
    """Product of the tag probabilities of its words, for predicted spans."""


@dataclass(frozen=True, slots=True)
class Unused:
    """One annotation that could not be used as it stands, and why."""

    file: str
    line: int | None
    reason: str
    type: str | None = None
    """The type of the span that was left out; None where it is no span, or is used nevertheless."""
    adjusted: bool = False
    """Whether the span is used nevertheless: words were cut for it, or it was widened to whole ones."""


@dataclass(slots=True)
class Sentence:
    """One sentence: its words, perhaps its annotation, perhaps the text it was cut from.

    Annotation is either `tags`, one a word, in the scheme of the reader, or `spans`.
    Words cut from a text have `text` and `offsets`: `text[start:end]` is the word.
    """

    words: list[str]
    tags: list[str] | None = None
    spans: list[Span] | None = None
    text: str | None = None
    offsets: list[tuple[int, int]] | None = None
    file: str | None = None
    line: int | None = None
    """Where the sentence begins, from 1."""
    document: str | None = None
    unused: tuple[Unused, ...] = ()
    """Annotations of this sentence that are not among its tags or spans."""
    heads: list[int | None] | None = None
    """Of each word, the number of the word that governs it, None for the root; where the source has a tree."""
    word_lines: Sequence[int] | None = field(default=None, repr=False, compare=False)
    """Of each word its line, where the source has a word a line."""

    def __post_init__(self) -> None:
        if self.tags is not None and len(self.tags) != len(self.words):
            raise ValueError(f"{len(self.words)} words but {len(self.tags)} tags")
        if (self.text is None) != (self.offsets is None):
            raise ValueError("`text` and `offsets` go together")
        if self.offsets is not None and len(self.offsets) != len(self.words):
            raise ValueError(f"{len(self.words)} words but {len(self.offsets)} offsets")

    def __len__(self) -> int:
        return len(self.words)

    def with_text(self) -> Sentence:
        """The sentence with a text: its own, or its words joined by single spaces."""
        if self.text is not None:
            return self
        text, offsets = joined(self.words)
        return Sentence(
            self.words, self.tags, self.spans, text, offsets, self.file, self.line, self.document, self.unused,
            self.heads, self.word_lines,
        )  # fmt: skip


def joined(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Words joined by single spaces, and the offsets of each in that text."""
    offsets, start = [], 0
    for word in words:
        offsets.append((start, start + len(word)))
        start += len(word) + 1
    return " ".join(words), offsets


@dataclass(frozen=True, slots=True)
class Response:
    """What a language model wrote when it was asked for the spans of a sentence, and what of it was of no use."""

    text: str
    is_cut: bool = False
    """Whether it ran into the limit of its length."""
    pieces: int = 0
    malformed: int = 0
    """Pieces that are not `span text:option`."""
    unknown_type: int = 0
    """Pieces whose option is none of those given."""
    unmatched: int = 0
    """Pieces whose text is not in the sentence, or not where it could be."""
    lost_sentence: bool = False
    """Whether a piece that could not be used cost all the others."""
    seconds: float = field(default=0.0, compare=False)
    """Its share of the time that its batch took."""


@dataclass(slots=True)
class Prediction:
    """A sentence as a model labelled it. Gold annotation stays in `sentence`."""

    sentence: Sentence
    tags: list[str]
    scores: list[float] | None = None
    """Probability of each word's tag."""
    spans: list[Span] = field(default_factory=list)
    response: Response | None = None
    """What a model of type `instruct` wrote."""

    @property
    def words(self) -> list[str]:
        """The words that were labelled."""
        return self.sentence.words

    @property
    def text(self) -> str:
        """The text the words were cut from, or the words joined by spaces."""
        text = self.sentence.with_text().text
        assert text is not None
        return text


def span_score(scores: Iterable[float]) -> float:
    """Score of a span: the product of its words' tag probabilities."""
    product = 1.0
    for score in scores:
        product *= score
    return product
