"""Vectors of a frozen backbone, computed once: for the batches of an evaluation, and for all samples of a training.

A vector depends on the batch in which it is computed, by rounding. So the samples of a training are computed in batches
that depend on nothing but the samples, once, and each update reads its rows. Computing them anew in every epoch, after
resuming, or in several processes gives the same bits.

Aligners of sltk have no weights, so word vectors are kept (W words). Below another aligner, which may have some, the
vectors of subwords are kept (T subwords), and the aligner is trained on them.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..subwords.samples import Sample, by_token_budget
from .batching import Batch, pack

_ALIGNED = 64

Compute = Callable[[Batch], Tensor]
"""Computes the vectors of a batch."""
Exchange = Callable[[Tensor], Sequence[Tensor]]
"""Returns the vectors that each process has computed, by rank."""


class FrozenVectors:
    """The vectors of batches, by their content; on the CPU.

    Args:
        folder: where a temporary file is created if memory does not suffice; it has no name, so it cannot stay behind.
        in_memory: bytes that are kept in memory; further ones are in the file, mapped into memory.
    """

    def __init__(self, folder: Path, in_memory: int) -> None:
        self._folder, self._in_memory = folder, in_memory
        self._vectors: dict[bytes, Tensor] = {}
        self._file: Any = None
        self.bytes = 0

    @property
    def is_on_disk(self) -> bool:
        """Whether some vectors are in a file."""
        return self._file is not None

    def __contains__(self, key: bytes) -> bool:
        return key in self._vectors

    def __getitem__(self, key: bytes) -> Tensor:
        return self._vectors[key]

    def of(self, batch: Batch, flags: Sequence[bool], compute: Compute) -> Tensor:
        """The vectors of a batch, under a mask with one flag per block; computed if they are new."""
        key = _digest(batch, flags)
        if key not in self:
            self.add(key, compute(batch))
        return self[key]

    def add(self, key: bytes, vectors: Tensor) -> None:
        """Keep vectors: in memory as long as there is room, otherwise in the file."""
        with torch.inference_mode(False):  # vectors computed in an evaluation may be trained on
            vectors = vectors.detach().to("cpu", copy=True).contiguous()
        size = vectors.numel() * vectors.element_size()
        self._vectors[key] = vectors if self.bytes + size <= self._in_memory else self._written(vectors)
        self.bytes += size

    def _written(self, vectors: Tensor) -> Tensor:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (for as long as it is mapped)
        start = -(-self._file.seek(0, 2) // _ALIGNED) * _ALIGNED
        self._file.seek(start)
        raw = vectors.view(torch.uint8).numpy()
        self._file.write(raw.data)
        self._file.flush()
        mapped = np.memmap(self._file, np.uint8, "r+", start, raw.shape)
        return torch.from_numpy(mapped).view(vectors.dtype)


def _digest(batch: Batch, flags: Sequence[bool]) -> bytes:
    """A hash of everything in a batch that its vectors depend on."""
    digest = hashlib.blake2b(repr((batch["packing"].runs, tuple(flags))).encode(), digest_size=20)
    for values in (batch["ids_T"], batch["first_W"], batch["last_W"]):
        digest.update(values.numpy().data)
    return digest.digest()


class _Rows(NamedTuple):
    """Consecutive rows of the vectors of a batch."""

    vectors: Tensor
    start: int
    stop: int


class TrainingVectors:
    """The vectors of all training samples.

    Args:
        samples: all of them; their numbers are different.
        batch_tokens: subwords per batch when they are computed.
        by_word: whether word vectors are kept, not those of subwords.
    """

    def __init__(self, samples: Sequence[Sample], batch_tokens: int, *, by_word: bool) -> None:
        self.by_word = by_word
        groups = by_token_budget([sample.tokens for sample in samples], batch_tokens)
        self._groups = [[samples[position] for position in group] for group in groups]
        self._rows: dict[int, list[_Rows]] = {}
        self._flags: tuple[bool, ...] = ()

    @property
    def rows(self) -> int:
        """The number of all vectors."""
        samples = [sample for group in self._groups for sample in group]
        return sum(sample.encoding.words if self.by_word else sample.tokens for sample in samples)

    def compute(
        self, kept: FrozenVectors, flags: Sequence[bool], compute: Compute, exchange: Exchange, rank: int
    ) -> None:
        """Compute all vectors that are not kept yet; each process its share, so all must call this."""
        self._rows.clear()
        self._flags = tuple(flags)
        batches = [pack(group) for group in self._groups]
        keys = [_digest(batch, flags) for batch in batches]
        missing = [number for number, key in enumerate(keys) if key not in kept]
        while missing:
            # Where weights are sharded, all processes must compute as often: at the end, some repeat the last batch.
            own = compute(batches[missing[min(rank, len(missing) - 1)]]).cpu()
            computed = exchange(own)
            for number, vectors in zip(missing, computed, strict=False):
                kept.add(keys[number], vectors)
            missing = missing[len(computed) :]
        for group, batch, key in zip(self._groups, batches, keys, strict=True):
            self._index(group, batch, kept[key])

    def _index(self, group: Iterable[Sample], batch: Batch, vectors: Tensor) -> None:
        first_W, word = batch["first_W"].tolist(), 0
        for sample in group:
            rows = self._rows.setdefault(sample.number, [])
            for window in sample.encoding.windows:
                if not window.first:
                    continue
                start = first_W[word] - window.first[0]
                words = len(window.first)
                ends = (word, word + words) if self.by_word else (start, start + len(window.ids))
                rows.append(_Rows(vectors, *ends))
                word += words

    def collate(self, samples: Sequence[Sample]) -> Mapping[str, Any]:
        """Pack sentences into one batch, with their vectors."""
        rows = [row for sample in samples for row in self._rows[sample.number]]
        if not self.by_word:  # windows are in the order of `pack`
            rows = sorted(rows, key=lambda row: row.stop - row.start)
        vectors = torch.cat([row.vectors[row.start : row.stop] for row in rows])
        key = "vectors_WH" if self.by_word else "vectors_TH"
        return {**pack(samples), key: vectors, "flags": self._flags}
