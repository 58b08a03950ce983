"""The order of masks in tables and figures: the reflected Gray code."""

from __future__ import annotations

from ..masks import is_digits


def gray_code(digits: int) -> list[str]:
    """All masks of this many digits; neighbours differ in one digit (paper, Figure 2): 0000 0001 0011 …"""
    return [format(number ^ number >> 1, f"0{digits}b") for number in range(2**digits)] if digits else [""]


def sort_key(mask: str) -> tuple[int, int, int, str]:
    """Sort key: masks of digits first, by length and position in the Gray code, then all others by name."""
    if not is_digits(mask):
        return (1, 0, 0, mask)
    rank = 0
    for digit in mask:  # the inverse of the Gray code: each bit is the parity of the digits up to it
        rank = rank << 1 | (rank & 1 ^ int(digit))
    return (0, len(mask), rank, mask)
