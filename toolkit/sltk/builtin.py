"""Imports every built-in component, which registers it. Add a new module's import here."""

from . import aligners, backbones, executors, heads, metrics, readers, splitters, writers  # noqa: F401
