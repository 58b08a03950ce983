"""Words to subwords, by the character offsets of the text.

A tokenizer that gets one word at a time does not see what is between the words: for a byte-level BPE, "German" and
" German" are different tokens. So the whole text is tokenized, and its tokens are assigned to words by their offsets.
Each word gets at least one subword, the subwords of a word are contiguous and in order, and no subword belongs to two
words. Words for which a tokenizer violates this are tokenized one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from ..errors import DataError, Problem, SpecError
from ..files.safety import encodable
from ..types import Sentence
from .alignment import assign_tokens, nearest_with_tokens
from .documents import context_ids
from .pieces import Flat, Pieces, fit_words, flatten, window_bounds


@dataclass(slots=True)
class Window:
    """Subwords that the model reads in one pass, and the positions of the words that this window labels."""

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
        tokenizer: a fast tokenizer of transformers.
        spacing: what is between words: `single` spaces, or the original text (`source`).
        max_length: maximum number of subwords per window, including special tokens; None for no limit.
        on_overflow: what to do with longer sentences: `window` or `error`.
        document_context: maximum number of subwords of its document to read on each side of a sentence, as far as
            they fit; these are whole words, and get no vectors.

    Raises:
        ValueError: the tokenizer has no fast implementation, so it reports no offsets.
        SpecError: `max_length` leaves no room for words beside the special tokens.
    """

    def __init__(
        self,
        tokenizer: Any,
        spacing: Literal["single", "source"] = "single",
        max_length: int | None = None,
        on_overflow: Literal["window", "error"] = "window",
        document_context: int = 0,
    ) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(
                f"{type(tokenizer).__name__} reports no character offsets (it is not a fast tokenizer)"
            )
        self._backend = plain_backend(tokenizer)
        self.spacing = spacing
        self.max_length = max_length
        self.on_overflow = on_overflow
        self.document_context = document_context
        self.unknown = _unknown_id(tokenizer)
        self._prefix, self._suffix = special_ids(tokenizer)
        if self._room is not None and self._room <= 0:
            message = f"the model's {self.special_tokens} special tokens leave no room for words"
            raise SpecError(Problem(f"max_length {max_length}: {message}", path="max_length"))
        reserved = [tokenizer.convert_ids_to_tokens(number) for number in (*self._prefix, *self._suffix)]
        self._reserved = re.compile("|".join(map(re.escape, reserved))) if reserved else None
        self._lead = " " if self._needs_leading_space() else ""

    @property
    def special_tokens(self) -> int:
        """Number of special tokens around the subwords of a window."""
        return len(self._prefix) + len(self._suffix)

    def settings(self) -> tuple[object, ...]:
        """Everything except the sentences that encodings depend on: the tokenizer and the settings."""
        return (
            self._backend.to_str(), self._prefix, self._suffix, self.unknown, self._lead,
            self.spacing, self.max_length, self.on_overflow, self.document_context,
        )  # fmt: skip

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
        """
        if not self.document_context:
            split = self._split(sentences)
            return [self._windows(p, s) for p, s in zip(split, sentences, strict=True)]
        document = [*before, *sentences, *after]
        split = self._split(document)
        flats = [flatten(pieces) for pieces in split]
        numbers = range(len(before), len(before) + len(sentences))
        return [self._in_context(number, split[number], document, flats) for number in numbers]

    def _split(self, sentences: Sequence[Sentence]) -> list[Pieces]:
        """The subwords of each sentence."""
        sources = [
            s.with_text() if self.spacing == "source" else Sentence(s.words).with_text() for s in sentences
        ]
        texts = [encodable(self._lead + str(source.text)) for source in sources]
        encoded = self._backend.encode_batch(texts, add_special_tokens=False)
        return [
            self._pieces(source, text, tokens)
            for source, text, tokens in zip(sources, texts, encoded, strict=True)
        ]

    def _pieces(self, source: Sentence, text: str, tokens: Any) -> Pieces:
        """Assign each token to its word, and tokenize the words for which that fails one by one."""
        shift = len(self._lead)
        bounds = [(start + shift, end + shift) for start, end in source.offsets or []]
        pieces, broken = assign_tokens(tokens, text, bounds)
        broken.update(number for number, ids in enumerate(pieces.of_word) if not ids)
        if broken:
            self._repair(pieces, broken, bounds, text)
        if self._reserved is not None and self._reserved.search(text):
            self._replace_reserved(pieces)
        return pieces

    def _replace_reserved(self, pieces: Pieces) -> None:
        """Replace special tokens in the text: a word `</s>` does not end it, though Unigram vocabularies contain it."""
        reserved = {*self._prefix, *self._suffix}
        for ids in (*pieces.of_word, *pieces.before.values()):
            ids[:] = [self.unknown if number in reserved else number for number in ids]

    def _repair(self, pieces: Pieces, broken: set[int], bounds: Sequence[tuple[int, int]], text: str) -> None:
        """Tokenize each broken word by itself, after a space if it follows one in the text.

        If a word has no token in the text but has some by itself, a neighbouring word was assigned them. That word is
        tokenized by itself too.
        """
        alone = {number: self._tokenize_word(bounds[number], text) for number in broken}
        vanished = [number for number, (_, ids) in alone.items() if ids and not pieces.of_word[number]]
        for number in nearest_with_tokens(vanished, pieces.of_word) - alone.keys():
            alone[number] = self._tokenize_word(bounds[number], text)
        for number, (lead, ids) in alone.items():
            pieces.of_word[number] = ids or [self.unknown]
            pieces.before.pop(number, None)
            if lead and ids:
                pieces.before[number] = lead

    def _tokenize_word(self, bounds: tuple[int, int], text: str) -> tuple[list[int], list[int]]:
        """The tokens of the space before a word, and those of the word."""
        start, end = bounds
        word = text[start:end]
        if not word.strip():
            return [], []
        lead = self._lead if start > 0 and text[start - 1].isspace() else ""
        tokens = self._backend.encode(lead + word, add_special_tokens=False)
        inside = next((n for n, (_, end) in enumerate(tokens.offsets) if end > len(lead)), 0)
        return tokens.ids[:inside], tokens.ids[inside:]

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
        if self.on_overflow == "error":
            raise DataError.at(
                f"a sentence has {len(whole.ids)} subwords; the model reads {room}",
                sentence.file or "(input)",
                sentence.line,
                "`on_overflow: window` reads it in overlapping windows",
            )
        return self._overlapping(pieces, room)

    def _window(self, content: Flat) -> Window:
        ids, first, last = content
        before = len(self._prefix)
        if not before and not self._suffix:
            return Window(ids, first, last)
        return Window(
            [*self._prefix, *ids, *self._suffix], [p + before for p in first], [p + before for p in last]
        )

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

    def _needs_leading_space(self) -> bool:
        """Whether a word at the start of a text has other tokens than the same word after a space."""

        def tokens(text: str) -> list[int]:
            return list(self._backend.encode(text, add_special_tokens=False).ids)

        return tokens("a b") == [*tokens("a"), *tokens(" b")] != [*tokens("a"), *tokens("b")]


def resolve_spacing(
    spacing: Literal["auto", "single", "source"], training: Iterable[Sentence]
) -> Literal["single", "source"]:
    """Resolve `auto` to `source` if all training sentences have their original text, otherwise to `single`."""
    if spacing != "auto":
        return spacing
    return "source" if all(sentence.text is not None for sentence in training) else "single"


def plain_backend(tokenizer: Any) -> Any:
    """The `tokenizers` object of a transformers tokenizer, set up to encode texts unchanged and complete."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True  # a word `</s>` in the text is an ordinary word
    return backend


def special_ids(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that the model expects before and after a text: [CLS] and [SEP], a BOS, or nothing."""
    plain = tokenizer.backend_tokenizer.encode("a", add_special_tokens=False).ids
    full = tokenizer.backend_tokenizer.encode("a", add_special_tokens=True).ids
    for start in range(len(full) - len(plain) + 1):
        if full[start : start + len(plain)] == plain:
            return list(full[:start]), list(full[start + len(plain) :])
    return [], []


def _unknown_id(tokenizer: Any) -> int:
    """The token for a word that the tokenizer has no token for."""
    roles = ("unk_token_id", "pad_token_id", "eos_token_id", "bos_token_id")
    ids = (getattr(tokenizer, role) for role in roles)
    return next((number for number in ids if number is not None), 0)
