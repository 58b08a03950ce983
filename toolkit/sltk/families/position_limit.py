"""How many subwords a model has positions for, from its config alone."""

from __future__ import annotations

from .model_tables import POSITIONS_AFTER_PADDING, Config

_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len")


def position_limit(config: Config) -> int | None:
    """Number of subwords that a model has positions for; None if the config does not say."""
    limit = next((config[key] for key in _KEYS if config.get(key)), None)
    return limit - first_position(config) if isinstance(limit, int) else None


def first_position(config: Config) -> int:
    """The first position of a sentence: 0, or the one after the padding id, which makes the earlier ones unusable."""
    family = str(config.get("model_type"))
    if family not in POSITIONS_AFTER_PADDING or config.get("position_embedding_type") == "rotary":
        return 0
    usual = POSITIONS_AFTER_PADDING[family]
    padding = usual if family in _FIXED else config.get("pad_token_id", usual)
    return padding + 1 if isinstance(padding, int) else 0


_FIXED = frozenset({"mpnet"})
"""Families that take the usual padding id for their positions, whatever the config says."""
