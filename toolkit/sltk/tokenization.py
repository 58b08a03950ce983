"""Words to subwords, by the offsets of the text itself.

A tokenizer that is given words one by one loses what stands between them: for a byte-level BPE "German" and
" German" are different tokens. So the text is tokenised whole, and its tokens are mapped to words by their
character offsets. Every word ends up with at least one subword, the subwords of a word are contiguous and in
order, and no subword belongs to two words; words for which a tokenizer breaks this are tokenised by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from .errors import DataError, Problem, SpecError
from .types import Sentence

_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, as JSON may hold one: tokenizers take none."""


@dataclass(slots=True)
class Window:
    """One run of subwords that the model reads at once, and where the words it answers for lie in it."""

    ids: list[int]
    first: list[int]
    """Position of the first subword of each word that this window answers for."""
    last: list[int]
    """Position of the last subword (itself, not one past it)."""


@dataclass(slots=True)
class Encoding:
    """A sentence as the model reads it: one window, or several that overlap where it is too long."""

    windows: list[Window]
    words: int
    cut_words: int = 0
    """Words of which some subwords were left out, because the word alone is longer than the model reads."""


@dataclass(slots=True)
class _Pieces:
    """Subwords of a sentence: those of each word, and those that stand before it and belong to none."""

    of_word: list[list[int]]
    before: dict[int, list[int]] = field(default_factory=dict)


class SubwordEncoder:
    """Encodes sentences for one tokenizer.

    Args:
        tokenizer: a fast tokenizer of transformers.
        spacing: what stands between words: `single` spaces, or what the `source` text has.
        max_length: subwords a window may have, special tokens included; None for no limit.
        on_overflow: what happens to a longer sentence: `window` or `error`.

    Raises:
        ValueError: the tokenizer has no fast implementation, hence no offsets.
        SpecError: `max_length` leaves no room beside the special tokens.
    """

    def __init__(
        self,
        tokenizer: Any,
        spacing: Literal["single", "source"] = "single",
        max_length: int | None = None,
        on_overflow: Literal["window", "error"] = "window",
    ) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(
                f"{type(tokenizer).__name__} reports no character offsets (it is not a fast tokenizer)"
            )
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = True  # a word `</s>` is a word like any other
        self.spacing = spacing
        self.max_length = max_length
        self.on_overflow = on_overflow
        self._unknown = _some_id(tokenizer)
        self._prefix, self._suffix = _special_ids(tokenizer)
        if max_length is not None and max_length <= len(self._prefix) + len(self._suffix):
            kept = (
                f"the model's {len(self._prefix) + len(self._suffix)} special tokens leave no room for words"
            )
            raise SpecError(Problem(f"max_length {max_length}: {kept}", path="max_length"))
        reserved = [tokenizer.convert_ids_to_tokens(number) for number in (*self._prefix, *self._suffix)]
        self._reserved = re.compile("|".join(map(re.escape, reserved))) if reserved else None
        self._lead = " " if self._wants_leading_space() else ""

    def encode(self, sentences: Sequence[Sentence]) -> list[Encoding]:
        """Encode sentences, each by itself; the order is kept.

        Raises:
            DataError: a sentence is longer than `max_length` and `on_overflow` is `error`.
        """
        sources = [
            s.with_text() if self.spacing == "source" else Sentence(s.words).with_text() for s in sentences
        ]
        texts = [_SURROGATE.sub("\ufffd", self._lead + str(source.text)) for source in sources]
        encoded = self._backend.encode_batch(texts, add_special_tokens=False)
        return [
            self._windows(self._pieces(source, text, tokens), sentence)
            for sentence, source, text, tokens in zip(sentences, sources, texts, encoded, strict=True)
        ]

    def _pieces(self, source: Sentence, text: str, tokens: Any) -> _Pieces:
        """Give each token to the word it lies in; re-tokenise the words for which that does not work."""
        shift = len(self._lead)
        bounds = [(start + shift, end + shift) for start, end in source.offsets or []]
        # One bound more, so that the next word always has a start.
        bounds.append((len(text) + 1, len(text) + 1))
        count = len(bounds) - 1
        of_word: list[list[int]] = [[] for _ in range(count)]
        pieces = _Pieces(of_word)
        broken: set[int] = set()
        word = reached = 0
        for token, (start, end) in zip(tokens.ids, tokens.offsets, strict=True):
            if start < end and (text[start].isspace() or text[end - 1].isspace()):
                start, end = _without_space(text, start, end, bounds, word)
            while word < count and bounds[word][1] <= start:
                word += 1
            if start < reached:
                broken.update(range(count))  # offsets that run backwards cannot be trusted at all
            reached = start
            if end <= bounds[word][0]:
                pieces.before.setdefault(word, []).append(token)  # white space, or a token of no width
                continue
            if bounds[word + 1][0] < end:
                broken.update(other for other in range(word, count) if bounds[other][0] < end)
            of_word[word].append(token)
        broken.update(number for number, ids in enumerate(of_word) if not ids)
        if broken:
            self._repair(pieces, broken, source, text)
        if self._reserved is not None and self._reserved.search(text):
            self._disarm(pieces)
        return pieces

    def _disarm(self, pieces: _Pieces) -> None:
        """A word `</s>` is no end of the text, though some vocabularies (Unigram's) have it as a piece."""
        reserved = {*self._prefix, *self._suffix}
        for ids in (*pieces.of_word, *pieces.before.values()):
            ids[:] = [self._unknown if number in reserved else number for number in ids]

    def _repair(self, pieces: _Pieces, broken: set[int], source: Sentence, text: str) -> None:
        """Tokenise each broken word by itself, as a word after a space if it stands after one."""
        offsets = source.offsets or []
        shift = len(self._lead)
        for number in broken:
            start = offsets[number][0] + shift
            spaced = self._lead if start > 0 and text[start - 1].isspace() else ""
            word = text[start : offsets[number][1] + shift]
            ids = self._backend.encode(spaced + word, add_special_tokens=False).ids if word.strip() else []
            pieces.of_word[number] = ids or [self._unknown]
            pieces.before.pop(number, None)

    def _windows(self, pieces: _Pieces, sentence: Sentence) -> Encoding:
        room = None if self.max_length is None else self.max_length - len(self._prefix) - len(self._suffix)
        ids, first, last = _flat(pieces)
        if room is None or len(ids) <= room:
            return Encoding([self._window(ids, first, last)], len(first))
        if self.on_overflow == "error":
            raise DataError.at(
                f"a sentence has {len(ids)} subwords; the model reads {room}",
                sentence.file or "(input)",
                sentence.line,
                "`on_overflow: window` reads it in overlapping windows",
            )
        return self._overlapping(pieces, room)

    def _window(self, ids: list[int], first: list[int], last: list[int]) -> Window:
        before = len(self._prefix)
        if not before and not self._suffix:
            return Window(ids, first, last)
        return Window(
            [*self._prefix, *ids, *self._suffix], [p + before for p in first], [p + before for p in last]
        )

    def _overlapping(self, pieces: _Pieces, room: int) -> Encoding:
        """Windows that overlap by half; each word is answered for by the window that sees most around it."""
        fitted = _fitted(pieces, room)
        words, before = fitted.of_word, fitted.before
        sizes = [len(ids) + len(before.get(number, ())) for number, ids in enumerate(words)]
        runs = list(_runs(sizes, room))
        borders = [0, *((run[0] + previous[1]) // 2 for previous, run in pairwise(runs)), len(words)]
        windows = []
        for (start, end), (own_start, own_end) in zip(runs, pairwise(borders), strict=True):
            within = {number - start: before[number] for number in range(start, end) if number in before}
            ids, first, last = _flat(_Pieces(words[start:end], within))
            owned = slice(own_start - start, own_end - start)
            windows.append(self._window(ids, first[owned], last[owned]))
        cut = sum(len(ids) > room for ids in pieces.of_word)
        return Encoding(windows, len(words), cut)

    def _wants_leading_space(self) -> bool:
        """Whether a word at the start of a text is another token than the same word after a space."""

        def tokens(text: str) -> list[int]:
            return list(self._backend.encode(text, add_special_tokens=False).ids)

        return tokens("a b") == [*tokens("a"), *tokens(" b")] != [*tokens("a"), *tokens("b")]


def _without_space(
    text: str, start: int, end: int, bounds: list[tuple[int, int]], word: int
) -> tuple[int, int]:
    """A token's offsets without the white space around it, unless a word itself is that white space."""
    if start == end or not (text[start].isspace() or text[end - 1].isspace()):
        return start, end
    tight_start, tight_end = start, end
    while tight_start < end and text[tight_start].isspace():
        tight_start += 1
    while tight_end > tight_start and text[tight_end - 1].isspace():
        tight_end -= 1
    if tight_start < tight_end:
        return tight_start, tight_end
    while word < len(bounds) and bounds[word][1] <= start:
        word += 1
    inside = word < len(bounds) and bounds[word][0] < end
    return (max(start, bounds[word][0]), end) if inside else (end, end)


def _flat(pieces: _Pieces) -> tuple[list[int], list[int], list[int]]:
    """All subwords in order, and the position of the first and last of each word."""
    ids: list[int] = []
    first, last = [], []
    before = pieces.before
    for number, own in enumerate(pieces.of_word):
        if before and number in before:
            ids += before[number]
        first.append(len(ids))
        ids += own
        last.append(len(ids) - 1)
    ids += before.get(len(pieces.of_word), ())
    return ids, first, last


def _fitted(pieces: _Pieces, room: int) -> _Pieces:
    """No word alone longer than `room`: its middle is left out, and what stands before it if that is too much."""
    words = [ids if len(ids) <= room else ids[: room - 1] + ids[-1:] for ids in pieces.of_word]
    before = {
        number: ids
        for number, ids in pieces.before.items()
        if number < len(words) and len(ids) + len(words[number]) <= room
    }
    return _Pieces(words, before)


def _runs(sizes: list[int], room: int) -> Iterator[tuple[int, int]]:
    """Runs of words [start, end) of at most `room` subwords, each starting in the middle of the one before."""
    start = 0
    while True:
        end, used = start, 0
        while end < len(sizes) and used + sizes[end] <= room:
            used += sizes[end]
            end += 1
        yield start, end
        if end == len(sizes):
            return
        # Step back over half of the window, and forward by at least one word.
        back, overlap = end, 0
        while back - 1 > start and overlap + sizes[back - 1] <= room // 2:
            back -= 1
            overlap += sizes[back]
        start = back


def _special_ids(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What the model expects before and after a text: [CLS] and [SEP], a BOS, or nothing."""
    plain = tokenizer.backend_tokenizer.encode("a", add_special_tokens=False).ids
    full = tokenizer.backend_tokenizer.encode("a", add_special_tokens=True).ids
    for start in range(len(full) - len(plain) + 1):
        if full[start : start + len(plain)] == plain:
            return list(full[:start]), list(full[start + len(plain) :])
    return [], []


def _some_id(tokenizer: Any) -> int:
    """What stands for a word of which a tokenizer makes nothing."""
    candidates: Iterable[int | None] = (
        tokenizer.unk_token_id,
        tokenizer.pad_token_id,
        tokenizer.eos_token_id,
        tokenizer.bos_token_id,
        0,
    )
    return next(number for number in candidates if number is not None)
