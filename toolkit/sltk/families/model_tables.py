"""Tables of model families and of well-known models.

`families.json` has one entry per `model_type` of transformers, with the keys of `Family`; `known_models.json` has one
entry per model, with keys of its config.json. An entry with `"like": NAME` starts from an earlier entry and replaces
the keys that it has itself.

To add a family, add an entry to `families.json` and to `tests/tiny_families.py`. Tests compare every family with
transformers' own count of parameters and list of linear layers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from ..errors import Problem

Config = Mapping[str, Any]
"""The content of a config.json."""
Sizes = Mapping[str, int]
"""hidden, heads, head (size of one), queries, keys (sizes of all heads together), ffn, vocabulary, positions, types
(token types), embedding, blocks, experts, expert (size of one)."""
Layers = Mapping[str, Sequence[str]]
"""Linear layers: path → inputs and outputs, as products such as `2*ffn*hidden` of numbers and names of `Sizes`."""


@dataclass(frozen=True)
class Family:
    """One `model_type` of transformers. Parameters are counted in products of numbers and sizes: `2*ffn*hidden`.

    Attributes:
        attention: the linear layers of a block's attention, by their path inside the block.
        mlp: the linear layers of a block's feed-forward part.
        biased: last names of the linear layers that have a bias; `*` for all.
        biased_if: the same, if this key of the config is true.
        vectors: other parameters of a block: norms, experts, sinks.
        vectors_if: the same, if this key of the config is true.
        outside: parameters outside the blocks: embeddings, last norm.
        outside_linear: linear layers outside the blocks.
        projections: linear layers that exist only if embedding size and hidden size differ.
        keys: sizes whose key in the config differs from `KEYS`.
        defaults: values of keys that a config may leave out.
        encoder: whether the family is an encoder, whose blocks are unmasked by default.
        maskable: False if only `unmask: all` works, because the family has its own attention code.
        tied: whether input and output embedding are tied if the config does not say.
        tiny: keys other than sizes that the config of a tiny model needs.
        note: an explanation of the entry.
    """

    attention: Layers = field(default_factory=dict)
    mlp: Layers = field(default_factory=dict)
    biased: Sequence[str] = ()
    biased_if: Mapping[str, Sequence[str]] = field(default_factory=dict)
    vectors: Sequence[str] = ("2*hidden",)
    vectors_if: Mapping[str, Sequence[str]] = field(default_factory=dict)
    outside: Sequence[str] = ("vocabulary*hidden", "hidden")
    outside_linear: Layers = field(default_factory=dict)
    projections: Layers = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    defaults: Config = field(default_factory=dict)
    encoder: bool = False
    maskable: bool = True
    tied: bool = False
    tiny: Config = field(default_factory=dict)
    note: str = ""


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
"""The key of each size in most configs."""


def _read_json(table: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files(__package__).joinpath(table).read_text(encoding="utf-8"))
    return content


def _read(table: str) -> dict[str, dict[str, Any]]:
    """Read a JSON table in which an entry with `"like": NAME` starts from an earlier entry."""
    entries: dict[str, dict[str, Any]] = {}
    for name, entry in _read_json(table).items():
        entries[name] = (entries[entry.pop("like")] if "like" in entry else {}) | entry
    return entries


FAMILIES = {name: Family(**entry) for name, entry in _read("families.json").items()}

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
    ("q_b_proj", "kv_b_proj"),
    ("q_proj", "kv_b_proj"),
    ("Wq", "Wv"),
    ("kv_proj",),
)
"""Names of query and value projections, the most usual first: LoRA's default targets."""

REFUSED_BY_KIND: Mapping[str, Mapping[str, str]] = _read_json("refused.json")
"""Families that sltk refuses, with the reason: decoders, encoders, and others, which label no text by themselves."""
REFUSED: Mapping[str, str] = {
    name: reason for families in REFUSED_BY_KIND.values() for name, reason in families.items()
}
"""The reason by family."""

TINY_CONFIGS: Mapping[str, Config] = _read_json("tiny_configs.json")
"""Keys that make a tiny model of a family that is not in `FAMILIES`; null removes a key."""

POSITIONS_AFTER_PADDING: Mapping[str, int | None] = _read_json("positions_after_padding.json")
"""Families whose positions start after the padding id, and that id if the config does not say: RoBERTa and its kin."""

TEXT_PARTS: Mapping[str, str] = _read_json("text_parts.json")
"""Multimodal families of which sltk uses the text part, and its family. Others are found by their `text_config`."""


def refusal(family: str, path: str) -> Problem:
    """The problem that a family of `REFUSED` is refused; `path` is the key of the spec that names it."""
    cannot = "be unmasked" if family in REFUSED_BY_KIND["decoders"] else "label text"
    about = f"the family `{family}` cannot {cannot}: {REFUSED[family]}"
    return Problem(about, path=path, notes=("supported families: docs/reference/families.md",))


KNOWN_MODELS = _read("known_models.json")
"""Configs of well-known models by their name on the hub: the keys that determine sizes, and `stored`, the dtype of the
published weights."""

GATED = ("meta-llama/", "google/gemma")
"""Prefixes of models whose licence must be accepted on the hub before their weights can be downloaded."""

_OLD_OWNERS = ("openai-community", "google-bert", "FacebookAI", "distilbert")
"""Owners whose models also have a name without an owner, such as `roberta-base`."""


def known_config(name: str) -> dict[str, Any] | None:
    """The config of a well-known model by its name on the hub."""
    names = (name, *(f"{owner}/{name}" for owner in _OLD_OWNERS))
    return next((KNOWN_MODELS[each] for each in names if each in KNOWN_MODELS), None)
