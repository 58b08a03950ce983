"""Data without a single span: a model that is trained on it labels nothing, and every score on it is zero."""

from __future__ import annotations

from ..components.slots import Reader
from ..errors import DataError
from ..schemes import OUTSIDE
from .data_report import summarize
from .datasets import SentenceSource
from .raw import source_of

_NO_LABEL = {OUTSIDE, "_"}
_SHOWN = 3


def check_not_empty(dataset: SentenceSource, reader: Reader) -> None:
    """Check that the data has a span, or, if its tags are plain, a tag other than `O` and `_`.

    Raises:
        DataError: it has none, and the reader does not `allow_empty`.
    """
    if reader.allow_empty or any(_has_label(sentence.spans, sentence.tags, dataset) for sentence in dataset):
        return
    data = summarize(dataset)
    found = "tag other than `O` and `_`" if dataset.scheme == "plain" else "span"
    message = f"{dataset.name} has {data.sentences:,} sentences, {data.words:,} words and no {found}"
    notes = [f"left out or changed: {line}" for line in data.changes.lines(_SHOWN)]
    raise DataError.at(
        message,
        source_of(reader),
        None,
        *notes,
        "check which column, key or layer the reader takes for the annotation: `sltk stats` counts it",
        "`allow_empty: true` in the reader accepts such data",
    )


def _has_label(spans: object, tags: list[str] | None, dataset: SentenceSource) -> bool:
    return not _NO_LABEL.issuperset(tags or ()) if dataset.scheme == "plain" else bool(spans)
