"""Cache encoded sentences on disk, so that runs on the same data with the same tokenizer do not tokenize it again.

The name of a file is a hash of everything its content depends on: the sentences, the tokenizer, the settings of the
encoder, and the code that encodes. So a file is never stale, only unused. Its content is hashed too, and a damaged
file is replaced. Files are in `$SLTK_CACHE/tokens`, by default `~/.cache/sltk/tokens`; `SLTK_CACHE=off` switches the
cache off. The 64 most recently used files are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TypeVar

import tokenizers
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..files import atomic, file_digests
from ..types import Sentence
from . import alignment, documents, pieces, tokenization, word_tokenizer
from .documents import are_neighbours
from .tokenization import Encoding, SubwordEncoder, Window

T = TypeVar("T")

MIN_WORDS = 20_000
"""Fewer words are not cached: tokenizing them takes about as long as reading a file."""

_MAX_FILES = 64
_READ_ERRORS = (OSError, ValueError, KeyError, SafetensorError)
"""Exceptions raised when a cached file is missing, damaged or not readable."""


def cache_folder() -> Path | None:
    """The folder of the files; None if the cache is off."""
    base = file_digests.cache_folder()
    return None if base is None else base / "tokens"


def encode(
    encoder: SubwordEncoder, sentences: Sequence[Sentence], min_words: int = MIN_WORDS
) -> tuple[list[Encoding], Path | None]:
    """Return the encodings, and the file they were read from; None if they were just computed.

    Raises:
        DataError: see `SubwordEncoder.encode`.
    """
    folder = cache_folder()
    if folder is None or sum(map(len, sentences)) < min_words:
        return encoder.encode(sentences), None
    path = folder / f"{_key(encoder, sentences)}.safetensors"
    with suppress(*_READ_ERRORS):
        cached = _read(path)
        os.utime(path)
        return cached, path
    encodings = encoder.encode(sentences)
    with suppress(OSError):  # a folder that is not writable only costs time
        _write(path, encodings)
        _prune(folder)
    return encodings, None


def _key(encoder: SubwordEncoder, sentences: Sequence[Sentence]) -> str:
    digest = hashlib.blake2b(digest_size=20)
    for module in (tokenization, word_tokenizer, alignment, pieces, documents):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(tokenizers.__version__.encode())
    digest.update(repr(encoder.settings()).encode("utf-8", "surrogatepass"))
    previous: Sentence | None = None
    for sentence in sentences:
        source = (sentence.text, sentence.offsets) if encoder.spacing == "source" else None
        joined = encoder.document_context > 0 and previous is not None and are_neighbours(previous, sentence)
        digest.update(repr((sentence.words, source, joined)).encode("utf-8", "surrogatepass"))
        previous = sentence
    return digest.hexdigest()


def _write(path: Path, encodings: list[Encoding]) -> None:
    windows = [window for encoding in encodings for window in encoding.windows]
    columns = {
        "windows": [len(encoding.windows) for encoding in encodings],
        "words": [encoding.words for encoding in encodings],
        "cut_words": [encoding.cut_words for encoding in encodings],
        "window_subwords": [len(window.ids) for window in windows],
        "window_words": [len(window.first) for window in windows],
        "ids": [number for window in windows for number in window.ids],
        "first": [position for window in windows for position in window.first],
        "last": [position for window in windows for position in window.last],
    }
    tensors = {name: torch.tensor(values, dtype=torch.int32) for name, values in columns.items()}
    atomic.write_bytes(path, save(tensors, {"content": _content_hash(tensors)}))


def _read(path: Path) -> list[Encoding]:
    """Read a file of the cache.

    Raises:
        ValueError: the content does not match its hash. Other errors are in `_READ_ERRORS`.
    """
    with safe_open(str(path), framework="pt") as file:
        content = (file.metadata() or {})["content"]
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if _content_hash(tensors) != content:
        raise ValueError("the content does not match its hash")
    columns = {name: values.tolist() for name, values in tensors.items()}
    ids, first, last = (
        _split(columns[name], columns[sizes])
        for name, sizes in (("ids", "window_subwords"), ("first", "window_words"), ("last", "window_words"))
    )
    windows = list(map(Window, ids, first, last))
    return list(map(Encoding, _split(windows, columns["windows"]), columns["words"], columns["cut_words"]))


def _split(values: list[T], sizes: list[int]) -> list[list[T]]:
    return [values[start:end] for start, end in pairwise(accumulate(sizes, initial=0))]


def _content_hash(tensors: dict[str, Tensor]) -> str:
    lengths = {name: len(values) for name, values in sorted(tensors.items())}
    digest = hashlib.blake2b(json.dumps(lengths).encode())
    for _, values in sorted(tensors.items()):
        digest.update(values.numpy().data)
    return digest.hexdigest()


def _prune(folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
    for path in files[:-_MAX_FILES]:
        path.unlink(missing_ok=True)
