"""Statistics of a source: sentences, words, spans, tags, and annotation that cannot be used."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..components.slots import Reader
from ..schemes.styles import TagStyle
from .changes import Changes
from .corpora import open_sentences
from .datasets import annotated_spans, to_dataset
from .overlaps import OverlapCounts
from .raw import RawDataset
from .source_counts import SourceCounts


def statistics(reader: Reader, changes: Changes | None = None) -> dict[str, Any]:
    """Counts of a source: the keys of `sltk stats --json`. `changes` counts annotation left out or changed as well.

    `spans` counts all annotated spans by type, including those that overlap or are not used; `tags` counts the tags
    of the file, and is empty if it annotates spans. `overlaps` counts spans that share words, and `discontinuous` those
    in several parts; both are there only if there are such spans. `tag_style` says how tags are written if they do not
    have the form `B-PER`, and `warning` what is odd about them; otherwise there are no such keys. `documents` is 0 if
    the source marks none. `unused` lists what training with a flat head would leave out; `adjusted` lists spans that it
    would use after splitting words or widening the span to whole words; both list at most 1,000. `changes` counts all
    of them by reason.

    The source is read twice, and only a few of its sentences are in memory; names of documents and distinct tags are.

    Raises:
        DataError: raised by the reader; or a tag is not in its scheme.
    """
    stream = open_sentences(reader)
    counts = _Counts(changes or Changes())
    for raw in stream.chunks():
        counts.add(raw)
    return {
        "sentences": counts.sentences,
        "words": counts.words,
        "documents": len(counts.documents),
        "spans": _sorted(counts.spans),
        "tags": _sorted(counts.tags),
        **counts.overlaps.as_json(),
        "scheme": stream.reading.scheme if stream.reading else None,
        **style_as_json(stream.reading.style if stream.reading else None),
        **({"warning": stream.reading.warning} if stream.reading and stream.reading.warning else {}),
        "repaired": counts.repaired,
        **counts.corpora.as_json(),
        **counts.changes.as_json(),
    }


class _Counts:
    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.sentences = self.words = self.repaired = 0
        self.documents: set[tuple[str | None, str]] = set()
        self.spans: Counter[str] = Counter()
        self.tags: Counter[str] = Counter()
        self.corpora = SourceCounts()
        self.overlaps = OverlapCounts()

    def add(self, raw: RawDataset) -> None:
        """Count some sentences."""
        self.sentences += len(raw.sentences)
        for sentence in raw.sentences:
            self.words += len(sentence)
            self.corpora.add(sentence)
            if sentence.document is not None:
                self.documents.add((sentence.file, sentence.document))
            self.tags.update(sentence.tags or ())
            self.spans.update(unused.type for unused in sentence.unused if unused.type is not None)
        if not raw.annotated or raw.scheme == "plain":
            self.changes.add(unused for sentence in raw.sentences for unused in sentence.unused)
            return
        data = to_dataset(raw, "IOB2")
        self.repaired += data.repaired
        self.changes.add(data.unused)
        for sentence, converted in zip(raw.sentences, data, strict=True):
            annotated = annotated_spans(sentence, raw, converted)
            self.spans.update(span.type for span in annotated)
            self.overlaps.add(sentence, annotated)


def style_as_json(style: TagStyle | None) -> dict[str, dict[str, str]]:
    """Name and description of the style of tags, as `tag_style`; empty if they have the form `B-PER`."""
    return {"tag_style": {"name": style.name, "description": str(style)}} if style else {}


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
