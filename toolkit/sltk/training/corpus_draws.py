"""How often the sentences of each corpus are read: weights, or a temperature over the sizes of the corpora.

With a temperature T, a corpus of n sentences has a share of each epoch in proportion to n^(1/T) (Arivazhagan et al.
2019, section 4.2), and an epoch has as many sentences as all corpora. With weights, a corpus has `weight * n`.

Each corpus is read in passes, each a new permutation of all of its sentences; an epoch takes the next of them. So the
sentences of a corpus are read equally often, up to one, and those of an epoch depend on nothing but seed and epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ..components.readers.concat import ConcatReader
from ..components.slots import Reader


@dataclass(frozen=True)
class CorpusDraws:
    """The sentences of each corpus, and how many of them an epoch reads."""

    positions: dict[str, list[int]]
    """Positions of the samples of each corpus."""
    counts: dict[str, int]
    """Number of sentences per epoch."""

    @classmethod
    def of(cls, reader: Reader, corpora: Sequence[str | None]) -> CorpusDraws | None:
        """The draws that a reader asks for, from the corpus of each sample; None to read each sample once per epoch."""
        if not isinstance(reader, ConcatReader):
            return None
        weights = {source.name: source.weight for source in reader.sources}
        if reader.temperature is None and all(weight is None for weight in weights.values()):
            return None
        positions: dict[str, list[int]] = {}
        for position, name in enumerate(corpora):
            positions.setdefault(name or "", []).append(position)
        sizes = {name: len(own) for name, own in positions.items()}
        if reader.temperature is not None:
            return cls(positions, _by_temperature(sizes, reader.temperature))
        counts = {name: max(1, round(size * (weights.get(name) or 1.0))) for name, size in sizes.items()}
        return cls(positions, counts)

    def __len__(self) -> int:
        return sum(self.counts.values())

    def epoch(self, seed: int, epoch: int) -> list[int]:
        """The positions of the samples of an epoch, corpus after corpus."""
        return [position for name in self.positions for position in self._drawn(name, seed, epoch)]

    def _drawn(self, name: str, seed: int, epoch: int) -> Iterator[int]:
        own, start = self.positions[name], epoch * self.counts[name]
        stop = start + self.counts[name]
        for number in range(start // len(own), -(-stop // len(own))):
            order = torch.randperm(len(own), generator=_generator(f"{seed} {number} {name}")).tolist()
            first = number * len(own)
            yield from (own[place] for place in order[max(0, start - first) : stop - first])

    def lines(self) -> Iterator[str]:
        """What an epoch reads, for the user."""
        total = sum(map(len, self.positions.values()))
        yield f"each epoch reads {len(self):,} sentences, from {total:,}:"
        for name, count in self.counts.items():
            size = len(self.positions[name])
            share = f"each {count / size:.2f} times, {count / len(self):.1%} of the epoch"
            yield f"  {name}: {count:,} of {size:,} ({share})"


def _by_temperature(sizes: dict[str, int], temperature: float) -> dict[str, int]:
    """Numbers of sentences in proportion to n^(1/temperature), at least 1 each, that sum to the number of all."""
    powers = {name: size ** (1 / temperature) for name, size in sizes.items()}
    exact = {name: sum(sizes.values()) * power / sum(powers.values()) for name, power in powers.items()}
    counts = {name: max(1, int(count)) for name, count in exact.items()}
    most_lacking = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in most_lacking[: max(0, sum(sizes.values()) - sum(counts.values()))]:
        counts[name] += 1
    return counts


def _generator(seed: str) -> torch.Generator:
    digest = hashlib.blake2b(seed.encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))
