"""Many resolved specs as one sweep spec: what all runs have in common, and what each has of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..specs.differences import differences as differences


@dataclass(frozen=True)
class Together:
    """`common` with `own[name]` laid over it is the spec of the run `name`."""

    common: dict[str, Any]
    own: dict[str, dict[str, Any]]


def together(specs: Mapping[str, dict[str, Any]]) -> Together:
    """Split specs into what is common and what is not.

    A component whose `type` differs is each run's own as a whole: laid over another type, it would replace it.
    """
    common = _common(list(specs.values()))
    return Together(common, {name: _flat(_without(spec, common)) for name, spec in specs.items()})


def _common(specs: list[dict[str, Any]]) -> dict[str, Any]:
    first = specs[0]
    found: dict[str, Any] = {}
    for key, value in first.items():
        values = [spec[key] for spec in specs if key in spec]
        if len(values) < len(specs):
            continue
        if all(other == value for other in values):
            found[key] = value
        elif all(isinstance(each, dict) for each in values) and _one_type(values):
            found[key] = _common(values)
    return {key: value for key, value in found.items() if value != {} or first[key] == {}}


def _one_type(values: list[dict[str, Any]]) -> bool:
    return all(each.get("type") == values[0].get("type") for each in values)


def _without(spec: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    """What is in `spec` and not in `common`."""
    own: dict[str, Any] = {}
    for key, value in spec.items():
        if key not in common:
            own[key] = value
        elif isinstance(value, dict) and value != common[key]:
            own[key] = _without(value, common[key])
    return own


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{a: {b: v}}` as `{a.b: v}`; a mapping that has a type stays whole, as does one whose keys have dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        stays = (
            not isinstance(value, dict) or not value or "type" in value or any("." in str(k) for k in value)
        )
        flat |= {prefix + key: value} if stays else _flat(value, f"{prefix}{key}.")
    return flat
