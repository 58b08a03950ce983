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
    components = description["components"]
    required = {
        "tokenizer": True,
        HEAD: "head" in components,
        "adapter": components["backbone"].get("lora"),
        "base": description["base"].get("path") == "base",
    }
    missing = [name for name, is_required in required.items() if is_required and not (folder / name).exists()]
    if missing:
        raise UsageError(f"the model in `{folder}` is incomplete: {', '.join(missing)} missing")
