"""One thread owns the model and labels the lines of all requests, in batches.

A batch is whatever waits when the thread is free, up to a budget: an idle server answers at once, and a busy one fills
its batches. Each request or stream has a lane; a batch takes lines from all lanes in turn, so that a short request
does not wait for all of a long one.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from ..errors import InputError
from ..models.labeller import Labeller
from ..types import Prediction, Sentence
from .answers import AnswerError
from .serving_settings import ServingSettings

Input = str | list[str]

_CHARACTERS_PER_TOKEN = 4
"""About as many as in English text; the labeller itself divides batches by subwords."""
LINE_COST = 32
"""Characters that each line counts in addition to its own, for the memory that it takes."""
_PATIENCE = 0.1
"""A batch waits for the clients of the last batch this share of the time that the last batch took."""
_MOST_PATIENCE = 0.005
_SHORT = 4096
"""A request of so few characters is accepted although long ones fill the queue: it is labelled between them."""
_SHARE = 8
"""A lane gets a batch's budget divided by this, then it is the turn of the next."""


class LineJob:
    """Lines to label for one request, or one line of a stream."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self.inputs = inputs
        self.size = sum(map(size_of, inputs))
        """Characters, and a number for each line."""
        self.results: list[Prediction | None] = [None] * len(inputs)
        self.position = 0
        self.unfinished = len(inputs)
        self.is_over = False
        self.is_counted = False
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[list[Prediction]] = self.loop.create_future()


class Lane:
    """The jobs of one client, which are labelled in order."""

    def __init__(self) -> None:
        self.jobs: deque[LineJob] = deque()

    def take(self, budget: int) -> list[tuple[LineJob, int]]:
        """At least one line, if there are any, and as many as fit in the budget of characters."""
        lines: list[tuple[LineJob, int]] = []
        while self.jobs:
            job = self.jobs[0]
            if job.is_over:
                self.jobs.popleft()
                continue
            size = size_of(job.inputs[job.position])
            if lines and size > budget:
                break
            lines.append((job, job.position))
            budget -= size
            job.position += 1
            if job.position == len(job.inputs):
                self.jobs.popleft()
        return lines


def size_of(line: Input) -> int:
    """Characters of a line or of words with their spaces, and what a line costs."""
    return len(line) + LINE_COST if isinstance(line, str) else sum(map(len, line)) + len(line) + LINE_COST


class BatchingQueue:
    """Labels lines of concurrent requests; `start` and `close` it around its use, or let `submit` start it."""

    def __init__(
        self, labeller: Labeller, settings: ServingSettings, report: Callable[[str], None] | None = None
    ) -> None:
        self.labeller, self.settings = labeller, settings
        self.report = report or (lambda message: None)
        self.is_draining = False
        """Whether new requests are refused because the server ends."""
        self.requests = self.characters = self.labelled = self.batches = 0
        self._lanes: deque[Lane] = deque()
        self._expected, self._patience = 1, 0.0
        self._rate = math.inf
        """Characters per second."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def start(self) -> None:
        """Start the thread."""
        with self._changed:
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._work, name="sltk model", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread after the batch that it labels, if there is one; nothing else is labelled."""
        with self._changed:
            self._is_closed = True
            self._lanes.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=self.settings.shutdown_timeout)

    async def label(self, inputs: Sequence[Input], timeout: float | None = None) -> list[Prediction]:
        """Label the lines of a request, within the limits of the queue.

        Raises:
            AnswerError: the server ends, the queue is full, or the time is over. What was not labelled yet is dropped.
        """
        if not inputs:
            return []
        job = LineJob(inputs)
        self._admit(job)
        self.add(Lane(), job)
        return await self.wait(job, timeout)

    async def wait(self, job: LineJob, timeout: float | None = None) -> list[Prediction]:
        """The predictions of a job; a job that is not waited for to its end is dropped.

        Raises:
            AnswerError: the time is over, or the model cannot label a line.
        """
        seconds = self.settings.timeout if timeout is None else timeout
        try:
            # `asyncio.wait_for` would lose a cancellation that comes together with the result.
            await asyncio.wait({job.future}, timeout=seconds)
            if job.future.done():
                return job.future.result()
            message = f"not labelled within {seconds:g} seconds: the server is busy, or the text is too long"
            raise AnswerError(504, "timeout", message)
        finally:
            self.drop(job)

    def add(self, lane: Lane, job: LineJob) -> None:
        """Let a job wait in a lane, whatever else waits."""
        self.start()
        with self._changed:
            if self._is_closed:
                raise _ending()
            lane.jobs.append(job)
            if lane not in self._lanes:
                self._lanes.append(lane)
            self._changed.notify()

    def drop(self, job: LineJob) -> None:
        """Forget a job: it no longer counts, and its lines that have not been labelled never are."""
        if not job.future.cancel() and not job.future.cancelled():
            job.future.exception()  # nobody waits for it any more, and asyncio would report that
        with self._changed:
            job.is_over = True
            if job.is_counted:
                job.is_counted = False
                self.requests -= 1
                self.characters -= job.size

    def _admit(self, job: LineJob) -> None:
        if self.is_draining:
            raise _ending()
        most = self.settings.max_queue
        if job.size > most:
            message = f"a request may have {most:,} characters; this has {job.size:,}, with {LINE_COST} more per line"
            raise AnswerError(413, "too_much_text", message)
        with self._changed:
            is_long = job.size > _SHORT and self.characters + job.size > most
            if is_long or self.requests >= self.settings.max_requests:
                message = f"the queue is full: {self.requests} requests, {self.characters:,} characters"
                raise AnswerError(429, "queue_full", message, {"Retry-After": str(self._seconds_to_wait())})
            job.is_counted = True
            self.requests += 1
            self.characters += job.size

    def _seconds_to_wait(self) -> int:
        """About how long the queue takes, as fast as the last batch was."""
        return max(1, min(60, math.ceil(self.characters / self._rate)))

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._lanes and not self._is_closed:
                    self._changed.wait()
                self._changed.wait_for(self._are_all_back, timeout=self._patience)
                if self._is_closed:
                    return
                self._expected = len(self._lanes)
                lines = self._next_batch()
            begin = time.perf_counter()
            if lines:
                self._label(lines)
            self._patience = min(_MOST_PATIENCE, _PATIENCE * (time.perf_counter() - begin))

    def _are_all_back(self) -> bool:
        """Whether as many clients wait as there were in the last batch: most ask again when they have an answer."""
        return self._is_closed or len(self._lanes) >= self._expected

    def _next_batch(self) -> list[tuple[LineJob, int]]:
        budget = self.settings.batch_tokens * _CHARACTERS_PER_TOKEN
        share, lines = max(1, budget // _SHARE), []
        while self._lanes and budget > 0:
            lane = self._lanes.popleft()
            taken = lane.take(min(share, budget))
            budget -= sum(size_of(job.inputs[number]) for job, number in taken)
            lines += taken
            if lane.jobs:
                self._lanes.append(lane)
        return lines

    def _label(self, lines: list[tuple[LineJob, int]]) -> None:
        """Label a batch; if that fails, each line alone, so that only the line that cannot be labelled fails."""
        self.batches += 1
        try:
            predictions = self._predict([job.inputs[number] for job, number in lines])
        except BaseException as error:  # libraries in Rust raise errors that are no `Exception`
            if len(lines) > 1:
                for line in lines:
                    self._label([line])
            else:
                self._fail(lines[0][0], error)
            return
        finished = []
        for (job, number), prediction in zip(lines, predictions, strict=True):
            job.results[number] = prediction
            job.unfinished -= 1
            if not job.unfinished:
                finished.append(job)
        for job in finished:
            self._resolve(job, None)

    def _predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        begin = time.perf_counter()
        sentences: list[Sentence] = list(map(self.labeller.sentence, inputs))
        predictions = self.labeller.predict(sentences)
        self.labelled += sum(map(len, sentences))
        self._rate = sum(map(size_of, inputs)) / max(1e-6, time.perf_counter() - begin)
        return predictions

    def _fail(self, job: LineJob, error: BaseException) -> None:
        if isinstance(error, InputError):
            answer = AnswerError(422, "cannot_label", error.problems[0].message)
        else:
            self.report(f"error: a line could not be labelled: {type(error).__name__}")
            answer = AnswerError(500, "internal", f"the model failed: {type(error).__name__}")
        self._resolve(job, answer)

    def _resolve(self, job: LineJob, error: AnswerError | None) -> None:
        def deliver() -> None:
            if job.future.done():
                return
            if error is not None:
                job.future.set_exception(error)
            else:
                job.future.set_result([result for result in job.results if result is not None])

        job.is_over = True
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            job.loop.call_soon_threadsafe(deliver)


def _ending() -> AnswerError:
    return AnswerError(503, "shutting_down", "the server is shutting down", {"Connection": "close"})


__all__ = ["BatchingQueue", "Input", "Lane", "LineJob"]
