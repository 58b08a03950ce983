"""Shapes of models that people often name, so that `sltk check` and `--rehearse` know them without a hub.

Each entry is what the model's own config.json says, cut down to what parameters are counted by. Models of one
shape share an entry; `stored` is the dtype of the published weights.
"""

from __future__ import annotations

from typing import Any


def _llama(
    hidden: int, ffn: int, blocks: int, heads: int, key_heads: int, vocabulary: int, **more: Any
) -> dict[str, Any]:
    """A config in the terms that most decoders use."""
    return {
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_hidden_layers": blocks,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "vocab_size": vocabulary,
        "stored": "bfloat16",
        **more,
    }


def _bert(
    family: str,
    hidden: int,
    blocks: int,
    heads: int,
    vocabulary: int,
    positions: int,
    types: int,
    **more: Any,
) -> dict[str, Any]:
    """A config in BERT's terms; its feed-forward layers are four times as wide as the rest."""
    return {
        "model_type": family,
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "num_hidden_layers": blocks,
        "num_attention_heads": heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "stored": "float32",
        **more,
    }


def _gpt2(hidden: int, blocks: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "gpt2",
        "n_embd": hidden,
        "n_layer": blocks,
        "n_head": heads,
        "vocab_size": 50257,
        "n_positions": 1024,
        "stored": "float32",
    }


def _qwen3(hidden: int, ffn: int, blocks: int, heads: int, tied: bool) -> dict[str, Any]:
    more = {"head_dim": 128, "tie_word_embeddings": tied}
    return _llama(hidden, ffn, blocks, heads, 8, 151936, model_type="qwen3", **more)


_LLAMA_3_8B = _llama(4096, 14336, 32, 32, 8, 128256)
_LLAMA_32_1B = _llama(2048, 8192, 16, 32, 8, 128256, head_dim=64, tie_word_embeddings=True)
_LLAMA_32_3B = _llama(3072, 8192, 28, 24, 8, 128256, head_dim=128, tie_word_embeddings=True)
_MISTRAL = {"model_type": "mistral", "max_position_embeddings": 32768}
_QWEN2_SMALL = {"model_type": "qwen2", "tie_word_embeddings": True}
_QWEN2_05B = _llama(896, 4864, 24, 14, 2, 151936, **_QWEN2_SMALL)
_QWEN2_15B = _llama(1536, 8960, 28, 12, 2, 151936, **_QWEN2_SMALL)
_QWEN2_7B = _llama(3584, 18944, 28, 28, 4, 152064, model_type="qwen2")
_SMOLLM_135M = _llama(576, 1536, 30, 9, 3, 49152, tie_word_embeddings=True)
_SMOLLM_360M = _llama(960, 2560, 32, 15, 5, 49152, tie_word_embeddings=True)
_SMOLLM_17B = _llama(2048, 8192, 24, 32, 32, 49152, tie_word_embeddings=True)
_TINYLLAMA = _llama(2048, 5632, 22, 32, 4, 32000)
_BERT_BASE_CASED = _bert("bert", 768, 12, 12, 28996, 512, 2)
_BERT_BASE_UNCASED = _bert("bert", 768, 12, 12, 30522, 512, 2)
_ROBERTA_BASE = _bert("roberta", 768, 12, 12, 50265, 514, 1)
_ROBERTA_LARGE = _bert("roberta", 1024, 24, 16, 50265, 514, 1)
_XLMR_BASE = _bert("xlm-roberta", 768, 12, 12, 250002, 514, 1)
_XLMR_LARGE = _bert("xlm-roberta", 1024, 24, 16, 250002, 514, 1)


def _distilbert(vocabulary: int) -> dict[str, Any]:
    return {
        "model_type": "distilbert",
        "dim": 768,
        "hidden_dim": 3072,
        "n_layers": 6,
        "n_heads": 12,
        "vocab_size": vocabulary,
        "max_position_embeddings": 512,
        "stored": "float32",
    }


_DEBERTA_V3_BASE = _bert(
    "deberta-v2", 768, 12, 12, 128100, 512, 0,
    relative_attention=True, position_buckets=256, norm_rel_ebd="layer_norm", share_att_key=True,
    pos_att_type=["p2c", "c2p"], position_biased_input=False, stored="float16",
)  # fmt: skip
_MODERNBERT_BASE = _bert("modernbert", 768, 22, 12, 50368, 8192, 0) | {"intermediate_size": 1152}

KNOWN: dict[str, dict[str, Any]] = {
    "meta-llama/Llama-2-7b-hf": _llama(4096, 11008, 32, 32, 32, 32000, stored="float16"),
    "meta-llama/Llama-2-13b-hf": _llama(5120, 13824, 40, 40, 40, 32000, stored="float16"),
    "meta-llama/Meta-Llama-3-8B": _LLAMA_3_8B,
    "meta-llama/Llama-3.1-8B": _LLAMA_3_8B,
    "meta-llama/Llama-3.2-1B": _LLAMA_32_1B,
    "meta-llama/Llama-3.2-3B": _LLAMA_32_3B,
    "mistralai/Mistral-7B-v0.1": _llama(4096, 14336, 32, 32, 8, 32000, **_MISTRAL, sliding_window=4096),
    "mistralai/Mistral-7B-v0.3": _llama(4096, 14336, 32, 32, 8, 32768, **_MISTRAL),
    "Qwen/Qwen2-0.5B": _QWEN2_05B,
    "Qwen/Qwen2-1.5B": _QWEN2_15B,
    "Qwen/Qwen2-7B": _QWEN2_7B,
    "Qwen/Qwen2.5-0.5B": _QWEN2_05B,
    "Qwen/Qwen2.5-1.5B": _QWEN2_15B,
    "Qwen/Qwen2.5-7B": _QWEN2_7B,
    "Qwen/Qwen3-0.6B": _qwen3(1024, 3072, 28, 16, tied=True),
    "Qwen/Qwen3-0.6B-Base": _qwen3(1024, 3072, 28, 16, tied=True),
    "Qwen/Qwen3-1.7B": _qwen3(2048, 6144, 28, 16, tied=True),
    "Qwen/Qwen3-1.7B-Base": _qwen3(2048, 6144, 28, 16, tied=True),
    "Qwen/Qwen3-4B": _qwen3(2560, 9728, 36, 32, tied=True),
    "Qwen/Qwen3-8B": _qwen3(4096, 12288, 36, 32, tied=False),
    "google/gemma-2-2b": _llama(2304, 9216, 26, 8, 4, 256000, model_type="gemma2", head_dim=256, stored="float32"),
    "google/gemma-2-9b": _llama(3584, 14336, 42, 16, 8, 256000, model_type="gemma2", head_dim=256, stored="float32"),
    "HuggingFaceTB/SmolLM-135M": _SMOLLM_135M,
    "HuggingFaceTB/SmolLM2-135M": _SMOLLM_135M,
    "HuggingFaceTB/SmolLM2-360M": _SMOLLM_360M,
    "HuggingFaceTB/SmolLM2-1.7B": _SMOLLM_17B,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": _TINYLLAMA,
    "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T": _TINYLLAMA | {"stored": "float32"},
    "openai-community/gpt2": _gpt2(768, 12, 12),
    "openai-community/gpt2-medium": _gpt2(1024, 24, 16),
    "openai-community/gpt2-large": _gpt2(1280, 36, 20),
    "google-bert/bert-base-cased": _BERT_BASE_CASED,
    "google-bert/bert-base-uncased": _BERT_BASE_UNCASED,
    "google-bert/bert-large-cased": _bert("bert", 1024, 24, 16, 28996, 512, 2),
    "google-bert/bert-base-multilingual-cased": _bert("bert", 768, 12, 12, 119547, 512, 2),
    "FacebookAI/roberta-base": _ROBERTA_BASE,
    "FacebookAI/roberta-large": _ROBERTA_LARGE,
    "FacebookAI/xlm-roberta-base": _XLMR_BASE,
    "FacebookAI/xlm-roberta-large": _XLMR_LARGE,
    "distilbert/distilbert-base-cased": _distilbert(28996),
    "distilbert/distilbert-base-uncased": _distilbert(30522),
    "distilbert/distilroberta-base": _bert("roberta", 768, 6, 12, 50265, 514, 1),
    "google/electra-base-discriminator": _bert("electra", 768, 12, 12, 30522, 512, 2, embedding_size=768),
    "google/electra-small-discriminator": _bert("electra", 256, 12, 4, 30522, 512, 2, embedding_size=128),
    "microsoft/deberta-v3-base": _DEBERTA_V3_BASE,
    "answerdotai/ModernBERT-base": _MODERNBERT_BASE,
    "sentence-transformers/all-MiniLM-L6-v2": _bert("bert", 384, 6, 12, 30522, 512, 2),
}  # fmt: skip

GATED = ("meta-llama/", "google/gemma")
"""Beginnings of names whose weights the hub gives to those who accepted a licence."""

_OLD_OWNERS = ("openai-community", "google-bert", "FacebookAI", "distilbert")


def known_config(name: str) -> dict[str, Any] | None:
    """The config of a model by its hub name; the short names of the first models (`roberta-base`) work too."""
    if name in KNOWN:
        return KNOWN[name]
    return next((KNOWN[full] for owner in _OLD_OWNERS if (full := f"{owner}/{name}") in KNOWN), None)
