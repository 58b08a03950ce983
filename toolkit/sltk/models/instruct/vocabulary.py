"""The subwords of a tokenizer as bytes, in a tree: which of them may come next."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...errors import ModelError, Problem
from ...spec.instruct_settings import OPTION, SPAN
from .automaton import Automaton, State

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_WORD_START = "\u2581"
"""What SentencePiece writes for a space."""


class TrieNode:
    """A place in the tree of subwords: those that are spelt by the way here, and the ways on."""

    __slots__ = ("children", "numbers")

    def __init__(self) -> None:
        self.children: dict[int, TrieNode] = {}
        self.numbers: list[int] = []


class Vocabulary:
    """What a model can write.

    Args:
        spelling: the bytes of each subword, by number; subwords that stand for no text are left out.
        may_lead: whether the tokenizer puts a space before a text, and takes it away again.
    """

    def __init__(self, spelling: Mapping[int, bytes], *, may_lead: bool = False) -> None:
        self.may_lead = may_lead
        self.root = TrieNode()
        for number, text in spelling.items():
            node = self.root
            for byte in text:
                node = node.children.setdefault(byte, TrieNode())
            if text:
                node.numbers.append(number)

    @classmethod
    def of(cls, tokenizer: Any, options: Iterable[str] = ()) -> Vocabulary:
        """The vocabulary of a tokenizer of transformers.

        Raises:
            ModelError: its subwords are neither byte-level BPE nor SentencePiece: they cannot be spelt. Or the
                options cannot be written with them.
        """
        found = cls._of(tokenizer)
        for text in (OPTION, SPAN, *options):
            if not found.spells(text.encode()):
                about = f"the tokenizer has no subwords to write `{text}` with"
                raise ModelError(Problem(about, path="instruct.options"))
        return found

    @classmethod
    def _of(cls, tokenizer: Any) -> Vocabulary:
        decoder = json.loads(tokenizer.backend_tokenizer.to_str()).get("decoder") or {}
        kinds = {part["type"] for part in decoder.get("decoders", [decoder]) if "type" in part}
        added = set(tokenizer.added_tokens_decoder)
        plain = {number: text for text, number in tokenizer.get_vocab().items() if number not in added}
        if "ByteLevel" in kinds:
            byte_of = {char: byte for byte, char in _byte_level().items()}
            known = {n: text for n, text in plain.items() if all(char in byte_of for char in text)}
            return cls({n: bytes(byte_of[char] for char in text) for n, text in known.items()})
        if kinds & {"Metaspace", "Replace", "ByteFallback"}:
            return cls({number: _spelt(text) for number, text in plain.items()}, may_lead=True)
        raise ModelError(
            Problem(
                f"constrained decoding needs byte-level BPE or SentencePiece, not {type(tokenizer).__name__}",
                path="instruct.constrained",
            )
        )

    def spells(self, text: bytes) -> bool:
        """Whether a text can be written byte by byte, or character by character."""
        if all(self._has(bytes([byte])) for byte in text):
            return True
        return all(self._has(char.encode()) for char in text.decode(errors="replace"))

    def _has(self, text: bytes) -> bool:
        node = self.root
        for byte in text:
            if byte not in node.children:
                return False
            node = node.children[byte]
        return bool(node.numbers)

    def allowed(self, automaton: Automaton, state: State) -> Iterator[tuple[int, State]]:
        """The subwords that may come next, and the state after each."""
        waiting = [(self.root, state)]
        while waiting:
            node, at = waiting.pop()
            for byte, after in automaton.steps(at).items():
                child = node.children.get(byte)
                if child is None:
                    continue
                for number in child.numbers:
                    yield number, after
                if child.children:
                    waiting.append((child, after))


def _spelt(text: str) -> bytes:
    """The bytes of a subword of SentencePiece."""
    byte = _BYTE.fullmatch(text)
    return bytes([int(byte[1], 16)]) if byte else text.replace(_WORD_START, " ").encode()


def _byte_level() -> dict[int, str]:
    """The character that byte-level BPE writes for each byte: itself where it can be seen, else one from 256 on."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {byte: chr(byte) for byte in seen}
    hidden = (byte for byte in range(256) if byte not in table)
    return table | {byte: chr(256 + number) for number, byte in enumerate(hidden)}
