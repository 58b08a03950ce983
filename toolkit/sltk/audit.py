"""What is odd in the data of a spec: `sltk check --data`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import data
from .config import Loaded
from .data import SPLITS, Dataset
from .errors import Location, Problem
from .spec import Experiment

_SHOWN = 3

Finding = tuple[str, tuple[str, ...]]
"""What is odd, and examples of it."""


@dataclass(frozen=True)
class Audit:
    """Counts of each split, and what a person should look at."""

    counts: dict[str, dict[str, Any]]
    warnings: list[Problem]

    def lines(self) -> Iterator[str]:
        """The counts in words."""
        for name, counts in self.counts.items():
            types = ", ".join(f"{kind} {count}" for kind, count in counts["types"].items())
            yield (
                f"{name}: {counts['sentences']} sentences, {counts['words']} words, "
                f"scheme {counts['scheme'] or 'spans'}" + (f": {types}" if types else "")
            )


def missing_files(loaded: Loaded[Experiment]) -> list[Problem]:
    """A problem for each path of a reader where nothing is."""
    problems = []
    for split in SPLITS:
        reader = getattr(loaded.experiment.data, split)
        for field in type(reader).model_fields if reader is not None else ():
            path = getattr(reader, field)
            if isinstance(path, Path) and not path.exists():
                message = f"there is no `{path}`"
                problems.append(loaded.problem(f"data.{split}.{field}", message))
    return problems


def audit(loaded: Loaded[Experiment]) -> Audit:
    """Read all splits and look them over.

    Raises:
        DataError: a source is missing or malformed.
    """
    experiment = loaded.experiment
    splits = data.load_splits(experiment.data, experiment.scheme)
    warnings = []
    for name, split in splits.items():
        found = [*_within(split), *(_between(splits["train"], split) if name != "train" else ())]
        warnings += [loaded.problem(f"data.{name}", message, notes=notes) for message, notes in found]
    return Audit({name: _counts(split) for name, split in splits.items()}, warnings)


def _counts(split: Dataset) -> dict[str, Any]:
    return {
        "sentences": len(split),
        "words": sum(map(len, split)),
        "scheme": split.read_scheme,
        "types": dict(sorted(_types(split).items())),
        "repaired": split.repaired,
        "unused": len(split.unused),
    }


def _types(split: Dataset) -> Counter[str]:
    if split.scheme == "plain":
        return Counter(tag for sentence in split for tag in sentence.tags or ())
    return Counter(span.type for sentence in split for span in sentence.spans or ())


def _within(split: Dataset) -> Iterator[Finding]:
    """What is odd in one split."""
    if split.repaired:
        yield f"ill-formed tags, read as others: {split.repaired}", ()
    if split.unused:
        notes = (f"{Location(each.file, each.line)}: {each.reason}" for each in split.unused[:_SHOWN])
        yield f"annotations that cannot be used: {len(split.unused)}", tuple(notes)
    empty = sum(not sentence.words for sentence in split)
    if empty:
        yield f"sentences without words: {empty}", ()
    if not _types(split):
        yield "nothing is annotated: every tag is O", ()


def _between(train: Dataset, other: Dataset) -> Iterator[Finding]:
    """What is odd in a split beside the training data."""
    unseen = data.unseen_types(train, other)
    if unseen:
        yield f"types that train lacks, which no model can learn from it: {', '.join(unseen)}", ()
    known = {tuple(sentence.words) for sentence in train if sentence.words}
    shared = [sentence for sentence in other if tuple(sentence.words) in known]
    notes = (
        f"{Location(sentence.file or '(data)', sentence.line)}: {' '.join(sentence.words)[:80]}"
        for sentence in shared[:_SHOWN]
    )
    if shared:
        yield f"sentences that are in train too: {len(shared)} of {len(other)}", tuple(notes)
