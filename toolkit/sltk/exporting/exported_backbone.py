"""The backbone of an export: as its `sltk.json` describes it, and loaded again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..cards import base_name


def exported_spec(spec: Any) -> Any:
    """The backbone after merging: pretrained and plain, in the precision it was used in."""
    removed = ("quantization", "lora", "adapter", "config", "tokenizer", "gguf_file", "revision")
    changes: dict[str, Any] = dict.fromkeys(removed)
    changes |= {
        "init": "pretrained",
        "name": base_name(spec.name) or "exported",
        "freeze": True,
        "blocks": "all",
    }
    if spec.trains_all_weights and spec.dtype == "auto":
        changes["dtype"] = "float32"
    return spec.model_copy(update=changes)


def load_exported(model_type: Any, folder: Path) -> Any:
    """An export of a model type, to compare it: float32 products, and its weights as they are stored."""
    model = model_type.load(folder, merge=False)
    model.network.backbone.precision = "fp32"
    return model
