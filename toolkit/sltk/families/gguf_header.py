"""The header of a GGUF file: its metadata and its list of tensors, without their data.

Imports neither torch nor the package gguf. Files from elsewhere are not trusted: every count and length is checked
against the size of the file before anything is read, and values that a model has no use for are refused.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import Any

from ..errors import ModelError, Problem, UsageError
from ..files.damage import open_regular

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_KEYS, _MOST_TENSORS, _MOST_DIMENSIONS = 10_000, 200_000, 4
_LONGEST_NAME, _LONGEST_TEXT = 1024, 2**24
_MOST_ITEMS = 4_000_000
"""Items of an array: vocabularies and lists of merges have a few hundred thousand."""
_KEPT_ITEMS = 1024
"""Arrays of numbers up to this length are kept, such as one value per block."""

BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""Numbers per block, and bytes per block, of each type of tensor: F32, F16, Q4_0, …"""


@dataclass(frozen=True)
class TensorEntry:
    """One tensor in the list of a GGUF file."""

    name: str
    dimensions: tuple[int, ...]
    """As in the file: the fastest first."""
    kind: int
    offset: int

    @property
    def numbers(self) -> int:
        """The number of its elements."""
        return prod(self.dimensions)

    @property
    def bytes(self) -> int:
        """Its size in the file; 0 for an unknown type."""
        per_block, size = BLOCKS.get(self.kind, (1, 0))
        return -(-self.numbers // per_block) * size


@dataclass(frozen=True)
class GgufHeader:
    """Metadata and tensors of a GGUF file."""

    metadata: dict[str, Any]
    """Numbers and texts; short lists of numbers; of all other arrays, only the length."""
    tensors: tuple[TensorEntry, ...]

    @property
    def architecture(self) -> str:
        """The name of the model's architecture, as llama.cpp writes it."""
        return str(self.metadata["general.architecture"])

    def value(self, key: str) -> Any:
        """The value of a key of the architecture, such as `block_count`; None without it."""
        return self.metadata.get(f"{self.architecture}.{key}")


def read_gguf(path: Path) -> GgufHeader:
    """Read and check the header of a GGUF file.

    Raises:
        FileNotFoundError: the file does not exist.
        ModelError: it is no GGUF file of a model, is truncated, or has impossible values.
    """
    try:
        with open_regular(path) as file:
            return _Reader(file).header()
    except (_InvalidError, struct.error, UnicodeDecodeError, OverflowError) as error:
        about = str(error) if isinstance(error, _InvalidError) else "its header is damaged"
        raise ModelError(Problem(f"`{path}`: {about}", path="backbone.name")) from error
    except UsageError as error:
        raise ModelError(Problem(f"`{path}`: {error.problems[0].message}", path="backbone.name")) from error


class _InvalidError(Exception):
    """Something in the file that cannot be."""


class _Reader:
    """Reads values one after the other, none beyond the end of the file."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size

    def header(self) -> GgufHeader:
        """The header."""
        tensors, keys = self._counts()
        metadata: dict[str, Any] = {}
        for _ in range(keys):
            key = self._text(_LONGEST_NAME)
            if key in metadata:
                raise _InvalidError(f"its header has the key {key!r} twice")
            metadata[key] = self._value(self._number("I"))
        _check_model(metadata)
        header = GgufHeader(metadata, tuple(self._tensor() for _ in range(tensors)))
        self._check_data(header)
        return header

    def _counts(self) -> tuple[int, int]:
        """The number of tensors, and of keys."""
        if self._size < 24 or self._file.read(4) != _MAGIC:
            raise _InvalidError("it is not a GGUF file")
        version = self._number("I")
        if version not in _VERSIONS:
            is_big = version & 0xFFFF == 0
            about = "is written for big-endian machines" if is_big else f"has version {version}"
            raise _InvalidError(f"this GGUF file {about}; expected version 2 or 3, little-endian")
        tensors, keys = self._number("Q"), self._number("Q")
        if keys > _MOST_KEYS or tensors > _MOST_TENSORS:
            raise _InvalidError(f"its header is damaged: it has {keys} keys and {tensors} tensors")
        return tensors, keys

    def _value(self, kind: int) -> Any:
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind == _STRING:
            return self._text(_LONGEST_TEXT)
        if kind != _ARRAY:
            raise _InvalidError(f"its header is damaged: a value has the unknown type {kind}")
        item, count = self._number("I"), self._number("Q")
        if count > _MOST_ITEMS:
            raise _InvalidError(f"its header is damaged: a list has {count} items")
        if item == _STRING:
            for _ in range(count):
                self._skip(self._number("Q"))
            return count
        if item not in _NUMBERS:
            raise _InvalidError(f"its header is damaged: a list has items of the type {item}")
        code = f"<{count}{_NUMBERS[item]}"
        if count <= _KEPT_ITEMS:
            return list(struct.unpack(code, self._bytes(struct.calcsize(code))))
        self._skip(struct.calcsize(code))
        return count

    def _tensor(self) -> TensorEntry:
        name, count = self._text(_LONGEST_NAME), self._number("I")
        if count > _MOST_DIMENSIONS:
            raise _InvalidError(f"its header is damaged: the tensor {name!r} has {count} dimensions")
        dimensions = tuple(self._number("Q") for _ in range(count))
        return TensorEntry(name, dimensions, self._number("I"), self._number("Q"))

    def _check_data(self, header: GgufHeader) -> None:
        """Check that the file contains the data of all tensors."""
        alignment = header.metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 0 < alignment <= 2**20:
            raise _InvalidError(f"its header is damaged: an alignment of {alignment}")
        start = -(-self._file.tell() // alignment) * alignment
        end = start + max((tensor.offset + tensor.bytes for tensor in header.tensors), default=0)
        if end > self._size:
            raise _InvalidError(f"the file is incomplete: it has {self._size:,} bytes, expected {end:,}")

    def _number(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self._bytes(struct.calcsize(f"<{code}")))[0]

    def _text(self, longest: int) -> str:
        length = self._number("Q")
        if length > longest:
            raise _InvalidError(f"its header is damaged: a text has {length} bytes")
        return self._bytes(length).decode()

    def _bytes(self, count: int) -> bytes:
        content = self._file.read(count)
        if len(content) < count:
            raise _InvalidError("the file is incomplete: it ends in its header")
        return content

    def _skip(self, count: int) -> None:
        if count > self._size - self._file.tell():
            raise _InvalidError("the file is incomplete: it ends in its header")
        self._file.seek(count, os.SEEK_CUR)


def _check_model(metadata: dict[str, Any]) -> None:
    """Check that the file contains one whole model."""
    if not isinstance(metadata.get("general.architecture"), str):
        raise _InvalidError("its header does not name an architecture (`general.architecture`)")
    if metadata.get("general.type", "model") != "model":
        raise _InvalidError(f"it contains no model, but `{metadata['general.type']}`")
    parts = metadata.get("split.count", 1)
    if parts != 1:
        number = metadata.get("split.no", 0)
        raise _InvalidError(
            f"it is part {number + 1 if isinstance(number, int) else number} of {parts} of a model: "
            "merge the parts with `llama-gguf-split --merge`"
        )
