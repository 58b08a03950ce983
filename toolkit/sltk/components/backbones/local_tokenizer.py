"""Tokenizers without transformers: what can be known of a model's subwords before anything heavy is loaded.

Reads `tokenizer.json` from a directory or from the hub's cache on this machine, or trains the tokenizer that a
spec asks for. Imports neither torch nor transformers, and contacts no network.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...errors import ModelError, Problem
from ...families import model_files
from .pretrained import PretrainedBackbone, TrainedTokenizer

TRAINED_SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
"""Special tokens of a tokenizer that is trained on the spot."""

_COUNT_FROM_PADDING = frozenset({"roberta", "xlm-roberta", "camembert"})
"""Families whose positions begin after that of the padding, so that two of them are not to be had."""


class LocalTokenizer:
    """As much of a tokenizer as `SubwordEncoder` asks for.

    Args:
        backend: a `tokenizers.Tokenizer`.
        special: its special tokens by role: `unk_token`, `pad_token`, `bos_token`, `eos_token`.
    """

    is_fast = True

    def __init__(self, backend: Any, special: dict[str, str]) -> None:
        self.backend_tokenizer = backend
        self._special = special

    @property
    def unk_token_id(self) -> int | None:
        """What stands for what is not in the vocabulary."""
        return self._id("unk_token")

    @property
    def pad_token_id(self) -> int | None:
        """The padding."""
        return self._id("pad_token")

    @property
    def bos_token_id(self) -> int | None:
        """The beginning of a text."""
        return self._id("bos_token")

    @property
    def eos_token_id(self) -> int | None:
        """The end of a text."""
        return self._id("eos_token")

    def convert_ids_to_tokens(self, number: int) -> str:
        """The token of this number."""
        return str(self.backend_tokenizer.id_to_token(number))

    def _id(self, role: str) -> int | None:
        token = self._special.get(role)
        found: int | None = None if token is None else self.backend_tokenizer.token_to_id(token)
        return found


def find(spec: PretrainedBackbone, texts: Iterable[str]) -> LocalTokenizer | None:
    """The tokenizer of a backbone, where it is on this machine or is trained on `texts`; None where it is not.

    Raises:
        ModelError: its file is damaged.
    """
    if isinstance(spec.tokenizer, TrainedTokenizer):
        return LocalTokenizer(train(texts, spec.tokenizer.vocab_size), TRAINED_SPECIAL)
    name = spec.tokenizer or spec.name
    folder = model_files.find(name, None if spec.tokenizer else spec.revision) if name else None
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None
    return LocalTokenizer(_read(folder / "tokenizer.json"), _special_tokens(folder))


def train(texts: Iterable[str], vocab_size: int) -> Any:
    """A byte-level BPE `tokenizers.Tokenizer` trained on `texts`; any text can be encoded with it."""
    from tokenizers import ByteLevelBPETokenizer

    learner = ByteLevelBPETokenizer(add_prefix_space=False)
    learner.train_from_iterator(
        texts,
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(TRAINED_SPECIAL.values()),
        show_progress=False,
    )
    return learner._tokenizer


def position_limit(config: dict[str, Any]) -> int | None:
    """Subwords that a model of this config has positions for, as far as the config says."""
    limit = config.get("max_position_embeddings") or config.get("n_positions")
    if not isinstance(limit, int):
        return None
    if config.get("model_type") in _COUNT_FROM_PADDING:
        return limit - (int(config.get("pad_token_id", 1)) + 1)
    return limit


def _read(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no class of its own
        message = f"`{path}` holds no tokenizer: {error}"
        raise ModelError(Problem(message, path="backbone.name")) from error


def _special_tokens(folder: Path) -> dict[str, str]:
    """The roles that tokenizer_config.json gives to tokens; there a token is text, or an object with `content`."""
    found: dict[str, str] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        path = folder / name
        try:
            values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except ValueError as error:
            raise ModelError(Problem(f"`{path}` is not JSON: {error}", path="backbone.name")) from error
        for role, value in values.items():
            token = value.get("content") if isinstance(value, dict) else value
            if role.endswith("_token") and isinstance(token, str):
                found[role] = token
    return found
