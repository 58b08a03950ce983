"""The pluggable parts: one folder per slot, one file per component.

    readers → splitters → aligners → backbones → heads → metrics and writers; executors run sweeps

`slots.py` says what a component of each slot must do; `registry.py` finds components by name.
"""

from .registry import registry as _registry

_SLOTS = ("readers", "splitters", "aligners", "backbones", "heads", "metrics", "writers", "executors")
_registry.announce(*(f"{__name__}.{folder}" for folder in _SLOTS))
