"""`sltk show mask`: which blocks a mask selects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import masks
from ..errors import UsageError
from .app import print_result

if TYPE_CHECKING:
    from ..spec.imports import ImportPolicy


def show_mask(source: str, blocks: int | None, policy: ImportPolicy) -> None:
    """Print a mask group by group; `source` is a mask, a spec or a run directory.

    `policy` decides which `imports:` of a spec may run.

    Raises:
        UsageError: the mask is invalid or does not fit, or the number of blocks is unknown.
    """
    mask, spec_blocks = _mask_of_spec(source, policy) if _is_spec(source) else (source, None)
    blocks = blocks or spec_blocks
    try:
        mask = masks.parse(mask)
        if blocks is None:
            raise UsageError("the number of blocks is unknown: add `--blocks N`")
        flags = masks.flags(mask, blocks)
        ranges = masks.group_text(mask, blocks)
    except masks.MaskError as error:
        raise UsageError(str(error)) from error
    print_result(f"mask {mask} on {blocks} blocks, input side first: {ranges}\n")
    for name, first, last in _groups(mask, blocks):
        state = "unmasked (1)" if flags[first] else "causal (0)"
        if (window := masks.window(mask)) is not None:
            state = f"unmasked, at most {window} subwords to each side"
        print_result(f"  {name:<10} blocks {first:>3} to {last:>3}   {state}")


def _is_spec(source: str) -> bool:
    return Path(source).exists() or source.endswith((".yaml", ".yml"))


def _mask_of_spec(source: str, policy: ImportPolicy) -> tuple[Any, int | None]:
    """The mask of a spec or run, and the number of blocks if the model is known.

    Raises:
        UsageError: the backbone has no mask.
    """
    from ..components.backbones.pretrained import PretrainedBackbone
    from ..preview.model_info import ModelInfo
    from ..spec import loading

    path = Path(source)
    is_run = path.is_dir()
    loaded = loading.load_stored(path / "spec.yaml", policy) if is_run else loading.load(path, policy=policy)
    backbone = loaded.spec.backbone
    if not isinstance(backbone, PretrainedBackbone):
        raise UsageError(f"a backbone of type `{backbone.type_name}` has no mask")
    info = ModelInfo.of(backbone)
    return backbone.unmask, info.shape.blocks if info.shape else info.config.get("num_hidden_layers")


def _groups(mask: masks.MaskText, blocks: int) -> list[tuple[str, int, int]]:
    """The groups of a mask of digits, otherwise the ranges of equal blocks: name, first and last block."""
    if isinstance(mask, str) and masks.is_digits(mask):
        groups = masks.groups(blocks, len(mask))
        return [(f"digit {number}", group[0], group[-1]) for number, group in enumerate(groups, 1)]
    flags = masks.flags(mask, blocks)
    starts = [block for block in range(blocks) if block == 0 or flags[block] != flags[block - 1]]
    return [("", first, end - 1) for first, end in zip(starts, [*starts[1:], blocks], strict=True)]
