"""The part of a tokenizer that sltk uses: a `tokenizers.Tokenizer` and a few token ids. It needs no transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_UNKNOWN_ROLES = ("unk_token", "pad_token", "eos_token", "bos_token")
"""Roles of the token that stands for a word without tokens; the first one that a tokenizer has."""


@dataclass(frozen=True)
class PlainTokenizer:
    """A tokenizer without transformers. Read it from a file, or take it from a tokenizer of transformers with `of`."""

    backend: Any
    """The `tokenizers.Tokenizer`, set up to encode texts unchanged and complete."""
    prefix: list[int]
    """The special tokens that the model expects before a text: [CLS], a BOS, or nothing."""
    suffix: list[int]
    """Those that it expects after a text."""
    unknown: int
    """The token for a word that the tokenizer has no token for."""

    @classmethod
    def of(cls, tokenizer: Any) -> PlainTokenizer:
        """The tokenizer behind a tokenizer of transformers; a plain one is returned as it is.

        Raises:
            ValueError: it has no fast implementation, so it reports no offsets.
        """
        if isinstance(tokenizer, cls):
            return tokenizer
        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(
                f"{type(tokenizer).__name__} reports no character offsets (it is not a fast tokenizer)"
            )
        ids = (getattr(tokenizer, f"{role}_id") for role in _UNKNOWN_ROLES)
        unknown = next((number for number in ids if number is not None), 0)
        return cls(plain_backend(tokenizer.backend_tokenizer), *special_ids(tokenizer), unknown)

    @classmethod
    def with_roles(cls, backend: Any, roles: Mapping[str, str]) -> PlainTokenizer:
        """A `tokenizers.Tokenizer` with its special tokens by role: `unk_token`, `pad_token`, …"""
        ids = (backend.token_to_id(roles[role]) for role in _UNKNOWN_ROLES if role in roles)
        unknown = next((number for number in ids if number is not None), 0)
        return cls(plain_backend(backend), *_special_ids(backend), unknown)


def plain_backend(backend: Any) -> Any:
    """Set up a `tokenizers.Tokenizer` to encode texts unchanged and complete, and return it."""
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True  # a word `</s>` in the text is an ordinary word
    return backend


def special_ids(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that the model of a transformers tokenizer expects before and after a text."""
    return _special_ids(tokenizer.backend_tokenizer)


def _special_ids(backend: Any) -> tuple[list[int], list[int]]:
    plain = backend.encode("a", add_special_tokens=False).ids
    full = backend.encode("a", add_special_tokens=True).ids
    for start in range(len(full) - len(plain) + 1):
        if full[start : start + len(plain)] == plain:
            return list(full[:start]), list(full[start + len(plain) :])
    return [], []
