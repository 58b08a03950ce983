"""Small ONNX exports written by hand, for tests of how they are read: a word's scores are a row of a table.

The scores of a word do not depend on other words, so they are the same in any window, batch and order.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from sltk.components.backbones import local_tokenizer
from sltk.files import manifest

LABELS = ["O", "B-dish", "I-dish", "B-place", "I-place"]
TEXTS = [
    "the soup was awful and the bread was excellent",
    "Ines ate the menu, nobody minded!",
    "Über den Dächern 猫は石の上で眠る。",
]
COMPONENTS = {
    "splitter": {"type": "regex"},
    "aligner": {"type": "first_subword"},
    "head": {"type": "linear"},
}


def tokenizer() -> Tokenizer:
    """A byte-level BPE with a BOS before and an EOS after each text."""
    from tokenizers import processors

    trained: Tokenizer = local_tokenizer.train(TEXTS * 3, 300)
    ids = [("<s>", trained.token_to_id("<s>")), ("</s>", trained.token_to_id("</s>"))]
    trained.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ids)
    return trained


def table(tokens: int, labels: int = len(LABELS)) -> Any:
    """[tokens, labels]: the scores of each token, without ties."""
    return np.random.default_rng(7).standard_normal((tokens, labels)).astype(np.float32)


def graph(weights: Any, granularity: str = "subword") -> Any:
    """A graph that looks up each token in `weights`; the scores of words are those of their first subwords."""
    from onnx import TensorProto, helper, numpy_helper

    names = ["input_ids", "attention_mask", *(["word_first", "word_last"] if granularity == "word" else [])]
    axes = {"word_first": "words", "word_last": "words"}
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", axes.get(name, "length")])
        for name in names
    ]
    chosen = "input_ids"
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["float_mask"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["float_mask"], ["unused"], to=TensorProto.INT64),
    ]
    if granularity == "word":
        chosen = "first_ids"
        nodes.append(helper.make_node("GatherElements", ["input_ids", "word_first"], [chosen], axis=1))
    nodes.append(helper.make_node("Gather", ["table", chosen], ["logits"]))
    shape = ["batch", "words" if granularity == "word" else "length", weights.shape[1]]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)]
    made = helper.make_graph(nodes, "tagger", inputs, outputs, [numpy_helper.from_array(weights, "table")])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def describe(tokens: Tokenizer, **changes: Any) -> dict[str, Any]:
    """The content of sltk.json; keys of `onnx` are given as `onnx_granularity` and so on."""
    graph_keys = {
        "file": "model.onnx",
        "inputs": ["input_ids", "attention_mask"],
        "output": "logits",
        "granularity": "subword",
        "tokens": {
            "prefix": [tokens.token_to_id("<s>")],
            "suffix": [tokens.token_to_id("</s>")],
            "unknown": tokens.token_to_id("<pad>"),
        },
        "vectors": tokens.get_vocab_size(),
        "quantization": None,
        "opset": 18,
    }
    graph_keys |= {
        key.removeprefix("onnx_"): changes.pop(key) for key in list(changes) if key.startswith("onnx_")
    }
    return {
        "format": 1,
        "sltk": "0.1.0",
        "type": "onnx",
        "mask": {"unmask": "01", "flags": "01"},
        "base": {},
        "scheme": "IOB2",
        "labels": LABELS,
        "max_length": 16,
        "components": COMPONENTS,
        "spacing": "source",
        "on_overflow": "window",
        "document_context": 0,
        "onnx": graph_keys,
        **changes,
    }


def write(
    folder: Path,
    model: Any = None,
    *,
    data: bytes | None = None,
    transitions: dict[str, Any] | None = None,
    with_manifest: bool = True,
    **changes: Any,
) -> Path:
    """Write an ONNX export with the graph `model`, its external `data`, and `changes` of its sltk.json."""
    tokens = tokenizer()
    folder.mkdir()
    description = describe(tokens, **changes)
    if model is None:
        is_complete = description["onnx"] is not None
        granularity = description["onnx"]["granularity"] if is_complete else "subword"
        model = graph(table(tokens.get_vocab_size()), granularity)
    content = model if isinstance(model, bytes) else model.SerializeToString()
    (folder / "model.onnx").write_bytes(content)
    if data is not None:
        (folder / "model.onnx.data").write_bytes(data)
    if transitions is not None:
        (folder / "transitions.json").write_text(json.dumps(transitions), encoding="utf-8")
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text(tokens.to_str(), encoding="utf-8")
    (folder / "sltk.json").write_text(json.dumps(description), encoding="utf-8")
    if with_manifest:
        manifest.write(folder)
    return folder
