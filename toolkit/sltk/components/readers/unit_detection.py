"""The unit of the offsets of a file, recognized by the texts that its annotations repeat.

The unit is the first of `UNITS` that fits every annotation that repeats its text; annotations that no unit fits do
not count. If no unit fits all, offsets count characters. So offsets of one file never have two units.

Nearly all files count characters, and their first annotation that shows it settles the unit. Only if an annotation
fits another unit is the rest of the file read first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from .offset_units import UNITS, CharSpan, Places, Unit, UnitName

Declared = Literal["auto"] | UnitName
Texts = Iterable[tuple[str, Sequence[CharSpan]]]
"""The texts of a file and their annotations."""


class UnitDetector:
    """Detects the unit of the offsets of one file, while its texts are read in order."""

    def __init__(self, declared: Declared, read_again: Callable[[], Texts]) -> None:
        """`read_again` yields all texts from the present one on, or the whole file."""
        self._units = [unit for unit in UNITS if declared in ("auto", unit.name)]
        self._candidates = self._units
        self._read_again = read_again
        self._decided: Unit | None = None

    @property
    def default(self) -> Unit:
        """The unit if no annotation shows another."""
        return self._units[0]

    def unit_of(self, places: Places, spans: Sequence[CharSpan]) -> Unit:
        """The unit of the spans of the next text."""
        if self._decided is not None:
            return self._decided
        if not spans or places.equal_under(self._candidates):
            return self.default
        candidates = self._fitting(places, spans, self._candidates)
        if self.default in candidates:
            differing = [span for span in spans if _differ(places, span, candidates)]
            if not differing and len(candidates) > 1:
                self._candidates = candidates
                return self.default
            if len(candidates) == 1 or any(span.text is None for span in differing):
                self._decided = self.default
                return self.default
        self._decided = self._decide(candidates)
        return self._decided

    def _decide(self, candidates: list[Unit]) -> Unit:
        if candidates:
            for text, spans in self._read_again():
                places = Places(text)
                if not places.equal_under(self._units):
                    candidates = self._fitting(places, spans, candidates)
                if candidates in ([], [self.default]):
                    break
        return candidates[0] if candidates else self.default

    def _fitting(self, places: Places, spans: Sequence[CharSpan], candidates: list[Unit]) -> list[Unit]:
        """The candidates that fit all spans that repeat their text, except spans that no unit fits."""
        for span in spans:
            if span.text is not None:
                closeness = {unit: places.closeness(span, unit) for unit in self._units}
                best = max(closeness.values())
                candidates = [unit for unit in candidates if closeness[unit] == best]
        return candidates


def _differ(places: Places, span: CharSpan, units: Sequence[Unit]) -> bool:
    """Whether a span is at different places under the units."""
    first = places.parts(span, units[0])
    return any(places.parts(span, unit) != first for unit in units[1:])
