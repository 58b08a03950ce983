"""The subwords of a tokenizer as a trie of bytes, which gives the subwords that may come next."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers.convert_slow_tokenizer import bytes_to_unicode

from ...errors import ModelError, Problem
from ...spec.instruct_settings import OPTION, SPAN
from .automaton import Automaton, State

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = "\u2581"
"""SentencePiece writes a space as this character."""


@dataclass(slots=True)
class TrieNode:
    """A trie node: `numbers` are the subwords spelled by the path to it, `children` its child nodes by byte."""

    children: dict[int, TrieNode] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)


class Vocabulary:
    """The text that a model can write.

    Args:
        spelling: the bytes of each subword, by number; subwords that represent no text are left out.
        may_lead: whether the tokenizer adds a space before a text, and removes it in decoding.
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
        """The vocabulary of a transformers tokenizer.

        Raises:
            ModelError: the tokenizer is neither byte-level BPE nor SentencePiece, so the bytes of its subwords are
                not known; or the options cannot be written with its subwords.
        """
        decoder = json.loads(tokenizer.backend_tokenizer.to_str()).get("decoder") or {}
        kinds = {part["type"] for part in decoder.get("decoders", [decoder]) if "type" in part}
        added = set(tokenizer.added_tokens_decoder)
        plain = {number: text for text, number in tokenizer.get_vocab().items() if number not in added}
        if "ByteLevel" in kinds:
            byte_of = {char: byte for byte, char in bytes_to_unicode().items()}
            known = {n: text for n, text in plain.items() if all(char in byte_of for char in text)}
            vocabulary = cls({n: bytes(byte_of[char] for char in text) for n, text in known.items()})
        elif kinds & {"Metaspace", "Replace", "ByteFallback"}:
            vocabulary = cls({n: _sentencepiece_bytes(text) for n, text in plain.items()}, may_lead=True)
        else:
            about = (
                f"constrained decoding needs byte-level BPE or SentencePiece, not {type(tokenizer).__name__}"
            )
            raise ModelError(Problem(about, path="instruct.constrained"))
        for text in (OPTION, SPAN, *options):
            if not vocabulary.spells(text.encode()):
                about = f"the tokenizer has no subwords to write `{text}` with"
                raise ModelError(Problem(about, path="instruct.options"))
        return vocabulary

    def spells(self, text: bytes) -> bool:
        """Whether a text can be written byte by byte, or character by character."""
        characters = (char.encode() for char in text.decode(errors="replace"))
        return all(map(self._has, (bytes([byte]) for byte in text))) or all(map(self._has, characters))

    def _has(self, text: bytes) -> bool:
        node = self.root
        for byte in text:
            if byte not in node.children:
                return False
            node = node.children[byte]
        return bool(node.numbers)

    def allowed(self, automaton: Automaton, state: State) -> Iterator[tuple[int, State]]:
        """The subwords that may come next, and the state after each."""
        stack = [(self.root, state)]
        while stack:
            node, before = stack.pop()
            for byte, after in automaton.steps(before).items():
                child = node.children.get(byte)
                if child is None:
                    continue
                for number in child.numbers:
                    yield number, after
                if child.children:
                    stack.append((child, after))


def _sentencepiece_bytes(text: str) -> bytes:
    byte = _BYTE.fullmatch(text)
    return bytes([int(byte[1], 16)]) if byte else text.replace(_SPACE, " ").encode()
