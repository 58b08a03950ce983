"""What a reader finds in its source, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..components.slots import Reader
from ..types import Unused
from .datasets import to_dataset
from .raw import RawDataset, read_raw


def statistics(reader: Reader) -> dict[str, Any]:
    """Counts of a source: the keys of `sltk stats --json`.

    `spans` counts every annotated span by type, also those that overlap, and those that are not used; `tags`
    counts the tags as they are written, and is empty where the source annotates spans. `documents` is 0 where
    the source marks none. `unused` is what training on the source would leave out, and why; `adjusted` the spans
    that it would use, but not as they stand: words are cut for them, or they are widened to whole words.

    Raises:
        DataError: as the reader; or a tag that is not in its scheme.
    """
    source = read_raw(reader)
    repaired, unused, spans = _converted(source)
    sentences = source.sentences
    return {
        "sentences": len(sentences),
        "words": sum(map(len, sentences)),
        "documents": len({sentence.document for sentence in sentences} - {None}),
        "spans": _sorted(spans),
        "tags": _sorted(Counter(tag for sentence in sentences for tag in sentence.tags or ())),
        "scheme": source.scheme,
        "repaired": repaired,
        **listed(unused),
    }


def listed(unused: Iterable[Unused]) -> dict[str, list[dict[str, Any]]]:
    """What is left out as `unused` and what is changed as `adjusted`, JSON-ready."""
    lists: dict[str, list[dict[str, Any]]] = {"unused": [], "adjusted": []}
    for item in unused:
        entry = {"file": item.file, "line": item.line, "reason": item.reason}
        lists["adjusted" if item.adjusted else "unused"].append(entry)
    return lists


def _converted(source: RawDataset) -> tuple[int, list[Unused], Counter[str]]:
    """How many tags were repaired, what is not used, and all annotated spans by type."""
    reported = [unused for sentence in source.sentences for unused in sentence.unused]
    spans = Counter(unused.type for unused in reported if unused.type is not None)
    if not source.annotated or source.scheme == "plain":
        return 0, reported, spans
    data = to_dataset(source, "IOB2")
    for raw, converted in zip(source.sentences, data, strict=True):
        annotated = raw.spans if raw.spans is not None else converted.spans
        spans.update(span.type for span in annotated or ())
    return data.repaired, data.unused, spans


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
