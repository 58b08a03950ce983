"""What the runs of one process share: loaded once, and handed out so that no run can change it for the next.

Inside `enabled()`, `cached` returns what was made before for the same key; outside, everything is made anew.
A sweep runs hundreds of runs in one process, most of them on the same data and the same base weights.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_shelves: dict[str, OrderedDict[Hashable, Any]] = {}
_is_on = False


@contextmanager
def enabled() -> Iterator[None]:
    """Keep what is made inside, for the next time."""
    global _is_on
    before, _is_on = _is_on, True
    try:
        yield
    finally:
        _is_on = before


def is_on() -> bool:
    """Whether things are kept at the moment."""
    return _is_on


def cached(shelf: str, key: Hashable, make: Callable[[], T], *, most: int) -> T:
    """What was made for this key before, else what `make` makes; a shelf holds the `most` last used.

    The caller must not change what it gets.
    """
    if not _is_on:
        return make()
    items = _shelves.setdefault(shelf, OrderedDict())
    if key not in items:
        while len(items) >= most:
            items.popitem(last=False)  # before the new one is made: two models may not fit
        items[key] = make()
    items.move_to_end(key)
    found: T = items[key]
    return found


def drop(shelf: str, key: Hashable) -> None:
    """Keep this no longer."""
    _shelves[shelf].pop(key, None)


def clear() -> None:
    """Drop everything that is kept."""
    _shelves.clear()
