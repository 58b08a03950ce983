"""Check that the folder of a saved model is complete and undamaged, before anything in it is used. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..files import manifest
from ..files.damage import check_regular
from ..runtime.progress import Progress
from .description import read_description

HEAD = "head.safetensors"
TOKENIZER = "tokenizer/tokenizer.json"
"""The tokenizer of an ONNX export that sltk reads: that of the run. Other programs read the one beside `tokenizer/`."""
TRANSITIONS = "transitions.json"
"""Scores of adjacent tags in an ONNX export of a CRF."""
DECODER = "decoder.json"
"""How an ONNX export of a head with overlapping spans turns the output of the graph into spans."""


def verify(folder: Path, progress: Progress) -> None:
    """Check the files of a saved model, before anything in the folder is used.

    A model without a manifest, from an older version or made by hand, is reported; `load` then checks what it can.

    Raises:
        UsageError: the folder has no model, or one that another version of sltk wrote; or files are missing or damaged.
    """
    check_regular(folder)
    check_complete(folder, read_description(folder))
    if manifest.verify(folder) is None:
        progress.note(
            f"warning: `{folder}` has no {manifest.NAME}, so only the form of its files is checked, not their content"
        )


def check_complete(folder: Path, description: dict[str, Any]) -> None:
    """Check that the files and folders that a model needs exist.

    Raises:
        UsageError: some are missing; the error lists them.
    """
    if "onnx" in description:
        has_chain = description["components"]["head"].get("type") == "crf"
        overlaps = description["scheme"] == "layers"
        required = {
            description["onnx"]["file"]: True,
            TOKENIZER: True,
            TRANSITIONS: has_chain,
            DECODER: overlaps,
        }
    else:
        required = _parts(description)
    missing = [name for name, is_required in required.items() if is_required and not (folder / name).exists()]
    if missing:
        raise UsageError(f"the model in `{folder}` is incomplete: {', '.join(missing)} missing")


def _parts(description: dict[str, Any]) -> dict[str, bool]:
    """The files and folders that a model may have, and whether this one must have them."""
    components = description["components"]
    return {
        "tokenizer": True,
        HEAD: "head" in components,
        "adapter": bool(components["backbone"].get("lora")),
        "base": description["base"].get("path") == "base",
    }
