"""Splits many resolved specs into common values and the values of each run, to write them as one sweep spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def split_common(specs: Mapping[str, dict[str, Any]]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """`(common, own)`, where `common` merged with `own[name]` is `specs[name]`; `own` has dotted keys.

    A component whose `type` differs between runs is not split: merged over another type, it would replace it.
    """
    common = _common(list(specs.values()))
    return common, {name: _flat(_without(spec, common)) for name, spec in specs.items()}


def _common(specs: list[dict[str, Any]]) -> dict[str, Any]:
    first = specs[0]
    common: dict[str, Any] = {}
    for key, value in first.items():
        values = [spec[key] for spec in specs if key in spec]
        if len(values) < len(specs):
            continue
        if all(other == value for other in values):
            common[key] = value
        elif all(isinstance(each, dict) for each in values) and _have_one_type(values):
            common[key] = _common(values)
    return {key: value for key, value in common.items() if value != {} or first[key] == {}}


def _have_one_type(values: list[dict[str, Any]]) -> bool:
    return all(each.get("type") == values[0].get("type") for each in values)


def _without(spec: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    """The values of `spec` that are not in `common`."""
    own: dict[str, Any] = {}
    for key, value in spec.items():
        if key not in common:
            own[key] = value
        elif isinstance(value, dict) and value != common[key]:
            own[key] = _without(value, common[key])
    return own


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{a: {b: v}}` as `{a.b: v}`. A mapping with a type, or with dots in its keys, is kept unchanged."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        is_leaf = (
            not isinstance(value, dict) or not value or "type" in value or any("." in str(k) for k in value)
        )
        flat |= {prefix + key: value} if is_leaf else _flat(value, f"{prefix}{key}.")
    return flat
