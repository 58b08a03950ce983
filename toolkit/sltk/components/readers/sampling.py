"""The sentences that `limit` leaves: the first ones, or a random sample that grows with the limit."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice

from ...types import Sentence
from ..slots import Reader


def limited(reader: Reader) -> Iterator[Sentence]:
    """Yield the sentences of a reader, at most `limit`; with `limit_seed`, a random sample of all of them.

    Raises:
        DataError: raised by the reader.
    """
    if reader.limit is None or reader.limit_seed is None:
        yield from islice(reader.read(), reader.limit)
    else:
        everything = list(reader.model_copy(update={"limit": None}).read())
        yield from nested_sample(everything, reader.limit, reader.limit_seed)


def nested_sample(sentences: Sequence[Sentence], limit: int | None, seed: int | None) -> list[Sentence]:
    """At most `limit` sentences: the first of one random order, or of their own order without a seed.

    They keep their own order. Of the same sentences with the same seed, a larger sample contains a smaller one.
    """
    if limit is None or seed is None:
        return list(sentences[:limit])
    chosen = random.Random(seed).sample(range(len(sentences)), len(sentences))[:limit]
    return [sentences[place] for place in sorted(chosen)]
