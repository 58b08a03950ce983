"""Model families that tests and docs/reference/families.md cover: expected support and a tiny config for each.

Families that are not listed here can work too: the proof decides when a model is built (`sltk.nn.mask_proof`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


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

_NONE: Mapping[str, Any] = dict.fromkeys(TINY)
_VOCABULARY: Mapping[str, Any] = {"vocab_size": 99, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_NO_GROUPS: Mapping[str, Any] = {"num_key_value_heads": None, "head_dim": None}
_GPT2: Mapping[str, Any] = {
    **_NONE,
    **_VOCABULARY,
    "n_embd": 32,
    "n_layer": 4,
    "n_head": 4,
    "n_positions": 64,
}
_WINDOW: Mapping[str, Any] = {"sliding_window": 4}
_MIXED: Mapping[str, Any] = {**_WINDOW, "layer_types": ["sliding_attention", "full_attention"] * 2}
_EXPERTS: Mapping[str, Any] = {
    "num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
}  # fmt: skip
_OWN_PATH = "its attention does not go through transformers' attention interface"


def _decoders(names: str, note: str = "", tiny: Mapping[str, Any] = _VOCABULARY) -> list[Family]:
    return [Family(name, "decoder", note=note, tiny=tiny) for name in names.split()]


def _rejected(names: str, note: str, tiny: Mapping[str, Any]) -> list[Family]:
    return [Family(name, "decoder", "none", note, tiny) for name in names.split()]


def _encoders(names: str, note: str = "", tiny: Mapping[str, Any] = _VOCABULARY) -> list[Family]:
    return [Family(name, "encoder", note=note, tiny=tiny) for name in names.split()]


def _padded(names: str, note: str = _OWN_PATH, tiny: Mapping[str, Any] = _VOCABULARY) -> list[Family]:
    return [Family(name, "encoder", "own mask only", note, tiny) for name in names.split()]


FAMILIES: tuple[Family, ...] = (
    *_decoders(
        "llama qwen2 qwen3 gemma olmo olmo2 granite cohere glm glm4 helium arcee ernie4_5 smollm3 seed_oss"
    ),
    *_decoders("hunyuan_v1_dense apertus"),
    *_decoders("stablelm nemotron"),
    *_decoders("phi gpt_neox opt biogpt", tiny=_NO_GROUPS),
    *_decoders("gpt2 gpt_bigcode", tiny=_GPT2),
    *_decoders("mistral ministral starcoder2 phi3", "sliding window", _WINDOW),
    *_decoders("mixtral", "sliding window, experts", {**_WINDOW, **_EXPERTS}),
    *_decoders("qwen3_moe", "experts", _EXPERTS),
    *_decoders(
        "gemma2", "sliding window in some blocks, capped scores", {**_MIXED, "attn_logit_softcapping": 2.0}
    ),
    *_decoders("gemma3_text cohere2 exaone4", "sliding window in some blocks", _MIXED),
    *_decoders("gpt_oss", "sliding window in some blocks, attention sinks, experts", {**_MIXED, **_EXPERTS}),
    *_encoders("bert roberta electra xlm-roberta camembert"),
    *_encoders("modernbert", "sliding window in some blocks", {"local_attention": 6}),
    *_encoders(
        "distilbert",
        tiny={
            **_NONE,
            "vocab_size": 99,
            "max_position_embeddings": 64,
            "dim": 32,
            "n_layers": 4,
            "n_heads": 4,
            "hidden_dim": 64,
        },
    ),
    Family("albert", "encoder", "one mask for all", "its blocks share their weights", {"embedding_size": 32}),
    *_padded("deberta-v2 deberta mpnet rembert"),
    *_rejected(
        "gpt_neo",
        _OWN_PATH,
        {
            **_NO_GROUPS,
            "attention_types": [[["global", "local"], 2]],
            "num_layers": 4,
            "num_hidden_layers": None,
            "num_heads": 4,
            "num_attention_heads": None,
        },
    ),
    *_rejected("gptj codegen", _OWN_PATH, {**_GPT2, "rotary_dim": 4}),
    *_rejected(
        "bloom", "ALiBi: " + _OWN_PATH, {**_NONE, **_VOCABULARY, "hidden_size": 32, "n_layer": 4, "n_head": 4}
    ),
    *_rejected(
        "mpt",
        "ALiBi: " + _OWN_PATH,
        {**_NONE, **_VOCABULARY, "d_model": 32, "n_layers": 4, "n_heads": 4, "max_seq_len": 64},
    ),
    *_rejected(
        "xglm",
        _OWN_PATH,
        {
            **_NONE,
            **_VOCABULARY,
            "d_model": 32,
            "num_layers": 4,
            "attention_heads": 4,
            "ffn_dim": 64,
            "max_position_embeddings": 64,
        },
    ),
    *_rejected(
        "mamba",
        "has no attention",
        {**_NONE, **_VOCABULARY, "hidden_size": 32, "num_hidden_layers": 4, "state_size": 4},
    ),
    *_rejected(
        "qwen3_next",
        "linear attention in most blocks",
        {
            **_EXPERTS,
            "shared_expert_intermediate_size": 16,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
        },
    ),
    *_rejected("lfm2", "convolutions in most blocks", {"layer_types": ["conv", "full_attention"] * 2}),
    *_rejected(
        "llama4_text",
        "chunked attention in most blocks",
        {**_EXPERTS, "intermediate_size_mlp": 64, "attention_chunk_size": 4},
    ),
)
"""In the order of `docs/reference/families.md`."""

BY_NAME: Mapping[str, Family] = {family.name: family for family in FAMILIES}
