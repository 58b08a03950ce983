"""Read `predictions/slices.json`: documents and positions of scored sentences, and the classes of their spans."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..data.slices import BOTH, DIMENSIONS, GOLD, PREDICTED
from ..errors import DataError
from ..spec.stored import read_mapping
from .run_records import SentenceCounts

_CODES = re.compile(f"(?:[{BOTH}{GOLD}{PREDICTED}][0-9]{{{len(DIMENSIONS)}}})*")
_WIDTH = 1 + len(DIMENSIONS)


def read_slices(folder: Path, splits: Iterable[str], *, by_document: bool) -> dict[str, Any]:
    """The fields `slices`, of the last split, `documents` and `positions` of a record.

    They are empty for runs of earlier versions.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / "slices.json"
    if not path.exists():
        return {}
    stored = read_mapping(path)
    found = {
        split: values for split in splits if isinstance(values := stored.get("splits", {}).get(split), dict)
    }
    slices = {split: values["spans"] for split, values in list(found.items())[-1:] if "spans" in values}
    documents = {split: values["documents"] for split, values in found.items() if values.get("documents")}
    for split, codes in slices.items():
        if stored.get("format") != 1 or not isinstance(codes, list) or not all(map(_is_code, codes)):
            raise DataError.at(f"the file is damaged: `{split}` does not have the classes of spans", path)
    positions = {split: values["positions"] for split, values in found.items() if "positions" in values}
    return {"slices": slices, "documents": documents if by_document else {}, "positions": positions}


def _is_code(value: object) -> bool:
    return isinstance(value, str) and _CODES.fullmatch(value) is not None


def class_counts(codes: Iterable[str], dimension: int) -> dict[int, SentenceCounts]:
    """Counts per sentence of the spans in each class of a dimension, by its position in `DIMENSIONS`."""
    codes = list(codes)
    letters = {"gold": BOTH + GOLD, "predicted": BOTH + PREDICTED, "correct": BOTH}
    classes = range(len(list(DIMENSIONS.values())[dimension]))
    sums = {each: {name: [0] * len(codes) for name in letters} for each in classes}
    for sentence, code in enumerate(codes):
        for start in range(0, len(code), _WIDTH):
            counts = sums[int(code[start + 1 + dimension])]
            for name, members in letters.items():
                counts[name][sentence] += code[start] in members
    return {each: SentenceCounts(**counts) for each, counts in sums.items()}
