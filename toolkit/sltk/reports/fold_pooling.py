"""Pool the runs of the folds of a cross-validation: one record for each configuration and seed.

Every sentence is in the test part of one fold, so the counts of all folds are those of the whole data. Scores are
computed from the sum of these counts, not as a mean of the scores of folds: F1 is no mean over sentences, and a mean of
F1 over small parts is biased (Forman and Scholz 2010).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from ..errors import Problem, UsageError
from .comparability import flat
from .run_records import LearningCurve, RunRecord, SentenceCounts

_COUNTS = ("support", "predicted", "correct")


def pooled(records: Sequence[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """The records, with one for all folds of a configuration and seed, and notes on runs that are left out.

    Runs whose other folds are missing are left out if any set of folds is complete; otherwise they stay what they are.

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
    return [*others, *(_pool([runs[fold] for fold in sorted(runs)]) for runs in complete)], notes


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
    """One record of all folds, in their order."""
    first = runs[0]
    splits = [split for split in first.scores if all(split in run.scores for run in runs)]
    counted = [split for split in splits if all(split in run.counts for run in runs)]
    return first.model_copy(
        update={
            "data": _data(runs),
            "scores": {split: _scores([run.scores[split] for run in runs]) for split in splits},
            "train": _means([run.train for run in runs]),
            "curve": _curve([run.curve for run in runs]),
            "counts": {split: _joined([run.counts[split] for run in runs]) for split in counted},
            "confusion": {
                split: _confusion([run.confusion.get(split, []) for run in runs]) for split in splits
            },
            "slices": {
                split: [code for run in runs for code in run.slices[split]]
                for split in splits
                if all(split in run.slices for run in runs)
            },
            "documents": {
                split: _numbered([run.documents[split] for run in runs])
                for split in splits
                if all(split in run.documents for run in runs)
            },
            "train_sentences": _mean_count([run.train_sentences for run in runs]),
            "environment": _environment([run.environment for run in runs]),
            "source": ", ".join(run.source for run in runs if run.source),
            "fold_runs": list(runs),
        }
    )


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


def _means(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of each number that all folds have."""
    means: dict[str, Any] = {}
    for key, value in folds[0].items():
        values = [fold.get(key) for fold in folds]
        if all(isinstance(each, int | float) and not isinstance(each, bool) for each in values):
            mean = fmean(values)  # type: ignore[arg-type]
            means[key] = round(mean) if isinstance(value, int) else mean
    return means


def _curve(curves: Sequence[LearningCurve]) -> LearningCurve:
    """The mean of curves with the same number of points; an empty one for others."""
    means: dict[str, list[tuple[int, float, float]]] = {}
    for name in ("loss", "validation"):
        lists = [getattr(curve, name) for curve in curves]
        if len(set(map(len, lists))) == 1:
            means[name] = [
                (round(fmean(p[0] for p in points)), fmean(p[1] for p in points), fmean(p[2] for p in points))
                for points in zip(*lists, strict=True)
            ]
    return LearningCurve(**means)


def _joined(parts: Sequence[SentenceCounts]) -> SentenceCounts:
    lists = {
        key: [n for part in parts for n in getattr(part, key)] for key in ("gold", "predicted", "correct")
    }
    return SentenceCounts(**lists)


def _confusion(parts: Iterable[Iterable[tuple[str, str, int]]]) -> list[tuple[str, str, int]]:
    sums: Counter[tuple[str, str]] = Counter()
    for part in parts:
        for gold, predicted, count in part:
            sums[gold, predicted] += count
    return [(*pair, count) for pair, count in sorted(sums.items())]


def _numbered(parts: Iterable[Sequence[int]]) -> list[int]:
    """The documents of all folds, with different numbers in different folds."""
    numbers: list[int] = []
    start = 0
    for part in parts:
        numbers += [start + number for number in part]
        start += max(part, default=-1) + 1
    return numbers


def _mean_count(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return round(fmean(known)) if len(known) == len(counts) else None


def _environment(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The values that all folds share; where they differ, all of them as text."""
    joined: dict[str, Any] = {}
    for key, value in folds[0].items():
        values = [fold.get(key) for fold in folds]
        differ = any(each != value for each in values)
        joined[key] = ", ".join(dict.fromkeys(map(str, values))) if differ else value
    return joined


def _shown(runs: Mapping[int, RunRecord]) -> str:
    first = next(iter(runs.values()))
    missing = [str(fold) for fold in range(1, _k(runs) + 1) if fold not in runs]
    mask = f", mask {first.mask}" if first.mask is not None else ""
    return f"{first.name}{mask}, seed {first.seed}: fold {', '.join(missing)} of {_k(runs)}"


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
