"""Import of optional dependencies."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import UsageError


def import_optional(package: str, user: str, extra: str) -> Any:
    """Import `package`, which the optional `extra` of sltk installs and which `user` needs.

    Raises:
        UsageError: `package` is not installed; the message names the extra.
    """
    try:
        return import_module(package)
    except ImportError as error:
        name = package.partition(".")[0]
        raise UsageError(f"{user} needs the package `{name}`: pip install 'sltk[{extra}]'") from error
