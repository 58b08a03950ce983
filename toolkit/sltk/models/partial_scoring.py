"""Scores on data whose corpora annotate different types.

A corpus that does not annotate a type says nothing about predicted spans of this type: they are neither right nor
wrong. So they are left out of the predictions that are scored, and counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .. import schemes
from ..schemes.labels import LabelSet
from ..types import Prediction, Span


def scorable(prediction: Prediction, labels: LabelSet) -> Prediction:
    """The prediction without spans, or plain tags, of types that the corpus of its sentence does not annotate."""
    types = set(labels.tags) - {schemes.OUTSIDE} if labels.scheme == "plain" else labels.types
    hidden = prediction.sentence.unannotated(types)
    if not hidden:
        return prediction
    before = prediction.as_trained
    without = _without(prediction, hidden, labels)
    return without if before is None else replace(without, as_trained=_without(before, hidden, labels))


def _without(prediction: Prediction, hidden: frozenset[str], labels: LabelSet) -> Prediction:
    tags = _tags(prediction.tags, hidden, labels)
    if tags == prediction.tags:
        return prediction
    changed = [one != other for one, other in zip(tags, prediction.tags, strict=True)]
    scores = prediction.scores
    if scores is not None:  # nobody knows the probability of the tags that are scored in their place
        scores = [math.nan if new else score for score, new in zip(scores, changed, strict=True)]
    spans = [span for span in prediction.spans if span.type not in hidden]
    unscored = [span for span in prediction.spans if span.type in hidden]
    if labels.scheme == "plain":
        unscored = [Span(n, n + 1, tag) for n, tag in enumerate(prediction.tags) if changed[n]]
    return replace(prediction, tags=tags, scores=scores, spans=spans, unscored=unscored)


def _tags(tags: list[str], hidden: frozenset[str], labels: LabelSet) -> list[str]:
    """The tags without those of hidden types. A span has one type, so that all others stay the same."""
    if labels.scheme == "plain":
        return [schemes.OUTSIDE if tag in hidden else tag for tag in tags]
    if labels.scheme == "layers":  # spans of other types may move to lower layers
        chunks = schemes.chunks(tags, labels.scheme, strict=False)
        kept = [Span(*chunk) for chunk in chunks if chunk[2] not in hidden]
        return schemes.encode(kept, len(tags), labels.scheme)
    return [schemes.OUTSIDE if tag[2:] in hidden else tag for tag in tags]


def unscored(types: Counter[str]) -> dict[str, Any]:
    """The number of predictions of each type that were not scored, as `unscored`; empty if there are none."""
    return {"unscored": dict(sorted(types.items()))} if types else {}


def by_corpus(predictions: Iterable[Prediction]) -> dict[str, list[Prediction]]:
    """The predictions of each corpus; empty if the data has no corpora with names."""
    corpora: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        if prediction.sentence.corpus is not None:
            corpora.setdefault(prediction.sentence.corpus, []).append(prediction)
    return corpora
