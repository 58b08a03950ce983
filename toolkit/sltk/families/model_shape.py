"""Shapes of models, from their config alone: without torch, transformers or the hub.

`sltk check` uses them to count parameters and to check LoRA targets, `--rehearse` to build tiny models of the same
architecture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from .model_tables import FAMILIES, KEYS, TINY_CONFIGS, Config, Family, Sizes


@dataclass(frozen=True)
class Linear:
    """A linear layer, and the number of such layers in the model."""

    path: str
    inputs: int
    outputs: int
    count: int
    bias: bool = False

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit(".", 1)[-1]

    @property
    def parameters(self) -> int:
        """Weights and biases of all these layers."""
        return self.count * (self.inputs + self.bias) * self.outputs


@dataclass(frozen=True)
class Shape:
    """Size and structure of a model, without its weights."""

    family: str
    blocks: int
    parameters: int
    """Parameters without a language-model head, which a backbone does not use."""
    linear: tuple[Linear, ...]
    sizes: Sizes
    """Empty if only the headers of the weights are known."""
    tied: bool

    def targeted(self, target: str) -> list[Linear]:
        """The layers that a LoRA target names, in all blocks; none if it names a block that the model does not have."""
        match = re.match(r"(?:.*\.)?([0-9]+)\.", target)
        # Of a family in no table, the number may be that of an expert.
        if match and self.sizes and int(match[1]) >= self.blocks:
            return []
        name = target[match.end() :] if match else target
        return [layer for layer in self.linear if _ends_with(layer.path, name)]


def shape(config: Config) -> Shape | None:
    """The shape of the model with this config; None if its family or one of its sizes is unknown."""
    name = str(config.get("model_type", ""))
    family = FAMILIES.get(name)
    sizes = _sizes(config, family) if family is not None else None
    if family is None or sizes is None:
        return None
    linear = tuple(_linear_layers(config, family, sizes))
    elsewhere = sum(_product(term, sizes) for term in family.outside)
    vectors = [*family.vectors, *_chosen(family.vectors_if, config, family)]
    in_blocks = sizes["blocks"] * sum(_product(term, sizes) for term in vectors)
    extra = _EXTRA_PARAMETERS[name](config, sizes) if name in _EXTRA_PARAMETERS else 0
    total = sum(layer.parameters for layer in linear) + elsewhere + in_blocks + extra
    tied = config.get("tie_word_embeddings")
    return Shape(name, sizes["blocks"], total, linear, sizes, family.tied if tied is None else bool(tied))


def first_blocks(
    config: Config, blocks: int, total: int | None = None, further_key: str = KEYS["blocks"]
) -> dict[str, Any]:
    """The config of a model with only the first blocks of another one: their number, and what there is for each.

    Args:
        config: the config of the whole model, with values as in its config.json.
        blocks: how many blocks to keep.
        total: how many the model has; by default, what the config states.
        further_key: the key of the number of blocks in a family whose key is in no table.
    """
    total = blocks_of(config) if total is None else total
    values = {
        key: value[:blocks] if _is_per_block(key, value, total) else value for key, value in config.items()
    }
    family = FAMILIES.get(str(config.get("model_type", "")), Family())
    for key in {_keys(family)["blocks"], KEYS["blocks"], further_key} & config.keys():
        if config[key] == total:
            values[key] = blocks
    overrides = config.get(_BY_BLOCK)
    if isinstance(overrides, dict):
        values[_BY_BLOCK] = {
            block: each
            for block, each in overrides.items()
            if not str(block).isdecimal() or int(block) < blocks
        }
    return values


def _is_per_block(key: str, value: Any, total: int | None) -> bool:
    return isinstance(value, list | tuple) and len(value) == total and not key.endswith(_NOT_PER_BLOCK)


_NOT_PER_BLOCK = ("architectures", "_token_id", "_token_ids")
"""Ends of the keys of lists that may have as many items as the model has blocks, by accident."""
_BY_BLOCK = "per_layer_config"
"""The key of values of single blocks, by their number."""


def blocks_of(config: Config) -> int | None:
    """The number of blocks that a config states; None without a valid one."""
    family = FAMILIES.get(str(config.get("model_type", "")), Family())
    count = _first(config.get(_keys(family)["blocks"]), config.get(KEYS["blocks"]))
    return count if _is_count(count) else None


def tiny_config(name: str, blocks: int) -> dict[str, Any]:
    """The config of a tiny model of a family, for transformers; families that are not in the table get usual keys."""
    family = FAMILIES.get(name, Family())
    values = {"hidden": 64, "blocks": blocks, "heads": 4, "ffn": 128, "positions": 1024}
    if "keys" in family.attention.get("self_attn.k_proj", ()):
        values["key_heads"] = 2
    if "head_dim" in family.defaults:
        values["head"] = 16
    if family.projections:
        values["embedding"] = 64
    keys = _keys(family)
    sizes = {keys[size]: value for size, value in values.items()}
    config = {"model_type": name, **sizes, **_TOKENS, **family.tiny, **TINY_CONFIGS.get(name, {})}
    return {key: value for key, value in config.items() if value is not None}


_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
"""Ids of the special tokens in a tokenizer that `--rehearse` trains."""


_COUNTS = ("hidden", "blocks", "heads", "key_heads", "head", "ffn", "vocabulary", "positions")
"""Sizes that are at least 1."""


def _sizes(config: Config, family: Family) -> dict[str, int] | None:
    """The sizes of the model; None if the config lacks a required size or has an invalid one."""
    if next(invalid_sizes(config), None) is not None:
        return None
    values = {
        size: _first(config.get(key), config.get(KEYS[size]), family.defaults.get(key))
        for size, key in _keys(family).items()
    }
    if not values["hidden"] or not values["blocks"] or not values["heads"] or values["vocabulary"] is None:
        return None
    hidden, heads = int(values["hidden"]), int(values["heads"])
    ffn = values["ffn"] or (4 * hidden if family.keys.get("ffn") == "n_inner" else None)
    if ffn is None:
        return None
    head = int(values["head"] or hidden // heads)
    is_multi_query = config.get("multi_query", family.defaults.get("multi_query"))
    key_heads = 1 if is_multi_query else int(values["key_heads"] or heads)
    sizes = {size: int(value or 0) for size, value in values.items()}
    sizes |= {"ffn": int(ffn), "head": head, "queries": heads * head, "keys": key_heads * head}
    sizes |= {"attention": (heads + 2 * key_heads) * head, "embedding": int(values["embedding"] or hidden)}
    return sizes


def _keys(family: Family) -> dict[str, str]:
    return KEYS | dict(family.keys)


def invalid_sizes(config: Config) -> Iterator[tuple[str, str]]:
    """Invalid sizes in the config of a known family: the key, and what is wrong with its value."""
    family = FAMILIES.get(str(config.get("model_type", "")))
    if family is None:
        return
    keys = _keys(family)
    for key in dict.fromkeys(name for size in _COUNTS for name in (keys[size], KEYS[size])):
        value = config.get(key)
        if value is not None and not _is_count(value):
            yield key, f"expected a whole number above 0, found `{value}`"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _linear_layers(config: Config, family: Family, sizes: Sizes) -> Iterator[Linear]:
    biased = {*family.biased, *_chosen(family.biased_if, config, family)}
    projections = family.projections if sizes["embedding"] != sizes["hidden"] else {}
    outside = {**family.outside_linear, **projections}
    for path, (inputs, outputs) in {**family.attention, **family.mlp, **outside}.items():
        count = 1 if path in outside else sizes["blocks"]
        has_bias = path not in _UNBIASED and ("*" in biased or any(_ends_with(path, name) for name in biased))
        yield Linear(path, _product(inputs, sizes), _product(outputs, sizes), count, has_bias)


def _ends_with(path: str, name: str) -> bool:
    """Whether a path ends with the parts of `name`, as peft matches LoRA targets."""
    return path == name or path.endswith(f".{name}")


_UNBIASED = ("project_in", "project_out")


def _chosen(table: Mapping[str, Sequence[str]], config: Config, family: Family) -> list[str]:
    """The items of a table whose key is true in the config."""
    return [
        item for key, items in table.items() if config.get(key, family.defaults.get(key)) for item in items
    ]


def _product(term: str, sizes: Sizes) -> int:
    return prod(int(part) if part.isdecimal() else sizes[part] for part in term.split("*"))


def _deberta_parameters(config: Config, sizes: Sizes) -> int:
    """DeBERTa's embeddings: of absolute positions, or relative ones shared by all blocks."""
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


def _opt_parameters(config: Config, sizes: Sizes) -> int:
    """The number of parameters of OPT's final norm; only pre-norm models have one."""
    no_norm = not config.get("do_layer_norm_before", True) or config.get("_remove_final_layer_norm", False)
    return 0 if no_norm else 2 * sizes["hidden"]


_EXTRA_PARAMETERS: Mapping[str, Callable[[Config, Sizes], int]] = {
    "deberta-v2": _deberta_parameters,
    "opt": _opt_parameters,
}
"""Further parameters of some families, whose number the table cannot express."""
