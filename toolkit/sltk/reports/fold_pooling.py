"""Pool the runs of the folds of a cross-validation: one record for each configuration and seed.

If the folds have several seeds, that record has the mean of the pooled scores of its repetitions: fold_repetitions.py.

Every sentence is in the test part of one fold, so the counts of all folds are those of the whole data. Scores are
computed from the sum of these counts, not as a mean of the scores of folds: F1 is no mean over sentences, and a mean of
F1 over small parts is biased (Forman and Scholz 2010).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import Problem, UsageError
from .comparability import flat
from .fold_repetitions import repeated
from .record_means import joint_values
from .run_records import RunRecord, SentenceCounts

_COUNTS = ("support", "predicted", "correct")


def pooled(records: Sequence[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """The records, with one for all folds of a configuration and seed, and notes on runs that are left out.

    Runs whose other folds are missing are left out if any set of folds is complete; otherwise they stay what they are.
    So are configurations and seeds with fewer repetitions than others.

    Raises:
        UsageError: one fold was run twice with different results, or runs of several folds are all incomplete.
    """
    groups: dict[str, dict[int, RunRecord]] = {}
    others: list[RunRecord] = []
    for record in records:
        fold = record.data.get("folds", {}).get("fold")
        if fold is None:
            others.append(record)
            continue
        runs = groups.setdefault(_key(record), {})
        if fold in runs:
            raise UsageError(_twice(runs[fold], record, fold))
        runs[fold] = record
    complete = [runs for runs in groups.values() if len(runs) == _k(runs)]
    incomplete = [runs for runs in groups.values() if len(runs) < _k(runs)]
    if not complete:
        if len({fold for runs in groups.values() for fold in runs}) > 1:
            raise UsageError(_incomplete(incomplete))
        return list(records), []
    notes = [_left_out(incomplete)] if incomplete else []
    scored, more = repeated([_pool([runs[fold] for fold in sorted(runs)]) for runs in complete])
    return [*others, *scored], [*notes, *more]


def _k(runs: Mapping[int, RunRecord]) -> int:
    return int(next(iter(runs.values())).data["folds"]["k"])


def _key(record: RunRecord) -> str:
    """What the runs of one cross-validation share: everything but the fold, and the data that it tests."""
    readers = {split: data.get("reader") for split, data in record.data.items() if split != "folds"}
    arm = None if record.arm is None else record.arm.place
    about = record.name, record.sweep, arm, record.seed, record.settings, readers, _common_folds(record)
    return json.dumps(about, sort_keys=True, default=str)


def _common_folds(record: RunRecord) -> dict[str, Any]:
    return {key: value for key, value in record.data["folds"].items() if key != "fold"}


def _pool(runs: Sequence[RunRecord]) -> RunRecord:
    """One record of all folds. Sentences are in the order of the data if the runs store it, else in that of folds."""
    first = runs[0]
    splits = [split for split in first.scores if all(split in run.scores for run in runs)]
    order = {split: _order(runs, split) for split in splits}

    def joined(field: str, join: Callable[[Sequence[Any]], Any]) -> dict[str, Any]:
        parts = {split: [getattr(run, field).get(split) for run in runs] for split in splits}
        known = {split: part for split, part in parts.items() if None not in part}
        return {split: _sorted(join(part), order[split]) for split, part in known.items()}

    documents = {split: _in_order(numbers) for split, numbers in joined("documents", _numbered).items()}
    return first.model_copy(
        update=joint_values(runs, splits)
        | {
            "data": _data(runs),
            "scores": {split: _scores([run.scores[split] for run in runs]) for split in splits},
            "counts": joined("counts", _joined),
            "slices": joined("slices", lambda parts: [code for part in parts for code in part]),
            "documents": documents,
            "positions": {split: sorted(places) for split, places in order.items() if places is not None},
            "fold_runs": list(runs),
        }
    )


def _order(runs: Sequence[RunRecord], split: str) -> list[int] | None:
    """The place in the data of each sentence of all folds; None unless each place occurs exactly once."""
    parts = [run.positions.get(split, []) for run in runs]
    places = [place for part in parts for place in part]
    scored = [run.counts.get(split, part) for run, part in zip(runs, parts, strict=True)]
    is_known = all(parts) and list(map(len, scored)) == list(map(len, parts))
    is_known = is_known and sorted(places) == list(range(len(places)))
    return places if is_known else None


def _sorted(values: Any, order: Sequence[int] | None) -> Any:
    """Values per sentence, in the order of the places of their sentences."""
    if order is None:
        return values
    ranks = sorted(range(len(order)), key=order.__getitem__)
    return values.picked(ranks) if isinstance(values, SentenceCounts) else [values[rank] for rank in ranks]


def _in_order(numbers: Sequence[int]) -> list[int]:
    """Numbers of documents, from 0 by first occurrence."""
    new: dict[int, int] = {}
    return [new.setdefault(number, len(new)) for number in numbers]


def _data(runs: Sequence[RunRecord]) -> dict[str, Any]:
    """The data of all folds: the sum of their sizes, and a digest of their digests."""
    data: dict[str, Any] = {"folds": _common_folds(runs[0])}
    for split, values in runs[0].data.items():
        if split == "folds":
            continue
        parts = [run.data.get(split, {}) for run in runs]
        data[split] = {key: values[key] for key in ("reader",) if key in values}
        for key in ("sentences", "words"):
            if all(key in part for part in parts):
                data[split][key] = sum(part[key] for part in parts)
        if all("gold" in part for part in parts):
            digests = "".join(part["gold"] for part in parts)
            data[split]["gold"] = hashlib.sha256(digests.encode()).hexdigest()[:16]
    return data


def _scores(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Scores from the sum of all counts; where a metric gives none, means weighted by the number of words."""
    scores: dict[str, Any] = {key: folds[0][key] for key in ("signature",) if key in folds[0]}
    for key in ("sentences", "words"):
        if all(key in fold for fold in folds):
            scores[key] = sum(fold[key] for fold in folds)
    weights = [float(fold.get("words", 1)) for fold in folds]
    for key in ("accuracy", "precision", "recall", "f1"):
        if all(isinstance(fold.get(key), int | float) for fold in folds):
            scores[key] = sum(w * fold[key] for w, fold in zip(weights, folds, strict=True)) / sum(weights)
    if all(map(has_counts, folds)):
        scores |= _ratios(folds)
    by_type = [fold.get("per_type", {}) for fold in folds]
    names = sorted({name for types in by_type for name in types})
    per_type = {name: [types[name] for types in by_type if name in types] for name in names}
    if per_type and all(has_counts(values) for parts in per_type.values() for values in parts):
        scores["per_type"] = {name: _ratios(parts) for name, parts in per_type.items()}
    return scores


def has_counts(scores: Mapping[str, Any]) -> bool:
    """Whether scores have the counts that their F1 is computed from."""
    support, predicted, correct = (scores.get(key) for key in _COUNTS)
    if not all(isinstance(value, int) for value in (support, predicted, correct)):
        return False
    f1 = _f1(int(support or 0), int(predicted or 0), int(correct or 0))
    return abs(f1 - float(scores.get("f1", 0.0))) < 1e-6


def _f1(support: int, predicted: int, correct: int) -> float:
    return 2 * correct / (support + predicted) if support + predicted else 0.0


def _ratios(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    parts = list(parts)
    support, predicted, correct = (sum(part[key] for part in parts) for key in _COUNTS)
    return {
        "precision": correct / predicted if predicted else 0.0,
        "recall": correct / support if support else 0.0,
        "f1": _f1(support, predicted, correct),
        "support": support,
        "predicted": predicted,
        "correct": correct,
    }


def _joined(parts: Sequence[SentenceCounts]) -> SentenceCounts:
    lists = {
        key: [n for part in parts for n in getattr(part, key)] for key in ("gold", "predicted", "correct")
    }
    return SentenceCounts(**lists)


def _numbered(parts: Iterable[Sequence[int]]) -> list[int]:
    """The documents of all folds, with different numbers in different folds."""
    numbers: list[int] = []
    start = 0
    for part in parts:
        numbers += [start + number for number in part]
        start += max(part, default=-1) + 1
    return numbers


def _shown(runs: Mapping[int, RunRecord]) -> str:
    first = next(iter(runs.values()))
    missing = [str(fold) for fold in range(1, _k(runs) + 1) if fold not in runs]
    mask = f", mask {first.mask}" if first.mask is not None else ""
    folds = f"fold {', '.join(missing)} of {_k(runs)}"
    return (
        f"{first.name}{mask}, seed {first.seed}, folds with seed {first.data['folds'].get('seed')}: {folds}"
    )


def _left_out(incomplete: Sequence[Mapping[int, RunRecord]]) -> str:
    more = f" and {len(incomplete) - 3} more" if len(incomplete) > 3 else ""
    return f"left out because folds are missing: {'; '.join(map(_shown, incomplete[:3]))}{more}"


def _incomplete(groups: Sequence[Mapping[int, RunRecord]]) -> Problem:
    notes = [f"missing: {_shown(runs)}" for runs in groups[:4]]
    advice = "`sltk sweep` trains the missing ones; a report on one fold alone takes its runs only"
    return Problem("no cross-validation is complete: scores need all folds", notes=(*notes, advice))


def _twice(one: RunRecord, other: RunRecord, fold: int) -> Problem:
    keys = [key for key, value in flat(one.scores) if dict(flat(other.scores)).get(key) != value]
    return Problem(
        f"fold {fold} was run twice with the same settings and the same seed {one.seed}, but different results",
        notes=(
            one.source or one.name,
            other.source or other.name,
            f"differing: {', '.join(keys[:4]) or 'cost'}",
        ),
    )
