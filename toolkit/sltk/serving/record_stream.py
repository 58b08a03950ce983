"""`POST /predict/stream`: lines of JSON in, one line of JSON out for each, in order.

Lines are labelled while others still arrive. Only a window of them is in memory: if the client does not read, or the
model is busy, no more of the request is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ..decoding import keep_spans
from ..files.safety import json_text
from ..types import Prediction
from .answers import NDJSON, AnswerError
from .batching_queue import Lane, LineJob
from .labelling_service import LabellingService, WholeInputs
from .request_bodies import StreamRequest, check_media_type, parse_json, validated
from .serving_settings import ServingSettings

MEDIA_TYPES = (NDJSON, "application/ndjson", "application/jsonl")
_FLUSH = 2**15
_TICK = 1.0
"""Seconds after which a stream without new lines looks whether the server is shutting down."""

Write = Callable[[Prediction], str]


@dataclass(slots=True)
class _Item:
    """A line of the request, from its arrival until its record is written."""

    size: int
    number: int
    error: AnswerError | None = None
    body: StreamRequest | None = None
    whole: WholeInputs | None = None
    job: LineJob | None = None


class _Window:
    """The lines in memory, counted by bytes, of which each has a least number."""

    def __init__(self, settings: ServingSettings) -> None:
        self.most = settings.stream_bytes
        self.least = settings.stream_bytes // settings.stream_lines
        self.used = 0
        self._is_freed = asyncio.Event()

    async def enter(self, size: int) -> int:
        """Wait until there is room; returns how much the line takes of it."""
        size = max(size, self.least)
        while self.used and self.used + size > self.most:
            self._is_freed.clear()
            await self._is_freed.wait()
        self.used += size
        return size

    def leave(self, size: int) -> None:
        """Make room."""
        self.used -= size
        self._is_freed.set()


class RecordStream(Response):
    """The answer to a stream, which reads the request while it is written.

    Raises:
        AnswerError: it is no stream of JSON, there are too many streams, or the server is shutting down.
    """

    def __init__(self, request: Request, service: LabellingService, write: Write) -> None:
        super().__init__(media_type=NDJSON)
        check_media_type(request, *MEDIA_TYPES)
        if service.queue.is_draining:
            message = "the server is shutting down"
            raise AnswerError(503, "shutting_down", message, {"Connection": "close"})
        if service.streams >= service.settings.max_streams:
            message = f"there are {service.streams} streams already"
            raise AnswerError(429, "too_many_streams", message, {"Retry-After": "5"})
        self.service, self.write = service, write
        self.lane = Lane()
        self.window = _Window(service.settings)
        self.items: asyncio.Queue[_Item | None] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read lines and write records until both have ended."""
        del self.headers["content-length"]
        self.service.streams += 1
        reader = asyncio.ensure_future(self._read(receive))
        writer = asyncio.ensure_future(self._write_all(send))
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            if not reader.done() or reader.result():
                await writer
        finally:
            self.service.streams -= 1
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            while not self.items.empty():
                item = self.items.get_nowait()
                if item is not None and item.job is not None:
                    self.service.queue.drop(item.job)

    async def _read(self, receive: Receive) -> bool:
        """Accept all lines; returns whether the client is still there."""
        number = 0
        try:
            async for line in self._lines(receive):
                number += 1
                if isinstance(line, AnswerError) or line.strip():
                    await self._accept(number, line)
        except AnswerError as error:
            self.items.put_nowait(_Item(0, number + 1, error))
        except ClientDisconnect:
            return False
        self.items.put_nowait(None)
        return True

    async def _accept(self, number: int, line: bytes | AnswerError) -> None:
        if isinstance(line, AnswerError):
            self.items.put_nowait(_Item(await self.window.enter(0), number, line))
            return
        item = _Item(await self.window.enter(len(line)), number)
        try:
            item.body = validated(StreamRequest, parse_json(line), self.service.settings)
        except AnswerError as error:
            item.error = error
        else:
            item.whole = WholeInputs([content for _, content in item.body.inputs()])
            item.job = LineJob(item.whole.lines)
            self.service.queue.add(self.lane, item.job)
        self.items.put_nowait(item)

    async def _lines(self, receive: Receive) -> AsyncIterator[bytes | AnswerError]:
        """The lines of the request; an error for one that is too long.

        Raises:
            AnswerError: a line arrives too slowly, or the server is shutting down.
            ClientDisconnect: the client is gone.
        """
        most = 8 * self.service.settings.max_line + 1024  # JSON may escape each character
        rest, is_skipping = b"", False
        async for chunk in self._chunks(receive):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield _too_long(most) if is_skipping or len(line) > most else line
                is_skipping = False
            if len(rest) > most:
                rest, is_skipping = b"", True
        if rest or is_skipping:
            yield _too_long(most) if is_skipping else rest

    async def _chunks(self, receive: Receive) -> AsyncIterator[bytes]:
        limit = left = self.service.settings.read_timeout
        has_more = True
        while has_more:
            begin = asyncio.get_running_loop().time()
            message = await self._next(receive, left)
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk = message.get("body", b"")
            has_more = message.get("more_body", False)
            left = limit if b"\n" in chunk else left - (asyncio.get_running_loop().time() - begin)
            yield chunk

    async def _next(self, receive: Receive, seconds: float) -> Message:
        """The next message; no message may be lost, so the wait for it is not cancelled while it can arrive."""
        waiting = asyncio.ensure_future(receive())
        try:
            while not self.service.queue.is_draining:
                if seconds <= 0:
                    message = f"no line arrived within {self.service.settings.read_timeout:g} seconds"
                    raise AnswerError(408, "read_timeout", message)
                done, _ = await asyncio.wait({waiting}, timeout=min(_TICK, seconds))
                if done:
                    return waiting.result()
                seconds -= _TICK
        finally:
            waiting.cancel()
        raise AnswerError(503, "shutting_down", "the server is shutting down: send the rest again")

    async def _write_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        texts: list[str] = []
        size = 0

        async def flush() -> None:
            nonlocal size
            if texts:
                body = "".join(texts).encode()
                texts.clear()
                size = 0
                await send({"type": "http.response.body", "body": body, "more_body": True})

        while True:
            if self.items.empty():
                await flush()
            item = await self.items.get()
            if item is None:
                break
            if item.job is not None and not item.job.future.done():
                await flush()
            texts.append(await self._record(item))
            size += len(texts[-1])
            self.window.leave(item.size)
            if size > _FLUSH:
                await flush()
        await flush()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _record(self, item: _Item) -> str:
        error = item.error
        if item.job is not None and item.whole is not None and item.body is not None:
            try:
                (prediction,) = item.whole.join(await self.service.queue.wait(item.job))
                decisions = item.body.decisions(self.service.thresholds)
                return self.write(keep_spans(prediction, decisions)) + "\n"
            except AnswerError as reason:
                error = reason
        assert error is not None
        return json_text(error.content(line=item.number)) + "\n"


def _too_long(most: int) -> AnswerError:
    return AnswerError(413, "line_too_long", f"the line has more than {most:,} bytes")
