"""Import of optional dependencies."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..errors import UsageError


def install_extra(name: str) -> str:
    """The command that installs an optional extra of sltk."""
    return f"pip install 'sltk[{name}]'"


def is_installed(package: str) -> bool:
    """Whether a package can be imported; it is not imported."""
    if package in sys.modules:
        return sys.modules[package] is not None
    try:
        return find_spec(package) is not None
    except ImportError:  # the parent of a submodule is not installed
        return False


def needs_package(user: str, package: str, install: str) -> str:
    """The message that a package is not installed."""
    return f"{user} needs the package `{package}`: {install}"


def import_optional(package: str, user: str, extra: str) -> Any:
    """Import `package`, which the optional `extra` of sltk installs and which `user` needs.

    Raises:
        UsageError: `package` is not installed; the message names the extra.
    """
    try:
        return import_module(package)
    except ImportError as error:
        name = package.partition(".")[0]
        raise UsageError(needs_package(user, name, install_extra(extra))) from error
