"""The shape of a model by its config alone: without torch, transformers or a hub.

`sltk check` counts parameters and checks LoRA targets by it, and `--rehearse` makes tiny models of the same
architecture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from .family_table import FAMILIES, KEYS, Config, Family, Sizes


@dataclass(frozen=True)
class Linear:
    """A linear layer, and how often the model has it."""

    path: str
    inputs: int
    outputs: int
    count: int
    bias: bool = False

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rsplit(".", 1)[-1]

    @property
    def parameters(self) -> int:
        """Weights and biases of all of them."""
        return self.count * (self.inputs + self.bias) * self.outputs


@dataclass(frozen=True)
class Shape:
    """What can be said of a model without its weights."""

    family: str
    blocks: int
    parameters: int
    """Of the model without a language-model head, as a backbone uses it."""
    linear: tuple[Linear, ...]
    sizes: Sizes
    tied: bool


def shape(config: Config) -> Shape | None:
    """What the config of a model says of its size; None where the family, or a size, is not known."""
    name = str(config.get("model_type", ""))
    family = FAMILIES.get(name)
    sizes = _sizes(config, family) if family is not None else None
    if family is None or sizes is None:
        return None
    linear = tuple(_linear_layers(config, family, sizes))
    elsewhere = sum(_product(term, sizes) for term in family.outside)
    vectors = [*family.vectors, *_chosen(family.vectors_if, config, family)]
    in_blocks = sizes["blocks"] * sum(_product(term, sizes) for term in vectors)
    extra = family.extra(config, sizes) if family.extra is not None else 0
    total = sum(layer.parameters for layer in linear) + elsewhere + in_blocks + extra
    tied = config.get("tie_word_embeddings")
    return Shape(name, sizes["blocks"], total, linear, sizes, family.tied if tied is None else bool(tied))


def tiny_config(name: str, blocks: int) -> dict[str, Any]:
    """The config of a tiny model of a family, as transformers takes it; in the usual terms for one not in the table."""
    family = FAMILIES.get(name, Family({}))
    wanted = {"hidden": 64, "blocks": blocks, "heads": 4, "ffn": 128, "positions": 1024}
    if family.linear.get("self_attn.k_proj") == ("hidden", "keys") or name == "phi3":
        wanted["key_heads"] = 2
    if "head_dim" in family.defaults or name == "gpt_oss":
        wanted["head"] = 16
    if family.projections:
        wanted["embedding"] = 64
    keys = KEYS | dict(family.keys)
    sizes = {keys[size]: value for size, value in wanted.items()}
    return {"model_type": name, **sizes, **_TOKENS, **family.tiny}


_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
"""Numbers of the special tokens in a tokenizer that is trained on the spot."""


_COUNTS = ("hidden", "blocks", "heads", "key_heads", "head", "ffn", "vocabulary", "positions")
"""Sizes of which there is at least one."""


def _sizes(config: Config, family: Family) -> dict[str, int] | None:
    """The sizes of the model; None where the config lacks one that cannot be left out."""
    keys = KEYS | dict(family.keys)
    given = {
        size: _first(config.get(key), config.get(KEYS[size]), family.defaults.get(key))
        for size, key in keys.items()
    }
    if not all(given[size] for size in ("hidden", "blocks", "heads")):
        return None
    if next(misfits(config), None) is not None:
        return None
    hidden, heads = int(given["hidden"]), int(given["heads"])
    head = int(given["head"] or hidden // heads)
    key_heads = (
        1
        if config.get("multi_query", family.defaults.get("multi_query"))
        else int(given["key_heads"] or heads)
    )
    ffn = given["ffn"] or (4 * hidden if family.keys.get("ffn") == "n_inner" else None)
    if ffn is None or given["vocabulary"] is None:
        return None
    sizes = {size: int(value or 0) for size, value in given.items()}
    sizes |= {"ffn": int(ffn), "head": head, "queries": heads * head, "keys": key_heads * head}
    sizes |= {"attention": (heads + 2 * key_heads) * head, "embedding": int(given["embedding"] or hidden)}
    return sizes


def misfits(config: Config) -> Iterator[tuple[str, str]]:
    """Sizes in the config of a known family that no model can have: the key, and what is wrong with its value."""
    family = FAMILIES.get(str(config.get("model_type", "")))
    if family is None:
        return
    own = KEYS | dict(family.keys)
    for key in dict.fromkeys(name for size in _COUNTS for name in (own[size], KEYS[size])):
        value = config.get(key)
        if value is not None and not _is_count(value):
            yield key, f"expected a whole number above 0, found `{value}`"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _linear_layers(config: Config, family: Family, sizes: Sizes) -> list[Linear]:
    biased = {*family.biased, *_chosen(family.biased_if, config, family)}
    found = [(path, ends, sizes["blocks"]) for path, ends in family.linear.items()]
    found += [(path, ends, 1) for path, ends in family.outside_linear.items()]
    if sizes["embedding"] != sizes["hidden"]:
        found += [(path, ends, 1) for path, ends in family.projections.items()]
    return [
        Linear(
            path, _product(ends[0], sizes), _product(ends[1], sizes), count,
            bias=path not in _UNBIASED and ("*" in biased or any(ends_with(path, name) for name in biased)),
        )
        for path, ends, count in found
    ]  # fmt: skip


def ends_with(path: str, name: str) -> bool:
    """Whether `name` is the last part, or the last parts, of a path: what a LoRA target means."""
    return path == name or path.endswith(f".{name}")


_UNBIASED = ("project_in", "project_out")


def _chosen(table: Mapping[str, tuple[str, ...]], config: Config, family: Family) -> list[str]:
    """What a table gives for the keys of the config that are true."""
    return [
        item for key, items in table.items() if config.get(key, family.defaults.get(key)) for item in items
    ]


def _product(term: str, sizes: Sizes) -> int:
    return prod(int(part) if part.isdecimal() else sizes[part] for part in term.split("*"))
