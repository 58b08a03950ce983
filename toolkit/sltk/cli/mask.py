"""`sltk show mask`: which blocks a mask is about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .. import masks
from ..errors import UsageError
from .frame import write


def show_mask(given: str, blocks: int | None) -> None:
    """Print a mask, that of a spec, or that of a run; where the number of blocks is known, block by block.

    Raises:
        UsageError: the mask means nothing, does not fit, or the number of blocks is not known.
    """
    mask, known = _of_spec(given) if _is_spec(given) else (given, None)
    blocks = blocks or known
    try:
        mask = masks.parse(mask)
        if blocks is None:
            raise UsageError("how many blocks has the model? say `--blocks N`")
        flags = masks.flags(mask, blocks)
        write(f"mask {mask} on {blocks} blocks, input side first: {masks.group_text(mask, blocks)}\n")
    except masks.MaskError as error:
        raise UsageError(str(error)) from error
    for name, first, last in _groups(mask, blocks):
        write(f"  {name:<10} blocks {first:>3} to {last:>3}   {_state(flags[first : last + 1])}")


def _is_spec(given: str) -> bool:
    return Path(given).exists() or given.endswith((".yaml", ".yml"))


def _of_spec(given: str) -> tuple[Any, int | None]:
    """The mask of a spec or run, and the number of blocks where the spec or a local `config.json` says it.

    Raises:
        UsageError: its backbone has no mask.
    """
    from ..spec import loading

    path = Path(given)
    experiment = loading.load(path / "spec.yaml" if path.is_dir() else path).experiment
    backbone: Any = experiment.backbone
    if not hasattr(backbone, "unmask"):
        raise UsageError(f"a backbone of type `{backbone.type_name}` has no mask")
    values = getattr(backbone, "config", None) or {}
    local = Path(getattr(backbone, "name", None) or "") / "config.json"
    if not values and local.is_file():
        values = json.loads(local.read_text(encoding="utf-8"))
    return backbone.unmask, values.get("num_hidden_layers")


def _groups(mask: masks.MaskText, blocks: int) -> list[tuple[str, int, int]]:
    """The groups of a mask of digits, else the runs of blocks that are alike."""
    if isinstance(mask, str) and masks.is_digits(mask):
        runs = masks.groups(blocks, len(mask))
        return [(f"digit {number}", run[0], run[-1]) for number, run in enumerate(runs, 1)]
    flags = masks.flags(mask, blocks)
    starts = [block for block in range(blocks) if block == 0 or flags[block] != flags[block - 1]]
    return [("", first, last - 1) for first, last in zip(starts, [*starts[1:], blocks], strict=True)]


def _state(flags: tuple[bool, ...]) -> str:
    return "unmasked (1)" if all(flags) else "causal (0)"
