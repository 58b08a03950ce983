"""Words to subwords, by the offsets of the text itself.

A tokenizer that is given words one by one loses what stands between them: for a byte-level BPE "German" and
" German" are different tokens. So the text is tokenised whole, and its tokens are mapped to words by their
character offsets. Every word ends up with at least one subword, the subwords of a word are contiguous and in
order, and no subword belongs to two words; words for which a tokenizer breaks this are tokenised by themselves.
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
from .alignment import assigned, beside
from .documents import context
from .pieces import Flat, Pieces, fitted, flat, runs


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


class SubwordEncoder:
    """Encodes sentences for one tokenizer.

    Args:
        tokenizer: a fast tokenizer of transformers.
        spacing: what stands between words: `single` spaces, or what the `source` text has.
        max_length: subwords a window may have, special tokens included; None for no limit.
        on_overflow: what happens to a longer sentence: `window` or `error`.
        document_context: subwords of its document that are read on each side of a sentence, as far as there is
            room beside it; whole words, which have no vectors.

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
        document_context: int = 0,
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
        self.document_context = document_context
        self.unknown = _some_id(tokenizer)
        self._prefix, self._suffix = special_ids(tokenizer)
        if max_length is not None and max_length <= len(self._prefix) + len(self._suffix):
            kept = (
                f"the model's {len(self._prefix) + len(self._suffix)} special tokens leave no room for words"
            )
            raise SpecError(Problem(f"max_length {max_length}: {kept}", path="max_length"))
        reserved = [tokenizer.convert_ids_to_tokens(number) for number in (*self._prefix, *self._suffix)]
        self._reserved = re.compile("|".join(map(re.escape, reserved))) if reserved else None
        self._lead = " " if self._wants_leading_space() else ""

    @property
    def special_tokens(self) -> int:
        """How many special tokens stand around the subwords of a window."""
        return len(self._prefix) + len(self._suffix)

    def settings(self) -> tuple[object, ...]:
        """All that encodings depend on, sentences apart: the tokenizer itself, and what this was made with."""
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
        """Encode sentences; the order is kept.

        Each is encoded by itself, but for `document_context`, which is taken from the sentences around it: of
        `sentences`, and of those that stand `before` and `after` them.

        Raises:
            DataError: a sentence is longer than `max_length` and `on_overflow` is `error`.
        """
        if not self.document_context:
            split = self._split(sentences)
            return [self._windows(p, s) for p, s in zip(split, sentences, strict=True)]
        whole = [*before, *sentences, *after]
        split = self._split(whole)
        flats = [flat(pieces) for pieces in split]
        numbers = range(len(before), len(before) + len(sentences))
        return [self._in_context(number, split[number], whole, flats) for number in numbers]

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
        """Give each token to the word it lies in; re-tokenise the words for which that does not work."""
        shift = len(self._lead)
        bounds = [(start + shift, end + shift) for start, end in source.offsets or []]
        pieces, broken = assigned(tokens, text, bounds)
        broken.update(number for number, ids in enumerate(pieces.of_word) if not ids)
        if broken:
            self._repair(pieces, broken, source, text)
        if self._reserved is not None and self._reserved.search(text):
            self._disarm(pieces)
        return pieces

    def _disarm(self, pieces: Pieces) -> None:
        """A word `</s>` is no end of the text, though some vocabularies (Unigram's) have it as a piece."""
        reserved = {*self._prefix, *self._suffix}
        for ids in (*pieces.of_word, *pieces.before.values()):
            ids[:] = [self.unknown if number in reserved else number for number in ids]

    def _repair(self, pieces: Pieces, broken: set[int], source: Sentence, text: str) -> None:
        """Tokenise each broken word by itself, as a word after a space if it stands after one.

        Where a word has no token in the text and has some by itself, a word beside it has got them: that one is
        tokenised by itself too.
        """
        alone = {number: self._alone(number, source, text) for number in broken}
        vanished = [number for number, (_, ids) in alone.items() if ids and not pieces.of_word[number]]
        for number in beside(vanished, pieces.of_word) - alone.keys():
            alone[number] = self._alone(number, source, text)
        for number, (lead, ids) in alone.items():
            pieces.of_word[number] = ids or [self.unknown]
            pieces.before.pop(number, None)
            if lead and ids:
                pieces.before[number] = lead

    def _alone(self, number: int, source: Sentence, text: str) -> tuple[list[int], list[int]]:
        """What the tokenizer makes of the space before a word, and of the word."""
        shift = len(self._lead)
        start, end = (offset + shift for offset in (source.offsets or [])[number])
        word = text[start:end]
        if not word.strip():
            return [], []
        spaced = self._lead if start > 0 and text[start - 1].isspace() else ""
        found = self._backend.encode(spaced + word, add_special_tokens=False)
        inside = next((n for n, (_, end) in enumerate(found.offsets) if end > len(spaced)), 0)
        return found.ids[:inside], found.ids[inside:]

    @property
    def _room(self) -> int | None:
        return None if self.max_length is None else self.max_length - self.special_tokens

    def _in_context(
        self, number: int, pieces: Pieces, sentences: Sequence[Sentence], flats: Sequence[Flat]
    ) -> Encoding:
        """A sentence among its neighbours, where the model can read more than the sentence."""
        own = flats[number]
        spare = None if self._room is None else self._room - len(own.ids)
        most = self.document_context if spare is None else min(self.document_context, spare // 2)
        if most <= 0 or not own.first:
            return self._windows(pieces, sentences[number])
        left, right = context(sentences, flats, number, most)
        first, last = ([position + len(left) for position in side] for side in (own.first, own.last))
        return Encoding([self._window(Flat([*left, *own.ids, *right], first, last))], len(own.first))

    def _windows(self, pieces: Pieces, sentence: Sentence) -> Encoding:
        room, whole = self._room, flat(pieces)
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

    def _window(self, whole: Flat) -> Window:
        ids, first, last = whole
        before = len(self._prefix)
        if not before and not self._suffix:
            return Window(ids, first, last)
        return Window(
            [*self._prefix, *ids, *self._suffix], [p + before for p in first], [p + before for p in last]
        )

    def _overlapping(self, pieces: Pieces, room: int) -> Encoding:
        """Windows that overlap by half; each word is answered for by the window that sees most around it."""
        cut_to_fit = fitted(pieces, room)
        words, before = cut_to_fit.of_word, cut_to_fit.before
        sizes = [len(ids) + len(before.get(number, ())) for number, ids in enumerate(words)]
        stretches = list(runs(sizes, room))
        borders = [0, *((run[0] + previous[1]) // 2 for previous, run in pairwise(stretches)), len(words)]
        windows = []
        for (start, end), (own_start, own_end) in zip(stretches, pairwise(borders), strict=True):
            within = {number - start: before[number] for number in range(start, end) if number in before}
            ids, first, last = flat(Pieces(words[start:end], within))
            owned = slice(own_start - start, own_end - start)
            windows.append(self._window(Flat(ids, first[owned], last[owned])))
        cut = sum(len(ids) > room for ids in pieces.of_word)
        return Encoding(windows, len(words), cut)

    def _wants_leading_space(self) -> bool:
        """Whether a word at the start of a text is another token than the same word after a space."""

        def tokens(text: str) -> list[int]:
            return list(self._backend.encode(text, add_special_tokens=False).ids)

        return tokens("a b") == [*tokens("a"), *tokens(" b")] != [*tokens("a"), *tokens("b")]


def spacing_of(
    asked: Literal["auto", "single", "source"], training: Iterable[Sentence]
) -> Literal["single", "source"]:
    """What the model reads between words: as asked, or the source text where all of the training data has it."""
    if asked != "auto":
        return asked
    return "source" if all(sentence.text is not None for sentence in training) else "single"


def special_ids(tokenizer: Any) -> tuple[list[int], list[int]]:
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
