"""Compare scores of spans with those of the package seqeval, which computes them in another way.

On tags of which three quarters are in spans, the package needs about 8 µs per word and 0.2 µs more for each type: one
second for 100,000 words with 18 types (one core of a server CPU). So its time is known before it is spent.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Literal

from ...errors import RunError
from ...schemes import OUTSIDE
from ...schemes.names import SchemeName

Verify = Literal["auto", "always", "never"]

SCHEMES = {"IOB1": "IOB1", "IOB2": "IOB2", "BIOES": "IOBES", "BILOU": "BILOU"}
"""The names of the schemes in seqeval."""
_SECONDS = 1.0
_PER_WORD, _PER_TYPE = 8e-6, 0.2e-6
_TOLERANCE = 1e-9
_KEYS = {"precision": "precision", "recall": "recall", "f1": "f1-score", "support": "support"}


class Verifier:
    """Collects the tags of sentences while comparing them is quick, and compares their scores with seqeval's."""

    def __init__(self, scheme: SchemeName, verify: Verify) -> None:
        self._scheme, self._verify = scheme, verify
        self._types: dict[str, str] = {}
        """A name for each type: seqeval strips hyphens from types, and no name has any."""
        self._gold: list[list[str]] = []
        self._predicted: list[list[str]] = []
        self._words = 0
        self._is_active = verify != "never" and scheme in SCHEMES

    def add(self, gold: Sequence[str], predicted: Sequence[str]) -> None:
        """Add a sentence."""
        if not self._is_active:
            return
        self._gold.append(self._renamed(gold))
        self._predicted.append(self._renamed(predicted))
        self._words += len(gold)
        seconds = self._words * (_PER_WORD + _PER_TYPE * len(self._types))
        if self._verify == "auto" and seconds > _SECONDS:
            self._is_active = False
            self._gold, self._predicted = [], []

    def _renamed(self, tags: Sequence[str]) -> list[str]:
        return [tag if tag == OUTSIDE else f"{tag[0]}-{self._name(tag[2:])}" for tag in tags]

    def _name(self, type_: str) -> str:
        return self._types.setdefault(type_, f"T{len(self._types)}")

    def verify(self, scores: dict[str, Any]) -> str | None:
        """Compare scores with those of seqeval, and return its version: `seqeval 1.2.2`; None if there are none.

        Raises:
            RunError: a score differs.
        """
        if not self._is_active or not self._types:
            return None
        release = f"seqeval {version('seqeval')}"
        ours, theirs = _flat(scores, scores["per_type"]), self._computed()
        for key in (*ours, *theirs):
            one, other = ours.get(key), theirs.get(key)
            if one is None or other is None or abs(one - other) > _TOLERANCE:
                note = "`verify: never` in the metric `seqeval` leaves out the comparison"
                raise RunError(
                    f"`{key}` is {one}, but {release} computes {other} from the same tags: report this bug\n   = {note}"
                )
        return release

    def _computed(self) -> dict[str, float]:
        from seqeval import scheme
        from seqeval.metrics.v1 import classification_report

        kind = getattr(scheme, SCHEMES[self._scheme])
        report = classification_report(
            self._gold, self._predicted, scheme=kind, output_dict=True, zero_division=0
        )
        types = {type_: report[name] for type_, name in self._types.items() if name in report}
        averages = {f"{kind}_f1": report[f"{kind} avg"]["f1-score"] for kind in ("macro", "weighted")}
        if not types:  # there are no spans, and the average of nothing is not a number
            averages = dict.fromkeys(averages, 0.0)
        return _flat(
            {**_renamed_keys(report["micro avg"]), **averages},
            {type_: _renamed_keys(values) for type_, values in types.items()},
        )


def _renamed_keys(values: dict[str, Any]) -> dict[str, float]:
    return {key: float(values[theirs]) for key, theirs in _KEYS.items()}


def _flat(scores: dict[str, Any], per_type: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The scores that seqeval computes, too, by key: `f1`, `per_type.PER.f1`."""
    flat = {key: scores[key] for key in (*_KEYS, "macro_f1", "weighted_f1")}
    for type_, values in per_type.items():
        flat |= {f"per_type.{type_}.{key}": values[key] for key in _KEYS}
    return flat
