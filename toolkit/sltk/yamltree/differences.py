"""What is not the same in two specs, or in any two nested mappings, key by key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """`trainer.epochs: 3 → 5` for each value that is not the same."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            yield from differences(before.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif before != now:
        yield f"{path}: {_shown(before)} → {_shown(now)}"


def _shown(value: Any) -> str:
    text = "(unset)" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
