"""Which runs may stand in one table: those whose data and way of scoring are the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import Problem, UsageError
from .run_records import RunRecord


def by_data(records: Sequence[RunRecord], *, separate: bool) -> dict[str, list[RunRecord]]:
    """Runs by what they were trained and scored on, under a name for each data set.

    Raises:
        UsageError: there is more than one data set, and they are not to be kept `separate`; says what differs.
    """
    groups: list[list[RunRecord]] = []
    for record in records:
        same = next((group for group in groups if not differences(group[0], record)), None)
        if same is None:
            groups.append([record])
        else:
            same.append(record)
    if len(groups) > 1 and not separate:
        raise UsageError(_refusal(groups))
    return _named(groups)


def differences(one: RunRecord, other: RunRecord) -> list[str]:
    """What of the data, and of the way it was scored, is not the same in two runs: `test.sentences: 8 → 12`."""
    left, right = dict(_identity(one)), dict(_identity(other))
    for split in ("validation", "test"):
        if f"{split}.gold" in left.keys() & right.keys():  # the gold itself decides, however it was read
            for key in [*left, *right]:
                if key.startswith(f"{split}.reader."):
                    left.pop(key, None)
                    right.pop(key, None)
    lines = [f"{key}: {left[key]} → {right[key]}" for key in left if key in right and left[key] != right[key]]
    only = sorted(one.scores.keys() ^ other.scores.keys())
    return lines + [f"{split}: only one of them is scored on it" for split in only]


def _identity(record: RunRecord) -> Iterator[tuple[str, Any]]:
    yield from flat(record.data)
    for split, scores in record.scores.items():
        # The version of sltk is part of a signature, and no reason by itself not to compare.
        yield f"{split}.scored by", re.sub(r"\|sltk:[^|]*", "", str(scores.get("signature", "")))


def flat(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values, all the way down; lists are values."""
    for key, item in value.items():
        at = f"{path}.{key}" if path else str(key)
        if isinstance(item, Mapping):
            yield from flat(item, at)
        else:
            yield at, item


def _refusal(groups: list[list[RunRecord]]) -> Problem:
    first = groups[0][0]
    notes = [
        f"{first.source or first.name} and {group[0].source or group[0].name}: "
        + "; ".join(differences(first, group[0])[:6])
        for group in groups[1:4]
    ]
    return Problem(
        f"these runs do not compare: they are of {len(groups)} different data sets",
        notes=(*notes, "`--tasks` reports on each data set by itself, with a panel a task"),
    )


def _named(groups: list[list[RunRecord]]) -> dict[str, list[RunRecord]]:
    """A name for each data set: that of its runs' sweep, or spec, where they share one, else its reader and file.

    A number is added where that is not enough.
    """
    origins = [{record.sweep or record.name for record in group} for group in groups]
    named: dict[str, list[RunRecord]] = {}
    for group, names in zip(groups, origins, strict=True):
        own = len(names) == 1 and origins.count(names) == 1
        name = base = next(iter(names)) if own else _data_name(group[0])
        number = 1
        while name in named:
            number += 1
            name = f"{base} ({number})"
        named[name] = group
    return named


def _data_name(record: RunRecord) -> str:
    for split in ("test", "validation", "train"):
        reader = record.data.get(split, {}).get("reader", {})
        if reader.get("type", "holdout") != "holdout":
            of = reader.get("path") or reader.get("name") or ""
            column = reader.get("label_column")
            return " ".join(
                filter(
                    None, (reader["type"], str(of), f"column {column}" if column not in (None, -1) else "")
                )
            )
    return "data"
