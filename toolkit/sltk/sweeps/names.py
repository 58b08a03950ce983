"""Names of runs: what varies, and what it is here, fit to name a folder: `unmask=0111,seed=120`."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence

from ..scalars import plain, source_text
from .settings import Choice, Setting

_UNFIT = re.compile(r"[^A-Za-z0-9._+=,-]+")
_GIVEN = re.compile(r"[A-Za-z0-9_+=,][A-Za-z0-9._+=,~-]{,199}")
_LONGEST = 100


def names(choices: Sequence[Choice]) -> list[str]:
    """A name for each run. It depends on the run and on which keys vary, not on the other runs' values.

    Where a value cannot be written whole in the name of a folder, a hash of the settings tells runs apart.
    """
    short = _short_keys(choices)
    return [_name(choice, short) for choice in choices]


def _name(choice: Choice, short: dict[str, str]) -> str:
    if choice.name and _GIVEN.fullmatch(choice.name):
        return choice.name
    parts = [choice.name] if choice.name else [_part(group, short) for group in choice.groups]
    whole = ",".join(part for part in parts if part) or "run"
    fit = _UNFIT.sub("-", whole).strip(".-")[:_LONGEST] or "run"
    if fit == whole and not any(_is_cut(group) for group in choice.groups if not choice.name):
        return fit
    exact = json.dumps([whole, *([each.key, each.node.plain()] for each in choice.settings)], default=str)
    return f"{fit}~{hashlib.sha256(exact.encode()).hexdigest()[:8]}"


def _part(group: Sequence[Setting], short: dict[str, str]) -> str:
    """Settings that go together: their `name` where they have one, else each."""
    named = [value_text(setting) for setting in group if setting.key == "name"]
    return ",".join(named or [f"{short[setting.key]}={value_text(setting)}" for setting in group])


def value_text(setting: Setting) -> str:
    """A value as it is written: `0111`, `2e-4`; of a path the last part, of a mapping its type or its JSON."""
    value = setting.node.plain()
    if isinstance(value, dict):
        return str(value["type"]) if "type" in value else json.dumps(plain(value), default=str)
    if isinstance(value, list):
        return "+".join(str(source_text(item)) for item in value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(source_text(value)).rstrip("/").rpartition("/")[2]


def _is_cut(group: Sequence[Setting]) -> bool:
    """Whether settings without a name have values that are not all in the name of the run."""
    return not any(setting.key == "name" for setting in group) and any(map(_is_long, group))


def _is_long(setting: Setting) -> bool:
    value = setting.node.plain()
    if isinstance(value, dict):
        return set(value) != {"type"}
    return isinstance(value, list) or "/" in str(source_text(value))


def _short_keys(choices: Sequence[Choice]) -> dict[str, str]:
    """`seed` for `seed`, `unmask` for `backbone.unmask`; as many parts as tell the varied keys apart."""
    keys = list(dict.fromkeys(setting.key for choice in choices for setting in choice.settings))
    endings = Counter(ending for key in keys for ending in _endings(key))
    # `name`, which names settings, has no longer form that `backbone.name` has not too.
    return {key: next((end for end in _endings(key) if endings[end] == 1), key) for key in keys}


def _endings(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]
