"""The text part of a multimodal model: its config, found without transformers.

The config.json of such a model has the text model's config under `text_config`. sltk loads that part alone.
"""

from __future__ import annotations

from typing import Any

from .model_tables import TEXT_PARTS, Config


def text_part(config: Config) -> dict[str, Any]:
    """The config of a model's text part; of a model that is text only, the config itself."""
    name = str(config.get("model_type", ""))
    part = config.get("text_config")
    if isinstance(part, dict) and "num_hidden_layers" not in config:
        family = {"model_type": TEXT_PARTS[name]} if name in TEXT_PARTS else {}
        return {**family, **part}
    return {**config, "model_type": TEXT_PARTS[name]} if name in TEXT_PARTS else dict(config)
