"""A cache of objects that the runs of one process share, such as data and base weights.

A sweep executes hundreds of runs in one process, most of them with the same data and the same base weights.
Inside `enabled()`, `get` returns the cached object of a key; outside, it creates a new object each time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_caches: dict[str, OrderedDict[Hashable, Any]] = {}
_is_enabled = False


@contextmanager
def enabled() -> Iterator[None]:
    """Enable the cache inside."""
    global _is_enabled
    before, _is_enabled = _is_enabled, True
    try:
        yield
    finally:
        _is_enabled = before


def is_enabled() -> bool:
    """Whether objects are cached at the moment."""
    return _is_enabled


def get(kind: str, key: Hashable, create: Callable[[], T], *, most: int) -> T:
    """The cached object of a key, or a new one from `create`; keeps the `most` last used objects of each kind.

    Callers must not modify the object.
    """
    if not _is_enabled:
        return create()
    items = _caches.setdefault(kind, OrderedDict())
    if key not in items:
        while len(items) >= most:
            items.popitem(last=False)  # before creating the new one, because two models may not fit
        items[key] = create()
    items.move_to_end(key)
    item: T = items[key]
    return item


def keep_only(kind: str, key: Hashable) -> bool:
    """Remove all objects of a kind but that of `key`; whether there were any."""
    items: OrderedDict[Hashable, Any] = _caches.get(kind, OrderedDict())
    others = [other for other in items if other != key]
    for other in others:
        drop(kind, other)
    return bool(others)


def drop(kind: str, key: Hashable) -> None:
    """Remove an object from the cache."""
    _caches[kind].pop(key, None)


def clear() -> None:
    """Empty the cache."""
    _caches.clear()
