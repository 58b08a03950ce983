"""The effect of constrained decoding: scores as trained and constrained, and the number of changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from .. import schemes
from ..components.slots import Metric
from ..schemes.names import SchemeName
from ..types import Prediction
from .evaluation import RunningScores
from .kinds import LabellingModel

_COUNTS = ("sentences", "tags", "spans_removed", "spans_added", "ill_formed_tags")


class DecodingComparison:
    """Counts what constrained decoding changes in predictions that also have what the head chose."""

    def __init__(self, model: LabellingModel, metrics: Sequence[Metric], scheme: SchemeName) -> None:
        self._as_trained = RunningScores(model, metrics, scheme)
        self._scheme = scheme
        self._counts: Counter[str] = Counter()

    def watch(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        """Yield the predictions, and count them."""
        for prediction in predictions:
            before = prediction.as_trained or prediction
            self._as_trained.add(before)
            self._count(before, prediction)
            yield replace(prediction, as_trained=None)

    def _count(self, before: Prediction, after: Prediction) -> None:
        tags = sum(one != other for one, other in zip(before.tags, after.tags, strict=True))
        removed, added = set(before.spans) - set(after.spans), set(after.spans) - set(before.spans)
        repaired = schemes.decode(before.tags, self._scheme, "drop").repaired
        values = (int(tags > 0), tags, len(removed), len(added), repaired)
        self._counts.update(dict(zip(_COUNTS, values, strict=True)))

    def result(self) -> dict[str, Any]:
        """The scores as trained, and the counts of changes."""
        changed = {name: self._counts[name] for name in _COUNTS}
        return {"as_trained": self._as_trained.result(), "changed": changed}
