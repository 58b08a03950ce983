"""Tiny GGUF files with random weights and a trained vocabulary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sltk.components.backbones import local_tokenizer

HIDDEN, FFN, HEADS, KEY_HEADS, BLOCKS = 64, 96, 4, 2, 2
TEXTS = (
    "The pasta was very good.",
    "Vera and Kai live in a small town.",
    "The waiter forgot our drinks!",
) * 4


def write(path: Path, seed: int = 0, architecture: str = "llama", **metadata: Any) -> Path:
    """Write a model whose linear layers and embedding are quantized to 8 bits; `metadata` are further values."""
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_block_count(BLOCKS)
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    vocabulary = _add_vocabulary(writer)
    for key, value in metadata.items():
        add = writer.add_uint32 if isinstance(value, int) else writer.add_string
        add(key.replace("__", "."), value)
    random = np.random.default_rng(seed)
    for name, shape in _tensors(vocabulary):
        values = random.normal(1.0 if len(shape) == 1 else 0.0, 0.1, shape).astype(np.float32)
        kind = gguf.GGMLQuantizationType.Q8_0 if len(shape) == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        step()
    writer.close()
    return path


def _add_vocabulary(writer: Any) -> int:
    """A byte-level vocabulary; returns the number of its entries."""
    trained = local_tokenizer.train(TEXTS, 300)
    tokens = sorted(trained.get_vocab(), key=trained.get_vocab().__getitem__)
    content = trained.to_str()

    merges = [
        " ".join(pair) if isinstance(pair, list) else pair for pair in json.loads(content)["model"]["merges"]
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("<") and len(token) > 1 else 1 for token in tokens])
    writer.add_token_merges(merges)
    writer.add_pad_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    return len(tokens)


def _tensors(vocabulary: int) -> list[tuple[str, tuple[int, ...]]]:
    keys = HIDDEN // HEADS * KEY_HEADS
    block = {
        "attn_norm": (HIDDEN,), "attn_q": (HIDDEN, HIDDEN), "attn_k": (keys, HIDDEN), "attn_v": (keys, HIDDEN),
        "attn_output": (HIDDEN, HIDDEN), "ffn_norm": (HIDDEN,), "ffn_gate": (FFN, HIDDEN), "ffn_up": (FFN, HIDDEN),
        "ffn_down": (HIDDEN, FFN),
    }  # fmt: skip
    outside = [("token_embd.weight", (vocabulary, HIDDEN)), ("output_norm.weight", (HIDDEN,))]
    blocks = [
        (f"blk.{number}.{name}.weight", shape) for number in range(BLOCKS) for name, shape in block.items()
    ]
    return [*outside, *blocks]
