"""Training samples, and the order in which the processes of a run see them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Sampler

from ..nn.batching import pack
from ..subwords.samples import without_loss as drop_loss
from .corpus_draws import CorpusDraws


class EpochBatches(Sampler[list[int]]):
    """Positions of the samples of each batch, shuffled by seed and epoch, for any number of processes.

    Batch k of a run with n processes has `n * batch_size` samples, `batch_size` for each process. If the last batch
    leaves a process without samples, that process gets `-1 - position`: a sample to compute without a loss, so
    that no sample is trained on twice and no process waits for another. With `draws`, an epoch reads what they say.
    """

    def __init__(
        self,
        samples: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        processes: int = 1,
        on_epoch: Callable[[int], None] | None = None,
        draws: CorpusDraws | None = None,
    ) -> None:
        self.samples, self.batch_size, self.seed = samples, batch_size, seed
        self.rank, self.processes = rank, processes
        self.epoch = 0
        self._on_epoch = on_epoch
        self._draws = draws

    @property
    def batch_sampler(self) -> EpochBatches:
        """The sampler itself: the Trainer sets the epoch of a sampler that it expects inside a wrapper."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Select the order of this epoch."""
        self.epoch = epoch
        if self._on_epoch is not None:
            self._on_epoch(epoch)

    def __len__(self) -> int:
        return math.ceil(self.samples / (self.batch_size * self.processes))

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.samples, generator=generator).tolist()
        if self._draws is not None:
            drawn = self._draws.epoch(self.seed, self.epoch)
            order = [drawn[place] for place in order]
        together = self.batch_size * self.processes
        for start in range(0, self.samples, together):
            shared = order[start : start + together]
            own = shared[self.rank * self.batch_size : (self.rank + 1) * self.batch_size]
            yield own or [-1 - shared[0]]


@dataclass(frozen=True)
class Examples(torch.utils.data.Dataset[Any]):
    """Training samples, by default sentences with tags, and how they are collated into batches.

    A batch is a mapping with `labels` (a tensor, -100 for no loss) and `numbers` (those of its samples).
    """

    samples: Sequence[Any]
    collate: Callable[[Sequence[Any]], Mapping[str, Any]] = pack
    without_loss: Callable[[Any], Any] = drop_loss
    """Returns the same sample without a loss, for a process that the last batch leaves without samples."""
    on_epoch: Callable[[int], None] | None = None
    """Called with the number of each epoch before its samples are read."""
    draws: CorpusDraws | None = None
    """Which samples an epoch reads; None for each sample once."""

    def __len__(self) -> int:
        """The number of samples that an epoch reads."""
        return len(self.samples) if self.draws is None else len(self.draws)

    def __getitem__(self, position: int) -> Any:
        """Return the sample at a position; a negative position returns it without its loss."""
        return self.samples[position] if position >= 0 else self.without_loss(self.samples[-1 - position])
