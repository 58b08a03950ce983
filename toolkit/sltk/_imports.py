"""Import names on first use, and redirect import paths of earlier versions to `sltk.extend`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_MOVED = ("sltk.backbones", "sltk.nn.head", "sltk.nn.loading")
"""Modules that docs/extending.md named before there was `sltk.extend`; files in run directories still import them."""


def on_first_use(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Make a `__getattr__` for a module that imports a name when it is first used.

    Args:
        module: the name of the module.
        homes: where each name comes from: `package.module`, or `package.module:name` if it has another name there.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module `{module}` has no attribute `{name}`")
        home, _, attribute = homes[name].partition(":")
        return getattr(import_module(f"sltk.{home}"), attribute or name)

    return get


class _MovedModules(MetaPathFinder, Loader):
    """Finds modules of earlier versions, and gives them the names of `sltk.extend`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in _MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        message = f"`{module.__name__}` has moved: import its names from `sltk.extend`"
        warnings.warn(message, FutureWarning, stacklevel=2)
        extend = import_module("sltk.extend")
        module.__getattr__ = lambda name: getattr(extend, name)  # type: ignore[method-assign]


def redirect_moved_modules() -> None:
    """Let imports of moved modules succeed."""
    sys.meta_path.append(_MovedModules())
