"""The mask language: which blocks lose their causal mask."""

from __future__ import annotations

from typing import Any

import pytest

from sltk.masks import MaskError, flags, group_text, groups, is_causal, parse, shared_start, window


@pytest.mark.parametrize(
    ("mask", "blocks", "expected"),
    [
        ("0111", 4, "0111"),
        ("0111", 8, "00111111"),
        ("0111", 30, "0" * 8 + "1" * 22),
        ("1000", 30, "1" * 8 + "0" * 22),
        ("0100", 30, "0" * 8 + "1" * 8 + "0" * 14),
        ("0010", 30, "0" * 16 + "1" * 7 + "0" * 7),
        ("0001", 30, "0" * 23 + "1" * 7),
        ("01", 5, "00011"),
        ("1", 3, "111"),
        ("0", 3, "000"),
        ("10101", 7, "1100101"),
        ("all", 3, "111"),
        ("none", 3, "000"),
        ("middle", 4, "0110"),
        ("middle", 6, "001110"),
        ("middle", 32, "0" * 8 + "1" * 16 + "0" * 8),
        ("last:8", 30, "0" * 22 + "1" * 8),
        ("first:2", 5, "11000"),
        ("last:0", 3, "000"),
        ("last:3", 3, "111"),
        ([], 3, "000"),
        ([0, 2], 3, "101"),
        ("window:7", 3, "111"),
    ],
)
def test_a_mask_is_one_flag_per_block(mask: Any, blocks: int, expected: str) -> None:
    """The leftmost digit is the group nearest the input; the first groups are the larger ones."""
    assert "".join("01"[flag] for flag in flags(parse(mask), blocks)) == expected


def test_thirty_blocks_in_four_groups_are_8_8_7_7() -> None:
    """Groups are as even as possible, with the larger ones first."""
    assert [len(group) for group in groups(30, 4)] == [8, 8, 7, 7]


@pytest.mark.parametrize("count", range(1, 14))
def test_groups_cover_every_block_once_and_differ_by_one_at_most(count: int) -> None:
    """Every block is in exactly one group."""
    runs = groups(13, count)
    assert [block for run in runs for block in run] == list(range(13))
    sizes = [len(run) for run in runs]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("0111", "0111"),
        (" all ", "all"),
        ("last:8", "last:8"),
        ([3, 1, 3], [1, 3]),
        ({"layers": [2, 0]}, [0, 2]),
    ],
)
def test_masks_are_normalized(value: Any, parsed: Any) -> None:
    """Lists are sorted without duplicates; `{layers: […]}` is the list."""
    assert parse(value) == parsed


@pytest.mark.parametrize(
    "mask",
    [
        "",
        "012",
        "al",
        "last",
        "last:",
        "last:-1",
        "last:x",
        "first:1.5",
        "window",
        "window:0",
        "window:-1",
        "window:x",
        "window:1234567890",
        {"window": None},
        "1,2",
        [-1],
        [1.5],
        ["1"],
        [True],
        None,
        True,
        {"layers": 3},
        {"blocks": [1]},
    ],
    ids=str,
)
def test_malformed_masks_are_rejected(mask: Any) -> None:
    """A mask that has none of the forms is an error."""
    with pytest.raises(MaskError):
        parse(mask)


@pytest.mark.parametrize(
    ("mask", "blocks", "message"),
    [
        ("01110", 4, "5 digits needs at least 5 blocks; the model has 4"),
        ("middle", 3, "at least 4 blocks"),
        ("last:5", 4, "asks for 5 blocks; the model has 4"),
        ("first:5", 4, "asks for 5 blocks; the model has 4"),
        ([4], 4, "names block 4; the model has the blocks 0 to 3"),
    ],
)
def test_a_mask_that_does_not_fit_the_model_names_the_number_of_blocks(
    mask: Any, blocks: int, message: str
) -> None:
    """More digits than blocks, or a missing block, is an error that names both numbers."""
    with pytest.raises(MaskError, match=message):
        flags(parse(mask), blocks)


def test_the_groups_in_words() -> None:
    """The text that `sltk show mask` and notes print."""
    assert group_text("0111", 30) == "0-7 causal, 8-29 unmasked"
    assert group_text("0101", 4) == "0 causal, 1 unmasked, 2 causal, 3 unmasked"
    assert group_text("window:64", 4) == "0-3 unmasked within 64"


def test_only_one_form_has_a_window() -> None:
    assert window(parse(" window:64 ")) == window(parse({"window": 64})) == 64
    assert [window(parse(mask)) for mask in ("all", "0111", "last:2", [1])] == [None] * 4
    assert not is_causal(parse("window:1"))


def test_masks_share_blocks_up_to_the_first_difference() -> None:
    """`shared_start` counts equal leading blocks, given as digits or flags."""
    assert shared_start("011", "110") == 0
    assert shared_start((True, False, True), (True, False, False)) == 2
    assert shared_start("01", "01") == 2
