"""The search space: what a strategy may request, what it costs, and which scores are known.

A strategy is a generator. It yields batches of requests, which may be answered in parallel, and finds the answers
in the space when it resumes. It cannot tell whether training or a table of finished runs answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

FAILED = float("-inf")
"""The score of a run that failed: worse than any other."""
FIRST_RUNS: Mapping[str, str] = {"shared": ".shared", "sigmoid": ".sigmoid", "gumbel": ".gumbel"}
"""By strategy, the request for a run that ranks all masks, and the name of its hidden run directory. Any other request
is a mask."""

Answer = float | Mapping[str, float]
"""The validation score of a mask, or after a first run a score for every mask."""
Batches = Iterator[Sequence[str]]


@dataclass
class Space:
    """The masks, their cost, and what is known about them.

    Costs are measured in full runs: training one mask, with its evaluations.
    """

    masks: Sequence[str]
    budget: float
    first_price: float = 1.0
    """Cost of the first run, including scoring all masks with its weights."""
    spent: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)
    """Validation scores of the masks trained so far; `FAILED` for runs that failed."""
    ranking: dict[str, float] = field(default_factory=dict)
    """Scores of all masks from the first run: with the shared weights, or how likely each is under the learned gates.
    Empty before that run."""

    @property
    def left(self) -> float:
        """The remaining budget."""
        return self.budget - self.spent

    def price(self, request: str) -> float:
        """The cost of a request."""
        return self.first_price if request in FIRST_RUNS.values() else 1.0

    def affords(self, *requests: str) -> bool:
        """Whether the remaining budget covers all of these, up to rounding."""
        return sum(map(self.price, requests)) <= self.left + 1e-9

    @property
    def finished(self) -> dict[str, float]:
        """Scores of the masks whose runs did not fail, in the order of `masks`."""
        return {mask: self.scores[mask] for mask in self.masks if self.scores.get(mask, FAILED) != FAILED}

    @property
    def best(self) -> str | None:
        """The finished mask with the best score; of several, the one that the first run ranks highest; or None."""
        finished, ranking = self.finished, self.ranking
        return max(finished, key=lambda mask: (finished[mask], ranking.get(mask, 0.0)), default=None)


Strategy = Callable[[Space, Random], Batches]


class Search:
    """A strategy and its open requests.

    The same strategy, space and seed make the same requests as long as they get the same answers. So a killed
    search is restarted from the beginning, and answered from what is on disk.
    """

    def __init__(self, strategy: Strategy, space: Space, seed: int = 0) -> None:
        self.space = space
        self.requests: list[str] = []
        """All requests so far, in order."""
        self._open: list[str] = []
        self._batches = strategy(space, Random(seed))

    def open_requests(self) -> list[str]:
        """The requests to answer now; empty when the search is over."""
        while not self._open:
            batch = next(self._batches, None)
            if batch is None:
                return []
            self.space.spent += sum(map(self.space.price, batch))
            self.requests += batch
            self._open = list(batch)
        return list(self._open)

    def answer(self, request: str, answer: Answer) -> None:
        """Answer one of the open requests."""
        self._open.remove(request)
        if isinstance(answer, Mapping):
            self.space.ranking = dict(answer)
        else:
            self.space.scores[request] = answer

    def run(self, answer: Callable[[str], Answer]) -> Space:
        """Answer all requests, one after the other."""
        while requests := self.open_requests():
            self.answer(requests[0], answer(requests[0]))
        return self.space
