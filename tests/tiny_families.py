"""Model families that tests and docs/reference/families.md cover: expected support and a tiny config for each.

Families that are not listed here can work too: the proof decides when a model is built (`sltk.nn.mask_proof`).
"""

from __future__ import annotations

from collections.abc import Mapping

from newer_families import NEWER
from tiny_family import (
    EXPERTS,
    GPT2,
    MIXED,
    NO_GROUPS,
    NONE,
    VOCABULARY,
    WINDOW,
    Family,
    decoders,
    encoders,
    padded,
    rejected,
)

FAMILIES: tuple[Family, ...] = (
    *decoders(
        "llama qwen2 qwen3 gemma olmo olmo2 granite cohere glm glm4 helium arcee ernie4_5 smollm3 seed_oss"
    ),
    *decoders("hunyuan_v1_dense apertus"),
    *decoders("stablelm nemotron"),
    *decoders("phi gpt_neox opt biogpt", tiny=NO_GROUPS),
    *decoders("gpt2 gpt_bigcode", tiny=GPT2),
    *decoders("mistral ministral starcoder2 phi3", "sliding window", WINDOW),
    *decoders("mixtral", "sliding window, experts", {**WINDOW, **EXPERTS}),
    *decoders("qwen3_moe", "experts", EXPERTS),
    *decoders(
        "gemma2", "sliding window in some blocks, capped scores", {**MIXED, "attn_logit_softcapping": 2.0}
    ),
    *decoders("gemma3_text cohere2 exaone4", "sliding window in some blocks", MIXED),
    *decoders("gpt_oss", "sliding window in some blocks, attention sinks, experts", {**MIXED, **EXPERTS}),
    *encoders("bert roberta electra xlm-roberta camembert"),
    *encoders("modernbert", "sliding window in some blocks", {"local_attention": 6}),
    *encoders(
        "distilbert",
        tiny={
            **NONE,
            "vocab_size": 99,
            "max_position_embeddings": 64,
            "dim": 32,
            "n_layers": 4,
            "n_heads": 4,
            "hidden_dim": 64,
        },
    ),
    Family("albert", "encoder", "one mask for all", "its blocks share their weights", {"embedding_size": 32}),
    *padded("deberta-v2 deberta mpnet rembert"),
    *rejected(
        "gpt_neo",
        tiny={
            **NO_GROUPS,
            "attention_types": [[["global", "local"], 2]],
            "num_layers": 4,
            "num_hidden_layers": None,
            "num_heads": 4,
            "num_attention_heads": None,
        },
    ),
    *rejected("gptj codegen", tiny={**GPT2, "rotary_dim": 4}),
    *rejected("bloom", tiny={**NONE, **VOCABULARY, "hidden_size": 32, "n_layer": 4, "n_head": 4}),
    *rejected(
        "mpt",
        tiny={**NONE, **VOCABULARY, "d_model": 32, "n_layers": 4, "n_heads": 4, "max_seq_len": 64},
    ),
    *rejected(
        "xglm",
        tiny={
            **NONE,
            **VOCABULARY,
            "d_model": 32,
            "num_layers": 4,
            "attention_heads": 4,
            "ffn_dim": 64,
            "max_position_embeddings": 64,
        },
    ),
    *rejected(
        "mamba", tiny={**NONE, **VOCABULARY, "hidden_size": 32, "num_hidden_layers": 4, "state_size": 4}
    ),
    *rejected(
        "qwen3_next",
        tiny={
            **EXPERTS,
            "shared_expert_intermediate_size": 16,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
        },
    ),
    *rejected("lfm2", tiny={"layer_types": ["conv", "full_attention"] * 2}),
    *rejected("llama4_text", tiny={**EXPERTS, "intermediate_size_mlp": 64, "attention_chunk_size": 4}),
    *NEWER,
)
"""In the order of `docs/reference/families.md`."""

BY_NAME: Mapping[str, Family] = {family.name: family for family in FAMILIES}
