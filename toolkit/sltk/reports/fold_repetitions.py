"""Repeated cross-validation: the same data divided into folds several times, with several seeds of `data.folds`.

Each repetition has a pooled score, because it tests every sentence once; the score of a run is their mean. Counts per
sentence stay with the repetitions: a test over sentences swaps or draws a sentence in all of them together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .record_means import joint_values, means
from .run_records import RunRecord

_Repetitions = dict[int, RunRecord]
"""The pooled records of one configuration and seed, by the seed of their folds."""
_NO_POSITIONS = (
    "no tests over sentences, because some runs of the repeated cross-validation are of an earlier version, which did "
    "not store the positions of the sentences"
)
_SCORES = ("precision", "recall", "f1", "accuracy", "support", "sentences", "words")


def repeated(records: Sequence[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """The pooled records, with one for all repetitions of a configuration and seed, and notes on those left out.

    A configuration and seed with fewer repetitions than others is left out. Records stay what they are if their folds
    have one seed, or if they cannot be combined: different gold under the same seed of folds, or the same seed of runs
    on different folds. `comparability` then refuses them, or separates them.
    """
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(_data_key(record), []).append(record)
    scored: list[RunRecord] = []
    notes: list[str] = []
    for group in groups.values():
        members = _members(group)
        if members is None:
            scored += group
            continue
        most = max(map(len, members))
        complete = [each for each in members if len(each) == most]
        if not _match(complete):
            scored += group
            continue
        aligned = _aligned_splits(complete)
        scored += _combined(complete, aligned)
        if any("test" in record.counts.keys() - aligned for each in complete for record in each.values()):
            notes.append(_NO_POSITIONS)
        if len(complete) < len(members):
            notes.append(_left_out([each for each in members if len(each) < most], complete, most))
    return scored, notes


def _data_key(record: RunRecord) -> str:
    """What repetitions share of their data: everything that does not depend on the seed of the folds."""
    sizes = {key: record.data.get("test", {}).get(key) for key in ("sentences", "words")}
    readers = {split: values.get("reader") for split, values in record.data.items() if split != "folds"}
    return json.dumps((_without_seed(record), readers, sizes), sort_keys=True, default=str)


def _without_seed(record: RunRecord) -> dict[str, Any]:
    return {key: value for key, value in record.data["folds"].items() if key != "seed"}


def _fold_seed(record: RunRecord) -> int:
    return int(record.data["folds"].get("seed", 0))


def _members(group: Sequence[RunRecord]) -> list[_Repetitions] | None:
    """The repetitions of each configuration and seed; None if these are not repetitions."""
    golds: dict[int, set[str]] = {}
    members: dict[str, _Repetitions] = {}
    for record in group:
        golds.setdefault(_fold_seed(record), set()).add(_gold(record))
        own = members.setdefault(_run_key(record), {})
        if _fold_seed(record) in own:
            return None  # the same run twice, which `arrange` reports
        own[_fold_seed(record)] = record
    is_repeated = len(golds) > 1 and all(len(digests) == 1 for digests in golds.values())
    return [dict(sorted(each.items())) for each in members.values()] if is_repeated else None


def _gold(record: RunRecord) -> str:
    splits = (values for split, values in sorted(record.data.items()) if split != "folds")
    return " ".join(str(values.get("gold")) for values in splits)


def _run_key(record: RunRecord) -> str:
    arm = None if record.arm is None else (record.arm.place, record.name)
    return json.dumps((arm, record.seed, record.settings), sort_keys=True, default=str)


def _match(members: Sequence[_Repetitions]) -> bool:
    """Whether all configurations have the same folds under the same seed."""
    folds: dict[int, set[tuple[int, ...]]] = {}
    for each in members:
        folds.setdefault(_first(each).seed, set()).add(tuple(each))
    return all(len(sets) == 1 for sets in folds.values())


def _first(repetitions: Mapping[int, RunRecord]) -> RunRecord:
    return next(iter(repetitions.values()))


def _combined(members: Sequence[_Repetitions], aligned: set[str]) -> Iterator[RunRecord]:
    """The mean of the repetitions of each configuration and seed; counts of the splits in `aligned` only."""
    by_seed = {seed: record for each in members for seed, record in each.items()}
    common = _common_data(dict(sorted(by_seed.items())))
    for each in members:
        yield _mean_record([_aligned(record, aligned) for record in each.values()], common)


def _aligned_splits(members: Sequence[_Repetitions]) -> set[str]:
    """The splits whose sentences have the same order in all repetitions: that of the data."""
    records = [record for each in members for record in each.values()]
    return {split for split in records[0].positions if all(split in record.positions for record in records)}


def _aligned(record: RunRecord, splits: set[str]) -> RunRecord:
    fields = ("counts", "slices", "documents")
    return record.model_copy(
        update={
            field: {split: each for split, each in getattr(record, field).items() if split in splits}
            for field in fields
        }
    )


def _common_data(by_seed: Mapping[int, RunRecord]) -> dict[str, Any]:
    """The data of all repetitions, from one record for each seed of folds."""
    records = list(by_seed.values())
    data: dict[str, Any] = {"folds": {**_without_seed(records[0]), "seeds": list(by_seed)}}
    for split, values in records[0].data.items():
        if split == "folds":
            continue
        parts = [record.data.get(split, {}) for record in records]
        data[split] = {
            key: values[key]
            for key in ("reader", "sentences", "words")
            if key in values and all(part.get(key) == values[key] for part in parts)
        }
        if all("gold" in part for part in parts):
            digests = "".join(part["gold"] for part in parts)
            data[split]["gold"] = hashlib.sha256(digests.encode()).hexdigest()[:16]
    return data


def _mean_record(repetitions: Sequence[RunRecord], data: Mapping[str, Any]) -> RunRecord:
    """The mean of the repetitions of one configuration and seed."""
    first = repetitions[0]
    splits = [split for split in first.scores if all(split in each.scores for each in repetitions)]
    return first.model_copy(
        update=joint_values(repetitions, splits)
        | {
            "data": dict(data),
            "scores": {split: _scores([each.scores[split] for each in repetitions]) for split in splits},
            "counts": {},
            "slices": {},
            "fold_runs": [run for each in repetitions for run in each.fold_runs],
            "repetitions": list(repetitions),
        }
    )


def _scores(repetitions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of each score; it has no counts of predictions, because it is not computed from any."""
    scores: dict[str, Any] = {key: repetitions[0][key] for key in ("signature",) if key in repetitions[0]}
    scores |= {key: value for key, value in means(repetitions).items() if key in _SCORES}
    names = sorted({name for each in repetitions for name in each.get("per_type", {})})
    if names:
        scores["per_type"] = {name: _type_scores(repetitions, name) for name in names}
    return scores


def _type_scores(repetitions: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    parts = [each["per_type"][name] for each in repetitions if name in each.get("per_type", {})]
    return {key: value for key, value in means(parts).items() if key in _SCORES}


def _left_out(incomplete: Sequence[_Repetitions], complete: Sequence[_Repetitions], most: int) -> str:
    seeds = sorted({seed for each in complete for seed in each})
    shown = [_shown(each, seeds, most) for each in incomplete[:3]]
    more = f" and {len(incomplete) - 3} more" if len(incomplete) > 3 else ""
    return f"left out because repetitions are missing: {'; '.join(shown)}{more}"


def _shown(repetitions: _Repetitions, seeds: Sequence[int], most: int) -> str:
    first = _first(repetitions)
    mask = f", mask {first.mask}" if first.mask is not None else ""
    present = ", ".join(map(str, repetitions))
    return (
        f"{first.name}{mask}, seed {first.seed} has {len(repetitions)} of {most} (folds with seed {present}; others "
        f"have {', '.join(map(str, seeds))})"
    )
