"""Groups of sentences of similar lengths, each computed in one call with a little padding."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .packing import Packing


def groups_of(packing: Packing, cost: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Starts and lengths of the sentences of each group: neighbouring runs, grouped to minimize the total cost.

    Args:
        packing: the layout of the batch.
        cost: the cost of one more group, as the number of scores of one head that could be computed in that time.
    """
    runs = packing.runs
    # cheapest[i]: the lowest cost of the runs from i on, and the end of the group that starts at i.
    cheapest = [(0, 0)] * (len(runs) + 1)
    for first in reversed(range(len(runs))):
        choices: list[tuple[int, int]] = []
        count = longest = 0
        for last in range(first, len(runs)):
            _, run_count, length = runs[last]
            count, longest = count + run_count, max(longest, length)
            if choices and cost + count * longest**2 > min(choices)[0]:
                break  # longer groups cost even more
            choices.append((cost + count * longest**2 + cheapest[last + 1][0], last + 1))
        cheapest[first] = min(choices)
    first = 0
    while first < len(runs):
        last = cheapest[first][1]
        sentences = [(start + i * n, n) for start, count, n in runs[first:last] for i in range(count)]
        starts, lengths = zip(*sentences, strict=True)
        yield torch.tensor(starts), torch.tensor(lengths)
        first = last
