"""Tokenizers without transformers, to check subwords before a model is loaded.

Reads `tokenizer.json` from a directory or from the local cache of the hub, or trains the tokenizer that a spec
describes. It imports neither torch nor transformers, and does not use the network.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...errors import ModelError, Problem
from ...families import model_files
from ...families.gguf_shape import find_gguf
from ...files.damage import check_readable, damaged, is_about_content, open_regular, read_json, reason
from ...subwords.plain_tokenizer import PlainTokenizer
from .gguf_cache import find_conversion
from .pretrained import PretrainedBackbone, TrainedTokenizer

TRAINED_SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
"""Special tokens of a tokenizer trained by sltk."""


def find(spec: PretrainedBackbone, texts: Iterable[str]) -> PlainTokenizer | None:
    """The tokenizer of a backbone, if it is on this machine or is trained on `texts`; otherwise None.

    Raises:
        ModelError: its file is damaged.
    """
    if isinstance(spec.tokenizer, TrainedTokenizer):
        return PlainTokenizer.with_roles(train(texts, spec.tokenizer.vocab_size), TRAINED_SPECIAL)
    folder = _folder_of(spec)
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None
    return PlainTokenizer.with_roles(_read(folder / "tokenizer.json"), _special_tokens(folder))


def _folder_of(spec: PretrainedBackbone) -> Path | None:
    """The folder with the tokenizer; for a GGUF file, its conversion, if it has been loaded before."""
    name = spec.tokenizer or spec.name
    if not isinstance(name, str):
        return None
    if spec.tokenizer is None and spec.gguf_file is not None:
        path = find_gguf(name, spec.gguf_file, spec.revision)
        return None if path is None else find_conversion(path)
    return model_files.find_tokenizer(name, None if spec.tokenizer else spec.revision)


def train(texts: Iterable[str], vocab_size: int) -> Any:
    """Train a byte-level BPE `tokenizers.Tokenizer` on `texts`; it can encode any text."""
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


def check(folder: Path) -> None:
    """Check that the tokenizer files that sltk saved in a folder can be read, also without transformers.

    Raises:
        ModelError: its `tokenizer.json` contains no tokenizer.
        UsageError: it is missing, or another file is damaged; the error names it.
    """
    check_readable(folder)
    path = folder / "tokenizer.json"
    if not path.exists():
        raise damaged(path, "it is missing")
    _read(path)


def _read(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        with open_regular(path) as file:
            return Tokenizer.from_buffer(file.read())
    except BaseException as error:  # the library has no exception class
        if not is_about_content(error):
            raise
        message = f"`{path}` contains no tokenizer: {reason(error)}"
        raise ModelError(Problem(message, path="backbone.name")) from error


def _special_tokens(folder: Path) -> dict[str, str]:
    """Special tokens by role; in the files a token is a string, or an object with `content`."""
    tokens: dict[str, str] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        path = folder / name
        values = read_json(path) if path.exists() else {}
        for role, value in values.items():
            token = value.get("content") if isinstance(value, dict) else value
            if role.endswith("_token") and isinstance(token, str):
                tokens[role] = token
    return tokens
