"""The mask language: which blocks of a model lose their causal mask.

    "0111"            m digits, one per group of blocks; the leftmost digit is the group nearest the input, and 1
                      removes the mask (Dukić & Šnajder 2024, section 3). Groups are as even as possible, with the
                      larger ones first: 30 blocks in four groups are 8, 8, 7, 7.
    all, none         every block, no block
    middle            the two middle quarters: 0110
    first:8, last:8   this many blocks nearest the input, or nearest the output
    [3, 4, 9]         these blocks, numbered from 0 at the input
    window:64         every block, but only subwords at most 64 away, on both sides

A mask resolves to one flag per block, True if its words see the words after them, and perhaps to a window.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from .yamltree.scalars import source_text

MaskText = str | list[int]
_COUNTED = re.compile(r"(first|last):([0-9]+)")
_WINDOW = re.compile(r"window:([1-9][0-9]{0,8})")
_FORMS = "digits such as 0111, `all`, `none`, `middle`, `first:N`, `last:N`, `window:N`, or a list of block numbers"


class MaskError(ValueError):
    """A mask is malformed, or does not fit the model."""


def parse(value: Any) -> MaskText:
    """Validate a mask; `0111` is read as digits even though YAML reads it as a number.

    Raises:
        MaskError: the mask has none of the forms.
    """
    if isinstance(value, dict) and set(value) == {"layers"}:
        value = value["layers"]
    if isinstance(value, dict) and set(value) == {"window"}:  # `window: 64`, with a space
        width = value["window"]
        value = "window:" if width is None else f"window:{source_text(width)}"
    if isinstance(value, list):
        if not all(isinstance(block, int) and not isinstance(block, bool) and block >= 0 for block in value):
            raise MaskError("a list mask contains block numbers, counted from 0")
        return sorted({int(block) for block in value})
    text = str(source_text(value)).strip()
    if is_digits(text) or text in ("all", "none", "middle") or _COUNTED.fullmatch(text):
        return text
    if _WINDOW.fullmatch(text):
        return text
    if text.partition(":")[0] == "window":
        raise MaskError(
            f"`{text}` is no window: expected `window:N`, and N subwords to each side, from 1 to 999999999"
        )
    raise MaskError(f"unknown mask `{text}`; expected {_FORMS}")


def is_digits(mask: str | None) -> bool:
    """Whether a mask consists of digits."""
    return mask is not None and re.fullmatch("[01]+", mask) is not None


def is_causal(mask: MaskText) -> bool:
    """Whether a mask leaves every block causal, in a model of any depth."""
    return not mask if isinstance(mask, list) else bool(re.fullmatch("none|0+|(first|last):0+", mask))


def groups(blocks: int, count: int) -> list[range]:
    """Split block numbers into `count` ranges, as even as possible, with the longer ones first.

    Raises:
        MaskError: `count` is greater than `blocks`.
    """
    if count > blocks:
        raise MaskError(f"a mask of {count} digits needs at least {count} blocks; the model has {blocks}")
    size, extra = divmod(blocks, count)
    ends = [size * (group + 1) + min(group + 1, extra) for group in range(count)]
    return [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def flags(mask: MaskText, blocks: int) -> tuple[bool, ...]:
    """One flag per block from the input on: True where the causal mask is removed.

    Raises:
        MaskError: the mask does not fit a model with this many blocks.
    """
    if isinstance(mask, list):
        if mask and mask[-1] >= blocks:
            raise MaskError(f"the mask names block {mask[-1]}; the model has the blocks 0 to {blocks - 1}")
        return tuple(block in mask for block in range(blocks))
    if match := _COUNTED.fullmatch(mask):
        count = int(match[2])
        if count > blocks:
            raise MaskError(f"`{match[1]}:{count}` asks for {count} blocks; the model has {blocks}")
        start = 0 if match[1] == "first" else blocks - count
        return tuple(start <= block < start + count for block in range(blocks))
    digits = {"all": "1", "none": "0", "middle": "0110"}.get(mask, "1" if window(mask) else mask)
    if mask == "middle" and blocks < 4:
        raise MaskError(f"`middle` needs at least 4 blocks; the model has {blocks}")
    sizes = map(len, groups(blocks, len(digits)))
    return tuple(digit == "1" for digit, size in zip(digits, sizes, strict=True) for _ in range(size))


def window(mask: MaskText) -> int | None:
    """How many subwords a word sees on each side, in a mask with a window; None for other masks."""
    match = _WINDOW.fullmatch(mask) if isinstance(mask, str) else None
    return int(match[1]) if match else None


def group_text(mask: MaskText, blocks: int) -> str:
    """The blocks of a mask in words: `0-7 causal, 8-29 unmasked`, or `0-29 unmasked within 64`."""
    texts, reach = [], window(mask)
    for is_unmasked, group in groupby(range(blocks), key=flags(mask, blocks).__getitem__):
        numbers = list(group)
        span = f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
        texts.append(
            f"{span} {'unmasked' if is_unmasked else 'causal'}" + (f" within {reach}" if reach else "")
        )
    return ", ".join(texts)


Mask = Annotated[
    MaskText,
    BeforeValidator(parse),
    WithJsonSchema(
        {
            "description": _FORMS,
            "anyOf": [
                {"type": "string"},
                {"type": "integer"},
                {"type": "array", "items": {"type": "integer", "minimum": 0}},
            ],
        }
    ),
]


def shared_start(one: Sequence[object], other: Sequence[object]) -> int:
    """The number of blocks (or digits) from the input on that two masks of the same length share."""
    differences = (place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    return next(differences, len(one))


def same_form(masks: Iterable[str | None]) -> dict[str, str]:
    """Map `none`, `all` and `middle` to digits if all digit masks have the same length; others stay unchanged."""
    names = {mask for mask in masks if mask is not None}
    lengths = {len(mask) for mask in names if is_digits(mask)}
    forms = {mask: mask for mask in names}
    if len(lengths) == 1:
        count = lengths.pop()
        digits = {"none": "0" * count, "all": "1" * count, **({"middle": "0110"} if count == 4 else {})}
        forms |= {mask: digits[mask] for mask in names & digits.keys()}
    return forms
