"""Read back what a run directory stores: its resolved `spec.yaml`, its JSON files; compare stored specs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from ..errors import DataError
from ..files.damage import open_regular
from ..yamltree.limits import MOST_NODES, check_limits
from ..yamltree.variables import unescape

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_stored_spec(text: str) -> Any:
    """The values of a spec written by `dump`, with `$${` read as `${`.

    Does not run `imports:`. A stored spec has no variables left to replace.

    Raises:
        yaml.YAMLError: the text is not YAML, or exceeds its limits.
    """
    plain = unescape(text)
    # Without aliases, no document has more values than characters.
    check_limits(plain, _LOADER, max(MOST_NODES, len(plain)))
    return yaml.load(plain, _LOADER)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a file that holds a mapping: JSON, or a stored spec.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with open_regular(path) as file:
            text = file.read().decode("utf-8")
        value = json.loads(text) if path.suffix == ".json" else parse_stored_spec(text)
    except FileNotFoundError as error:
        raise DataError.at("the file is missing, so this folder is incomplete", path) from error
    except RecursionError as error:
        raise DataError.at("the file is damaged: it is nested too deeply", path) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError.at(f"the file is damaged: {error}", path) from error
    if not isinstance(value, dict):
        raise DataError.at("the file is damaged: expected a mapping", path)
    return value


def with_new_keys(stored: Any, now: Any, part: Any) -> Any:
    """The values of a stored spec, with the keys that it lacks because an earlier version of sltk wrote it.

    Such a key is added if it has its default in `now`, the values of the same spec as this version writes them. A key
    with a default of an earlier version that has the same effect (`earlier_defaults`) is replaced likewise.

    Args:
        stored: the values of a part of the stored spec.
        now: the values of the same part of `part`.
        part: the part of the spec itself.
    """
    if isinstance(part, list | tuple) and isinstance(stored, list) and isinstance(now, list):
        return [with_new_keys(*each) for each in zip(stored, now, part, strict=False)] + stored[len(now) :]
    if not (isinstance(part, BaseModel) and isinstance(stored, dict) and isinstance(now, dict)):
        return stored
    if stored.get("type") != now.get("type"):
        return stored
    filled, earlier = dict(stored), getattr(type(part), "earlier_defaults", {})
    for key, field in type(part).model_fields.items():
        value = getattr(part, key)
        is_old_default = key in stored and key in earlier and stored[key] == earlier[key]
        if key in stored and key in now and not is_old_default:
            filled[key] = with_new_keys(stored[key], now[key], value)
        elif key in now and value == field.get_default(call_default_factory=True, validated_data=vars(part)):
            filled[key] = now[key]
    return filled


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Lines such as `trainer.epochs: 3 → 5` for each value that differs between two nested mappings."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from differences(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif before != after:
        yield f"{path}: {_value_text(before)} → {_value_text(after)}"


def _value_text(value: Any) -> str:
    text = "(unset)" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
