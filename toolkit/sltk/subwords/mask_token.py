"""Find the token that replaces masked tokens in pre-training; the tokenizer need not have a mask token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import ModelError, Problem, nearest
from .plain_tokenizer import plain_backend

BLANK = "_"
"""The token of most vocabularies that LLM2Vec masks with."""
_PATH = "mask_token"


def mask_token_id(tokenizer: Any, token: str | None, objective: str) -> int:
    """The number of a token: an entry of the vocabulary, or a text that the tokenizer reads as one token.

    Without a `token`, it is the mask token of the tokenizer; `mntp` uses `_` if there is none.

    Raises:
        ModelError: it is not one token of this tokenizer, or the tokenizer has no mask token.
    """
    if token is None:
        return _default(tokenizer, objective)
    number = _number(tokenizer, token)
    if number is None:
        pieces = [tokenizer.convert_ids_to_tokens(piece) for piece in _read(tokenizer, token)]
        read_as = f": it is read as {' '.join(f'`{piece}`' for piece in pieces[:8])}" if pieces else ""
        suggestion = nearest(token, tokenizer.get_added_vocab())
        about = f"`mask_token: {token}` is not one token of this model's tokenizer{read_as}"
        raise ModelError(Problem(about, path=_PATH, suggestion=suggestion, notes=_advice(tokenizer)))
    return number


def _default(tokenizer: Any, objective: str) -> int:
    number = tokenizer.mask_token_id
    if number is None and objective == "mntp":
        number = _number(tokenizer, BLANK)
    if number is None:
        about = f"`objective: {objective}` needs a tokenizer with a mask token; the tokenizer of this model has none"
        notes = (*_advice(tokenizer), "`objective: clm` needs no mask token")
        raise ModelError(Problem(about, path="objective", notes=notes))
    return int(number)


def _number(tokenizer: Any, token: str) -> int | None:
    number = plain_backend(tokenizer.backend_tokenizer).token_to_id(token)
    if number is not None:
        return int(number)
    ids = _read(tokenizer, token)
    return ids[0] if len(ids) == 1 and ids[0] != tokenizer.unk_token_id else None


def _read(tokenizer: Any, token: str) -> list[int]:
    ids: list[int] = plain_backend(tokenizer.backend_tokenizer).encode(token, add_special_tokens=False).ids
    return ids


def _advice(tokenizer: Any) -> tuple[str, ...]:
    usable = list(dict.fromkeys(_usable(tokenizer)))[:5]
    return (f"set `mask_token` to one token, for example {' or '.join(usable)}",) if usable else ()


def _usable(tokenizer: Any) -> Iterator[str]:
    """Tokens that the tokenizer has, as they are written in a spec; those that occur in no text are last."""
    if tokenizer.mask_token is not None:
        yield f"`{tokenizer.mask_token}`"
    if _number(tokenizer, BLANK) is not None:
        yield f"`{BLANK}`"
    yield from (f"`{token}`" for token in sorted(tokenizer.get_added_vocab()))
