"""Refuse to search over all folds of a cross-validation: each trial of a search is one run, with one score."""

from __future__ import annotations

from ..errors import InvalidSpecError
from ..yamltree.extends import open_folds
from ..yamltree.source import Node


def check_one_fold(tree: Node, best: str) -> None:
    """Check that a spec with `data.folds` says which fold to search on.

    Args:
        tree: the spec of the search.
        best: how to train the result of the search on all folds.

    Raises:
        InvalidSpecError: it does not.
    """
    folds = open_folds(tree)
    if folds is None:
        return
    message = "a search trains one run per trial, so it cannot take the mean over folds"
    notes = (
        "`--set data.folds.fold=1` searches on the training part of one fold, by its validation data",
        best,
        "without a search, `sltk sweep` trains all folds of each value that its `sweep:` lists",
    )
    raise InvalidSpecError(folds.key.problem(message, "data.folds", notes=notes))
