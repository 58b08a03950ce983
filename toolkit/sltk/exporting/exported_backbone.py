"""The backbone of an export, as its `sltk.json` describes it."""

from __future__ import annotations

from typing import Any

from ..cards import base_name


def exported_spec(spec: Any) -> Any:
    """The backbone after merging: pretrained and plain, in the precision it was used in."""
    removed = ("quantization", "lora", "adapter", "config", "tokenizer", "gguf_file", "revision")
    changes: dict[str, Any] = dict.fromkeys(removed)
    changes |= {"init": "pretrained", "name": base_name(spec.name) or "exported", "freeze": True}
    if spec.trains_all_weights and spec.dtype == "auto":
        changes["dtype"] = "float32"
    return spec.model_copy(update=changes)
