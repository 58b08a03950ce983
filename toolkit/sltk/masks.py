"""The mask language: which blocks of a model lose their causal mask.

    "0111"        m digits, m groups of blocks; the leftmost digit governs the blocks nearest the input,
                  1 means unmasked (Dukić & Šnajder 2024, section 3). Groups are as even as possible, the first
                  ones get the extra block: 30 blocks in four groups are 8, 8, 7, 7.
    all, none     every block, no block
    middle        the two middle quarters: 0110
    first:8, last:8   that many blocks nearest the input, or the output
    [3, 4, 9]     these blocks, numbered from 0 at the input

One thing comes out: a flag a block, True where a word sees what follows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from .yamltree.scalars import source_text

MaskText = str | list[int]
_COUNTED = re.compile(r"(first|last):([0-9]+)")
_FORMS = "digits such as 0111, `all`, `none`, `middle`, `first:N`, `last:N`, or a list of block numbers"


class MaskError(ValueError):
    """A mask that means nothing, or does not fit the model."""


def parse(value: Any) -> MaskText:
    """The mask as it was written, `0111` included where YAML sees a number.

    Raises:
        MaskError: it is none of the forms.
    """
    if isinstance(value, dict) and set(value) == {"layers"}:
        value = value["layers"]
    if isinstance(value, list):
        if not all(isinstance(block, int) and not isinstance(block, bool) and block >= 0 for block in value):
            raise MaskError("a list mask holds block numbers from 0 on")
        return sorted({int(block) for block in value})
    text = str(source_text(value)).strip()
    if is_digits(text) or text in ("all", "none", "middle") or _COUNTED.fullmatch(text):
        return text
    raise MaskError(f"unknown mask `{text}`; expected {_FORMS}")


def is_digits(mask: str | None) -> bool:
    """Whether a mask is written in digits."""
    return mask is not None and re.fullmatch("[01]+", mask) is not None


def is_causal(mask: MaskText) -> bool:
    """Whether no block is unmasked, in a model of any depth."""
    return not mask if isinstance(mask, list) else bool(re.fullmatch("none|0+|(first|last):0+", mask))


def groups(blocks: int, count: int) -> list[range]:
    """`count` runs of block numbers, as even as possible, the first ones longer.

    Raises:
        MaskError: there are more groups than blocks.
    """
    if count > blocks:
        raise MaskError(f"a mask of {count} digits needs at least {count} blocks; the model has {blocks}")
    size, extra = divmod(blocks, count)
    ends = [size * (group + 1) + min(group + 1, extra) for group in range(count)]
    return [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def flags(mask: MaskText, blocks: int) -> tuple[bool, ...]:
    """One flag a block, input side first: True where the causal mask is removed.

    Raises:
        MaskError: the mask does not fit a model of that many blocks.
    """
    if isinstance(mask, list):
        return _listed(mask, blocks)
    if counted := _COUNTED.fullmatch(mask):
        return _counted(counted[1], int(counted[2]), blocks)
    digits = {"all": "1", "none": "0", "middle": "0110"}.get(mask, mask)
    if mask == "middle" and blocks < 4:
        raise MaskError(f"`middle` needs at least 4 blocks; the model has {blocks}")
    runs = groups(blocks, len(digits))
    return tuple(digit == "1" for digit, run in zip(digits, runs, strict=True) for _ in run)


def _listed(mask: list[int], blocks: int) -> tuple[bool, ...]:
    if mask and mask[-1] >= blocks:
        raise MaskError(f"the mask names block {mask[-1]}; the model has the blocks 0 to {blocks - 1}")
    return tuple(block in mask for block in range(blocks))


def _counted(side: str, count: int, blocks: int) -> tuple[bool, ...]:
    if count > blocks:
        raise MaskError(f"`{side}:{count}` asks for {count} blocks; the model has {blocks}")
    removed = range(count) if side == "first" else range(blocks - count, blocks)
    return tuple(block in removed for block in range(blocks))


def group_text(mask: MaskText, blocks: int) -> str:
    """The blocks of a mask in words: `0-7 causal, 8-29 unmasked`."""
    runs: list[tuple[int, int, bool]] = []
    for block, flag in enumerate(flags(mask, blocks)):
        if runs and runs[-1][2] == flag:
            runs[-1] = (runs[-1][0], block, flag)
        else:
            runs.append((block, block, flag))
    return ", ".join(
        f"{first if first == last else f'{first}-{last}'} {'unmasked' if flag else 'causal'}"
        for first, last, flag in runs
    )


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
    """How many blocks (or digits) from the input on two masks of one length have alike."""
    differ = (place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    return next(differ, len(one))


def same_form(masks: Iterable[str | None]) -> dict[str, str]:
    """`none`, `all` and `middle` in digits where the other masks are of one number of digits; others as they are."""
    known = {mask for mask in masks if mask is not None}
    lengths = {len(mask) for mask in known if is_digits(mask)}
    written = {mask: mask for mask in known}
    if len(lengths) == 1:
        count = lengths.pop()
        names = {"none": "0" * count, "all": "1" * count, **({"middle": "0110"} if count == 4 else {})}
        written |= {mask: names[mask] for mask in known & names.keys()}
    return written
