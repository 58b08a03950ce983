"""Environment variables that a library reads, set only while it is called."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def environment_defaults(values: Mapping[str, str]) -> Iterator[None]:
    """Set the variables that the user has not set, and remove them again."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
