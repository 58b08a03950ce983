"""Import of optional dependencies."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..errors import UsageError

_TELEMETRY_OFF = {
    "onnxruntime": ("ORT_DISABLE_TELEMETRY", "1"),
    "mlflow": ("MLFLOW_DISABLE_TELEMETRY", "true"),
    "ray": ("RAY_USAGE_STATS_ENABLED", "0"),
}
"""Packages that report their use to their makers, and the environment variable that they read when imported."""


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

    Its telemetry is switched off, unless the environment says otherwise.

    Raises:
        UsageError: `package` is not installed; the message names the extra.
    """
    name = package.partition(".")[0]
    if name in _TELEMETRY_OFF:
        os.environ.setdefault(*_TELEMETRY_OFF[name])
    try:
        return import_module(package)
    except ImportError as error:
        raise UsageError(needs_package(user, name, install_extra(extra))) from error
