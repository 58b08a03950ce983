"""Group runs that can be compared: those with the same data, scored in the same way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, count
from typing import Any

from ..errors import Problem, UsageError
from .run_records import RunRecord


def by_data(records: Sequence[RunRecord], *, separate: bool) -> dict[str, list[RunRecord]]:
    """Group runs by the data they were trained and scored on, under a name for each data set.

    Raises:
        UsageError: the data sets differ and `separate` is not set; the message lists the differences.
    """
    groups: list[list[RunRecord]] = []
    for record in records:
        group = next((group for group in groups if not differences(group[0], record)), None)
        if group is None:
            groups.append(group := [])
        group.append(record)
    if len(groups) > 1 and not separate:
        raise UsageError(_refusal(groups))
    return _named(groups)


def differences(one: RunRecord, other: RunRecord) -> list[str]:
    """Differences in the data of two runs and in how it was scored, such as `test.sentences: 8 → 12`."""
    # If both have a digest of the gold, it does not matter how the gold was read.
    shared = [
        split for split, data in one.data.items() if "gold" in data and "gold" in other.data.get(split, {})
    ]
    ignored = tuple(f"{split}.reader." for split in shared)
    left, right = (
        {key: value for key, value in _identity(run) if not key.startswith(ignored)} for run in (one, other)
    )
    lines = [f"{key}: {left[key]} → {right[key]}" for key in left if key in right and left[key] != right[key]]
    unshared = sorted(one.scores.keys() ^ other.scores.keys())
    return lines + [f"{split}: only one of the runs is scored on it" for split in unshared]


_USE_OF_CORPORA = {"annotates", "labels", "weight"}
"""What a run makes of the corpora of its training data. Named arms may differ in it: they have the same text."""
_SAMPLING = "train.reader.temperature"
LIMITS = ("train.reader.limit", "folds.train_limit")
"""Keys of a record's data that limit the number of training sentences. Runs may differ in them: the test data stays the
same."""


def _identity(record: RunRecord) -> Iterator[tuple[str, Any]]:
    for key, value in flat(record.data):
        if record.arm is not None and key == "train.reader.sources":
            yield key, _text_only(value)
        elif key not in LIMITS and (record.arm is None or key != _SAMPLING):
            yield key, value
    for split, scores in record.scores.items():
        # Signatures contain the version of sltk, but runs of different versions may be compared.
        yield f"{split}.scored by", re.sub(r"\|sltk:[^|]*", "", str(scores.get("signature", "")))


def _text_only(sources: Any) -> Any:
    return [{key: item for key, item in each.items() if key not in _USE_OF_CORPORA} for each in sources]


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys and values of a nested mapping; lists are values."""
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _refusal(groups: Sequence[Sequence[RunRecord]]) -> Problem:
    first = groups[0][0]
    notes = [
        f"{first.source or first.name} and {other.source or other.name}: "
        + "; ".join(differences(first, other)[:6])
        for other, *_ in groups[1:4]
    ]
    return Problem(
        f"these runs cannot be compared: they use {len(groups)} different data sets",
        notes=(*notes, "with `--tasks` each data set is reported as a separate task"),
    )


def _named(groups: Sequence[list[RunRecord]]) -> dict[str, list[RunRecord]]:
    """Name each data set after the sweep or spec that all its runs share, or else after its reader and file.

    A number makes equal names distinct.
    """
    origins = [{record.sweep or record.name for record in group} for group in groups]
    named: dict[str, list[RunRecord]] = {}
    for group, names in zip(groups, origins, strict=True):
        is_own = len(names) == 1 and origins.count(names) == 1
        base = next(iter(names)) if is_own else _data_name(group[0])
        candidates = chain([base], (f"{base} ({number})" for number in count(2)))
        named[next(name for name in candidates if name not in named)] = group
    return named


def _data_name(record: RunRecord) -> str:
    for split in ("test", "validation", "train"):
        reader = record.data.get(split, {}).get("reader", {})
        if reader.get("type", "holdout") != "holdout":
            column = reader.get("label_column", -1)
            source = reader.get("path") or reader.get("name")
            parts = (reader["type"], source, None if column in (None, -1) else f"column {column}")
            return " ".join(str(part) for part in parts if part)
    return "data"
