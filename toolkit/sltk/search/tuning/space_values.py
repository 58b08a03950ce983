"""The values of one key of a search space: in a spec, for Optuna, and in text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...sweeps.run_names import value_text
from ...sweeps.variations import Setting
from ...yamltree.scalars import with_source
from ...yamltree.source import Entry, Mark, Node
from .tuning_spec import Range

Value = float | int | str
"""A number, or the label of a choice."""
Parameters = Mapping[str, Value]
"""The values of a trial by key."""
_DIGITS = 4
"""Significant digits of proposed numbers: more would not change a result, and are hard to read."""
_INSIDE = 0.381966
"""Where a range is tried between its ends; a fraction that no step of a round number meets."""


@dataclass(frozen=True)
class SpaceKey:
    """A key of the space, its range, and the place of both in the spec."""

    key: str
    range: Range
    entry: Entry

    def setting(self, value: Value) -> Setting:
        """The key with a value, at the position of the choice or of the range."""
        return Setting(self.key, self.entry.key, self._node(value))

    def _node(self, value: Value) -> Node:
        if self.range.kind == "choice":
            return self.choices[str(value)]
        ends = zip(self.range.bounds or (), self._inner.value, strict=True)
        mark: Mark = next((end.mark for bound, end in ends if bound == value), self._inner_entry.key)
        return Node(mark, with_source(value, repr(value), Path.cwd()))

    @property
    def _inner_entry(self) -> Entry:
        entry: Entry = self.entry.node.value[self.range.kind]
        return entry

    @property
    def _inner(self) -> Node:
        return self._inner_entry.node

    @cached_property
    def choices(self) -> dict[str, Node]:
        """The choices by label, in the order of the spec; equal texts get a number."""
        labels: dict[str, Node] = {}
        for node in self._inner.value:
            text = label = self._label(node)
            count = 1
            while label in labels:
                count += 1
                label = f"{text} ({count})"
            labels[label] = node
        return labels

    def _label(self, node: Node) -> str:
        """A choice in text. It stays when a spec is stored: `1e-3` and `0.001` have the same."""
        if isinstance(node.value, float):
            return repr(float(node.value))
        return value_text(Setting(self.key, self.entry.key, node)) or "''"

    def test_values(self) -> list[Value]:
        """The values to validate: all choices, or both ends of the range."""
        if self.range.bounds is None:
            return list(self.choices)
        low, high = self.range.bounds
        return [int(low), int(high)] if self.range.kind == "int" else [float(low), float(high)]

    def inner_values(self) -> list[Value]:
        """A value between the ends of a range of fractions, to validate if the ends are valid; else none."""
        if self.range.bounds is None or self.range.kind == "int":
            return []
        low, high = self.range.bounds
        return [low * (high / low) ** _INSIDE if self._is_log else low + (high - low) * _INSIDE]

    @property
    def _is_log(self) -> bool:
        return self.range.kind == "log_uniform"

    @property
    def size(self) -> float:
        """Number of values; infinite for numbers."""
        if self.range.bounds is None:
            return len(self.choices)
        low, high = self.range.bounds
        return high - low + 1 if self.range.kind == "int" else math.inf

    def distribution(self, optuna: Any) -> Any:
        """The range as one of Optuna's distributions."""
        kinds = optuna.distributions
        if self.range.bounds is None:
            return kinds.CategoricalDistribution(list(self.choices))
        low, high = self.range.bounds
        if self.range.kind == "int":
            return kinds.IntDistribution(int(low), int(high))
        return kinds.FloatDistribution(float(low), float(high), log=self._is_log)

    def rounded(self, value: Any) -> Value:
        """A proposed value, with few digits and still in the range."""
        if self.range.bounds is None or self.range.kind == "int":
            return value  # type: ignore[no-any-return]
        low, high = map(float, self.range.bounds)
        scale = value if self._is_log and high / low > 2 else high - low
        digits = _DIGITS - 1 - math.floor(math.log10(scale))
        return min(high, max(low, round(float(value), digits)))

    def contains(self, value: Any) -> bool:
        """Whether a stored value is one of the range."""
        if self.range.bounds is None:
            return value in self.choices
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        is_whole = self.range.kind != "int" or isinstance(value, int)
        return is_number and is_whole and self.range.bounds[0] <= value <= self.range.bounds[1]

    def shown(self, value: Value) -> str:
        """A value in tables."""
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    def range_text(self) -> str:
        """The range in a summary."""
        if self.range.bounds is None:
            return ", ".join(self.choices)
        low, high = (f"{bound:g}" for bound in self.range.bounds)
        return f"{low} to {high}{' (logarithmic)' if self._is_log else ''}"
