"""Find the token that replaces masked tokens in pre-training; the tokenizer need not have a mask token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import ModelError, Problem, nearest
from .plain_tokenizer import plain_backend

BLANK = "_"
"""What LLM2Vec masks with: an entry of most vocabularies."""
_MOST = 5
"""Tokens that an error proposes."""


def mask_token_id(backend: Any, token: str | None, own: str | None, objective: str) -> int:
    """The number of a token: an entry of the vocabulary, or a text that the tokenizer reads as one token.

    Args:
        backend: a `tokenizers.Tokenizer`.
        token: what to mask with. None stands for `own`; with `mntp`, for `_` if there is none.
        own: the mask token of the tokenizer.
        objective: `mlm` or `mntp`.

    Raises:
        ModelError: it is not one token of this tokenizer, or the tokenizer has no mask token.
    """
    backend = plain_backend(backend)
    number = _number(backend, _default(own, objective) if token is None else token)
    if number is not None:
        return number
    note = f"set `mask_token` to one token, for example {' or '.join(_usable(backend, own))}"
    if token is None:
        about = f"`objective: {objective}` needs a tokenizer with a mask token; the tokenizer of this model has none"
        raise ModelError(
            Problem(about, path="objective", notes=(note, "`objective: clm` needs no mask token"))
        )
    pieces = " ".join(f"`{piece}`" for piece in backend.encode(token, add_special_tokens=False).tokens[:8])
    about = f"`mask_token: {token}` is not one token of this model's tokenizer"
    raise ModelError(
        Problem(
            f"{about}: it is read as {pieces}" if pieces else about,
            path="mask_token",
            suggestion=nearest(token, _special(backend).values()),
            notes=(note,),
        )
    )


def _default(own: str | None, objective: str) -> str:
    return own or (BLANK if objective == "mntp" else "")


def _number(backend: Any, token: str) -> int | None:
    number = backend.token_to_id(token)
    if number is not None:
        return int(number)
    ids = backend.encode(token, add_special_tokens=False).ids
    is_known = len(ids) == 1 and ids[0] not in _special(backend)  # else it is the token for unknown text
    return int(ids[0]) if is_known else None


def _special(backend: Any) -> dict[int, str]:
    """Special tokens by number."""
    return {
        number: token.content
        for number, token in sorted(backend.get_added_tokens_decoder().items())
        if token.special
    }


def _usable(backend: Any, own: str | None) -> Iterator[str]:
    """Tokens that the tokenizer has, as they are written in a spec."""
    names = dict.fromkeys(filter(None, (own, BLANK, *_special(backend).values())))
    known = [name for name in names if backend.token_to_id(name) is not None]
    yield from (f"`{name}`" for name in known[:_MOST])
