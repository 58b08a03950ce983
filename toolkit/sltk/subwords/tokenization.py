"""Encode sentences as windows of subwords that a model can read, with or without their document context."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from ..errors import DataError, ModelError, Problem, SpecError
from ..types import Sentence
from .documents import context_ids
from .pieces import Flat, Pieces, fit_words, flatten, window_bounds
from .plain_tokenizer import PlainTokenizer
from .word_tokenizer import WordTokenizer


@dataclass(slots=True)
class Window:
    """Subwords that the model reads in one pass, and the positions of the words that this window labels.

    With a `shift` of the encoder, positions are those of the vectors that are read for each word.
    """

    ids: list[int]
    first: list[int]
    """Position of the first subword of each of these words."""
    last: list[int]
    """Position of the last subword of each (inclusive)."""


@dataclass(slots=True)
class Encoding:
    """A sentence as the model reads it: one window, or several overlapping ones if it is too long."""

    windows: list[Window]
    words: int
    cut_words: int = 0
    """Number of words that lost some subwords because the word alone is longer than the model reads."""


class SubwordEncoder:
    """Encodes sentences for one tokenizer.

    Args:
        tokenizer: a fast tokenizer of transformers, or a `PlainTokenizer`.
        spacing: what is between words: `single` spaces, or the original text (`source`).
        max_length: maximum number of subwords per window, including special tokens; None for no limit.
        on_overflow: what to do with longer sentences: `window` or `error`.
        document_context: maximum number of subwords of its document to read on each side of a sentence, as far as
            they fit; these are whole words, and get no vectors.
        vectors: number of tokens for which the model has a vector; None if it is not known.
        shift: added to the positions of words; those before the first token of a window become its first token.
        copies: how often the model reads each window, for messages; `max_length` counts one copy.

    Raises:
        ValueError: the tokenizer has no fast implementation, so it reports no offsets.
        SpecError: `max_length` leaves no room for words in addition to the special tokens.
    """

    def __init__(
        self,
        tokenizer: Any,
        spacing: Literal["single", "source"] = "single",
        max_length: int | None = None,
        on_overflow: Literal["window", "error"] = "window",
        document_context: int = 0,
        vectors: int | None = None,
        shift: int = 0,
        copies: int = 1,
    ) -> None:
        self._words = WordTokenizer(PlainTokenizer.of(tokenizer))
        self._vectors = vectors
        self._copies = copies
        self.unknown = self._words.unknown
        self.spacing = spacing
        self.max_length = max_length
        self.on_overflow = on_overflow
        self.document_context = document_context
        self.shift = shift
        if self._room is not None and self._room <= 0:
            message = f"the model's {self.special_tokens} special tokens leave no room for words"
            raise SpecError(Problem(f"max_length {max_length}: {message}", path="max_length"))

    @property
    def special_tokens(self) -> int:
        """Number of special tokens around the subwords of a window."""
        return len(self._words.prefix) + len(self._words.suffix)

    def settings(self) -> tuple[object, ...]:
        """Everything except the sentences that encodings depend on: the tokenizer and the settings."""
        own = (self.spacing, self.max_length, self.on_overflow, self.document_context, self.shift)
        return (*self._words.settings(), *own)

    def encode(
        self,
        sentences: Sequence[Sentence],
        before: Sequence[Sentence] = (),
        after: Sequence[Sentence] = (),
    ) -> list[Encoding]:
        """Encode sentences, in order.

        Each sentence is encoded independently, except for its `document_context`, which comes from the surrounding
        sentences: those of `sentences`, and those `before` and `after` them.

        Raises:
            DataError: a sentence is longer than `max_length` and `on_overflow` is `error`.
            ModelError: the model has no vector for a token of these sentences.
        """
        if not self.document_context:
            split = self._words.split(sentences, self.spacing)
            self._check_lengths(split, sentences)
            return [self._windows(p, s) for p, s in zip(split, sentences, strict=True)]
        document = [*before, *sentences, *after]
        split = self._words.split(document, self.spacing)
        flats = [flatten(pieces) for pieces in split]
        numbers = range(len(before), len(before) + len(sentences))
        self._check_lengths([split[number] for number in numbers], sentences)
        return [self._in_context(number, split[number], document, flats) for number in numbers]

    @property
    def _room(self) -> int | None:
        """Number of subwords of the text that fit into a window."""
        return None if self.max_length is None else self.max_length - self.special_tokens

    def _in_context(
        self, number: int, pieces: Pieces, sentences: Sequence[Sentence], flats: Sequence[Flat]
    ) -> Encoding:
        """Encode a sentence with its document context, if the model can read more than the sentence."""
        own = flats[number]
        spare = None if self._room is None else self._room - len(own.ids)
        limit = self.document_context if spare is None else min(self.document_context, spare // 2)
        if limit <= 0 or not own.first:
            return self._windows(pieces, sentences[number])
        left, right = context_ids(sentences, flats, number, limit)
        first, last = ([position + len(left) for position in side] for side in (own.first, own.last))
        return Encoding([self._window(Flat([*left, *own.ids, *right], first, last))], len(own.first))

    def _windows(self, pieces: Pieces, sentence: Sentence) -> Encoding:
        room, whole = self._room, flatten(pieces)
        if room is None or len(whole.ids) <= room:
            return Encoding([self._window(whole)], len(whole.first))
        return self._overlapping(pieces, room)

    def _check_lengths(self, split: Sequence[Pieces], sentences: Sequence[Sentence]) -> None:
        """Report the longest sentence if it is too long and may not be read in windows."""
        room = self._room
        if room is None or self.on_overflow != "error":
            return
        length, number = max(((len(flatten(p).ids), -n) for n, p in enumerate(split)), default=(0, 0))
        if length <= room:
            return
        reads = f"the model reads {room}"
        if self._copies > 1:
            reads += f" in each of {self._copies} copies (`backbone.repeat`)"
        sentence = sentences[-number]
        raise DataError.at(
            f"a sentence has {length} subwords; {reads}",
            sentence.file or "(input)",
            sentence.line,
            "set `on_overflow: window` to read it in overlapping windows",
        )

    def _window(self, content: Flat) -> Window:
        ids, first, last = content
        if self._vectors is not None and ids and max(ids) >= self._vectors:
            raise no_vector(self._words.token(max(ids)), max(ids), self._vectors)
        prefix, suffix = self._words.prefix, self._words.suffix
        moved = len(prefix) + self.shift
        if not moved and not prefix and not suffix:
            return Window(ids, first, last)
        first, last = ([max(0, position + moved) for position in side] for side in (first, last))
        return Window([*prefix, *ids, *suffix], first, last)

    def _overlapping(self, pieces: Pieces, room: int) -> Encoding:
        """Windows that overlap by half; each word is labelled by the window with the most context around it."""
        fitting = fit_words(pieces, room)
        words, before = fitting.of_word, fitting.before
        sizes = [len(ids) + len(before.get(number, ())) for number, ids in enumerate(words)]
        bounds = list(window_bounds(sizes, room))
        borders = [
            0,
            *((start + previous_end) // 2 for (_, previous_end), (start, _) in pairwise(bounds)),
            len(words),
        ]
        windows = []
        for (start, end), (own_start, own_end) in zip(bounds, pairwise(borders), strict=True):
            within = {number - start: before[number] for number in range(start, end) if number in before}
            ids, first, last = flatten(Pieces(words[start:end], within))
            own = slice(own_start - start, own_end - start)
            windows.append(self._window(Flat(ids, first[own], last[own])))
        cut_words = sum(len(ids) > room for ids in pieces.of_word)
        return Encoding(windows, len(words), cut_words)


def no_vector(token: str, number: int, vectors: int) -> ModelError:
    """The error that a model has no vector for a token of its tokenizer."""
    message = (
        f"`{token}` is token {number} of the tokenizer, but the model has vectors for {vectors} tokens only"
    )
    note = "the tokenizer is that of another model, or has added tokens and the embedding was not resized"
    return ModelError(Problem(message, path="backbone.tokenizer", notes=(note,)))


def resolve_spacing(
    spacing: Literal["auto", "single", "source"], training: Iterable[Sentence]
) -> Literal["single", "source"]:
    """Resolve `auto` to `source` if all training sentences have their original text, otherwise to `single`."""
    if spacing != "auto":
        return spacing
    return "source" if all(sentence.text is not None for sentence in training) else "single"
