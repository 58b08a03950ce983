"""What a strategy asks for, what it costs, and the conversation between a strategy and whoever answers it.

A strategy is a generator: it yields requests that may be answered side by side, and finds their answers in the
space when it goes on. It never knows whether real training or a table of finished runs answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

FAILED = float("-inf")
"""The score of a run that failed: worse than any other."""


@dataclass(frozen=True)
class Trial:
    """Train a mask until so many epochs are behind it, going on from where it was; all of them: to the end."""

    mask: str
    epochs: int


@dataclass(frozen=True)
class Shared:
    """Train one model whose batches draw their masks, and score every mask with its weights."""


Request = Trial | Shared
Answer = float | Mapping[str, float]
Batches = Iterator[Sequence[Request]]


@dataclass
class Space:
    """The masks, what they cost, and what is known of them.

    All costs are in full runs: the training of one mask with its evaluations.
    """

    masks: Sequence[str]
    epochs: int
    """Evaluations of a full run, so that a run can be paused after each of them; 1: not at all."""
    budget: float
    shared_price: float = 1.0
    """Of the shared run and the scoring of all masks with its weights."""
    spent: float = 0.0
    shared: dict[str, float] = field(default_factory=dict)
    """Scores with the shared weights, once they are known."""
    scores: dict[Trial, float] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)
    """Epochs that were paid for, mask by mask."""

    @property
    def left(self) -> float:
        """What may still be spent."""
        return self.budget - self.spent

    def whole(self, mask: str) -> Trial:
        """The full run of a mask."""
        return Trial(mask, self.epochs)

    def price(self, request: Request) -> float:
        """What a request adds to the bill: a run that goes on costs what it had not reached."""
        if isinstance(request, Shared):
            return self.shared_price
        return max(0, request.epochs - self.reached.get(request.mask, 0)) / self.epochs

    def affords(self, *requests: Request) -> bool:
        """Whether the budget has room for all of these; rounding is not held against them."""
        return sum(map(self.price, requests)) <= self.left + 1e-9

    def pay(self, request: Request) -> None:
        """Put a request on the bill."""
        self.spent += self.price(request)
        if isinstance(request, Trial):
            self.reached[request.mask] = max(request.epochs, self.reached.get(request.mask, 0))

    def record(self, request: Request, answer: Answer) -> None:
        """Keep what came of a request."""
        if isinstance(request, Shared):
            assert isinstance(answer, Mapping)
            self.shared = dict(answer)
        else:
            assert isinstance(answer, float)
            self.scores[request] = answer

    @property
    def finished(self) -> dict[str, float]:
        """Scores of the masks that were trained to the end."""
        return {trial.mask: score for trial, score in self.scores.items() if trial.epochs == self.epochs}

    @property
    def found(self) -> str | None:
        """The mask with the best score of those trained to the end; None before the first."""
        done = {mask: score for mask, score in self.finished.items() if score != FAILED}
        return max(done, key=lambda mask: done[mask]) if done else None


Strategy = Callable[[Space, Random], Batches]


class Search:
    """A strategy at work. The same strategy, space and seed ask the same questions if they get the same answers,
    so a search that was killed is begun anew and gets the old answers from what is on disk.
    """

    def __init__(self, strategy: Strategy, space: Space, seed: int = 0) -> None:
        self.space = space
        self.asked: list[Request] = []
        """All requests so far, in their order."""
        self._open: list[Request] = []
        self._batches = strategy(space, Random(seed))

    def open(self) -> list[Request]:
        """What is to be answered now; empty when the search is over."""
        while not self._open:
            batch = next(self._batches, None)
            if batch is None:
                return []
            for request in batch:
                self.space.pay(request)
            self.asked += batch
            self._open = list(batch)
        return list(self._open)

    def answer(self, request: Request, answer: Answer) -> None:
        """Answer one of the open requests."""
        self._open.remove(request)
        self.space.record(request, answer)

    def run(self, answer: Callable[[Request], Answer]) -> Space:
        """Have all requests answered, one after the other."""
        while todo := self.open():
            self.answer(todo[0], answer(todo[0]))
        return self.space
