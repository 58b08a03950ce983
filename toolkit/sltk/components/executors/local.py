"""Runs on this machine, in one worker process, or in one for each GPU."""

from __future__ import annotations

import functools
import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import IO, Annotated, Any, Literal

from pydantic import Field

from ...runtime.jobs import Failure, Job, Work
from ..registry import register
from ..slots import Executor

_TICK = 0.5


@register.executor("local")
class LocalExecutor(Executor):
    """Runs on this machine: one run at a time, or one on each GPU.

    A run that takes its process down does not take the sweep down.
    """

    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default="auto", description="runs at a time; `auto`: one a GPU, and one where there is none"
    )
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads of each; null: as a single run has"
    )

    isolated: bool = Field(
        default=True, description="in processes of their own; `false`: in that of the sweep, to debug"
    )

    def execute(self, work: Work) -> None:
        """Do all of the work. Ctrl-C ends the workers, whose runs can be resumed."""
        if not self.isolated:
            _do_here(work)
            return
        devices = visible_gpus()
        count = (len(devices) or 1) if self.workers == "auto" else self.workers
        workers = [_Worker(self._environment(number, devices)) for number in range(count)]
        try:
            with selectors.DefaultSelector() as selector:
                _serve(workers, work, selector)
        finally:
            for worker in workers:
                worker.end()

    def _environment(self, number: int, devices: list[str]) -> dict[str, str]:
        """Of one worker: its GPU, and how many threads it has."""
        own = dict(os.environ)
        if devices:
            own["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
        if self.threads is not None:
            own |= {name: str(self.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        return own


def _do_here(work: Work) -> None:
    from .execution import execute

    while (job := work.next()) is not None:
        _pass_on(execute(job, functools.partial(work.report, job.name)), job.name, work)


def _serve(workers: list[_Worker], work: Work, selector: selectors.BaseSelector) -> None:
    while True:
        for worker in workers:
            if worker.job is None and (job := work.next()) is not None:
                worker.give(job, selector)
        if all(worker.job is None for worker in workers):
            return
        for key, _ in selector.select(_TICK):
            worker = key.data
            for event in worker.events(selector):
                assert worker.job is not None
                name = worker.job.name
                if event["event"] in ("finished", "failed", "died"):
                    worker.job = None
                _pass_on(event, name, work)
        work.tick()


def _pass_on(event: Mapping[str, Any], name: str, work: Work) -> None:
    kind = event["event"]
    if kind == "finished":
        work.finished(name, event["metrics"])
    elif kind == "failed":
        work.failed(name, Failure(event["kind"], event["message"]))
    elif kind == "died":
        work.died(name, event["reason"])
    else:
        work.report(name, event)


class _Worker:
    """One worker process, started when it is first needed, and again after it died."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.job: Job | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""

    def give(self, job: Job, selector: selectors.BaseSelector) -> None:
        """Have it do a job."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment,
            )  # fmt: skip
            selector.register(self._stream(), selectors.EVENT_READ, self)
        assert self._process.stdin is not None
        self.job = job
        try:
            self._process.stdin.write(json.dumps(job.as_json(), default=str).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it is dead already: its output ends, and that is told as its death

    def _stream(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout

    def events(self, selector: selectors.BaseSelector) -> Iterator[dict[str, Any]]:
        """What it has told since; at the end of its output, that it died."""
        read = os.read(self._stream().fileno(), 1 << 16)
        *lines, self._rest = (self._rest + read).split(b"\n")
        yield from (json.loads(line) for line in lines)
        if not read:
            assert self._process is not None
            selector.unregister(self._stream())
            code = self._process.wait()
            self._close()
            if self.job is not None:
                yield {"event": "died", "reason": _cause(code)}

    def _close(self) -> None:
        process, self._process, self._rest = self._process, None, b""
        for stream in (process.stdin, process.stdout) if process else ():
            try:
                assert stream is not None
                stream.close()
            except BrokenPipeError:
                pass

    def end(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._close()


def _cause(code: int) -> str:
    """What an exit code says about how a process died."""
    import signal

    if code >= 0:
        return f"its process ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    more = " (out of memory?)" if name == "SIGKILL" else ""
    return f"its process was killed by {name}{more}"


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU")]
