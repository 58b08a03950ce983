"""Words to subwords, by the character offsets of the text.

A tokenizer that gets one word at a time does not see what is between the words: for a byte-level BPE, "German" and
" German" are different tokens. So the whole text is tokenized, and its tokens are assigned to words by their offsets.
Each word gets at least one subword, the subwords of a word are contiguous and in order, and no subword belongs to two
words. Words for which a tokenizer violates this are tokenized one by one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from ..files.safety import encodable
from ..types import Sentence
from .alignment import assign_tokens, nearest_with_tokens
from .pieces import Pieces
from .plain_tokenizer import PlainTokenizer

_PART, _AROUND = 4000, 100
"""Words of a long sentence that are tokenized at once, and words read around them."""


class WordTokenizer:
    """Tokenizes sentences, and assigns the tokens to their words."""

    def __init__(self, tokenizer: PlainTokenizer) -> None:
        self._backend = tokenizer.backend
        self.prefix, self.suffix, self.unknown = tokenizer.prefix, tokenizer.suffix, tokenizer.unknown
        reserved = [self.token(number) for number in (*self.prefix, *self.suffix)]
        self._reserved = re.compile("|".join(map(re.escape, reserved))) if reserved else None
        self._lead = " " if self._needs_leading_space() else ""

    def settings(self) -> tuple[object, ...]:
        """Everything that tokens depend on, except for the sentences."""
        return self._backend.to_str(), self.prefix, self.suffix, self.unknown, self._lead

    @property
    def lead(self) -> str:
        """What is put before each text: a space, if a word at the start of a text has other tokens without it."""
        return self._lead

    def token(self, number: int) -> str:
        """The text of a token."""
        return str(self._backend.id_to_token(number))

    def split(self, sentences: Sequence[Sentence], spacing: Literal["single", "source"]) -> list[Pieces]:
        """The subwords of each sentence."""
        sources = [s.with_text() if spacing == "source" else Sentence(s.words).with_text() for s in sentences]
        short = iter(self._tokenize([source for source in sources if not _is_long(source)]))
        return [self._tokenize_in_parts(source) if _is_long(source) else next(short) for source in sources]

    def _tokenize(self, sources: Sequence[Sentence]) -> list[Pieces]:
        texts = [encodable(self._lead + str(source.text)) for source in sources]
        encoded = self._backend.encode_batch(texts, add_special_tokens=False)
        return [
            self._pieces(source, text, tokens)
            for source, text, tokens in zip(sources, texts, encoded, strict=True)
        ]

    def _tokenize_in_parts(self, source: Sentence) -> Pieces:
        """Tokenize a long text part by part, because the tokens of a tokenizer take hundreds of bytes each.

        Each part is read with some words around it, so that its tokens are those of the whole text.
        """
        whole = Pieces([])
        count = len(source)
        for start in range(0, count, _PART):
            end = min(start + _PART, count)
            first, last = max(0, start - _AROUND), min(end + _AROUND, count)
            (part,) = self._tokenize([_excerpt(source, first, last)])
            whole.of_word += part.of_word[start - first : end - first]
            for number, ids in part.before.items():
                if start <= number + first < end or number + first == end == count:
                    whole.before[number + first] = ids
        return whole

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
        reserved = {*self.prefix, *self.suffix}
        for ids in (*pieces.of_word, *pieces.before.values()):
            ids[:] = [self.unknown if number in reserved else number for number in ids]

    def _repair(self, pieces: Pieces, broken: set[int], bounds: Sequence[tuple[int, int]], text: str) -> None:
        """Tokenize each broken word by itself, after a space if it follows one in the text.

        If a word has tokens by itself but none in the text, they were assigned to a neighbouring word; the neighbour is
        then tokenized by itself too.
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

    def _needs_leading_space(self) -> bool:
        """Whether a word at the start of a text has other tokens than the same word after a space."""

        def tokens(text: str) -> list[int]:
            return list(self._backend.encode(text, add_special_tokens=False).ids)

        return tokens("a b") == [*tokens("a"), *tokens(" b")] != [*tokens("a"), *tokens("b")]


def _is_long(source: Sentence) -> bool:
    return len(source) > 2 * _PART


def _excerpt(source: Sentence, first: int, last: int) -> Sentence:
    """Some words of a sentence, with their text."""
    text, offsets = str(source.text), source.offsets or []
    begin = offsets[first][0] if first else 0
    until = offsets[last - 1][1] if last < len(offsets) else len(text)
    moved = [(start - begin, end - begin) for start, end in offsets[first:last]]
    return Sentence(source.words[first:last], text=text[begin:until], offsets=moved)
