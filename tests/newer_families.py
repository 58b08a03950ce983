"""Further model families of transformers, in the groups of docs/reference/families.md, with tiny configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiny_family import (
    EXPERTS,
    GPT2,
    MIXED,
    NONE,
    VOCABULARY,
    WINDOW,
    Family,
    decoders,
    encoders,
    padded,
    rejected,
)

_MIXED_EXPERTS: Mapping[str, Any] = {**MIXED, **EXPERTS}
_SHARED_EXPERT: Mapping[str, Any] = {**EXPERTS, "shared_expert_intermediate_size": 16}
_LATENT: Mapping[str, Any] = {
    "head_dim": None, "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8, "v_head_dim": 8,
}  # fmt: skip
"""Keys and values are projected from a short latent vector; values are shorter than keys."""
_ROUTED: Mapping[str, Any] = {
    **_LATENT, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "n_group": 1,
    "topk_group": 1, "first_k_dense_replace": 1,
}  # fmt: skip
_INDEXED: Mapping[str, Any] = {**_ROUTED, "index_n_heads": 2, "index_head_dim": 8, "index_topk": 4}
_ROPE = {"rope_type": "default", "rope_theta": 1e4}
_MIXED_NOTE, _EXPERTS_NOTE = "sliding window in some blocks", "experts"
_BOTH_NOTE, _LATENT_NOTE = f"{_MIXED_NOTE}, {_EXPERTS_NOTE}", "latent attention"
_MAMBA: Mapping[str, Any] = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}
_LINEAR: Mapping[str, Any] = {
    "linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
}  # fmt: skip
_XLM: Mapping[str, Any] = {
    **NONE, "n_words": 99, "emb_dim": 32, "n_layers": 4, "n_heads": 4, "max_position_embeddings": 64,
    "pad_index": 0, "pad_token_id": 0,
}  # fmt: skip

NEWER: tuple[Family, ...] = (
    *decoders("bitnet hyperclovax internlm3 iquestcoder jais2 ministral3 nanochat persimmon"),
    *decoders("gpt-sw3", tiny=GPT2),
    *decoders(
        "ctrl",
        tiny={
            **NONE,
            "vocab_size": 99,
            "n_embd": 32,
            "n_layer": 4,
            "n_head": 4,
            "n_positions": 64,
            "dff": 64,
        },
    ),
    *decoders("cwm granite_swa olmo3 vaultgemma", _MIXED_NOTE, MIXED),
    *decoders(
        "cohere_compass_text",
        _MIXED_NOTE,
        {**MIXED, "rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}},
    ),
    *decoders(
        "modernbert-decoder",
        _MIXED_NOTE,
        {"local_attention": 6, "cls_token_id": 1, "sep_token_id": 2},
    ),
    *decoders(
        "gemma4_text gemma4_unified_text",
        _MIXED_NOTE,
        {
            **MIXED,
            "global_head_dim": 8,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": 99,
            "num_kv_shared_layers": 0,
        },
    ),
    *decoders("moshi", tiny={"ffn_dim": 64}),
    *decoders(
        "aria_text flex_olmo granitemoe granitemoeshared hunyuan_v1_moe jetmoe minimax_m2 olmoe phimoe",
        _EXPERTS_NOTE,
        {**EXPERTS, "moe_num_experts": 4, "moe_topk": 2, "kv_channels": 8},
    ),
    *decoders(
        "ernie4_5_moe glm4_moe hy_v3 minimax_m3_vl_text solar_open",
        _EXPERTS_NOTE,
        {
            **EXPERTS,
            "moe_num_experts": 4,
            "moe_k": 2,
            "n_routed_experts": 4,
            "n_group": 1,
            "topk_group": 1,
            "dense_intermediate_size": 64,
            "shared_intermediate_size": 16,
        },
    ),
    *decoders("qwen2_moe", _EXPERTS_NOTE, _SHARED_EXPERT),
    *decoders(
        "dbrx",
        _EXPERTS_NOTE,
        {
            **NONE,
            **VOCABULARY,
            "d_model": 32,
            "n_heads": 4,
            "n_layers": 4,
            "max_seq_len": 64,
            "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
            "ffn_config": {"hidden_size": 32, "ffn_hidden_size": 16, "moe_num_experts": 4, "moe_top_k": 2},
        },
    ),
    *decoders(
        "afmoe cohere2_moe exaone_moe flint granitemoe_swa kolibri1 laguna mellum mimo_v2_flash",
        _BOTH_NOTE,
        {
            **_MIXED_EXPERTS,
            "n_routed_experts": 4,
            "n_group": 1,
            "topk_group": 1,
            "v_head_dim": 8,
            "shared_expert_intermediate_size": 16,
        },
    ),
    *decoders("beam", _BOTH_NOTE, {**_MIXED_EXPERTS, "n_group": 1, "topk_group": 1}),
    *decoders("dots1", _BOTH_NOTE, {**_MIXED_EXPERTS, "n_routed_experts": 4, "n_shared_experts": 1}),
    *decoders("minicpm3", _LATENT_NOTE, _LATENT),
    *decoders(
        "axk1 deepseek_v2 deepseek_v3 glm4_moe_lite mistral4 youtu",
        f"{_LATENT_NOTE}, {_EXPERTS_NOTE}",
        _ROUTED,
    ),
    *encoders(
        "bert-generation data2vec-text ernie esm gte jina_embeddings_v3 nomic_bert roberta-prelayernorm xlm-roberta-xl"
    ),
    *encoders("eurobert esmc", tiny={"num_key_value_heads": 4, "head_dim": 8}),
    *encoders(
        "roc_bert", tiny={"pronunciation_vocab_size": 9, "shape_vocab_size": 9, "pronunciation_embed_dim": 8}
    ),
    *encoders("xmod", "needs `default_language` in its config", {"default_language": "en_XX"}),
    *encoders("ultrabert", _MIXED_NOTE, MIXED),
    *encoders(
        "openai_privacy_filter",
        "sliding window, attention sinks, experts",
        {**WINDOW, **EXPERTS, "num_key_value_heads": 2, "head_dim": 8},
    ),
    *encoders(
        "neomme",
        "sliding window in some blocks; cannot start from random weights",
        {**MIXED, "num_key_value_heads": 2, "head_dim": 16, "embedding_rank": 8},
    ),
    *padded("ibert megatron-bert roformer", tiny={"embedding_size": 32}),
    *padded("squeezebert", tiny={"embedding_size": 32}),
    *padded("longformer", tiny={"attention_window": 4}),
    *padded("luke", tiny={"entity_vocab_size": 9, "entity_emb_size": 8}),
    *padded("flaubert xlm", tiny=_XLM),
    *padded("xlnet", tiny={**NONE, **VOCABULARY, "d_model": 32, "n_layer": 4, "n_head": 4, "d_inner": 64}),
    *padded(
        "lilt",
        "reads text without page layout or tables",
        {"hidden_size": 48, "max_2d_position_embeddings": 64, "channel_shrink_ratio": 4},
    ),
    *padded(
        "layoutlm layoutlmv3 tapas markuplm",
        "reads text without page layout or tables",
        {
            "max_2d_position_embeddings": 64,
            "coordinate_size": 6,
            "shape_size": 4,
            "visual_embed": False,
            "xpath_unit_hidden_size": 8,
            "type_vocab_sizes": [3, 9, 9, 2, 9, 9, 3],
        },
    ),
    *rejected("axk2 deepseek_v32 dots3_note_text glm_moe_dsa hy_v4", tiny=_INDEXED),
    *rejected("bailing_hybrid", tiny={**_ROUTED, "num_experts": 4}),
    *rejected("bamba", tiny=_MAMBA),
    *rejected("cpmant", tiny={"dim_head": 8, "dim_ff": 64}),
    *rejected(
        "deepseek_v4",
        tiny={**_INDEXED, "head_dim": 8, "num_key_value_heads": 1, "o_groups": 2, "o_lora_rank": 8},
    ),
    *rejected("diffllama doge gpt_neox_japanese", tiny={}),
    *rejected(
        "falcon",
        tiny={**NONE, **VOCABULARY, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4},
    ),
    *rejected("falcon_h1", tiny={**_MAMBA, "mamba_d_ssm": 64}),
    *rejected("falcon_mamba", tiny={"state_size": 4}),
    *rejected(
        "gemma3n_text",
        tiny={
            **MIXED,
            "num_kv_shared_layers": 0,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": 99,
        },
    ),
    *rejected("granitemoehybrid", tiny={**EXPERTS, **_MAMBA, "shared_intermediate_size": 16}),
    *rejected("hrm_text", tiny=VOCABULARY),
    *rejected("inkling_text inkling2_text", tiny={**EXPERTS, **WINDOW, "n_routed_experts": 4}),
    *rejected("jamba", tiny={**EXPERTS, "mamba_d_state": 4}),
    *rejected("kimi_linear", tiny={**_ROUTED, "num_experts": 4, "num_expert_group": 1}),
    *rejected(
        "lfm2_moe", tiny={**EXPERTS, "layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1}
    ),
    *rejected("lfm3", tiny={}),
    *rejected("longcat_flash", tiny={**_ROUTED, "num_layers": 2, "num_hidden_layers": 4, "head_dim": 4}),
    *rejected(
        "mamba2",
        tiny={**NONE, **VOCABULARY, "hidden_size": 32, "num_hidden_layers": 4, "num_heads": 8, "head_dim": 8},
    ),
    *rejected("minimax", tiny=EXPERTS),
    *rejected(
        "nemotron_h",
        tiny={
            "layers_block_type": ["mamba", "attention", "mlp", "attention"],
            "n_groups": 1,
            "mamba_num_heads": 4,
            "mamba_head_dim": 8,
        },
    ),
    *rejected("olmo_hybrid", tiny=_LINEAR),
    *rejected("openai-gpt", tiny=GPT2),
    *rejected("qwen3_5_text", tiny=_LINEAR),
    *rejected("qwen3_5_moe_text", tiny={**_LINEAR, **_SHARED_EXPERT}),
    *rejected("recurrent_gemma", tiny={}),
    *rejected("rwkv", tiny=VOCABULARY),
    *rejected(
        "xlstm", tiny={**NONE, **VOCABULARY, "hidden_size": 32, "num_hidden_layers": 4, "num_heads": 4}
    ),
    *rejected(
        "zamba2", tiny={"layers_block_type": ["mamba", "hybrid"] * 2, "n_mamba_heads": 4, "mamba_headdim": 16}
    ),
    *rejected("zaya", tiny={**EXPERTS, "num_experts_per_tok": 1, "router_hidden_size": 16}),
)

SAMPLE = (
    "modernbert-decoder", "gemma4_text", "olmo3", "afmoe", "deepseek_v3", "dbrx", "granitemoe", "ctrl", "eurobert",
    "openai_privacy_filter", "ultrabert", "xmod",
)  # fmt: skip
"""Newer families on which every check runs; on the others run those that cost least."""

NO_EARLY_EXIT = ("gemma4_text", "minicpm3", "esm", "esmc")
"""Families that `blocks` refuses: parts outside of the blocks, or their scale, depend on the number of blocks."""
