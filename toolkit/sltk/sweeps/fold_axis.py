"""The folds of cross-validation as an axis of a sweep, which no grid needs to spell out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..errors import SpecError
from ..spec.fold_settings import FoldSpec
from ..yamltree.extends import Reading, open_folds
from ..yamltree.lookup import child
from ..yamltree.source import Entry, Node
from .variations import Combination, Setting, apply_settings

FOLD = "data.folds.fold"


def with_sweep(reading: Reading) -> Reading:
    """Add `sweep: {grid: {data.folds.fold: [1, …, k]}}` to a spec that has folds to run, but no sweep."""
    keys, folds = reading.tree.value, open_folds(reading.tree)
    if not isinstance(keys, dict) or "sweep" in keys or folds is None:
        return reading
    mark = folds.key
    values = Node(mark, [Node(mark, fold) for fold in _numbers(folds)])
    grid = Node(mark, {FOLD: Entry(mark, values)})
    sweep = Entry(mark, Node(mark, {"grid": Entry(mark, grid)}))
    return replace(reading, tree=Node(reading.tree.mark, {**keys, "sweep": sweep}))


def with_folds(base: Node, combinations: Iterable[Combination]) -> Iterator[Combination]:
    """The runs of a sweep; a run with `data.folds` that does not say which fold it is becomes one run for each."""
    for each in combinations:
        folds = _open_folds(base, each)
        if folds is None:
            yield each
            continue
        for fold in _numbers(folds):
            setting = Setting(FOLD, folds.key, Node(folds.key, fold))
            name = None if each.name is None else f"{each.name},fold={fold}"
            yield Combination((*each.groups, (setting,)), name)


def _open_folds(base: Node, combination: Combination) -> Entry | None:
    concerned = open_folds(base) or any(each.key.split(".")[0] == "data" for each in combination.settings)
    if not concerned:
        return None
    try:
        return open_folds(apply_settings(base, combination.settings))
    except SpecError:
        return None  # reported when the run is validated


def _numbers(folds: Entry) -> range:
    """The numbers of all folds; of the first alone if `k` is not valid, which validation of the run reports."""
    entry = child(folds.node, "k")
    k = FoldSpec.model_fields["k"].default if entry is None else entry.node.value
    is_number = isinstance(k, int) and not isinstance(k, bool) and 2 <= k <= 1000
    return range(1, int(k) + 1 if is_number else 2)
