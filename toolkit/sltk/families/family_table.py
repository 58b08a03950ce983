"""Model families as a table: what their blocks are made of, and whether their causal mask can be removed.

A test holds every family to transformers' own count of parameters and list of linear layers.

A size is a product such as `2*ffn*hidden` of whole numbers and of the names in `Sizes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Config = Mapping[str, Any]
"""The content of a config.json."""
Sizes = Mapping[str, int]
"""hidden, heads, head (size of one), queries, keys (sizes of all heads together), ffn, vocabulary, positions, types
(token types), embedding, blocks, experts, expert (size of one)."""


@dataclass(frozen=True)
class Family:
    """One `model_type` of transformers.

    Attributes:
        linear: the linear layers of a block: path inside the block → (inputs, outputs).
        biased: the last names of those that have a bias; `*` for all.
        biased_if: key of the config → the last names of those that have a bias where it is true.
        vectors: what else a block holds: norms, experts, sinks.
        vectors_if: key of the config → what a block holds besides where it is true.
        outside: what stands outside the blocks: embeddings, last norm.
        outside_linear: linear layers outside the blocks.
        projections: the same, there only where the embedding's size is not the hidden size.
        keys: what the config calls a key of `KEYS`, where that is not its name there.
        defaults: values of keys that a config may leave out.
        extra: number of further parameters, for what no table says.
        encoder: whether it is one; encoders see both sides where nothing is said.
        maskable: False where only `unmask: all` works (the family brings its own attention).
        tied: whether input and output embedding are one where the config does not say.
        tiny: what a tiny model of the family needs in its config besides sizes.
    """

    linear: Mapping[str, tuple[str, str]]
    biased: tuple[str, ...] = ()
    biased_if: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    vectors: tuple[str, ...] = ("2*hidden",)
    vectors_if: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outside: tuple[str, ...] = ("vocabulary*hidden", "hidden")
    outside_linear: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    projections: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    defaults: Config = field(default_factory=dict)
    extra: Callable[[Config, Sizes], int] | None = None
    encoder: bool = False
    maskable: bool = True
    tied: bool = False
    tiny: Config = field(default_factory=dict)


KEYS = {
    "hidden": "hidden_size",
    "blocks": "num_hidden_layers",
    "heads": "num_attention_heads",
    "key_heads": "num_key_value_heads",
    "head": "head_dim",
    "ffn": "intermediate_size",
    "vocabulary": "vocab_size",
    "positions": "max_position_embeddings",
    "types": "type_vocab_size",
    "embedding": "embedding_size",
    "experts": "num_local_experts",
    "expert": "moe_intermediate_size",
}
"""A size, and what most configs call it."""

_SPLIT = {
    "self_attn.q_proj": ("hidden", "queries"),
    "self_attn.k_proj": ("hidden", "keys"),
    "self_attn.v_proj": ("hidden", "keys"),
    "self_attn.o_proj": ("queries", "hidden"),
}
_GATED = {
    "mlp.gate_proj": ("hidden", "ffn"),
    "mlp.up_proj": ("hidden", "ffn"),
    "mlp.down_proj": ("ffn", "hidden"),
}
_FUSED_GATE = {"mlp.gate_up_proj": ("hidden", "2*ffn"), "mlp.down_proj": ("ffn", "hidden")}
_UP_DOWN = {"mlp.up_proj": ("hidden", "ffn"), "mlp.down_proj": ("ffn", "hidden")}
_FAIRSEQ = {
    "self_attn.k_proj": ("hidden", "queries"),
    "self_attn.v_proj": ("hidden", "queries"),
    "self_attn.q_proj": ("hidden", "queries"),
    "self_attn.out_proj": ("queries", "hidden"),
    "fc1": ("hidden", "ffn"),
    "fc2": ("ffn", "hidden"),
}
_QKV = ("q_proj", "k_proj", "v_proj")
_ATTENTION_BIAS: dict[str, tuple[str, ...]] = {"attention_bias": (*_QKV, "o_proj")}
_MLP_BIAS: dict[str, tuple[str, ...]] = {"mlp_bias": ("gate_proj", "up_proj", "down_proj")}
_GPT2_KEYS = {
    "hidden": "n_embd",
    "blocks": "n_layer",
    "heads": "n_head",
    "ffn": "n_inner",
    "positions": "n_positions",
}

_LLAMA = Family(_SPLIT | _GATED, biased_if=_ATTENTION_BIAS | _MLP_BIAS)
_MISTRAL = Family(_SPLIT | _GATED, defaults={"num_key_value_heads": 8})
_QWEN2 = Family(_SPLIT | _GATED, biased=_QKV)
_QWEN3 = Family(
    _SPLIT | _GATED, biased_if=_ATTENTION_BIAS, vectors=("2*hidden", "2*head"), defaults={"head_dim": 128}
)
_GEMMA = Family(_SPLIT | _GATED, biased_if=_ATTENTION_BIAS, tied=True, defaults={"head_dim": 256})
_GEMMA2 = replace(_GEMMA, vectors=("4*hidden",))
_COHERE = Family(
    _SPLIT | _GATED,
    biased_if=_ATTENTION_BIAS,
    vectors=("hidden",),
    vectors_if={"use_qk_norm": ("queries", "keys")},
    tied=True,
)
_GLM = Family(
    _SPLIT | _FUSED_GATE,
    biased_if={"attention_bias": _QKV},
    defaults={"attention_bias": True, "head_dim": 128, "num_key_value_heads": 2},
)

_BERT = Family(
    {
        "attention.self.query": ("hidden", "hidden"),
        "attention.self.key": ("hidden", "hidden"),
        "attention.self.value": ("hidden", "hidden"),
        "attention.output.dense": ("hidden", "hidden"),
        "intermediate.dense": ("hidden", "ffn"),
        "output.dense": ("ffn", "hidden"),
    },
    biased=("*",),
    vectors=("4*hidden",),
    outside=("vocabulary*hidden", "positions*hidden", "types*hidden", "2*hidden"),
    outside_linear={"pooler.dense": ("hidden", "hidden")},
    defaults={"type_vocab_size": 2},
    encoder=True,
    tied=True,
)


def _deberta_extra(config: Config, sizes: Sizes) -> int:
    """DeBERTa's embeddings: of absolute positions and token types, or relative ones shared by all blocks."""
    hidden, count = sizes["hidden"], 0
    if config.get("position_biased_input", True):
        count += sizes["positions"] * hidden
    if config.get("relative_attention", False):
        reach = config.get("max_relative_positions", -1)
        reach = sizes["positions"] if reach < 1 else reach
        buckets = config.get("position_buckets", -1)
        count += 2 * (buckets if buckets > 0 else reach) * hidden
        if "layer_norm" in str(config.get("norm_rel_ebd", "none")):
            count += 2 * hidden
        if not config.get("share_att_key", False):
            kinds = sum(kind in (config.get("pos_att_type") or ()) for kind in ("c2p", "p2c"))
            count += sizes["blocks"] * kinds * (hidden + 1) * hidden
    return count


def _opt_extra(config: Config, sizes: Sizes) -> int:
    """OPT's table of positions has two rows more, and only its pre-norm models have a last norm."""
    no_norm = not config.get("do_layer_norm_before", True) or config.get("_remove_final_layer_norm", False)
    return 0 if no_norm else 2 * sizes["hidden"]


FAMILIES: dict[str, Family] = {
    "llama": _LLAMA,
    "mistral": _MISTRAL,
    "ministral": replace(_MISTRAL, tiny={"head_dim": 16}),
    "mixtral": Family(
        _SPLIT,
        vectors=("2*hidden", "experts*hidden", "experts*3*ffn*hidden"),
        defaults={"num_local_experts": 8, "num_key_value_heads": 8},
        tiny={"num_local_experts": 4},
    ),
    "qwen2": _QWEN2,
    "qwen3": _QWEN3,
    "qwen3_moe": Family(
        _SPLIT,
        biased_if=_ATTENTION_BIAS,
        vectors=("2*hidden", "2*head", "experts*hidden", "experts*3*expert*hidden"),
        keys={"experts": "num_experts"},
        defaults={"num_key_value_heads": 4},
        tiny={"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64},
    ),
    "gemma": _GEMMA,
    "gemma2": _GEMMA2,
    "gemma3_text": replace(_GEMMA2, vectors=("4*hidden", "2*head")),
    "phi": Family(
        {
            "self_attn.q_proj": ("hidden", "queries"),
            "self_attn.k_proj": ("hidden", "keys"),
            "self_attn.v_proj": ("hidden", "keys"),
            "self_attn.dense": ("queries", "hidden"),
            "mlp.fc1": ("hidden", "ffn"),
            "mlp.fc2": ("ffn", "hidden"),
        },
        biased=("*",),
        vectors_if={"qk_layernorm": ("4*head",)},
        outside=("vocabulary*hidden", "2*hidden"),
    ),
    "phi3": Family(
        {"self_attn.o_proj": ("queries", "hidden"), "self_attn.qkv_proj": ("hidden", "attention")} | _FUSED_GATE,
    ),
    "gpt2": Family(
        {
            "attn.c_attn": ("hidden", "3*hidden"),
            "attn.c_proj": ("hidden", "hidden"),
            "mlp.c_fc": ("hidden", "ffn"),
            "mlp.c_proj": ("ffn", "hidden"),
        },
        biased=("*",),
        vectors=("4*hidden",),
        outside=("vocabulary*hidden", "positions*hidden", "2*hidden"),
        keys=_GPT2_KEYS,
        tied=True,
    ),
    "gpt_bigcode": Family(
        {
            "attn.c_attn": ("hidden", "attention"),
            "attn.c_proj": ("hidden", "hidden"),
            "mlp.c_fc": ("hidden", "ffn"),
            "mlp.c_proj": ("ffn", "hidden"),
        },
        biased=("*",),
        vectors=("4*hidden",),
        outside=("vocabulary*hidden", "positions*hidden", "2*hidden"),
        keys=_GPT2_KEYS,
        defaults={"multi_query": True},
        tied=True,
    ),
    "gpt_neox": Family(
        {
            "attention.query_key_value": ("hidden", "3*hidden"),
            "attention.dense": ("hidden", "hidden"),
            "mlp.dense_h_to_4h": ("hidden", "ffn"),
            "mlp.dense_4h_to_h": ("ffn", "hidden"),
        },
        biased=("dense_h_to_4h", "dense_4h_to_h"),
        biased_if={"attention_bias": ("query_key_value", "dense")},
        vectors=("4*hidden",),
        outside=("vocabulary*hidden", "2*hidden"),
        defaults={"attention_bias": True},
    ),
    "opt": Family(
        _FAIRSEQ,
        biased=("*",),
        vectors=("4*hidden",),
        outside=("vocabulary*embedding", "positions*hidden", "2*hidden"),
        projections={"project_in": ("embedding", "hidden"), "project_out": ("hidden", "embedding")},
        keys={"ffn": "ffn_dim", "embedding": "word_embed_proj_dim"},
        extra=_opt_extra,
        tied=True,
    ),
    "biogpt": Family(
        _FAIRSEQ,
        biased=("*",),
        vectors=("4*hidden",),
        outside=("vocabulary*hidden", "positions*hidden", "2*hidden", "2*hidden"),
        tied=True,
    ),
    "olmo": Family(_SPLIT | _GATED, biased_if=_ATTENTION_BIAS, vectors=(), outside=("vocabulary*hidden",)),
    "olmo2": Family(_SPLIT | _GATED, biased_if=_ATTENTION_BIAS, vectors=("2*hidden", "queries", "keys")),
    "starcoder2": Family(
        _SPLIT | {"mlp.c_fc": ("hidden", "ffn"), "mlp.c_proj": ("ffn", "hidden")},
        biased_if={"use_bias": (*_QKV, "o_proj", "c_fc", "c_proj")},
        vectors=("4*hidden",),
        outside=("vocabulary*hidden", "2*hidden"),
        defaults={"use_bias": True, "num_key_value_heads": 2},
        tied=True,
    ),
    "stablelm": Family(
        _SPLIT | _GATED,
        biased_if={"use_qkv_bias": _QKV},
        vectors=("4*hidden",),
        vectors_if={"qk_layernorm": ("queries", "keys")},
        outside=("vocabulary*hidden", "2*hidden"),
    ),
    "granite": _LLAMA,
    "cohere": _COHERE,
    "cohere2": replace(_COHERE, vectors_if={}),
    "smollm3": replace(_LLAMA, tied=True, defaults={"num_key_value_heads": 4}),
    "gpt_oss": Family(
        _SPLIT,
        biased_if=_ATTENTION_BIAS,
        # sinks; router; experts with their biases
        vectors=("2*hidden", "heads", "2*experts*hidden", "experts", "experts*3*ffn*hidden", "experts*2*ffn"),
        defaults={"attention_bias": True, "num_local_experts": 128, "num_key_value_heads": 8, "head_dim": 64},
        tiny={"num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "glm": _GLM,
    "glm4": replace(_GLM, vectors=("4*hidden",)),
    "nemotron": Family(
        _SPLIT | _UP_DOWN,
        biased_if=_ATTENTION_BIAS | {"mlp_bias": ("up_proj", "down_proj")},
        vectors=("4*hidden",),
        outside=("vocabulary*hidden", "2*hidden"),
    ),
    "helium": Family(
        _SPLIT | _GATED | {"self_attn.o_proj": ("hidden", "hidden")},
        biased_if={"attention_bias": _QKV} | _MLP_BIAS,
        defaults={"head_dim": 128},
    ),
    "exaone4": Family(_SPLIT | _GATED, vectors=("2*hidden", "2*head")),
    "arcee": Family(_SPLIT | _UP_DOWN, biased_if=_ATTENTION_BIAS | {"mlp_bias": ("up_proj", "down_proj")}),
    "ernie4_5": Family(
        _SPLIT | _GATED,
        biased_if={"use_bias": (*_QKV, "o_proj", "gate_proj", "up_proj", "down_proj")},
        tied=True,
        defaults={"head_dim": 128, "num_key_value_heads": 2},
    ),
    "hunyuan_v1_dense": Family(
        _SPLIT | _GATED, biased_if=_ATTENTION_BIAS, vectors=("2*hidden", "2*head"), tiny={"head_dim": 16}
    ),
    "seed_oss": Family(
        _SPLIT | _GATED,
        biased_if={"attention_bias": _QKV, "attention_out_bias": ("o_proj",)} | _MLP_BIAS,
        defaults={"attention_bias": True, "head_dim": 128, "num_key_value_heads": 8},
    ),
    "apertus": Family(_SPLIT | _UP_DOWN, biased_if=_ATTENTION_BIAS, vectors=("2*hidden", "2*head", "2")),
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": replace(
        _BERT,
        outside=("vocabulary*embedding", "positions*embedding", "types*embedding", "2*embedding"),
        outside_linear={},
        projections={"embeddings_project": ("embedding", "hidden")},
        defaults={"type_vocab_size": 2, "embedding_size": 128},
    ),
    "distilbert": Family(
        {
            "attention.q_lin": ("hidden", "hidden"),
            "attention.k_lin": ("hidden", "hidden"),
            "attention.v_lin": ("hidden", "hidden"),
            "attention.out_lin": ("hidden", "hidden"),
            "ffn.lin1": ("hidden", "ffn"),
            "ffn.lin2": ("ffn", "hidden"),
        },
        biased=("*",),
        vectors=("4*hidden",),
        outside=("vocabulary*hidden", "positions*hidden", "2*hidden"),
        keys={"hidden": "dim", "blocks": "n_layers", "heads": "n_heads", "ffn": "hidden_dim"},
        encoder=True,
        tied=True,
    ),
    "modernbert": Family(
        {
            "attn.Wqkv": ("hidden", "3*hidden"),
            "attn.Wo": ("hidden", "hidden"),
            "mlp.Wi": ("hidden", "2*ffn"),
            "mlp.Wo": ("ffn", "hidden"),
        },
        biased_if={"attention_bias": ("Wqkv", "attn.Wo"), "mlp_bias": ("Wi", "mlp.Wo")},
        # The first block has no norm before its attention: the embedding's stands there.
        outside=("vocabulary*hidden", "hidden"),
        encoder=True,
        tied=True,
        tiny={"cls_token_id": 1, "sep_token_id": 2},
    ),
    "deberta-v2": replace(
        _BERT,
        linear={
            "attention.self.query_proj": ("hidden", "hidden"),
            "attention.self.key_proj": ("hidden", "hidden"),
            "attention.self.value_proj": ("hidden", "hidden"),
            "attention.output.dense": ("hidden", "hidden"),
            "intermediate.dense": ("hidden", "ffn"),
            "output.dense": ("ffn", "hidden"),
        },
        outside=("vocabulary*hidden", "types*hidden", "2*hidden"),
        outside_linear={},
        defaults={"type_vocab_size": 0},
        extra=_deberta_extra,
        maskable=False,
        tiny={
            "relative_attention": True,
            "position_biased_input": False,
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
        },
    ),
}  # fmt: skip

QUERY_AND_VALUE = (
    ("q_proj", "v_proj"),
    ("query", "value"),
    ("q_lin", "v_lin"),
    ("query_proj", "value_proj"),
    ("c_attn",),
    ("query_key_value",),
    ("qkv_proj",),
    ("Wqkv",),
    ("in_proj",),
    ("q", "v"),
)
"""What families call their query and value projections, the usual name first: LoRA's default targets."""

REFUSED = frozenset(
    (
        "gpt_neo",
        "gptj",
        "codegen",
        "bloom",
        "mpt",
        "xglm",
        "mamba",
        "mamba2",
        "falcon_mamba",
        "rwkv",
        "qwen3_next",
        "lfm2",
        "llama4_text",
    )
)
"""Families whose attention transformers does not let others replace, or that have none in some blocks."""
