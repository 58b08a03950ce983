"""Read `predictions/SPLIT.conll`: span counts per sentence, confusions of types, and a digest of the gold."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from .. import schemes
from ..components.metrics import SeqevalMetric
from ..errors import DataError
from ..files.text_lines import TextLines
from ..schemes.names import SchemeName
from .run_records import SentenceCounts

TaggedSentence = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""Words, gold tags, predicted tags."""
Confusion = list[tuple[str, str, int]]
"""Gold type, predicted type, count."""


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


def count_spans(
    sentences: Sequence[TaggedSentence], metric: SeqevalMetric, scheme: SchemeName
) -> tuple[SentenceCounts, Confusion]:
    """Count spans per sentence, and how often each type is predicted for each gold type.

    A gold and a predicted span are paired if both ends agree; a span without a partner is missed or spurious and
    has the empty type on the other side.

    Raises:
        SchemeError: a tag is not in the scheme.
    """
    counts: dict[str, list[int]] = {"gold": [], "predicted": [], "correct": []}
    confusion: Counter[tuple[str, str]] = Counter()
    for _, gold_tags, predicted_tags in sentences:
        gold, predicted = metric.spans(gold_tags, scheme), metric.spans(predicted_tags, scheme)
        counts["gold"].append(len(gold))
        counts["predicted"].append(len(predicted))
        counts["correct"].append(len(set(gold).intersection(predicted)))
        gold_types, predicted_types = ({span[:2]: span[2] for span in spans} for spans in (gold, predicted))
        confusion.update(
            (gold_types.get(ends, ""), predicted_types.get(ends, "")) for ends in gold_types | predicted_types
        )
    return SentenceCounts(**counts), _sorted(confusion)


def tag_confusion(sentences: Sequence[TaggedSentence]) -> Confusion:
    """Count how often each plain tag is predicted for each gold tag."""
    return _sorted(Counter(pair for _, *tags in sentences for pair in zip(*tags, strict=True)))


def _sorted(pairs: Counter[tuple[str, str]]) -> Confusion:
    return [(*pair, count) for pair, count in sorted(pairs.items())]


def gold_digest(sentences: Sequence[TaggedSentence], scheme: SchemeName) -> str:
    """A digest of words and gold spans that does not depend on the scheme the spans are written in.

    Raises:
        SchemeError: a tag is not in the scheme.
    """
    digest = hashlib.sha256()
    for words, gold, _ in sentences:
        annotation = list(gold) if scheme == "plain" else schemes.chunks(gold, scheme, strict=False)
        digest.update(repr((list(words), annotation)).encode("utf-8", "replace"))
    return digest.hexdigest()[:16]
