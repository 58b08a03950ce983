"""Read `predictions/SPLIT.conll`, the tags that the scores of a run were computed from."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

from ..components.metrics import SeqevalMetric
from ..errors import DataError
from ..files.text_lines import TextLines

TaggedSentence = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""Words, gold tags, predicted tags."""


def read_predictions(path: Path) -> list[TaggedSentence]:
    """Read a predictions file. Columns are split from the right, since a word may contain anything but a tab.

    Raises:
        DataError: a line does not have three columns; the message names it.
    """
    sentences: list[TaggedSentence] = []
    rows: list[list[str]] = []
    for number, line in chain(TextLines(path, content="text"), [(0, "")]):
        if line:
            rows.append(line.rsplit("\t", 2))
            if len(rows[-1]) != 3:
                raise DataError.at("expected tab-separated word, gold tag and predicted tag", path, number)
        elif rows:
            words, gold, predicted = zip(*rows, strict=True)
            sentences.append((words, gold, predicted))
            rows = []
    return sentences


def span_metric(settings: dict[str, Any]) -> SeqevalMetric | None:
    """The metric that counted the spans of a resolved spec; None unless `seqeval` comes first, on spans."""
    first = dict((settings.get("metrics") or [{"type": "seqeval"}])[0])
    if first.pop("type", None) != "seqeval" or settings.get("scheme") == "plain":
        return None
    return SeqevalMetric(**first)
