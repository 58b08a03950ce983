"""What is counted in `predictions/SPLIT.conll`: spans per sentence, confusions of types, a digest of the gold."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from .. import schemes
from ..components.metrics import SeqevalMetric
from ..components.metrics.confusion import type_pairs
from ..rundir.scored_predictions import TaggedSentence
from ..schemes.names import SchemeName
from .run_records import SentenceCounts

Confusion = list[tuple[str, str, int]]
"""Gold type, predicted type, count."""


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
        confusion.update(type_pairs(gold, predicted))
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
