"""Orders of configurations: the reflected Gray code for masks, natural order for all else."""

from __future__ import annotations

import re
from collections.abc import Iterable


def gray_code(digits: int) -> list[str]:
    """All masks of so many digits, each one digit from the next (paper, Figure 2): 0000 0001 0011 0010 …"""
    return [format(number ^ number >> 1, f"0{digits}b") for number in range(2**digits)] if digits else [""]


def is_digits(mask: str | None) -> bool:
    """Whether a mask is written in digits."""
    return mask is not None and re.fullmatch("[01]+", mask) is not None


def sort_key(mask: str) -> tuple[int, int, int, str]:
    """Sorts masks of digits by their Gray code, shorter ones first, and others after them."""
    if not is_digits(mask):
        return (1, 0, 0, mask)
    rank = 0
    for digit in mask:  # the inverse of the Gray code: each bit is the parity of those up to it
        rank = rank << 1 | (rank & 1 ^ int(digit))
    return (0, len(mask), rank, mask)


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


def natural(text: str) -> list[tuple[int, float, str]]:
    """Sorts `batch_size 8` before `batch_size 16`."""
    parts = re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?|\D+", text)
    return [(0, float(part), "") if part[0].isdigit() else (1, 0.0, part) for part in parts]
