"""Names of runs, usable as folder names: the varied keys and their values, `unmask=0111,seed=120`."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence

from ..yamltree.scalars import plain, source_text
from .variations import Combination, Setting

_UNFIT = re.compile(r"[^A-Za-z0-9._+=,-]+")
_VALID = re.compile(r"[A-Za-z0-9_+=,][A-Za-z0-9._+=,~-]{,199}")
_LONGEST = 100


def run_names(combinations: Sequence[Combination]) -> list[str]:
    """A name for each run. It depends on the run and on which keys vary, not on the other runs' values.

    If a value does not fit into a folder name as it is, a hash of the settings keeps the name unique.
    """
    short_keys = _short_keys(combinations)
    return [_name(combination, short_keys) for combination in combinations]


def _name(combination: Combination, short_keys: dict[str, str]) -> str:
    if combination.name and _VALID.fullmatch(combination.name):
        return combination.name
    parts = (
        [combination.name] if combination.name else [_part(group, short_keys) for group in combination.groups]
    )
    whole = ",".join(part for part in parts if part) or "run"
    fit = _UNFIT.sub("-", whole).strip(".-")[:_LONGEST] or "run"
    if fit == whole and (combination.name or not any(map(_is_abbreviated, combination.groups))):
        return fit
    exact = json.dumps(
        [whole, *([each.key, each.node.plain()] for each in combination.settings)], default=str
    )
    return f"{fit}~{hashlib.sha256(exact.encode()).hexdigest()[:8]}"


def _part(group: Sequence[Setting], short_keys: dict[str, str]) -> str:
    """The part of the name for settings that vary together: their `name` if they have one, else each."""
    named = [value_text(setting) for setting in group if setting.key == "name"]
    return ",".join(named or [f"{short_keys[setting.key]}={value_text(setting)}" for setting in group])


def value_text(setting: Setting) -> str:
    """A value as it is written: `0111`, `2e-4`. Paths are cut to their last part, mappings to their type."""
    value = setting.node.plain()
    if isinstance(value, dict):
        return str(value["type"]) if "type" in value else json.dumps(plain(value), default=str)
    if isinstance(value, list):
        return "+".join(str(source_text(item)) for item in value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(source_text(value)).rstrip("/").rpartition("/")[2]


def _is_abbreviated(group: Sequence[Setting]) -> bool:
    """Whether the name of the run does not contain all values of these settings."""
    return not any(setting.key == "name" for setting in group) and any(map(_is_long, group))


def _is_long(setting: Setting) -> bool:
    value = setting.node.plain()
    if isinstance(value, dict):
        return set(value) != {"type"}
    return isinstance(value, list) or "/" in str(source_text(value))


def _short_keys(combinations: Sequence[Combination]) -> dict[str, str]:
    """The shortest unique ending of each varied key: `seed`, or `unmask` for `backbone.unmask`."""
    keys = list(
        dict.fromkeys(setting.key for combination in combinations for setting in combination.settings)
    )
    endings = Counter(ending for key in keys for ending in _endings(key))
    # The key `name`, which names settings, is also an ending of `backbone.name`, and has no longer form.
    return {key: next((end for end in _endings(key) if endings[end] == 1), key) for key in keys}


def _endings(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]
