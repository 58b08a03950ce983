"""What every route that labels needs: the queue, the limits, and whole texts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from ..decoding import Decisions, keep_spans
from ..models.labeller import Labeller
from ..models.whole_text import join_lines, text_lines
from ..types import Prediction
from .answers import AnswerError
from .batching_queue import BatchingQueue, Input
from .request_bodies import BodyMemory, check_media_type, parse_json, read_body
from .serving_settings import ServingSettings

T = TypeVar("T")
_INLINE = 2**15
"""Bytes of a body that are parsed at once; larger ones are parsed in a thread, while others are answered."""


class WholeInputs:
    """Texts of any number of lines, and lists of words, as the lines that are labelled."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._inputs = inputs
        self._parts = [text_lines(item) if isinstance(item, str) else None for item in inputs]
        self.lines: list[Input] = []
        for item, part in zip(inputs, self._parts, strict=True):
            self.lines += [item] if part is None else [line for _, line in part]

    def join(self, predictions: Iterable[Prediction]) -> list[Prediction]:
        """The predictions of the inputs, from those of the lines."""
        rest = iter(predictions)
        return [
            next(rest) if part is None else join_lines(str(item), part, [next(rest) for _ in part])
            for item, part in zip(self._inputs, self._parts, strict=True)
        ]


class LabellingService:
    """Labels what requests contain. Unless a request says otherwise, `thresholds` by type decide which spans are kept.

    The labeller keeps them all, since requests with different thresholds share its batches.
    """

    def __init__(
        self,
        labeller: Labeller,
        settings: ServingSettings,
        report: Callable[[str], None] | None = None,
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        self.labeller, self.settings = labeller, settings
        self.thresholds = thresholds or {}
        self.queue = BatchingQueue(labeller, settings, report)
        self.memory = BodyMemory(settings.max_receiving)
        self.streams = 0

    async def read_json(self, request: Request) -> object:
        """The parsed body of a request.

        Raises:
            AnswerError: the body is too large, arrives too slowly, or is not JSON.
            ClientDisconnect: the client is gone.
        """
        body = await self.read_body(request)
        return await self.compute(len(body), lambda: parse_json(body))

    async def read_body(self, request: Request) -> bytes:
        """The body of a request that declares it as JSON.

        Raises:
            AnswerError: the body is too large, or arrives too slowly.
            ClientDisconnect: the client is gone.
        """
        check_media_type(request, "application/json")
        return await read_body(request, self.settings, self.memory)

    async def compute(self, size: int, work: Callable[[], T]) -> T:
        """Do work on so many bytes without keeping other requests waiting."""
        return work() if size < _INLINE else await asyncio.to_thread(work)

    async def predictions(
        self, request: Request, inputs: Sequence[Input], decisions: Decisions | None = None
    ) -> list[Prediction]:
        """Label texts of any number of lines, and lists of words; one prediction for each, with the spans to keep.

        Raises:
            AnswerError: the queue is full, the server ends, or the time is over.
            ClientDisconnect: the client is gone; what is not labelled yet is dropped.
        """
        size = sum(map(len, inputs))
        whole = await self.compute(size, lambda: WholeInputs(inputs))
        results = await self._while_connected(request, whole.lines)
        kept = decisions or Decisions(thresholds=self.thresholds)
        return await self.compute(size, lambda: [keep_spans(each, kept) for each in whole.join(results)])

    async def _while_connected(self, request: Request, lines: list[Input]) -> list[Prediction]:
        work = asyncio.ensure_future(self.queue.label(lines))
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            return work.result()
        finally:
            for task in (work, gone):
                task.cancel()
                with suppress(asyncio.CancelledError, AnswerError):
                    await task


async def _disconnected(request: Request) -> None:
    """Return when the client is gone; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
