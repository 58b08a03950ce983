"""The training, validation and test data of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..components.readers.dividing import DividingReader
from ..components.readers.folds import FoldReader
from ..components.slots import Reader
from ..errors import DataError, Problem, nearest
from ..files.data_files import is_missing
from ..files.text_lines import missing_file_notes
from ..schemes.names import SchemeName
from .corpora import read_all
from .corpus_types import resolved
from .datasets import Dataset, to_dataset
from .empty_data import check_not_empty
from .raw import RawDataset

if TYPE_CHECKING:
    from ..spec.data_settings import DataSpec
    from ..spec.loading import Loaded

SPLITS = ("train", "validation", "test")


def readers_of(data: DataSpec) -> dict[str, Reader | None]:
    """The reader of each split, by its key in the spec: `data.train`."""
    return {f"data.{split}": getattr(data, split) for split in SPLITS}


def missing_files(loaded: Loaded[Any], readers: Mapping[str, Reader | None]) -> list[Problem]:
    """One problem for each path of the readers that does not exist, at its key in the spec."""
    paths = [each for place, reader in readers.items() if reader is not None for each in reader.paths(place)]
    return [
        loaded.problem(place, f"there is no `{path}`", notes=missing_file_notes(path))
        for place, path in paths
        if is_missing(path)
    ]


def load_splits(data: DataSpec, scheme: SchemeName, names: Sequence[str] | None = None) -> dict[str, Dataset]:
    """Load the splits in `names`, by default all that the spec has; `holdout` sentences are taken from `train`.

    Raises:
        DataError: see `load`; or the spec lacks one of the splits, has no `train` to hold out from, or a split has no
            span, see `check_not_empty`.
    """
    data = resolved(data, SPLITS if names is None else [*names, "train"])
    readers: dict[str, Reader] = {
        name: reader for name in SPLITS if (reader := getattr(data, name)) is not None
    }
    requested = list(readers if names is None else names)
    for name in requested:
        if name not in readers:
            message = f"there is no {name} data; this spec has {', '.join(readers) or 'none'}"
            raise DataError(Problem(message, suggestion=nearest(name, readers)))
    held_out = {name: reader for name, reader in readers.items() if isinstance(reader, DividingReader)}
    parts: dict[str, RawDataset] = {}
    if held_out and ("train" in requested or held_out.keys() & set(requested)):
        parts = _divide_train(readers, held_out)
    splits = {
        name: to_dataset(parts.get(name) or read_all(readers[name]), scheme, name) for name in requested
    }
    for name, dataset in splits.items():
        check_not_empty(dataset, readers[name])
    return splits


def _divide_train(readers: dict[str, Reader], held_out: dict[str, DividingReader]) -> dict[str, RawDataset]:
    """The training data and the parts held out of it, before conversion to a scheme.

    The test part of a fold is taken first, so that it depends on no other key: the parts of all folds are disjoint.
    """
    if "train" not in readers or "train" in held_out:
        raise DataError("`holdout` takes sentences out of train, but there is no train data")
    train = read_all(readers["train"])
    rest, parts = train.sentences, {}
    for name, reader in sorted(held_out.items(), key=lambda each: not isinstance(each[1], FoldReader)):
        rest, part = reader.divide(rest)
        parts[name] = replace(train, sentences=part, repaired=0)
    for reader in held_out.values():
        rest = reader.training_part(rest)
    return {"train": replace(train, sentences=rest), **parts}
