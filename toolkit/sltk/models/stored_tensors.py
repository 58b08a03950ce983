"""Check names and shapes of stored weights before memory is allocated for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from ..errors import SltkError
from ..files.damage import damaged, read_header

_SHOWN = 3


def check_shapes(build: Callable[[], Mapping[str, nn.Module]], path: Path) -> None:
    """Check that a file has exactly the weights of the modules that `build` makes, which are not allocated.

    Raises:
        UsageError: weights are missing or unknown, or have another shape.
    """
    found = {name: tuple(entry["shape"]) for name, entry in read_header(path).items()}
    try:
        with torch.device("meta"):
            state = nn.ModuleDict(dict(build())).state_dict()
    except SltkError:
        raise
    except Exception:  # custom code that needs real tensors; loading the weights checks their names
        return
    expected = {name: tuple(value.shape) for name, value in state.items()}
    for about, names in (
        ("lacks", expected.keys() - found.keys()),
        ("has unknown weights", found.keys() - expected.keys()),
    ):
        if names:
            raise damaged(path, f"it {about} {_list(names)}")
    for name, shape in expected.items():
        if found[name] != shape:
            raise damaged(path, f"`{name}` has the shape {list(found[name])}, expected {list(shape)}")


def _list(names: set[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in sorted(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
