"""Statistics of a source: sentences, words, spans, tags, and annotation that cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..components.slots import Reader
from ..schemes.styles import TagStyle
from ..types import Unused
from .datasets import to_dataset
from .raw import RawDataset, read_raw


def statistics(reader: Reader) -> dict[str, Any]:
    """Counts of a source: the keys of `sltk stats --json`.

    `spans` counts all annotated spans by type, including those that overlap or are not used; `tags` counts the tags
    of the file, and is empty if it annotates spans. `tag_style` says how they are written if they do not have the
    form `B-PER`; otherwise there is no such key. `documents` is 0 if the source marks none. `unused` lists what
    training on the source would leave out; `adjusted` lists spans that it would use after splitting words or widening
    the span to whole words.

    Raises:
        DataError: raised by the reader; or a tag is not in its scheme.
    """
    raw = read_raw(reader)
    repaired, unused, spans = _convert(raw)
    sentences = raw.sentences
    return {
        "sentences": len(sentences),
        "words": sum(map(len, sentences)),
        "documents": len({sentence.document for sentence in sentences} - {None}),
        "spans": _sorted(spans),
        "tags": _sorted(Counter(tag for sentence in sentences for tag in sentence.tags or ())),
        "scheme": raw.scheme,
        **style_as_json(raw.reading.style if raw.reading else None),
        "repaired": repaired,
        **unused_as_json(unused),
    }


def unused_as_json(unused: Iterable[Unused]) -> dict[str, list[dict[str, Any]]]:
    """Annotation that is left out as `unused`, and adjusted spans as `adjusted`."""
    lists: dict[str, list[dict[str, Any]]] = {"unused": [], "adjusted": []}
    for item in unused:
        entry = {"file": item.file, "line": item.line, "reason": item.reason}
        lists["adjusted" if item.adjusted else "unused"].append(entry)
    return lists


def style_as_json(style: TagStyle | None) -> dict[str, dict[str, str]]:
    """Name and description of the style of tags, as `tag_style`; empty if they have the form `B-PER`."""
    return {"tag_style": {"name": style.name, "description": str(style)}} if style else {}


def _convert(raw: RawDataset) -> tuple[int, list[Unused], Counter[str]]:
    """Number of repaired tags, annotation that is not used, and all annotated spans by type."""
    reported = [unused for sentence in raw.sentences for unused in sentence.unused]
    spans = Counter(unused.type for unused in reported if unused.type is not None)
    if not raw.annotated or raw.scheme == "plain":
        return 0, reported, spans
    data = to_dataset(raw, "IOB2")
    for sentence, converted in zip(raw.sentences, data, strict=True):
        annotated = sentence.spans if sentence.spans is not None else converted.spans
        spans.update(span.type for span in annotated or ())
    return data.repaired, data.unused, spans


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
