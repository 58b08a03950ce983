"""Encoded sentences on disk, so that runs on the same data with the same tokenizer do not tokenise it again.

A file is named by a hash of everything that it was made of: the sentences, the tokenizer, the encoder's settings,
and the code that encodes it. So it cannot be stale, only unused. Its content is hashed too, and a file that is not
what was written is made anew. It lies in `$SLTK_CACHE`, or else in `~/.cache/sltk/tokens`; `SLTK_CACHE=off` is
no cache. The newest 64 files are kept.
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

from ..files import atomic
from ..types import Sentence
from . import alignment, documents, pieces, tokenization
from .documents import are_neighbours
from .tokenization import Encoding, SubwordEncoder, Window

T = TypeVar("T")

WORTHWHILE = 20_000
"""Words from which on the cache is used: fewer are tokenised in about the time that a file takes."""

_KEPT = 64
_FAULTS = (OSError, ValueError, KeyError, SafetensorError)
"""What reading a file raises that is damaged, is not there, or cannot be read."""


def folder() -> Path | None:
    """Where the files lie; None where the cache is off."""
    named = os.environ.get("SLTK_CACHE")
    if named == "off":
        return None
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "sltk"
    return base.expanduser() / "tokens"


def encode(
    encoder: SubwordEncoder, sentences: Sequence[Sentence], least: int = WORTHWHILE
) -> tuple[list[Encoding], Path | None]:
    """The encodings, and the file they were read from; None where they were made just now.

    Raises:
        DataError: as `SubwordEncoder.encode`.
    """
    where = folder()
    if where is None or sum(map(len, sentences)) < least:
        return encoder.encode(sentences), None
    path = where / f"{_key(encoder, sentences)}.safetensors"
    with suppress(*_FAULTS):
        found = _read(path)
        os.utime(path)
        return found, path
    made = encoder.encode(sentences)
    with suppress(OSError):  # a folder that cannot be written to costs time, and nothing else
        _write(path, made)
        _prune(where)
    return made, None


def _key(encoder: SubwordEncoder, sentences: Sequence[Sentence]) -> str:
    digest = hashlib.blake2b(digest_size=20)
    for module in (tokenization, alignment, pieces, documents):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(tokenizers.__version__.encode())
    digest.update(repr(encoder.settings()).encode("utf-8", "surrogatepass"))
    last: Sentence | None = None
    for sentence in sentences:
        source = (sentence.text, sentence.offsets) if encoder.spacing == "source" else None
        joined = encoder.document_context > 0 and last is not None and are_neighbours(last, sentence)
        digest.update(repr((sentence.words, source, joined)).encode("utf-8", "surrogatepass"))
        last = sentence
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
    atomic.write_bytes(path, save(tensors, {"content": _content(tensors)}))


def _read(path: Path) -> list[Encoding]:
    """What was written.

    Raises:
        ValueError: it is something else. Or another of `_FAULTS`.
    """
    with safe_open(str(path), framework="pt") as file:
        content = (file.metadata() or {})["content"]
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if _content(tensors) != content:
        raise ValueError("not what was written")
    columns = {name: values.tolist() for name, values in tensors.items()}
    ids, first, last = (
        _cut(columns[name], columns[sizes])
        for name, sizes in (("ids", "window_subwords"), ("first", "window_words"), ("last", "window_words"))
    )
    windows = list(map(Window, ids, first, last))
    return list(map(Encoding, _cut(windows, columns["windows"]), columns["words"], columns["cut_words"]))


def _cut(values: list[T], sizes: list[int]) -> list[list[T]]:
    return [values[start:end] for start, end in pairwise(accumulate(sizes, initial=0))]


def _content(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.blake2b(
        json.dumps({name: len(values) for name, values in sorted(tensors.items())}).encode()
    )
    for _, values in sorted(tensors.items()):
        digest.update(values.numpy().data)
    return digest.hexdigest()


def _prune(where: Path) -> None:
    files = sorted(where.glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
    for path in files[:-_KEPT]:
        path.unlink(missing_ok=True)
