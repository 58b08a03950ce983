"""One model family with a tiny config, and the keys that many tiny configs share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sltk.families.model_tables import REFUSED


@dataclass(frozen=True)
class Family:
    """One `model_type` of transformers."""

    name: str
    kind: Literal["decoder", "encoder"]
    support: Literal["any mask", "one mask for all", "own mask only", "none"] = "any mask"
    """`one mask for all`: blocks share their weights; `own mask only`: runs unmasked, on padded batches."""
    note: str = ""
    tiny: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the smallest config that differ from `TINY`; None removes a key."""

    def config(self, **changes: Any) -> dict[str, Any]:
        """Config of a model with a few thousand weights; None in `changes` removes a key."""
        settings = {**(TINY_ENCODER if self.kind == "encoder" else TINY), **self.tiny, **changes}
        return {key: value for key, value in settings.items() if value is not None}


TINY_ENCODER: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "vocab_size": 99,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
TINY: Mapping[str, Any] = {**TINY_ENCODER, "num_key_value_heads": 2, "head_dim": 8}

NONE: Mapping[str, Any] = dict.fromkeys(TINY)
VOCABULARY: Mapping[str, Any] = {"vocab_size": 99, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
NO_GROUPS: Mapping[str, Any] = {"num_key_value_heads": None, "head_dim": None}
GPT2: Mapping[str, Any] = {
    **NONE,
    **VOCABULARY,
    "n_embd": 32,
    "n_layer": 4,
    "n_head": 4,
    "n_positions": 64,
}
WINDOW: Mapping[str, Any] = {"sliding_window": 4}
MIXED: Mapping[str, Any] = {**WINDOW, "layer_types": ["sliding_attention", "full_attention"] * 2}
EXPERTS: Mapping[str, Any] = {
    "num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
}  # fmt: skip
OWN_PATH = "its attention does not go through transformers' attention interface"


def decoders(names: str, note: str = "", tiny: Mapping[str, Any] = VOCABULARY) -> list[Family]:
    return [Family(name, "decoder", note=note, tiny=tiny) for name in names.split()]


def rejected(names: str, *, tiny: Mapping[str, Any]) -> list[Family]:
    """Decoders whose reason is in the package's table."""
    return [Family(name, "decoder", "none", REFUSED[name], tiny) for name in names.split()]


def encoders(names: str, note: str = "", tiny: Mapping[str, Any] = VOCABULARY) -> list[Family]:
    return [Family(name, "encoder", note=note, tiny=tiny) for name in names.split()]


def padded(names: str, note: str = OWN_PATH, tiny: Mapping[str, Any] = VOCABULARY) -> list[Family]:
    return [Family(name, "encoder", "own mask only", note, tiny) for name in names.split()]
