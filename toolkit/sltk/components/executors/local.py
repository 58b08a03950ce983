"""Runs a sweep on this machine, in one worker process or in one for each GPU."""

from __future__ import annotations

import functools
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Annotated, Any, Literal

from pydantic import Field

from ...runtime import cpus
from ...runtime.jobs import Job, Work, dispatch
from ..registry import register
from ..slots import Executor

_TICK = 0.5
"""Seconds between updates of the display."""


@register.executor("local")
class LocalExecutor(Executor):
    """Runs on this machine: one run at a time, or one on each GPU.

    A run that crashes its process does not stop the sweep.
    """

    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default="auto", description="number of runs in parallel; `auto`: one per GPU, or one without a GPU"
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        description="CPU threads per worker; null: as for a single run, and at most the CPUs divided by the workers",
    )

    isolated: bool = Field(
        default=True, description="use worker processes; `false`: run in the process of the sweep, to debug"
    )

    def execute(self, work: Work) -> None:
        """Execute all runs. Ctrl-C ends the workers, whose runs can be resumed."""
        if not self.isolated:
            _run_here(work)
            return
        devices = visible_gpus()
        count = (len(devices) or 1) if self.workers == "auto" else self.workers
        threads = self.threads or cpus.threads_per_worker(count)
        _report_oversubscription(count, threads, work)
        workers = [_Worker(_environment(number, devices, threads)) for number in range(count)]
        try:
            with selectors.DefaultSelector() as selector:
                _serve(workers, work, selector)
        finally:
            for worker in workers:
                worker.kill()


def _environment(number: int, devices: list[str], threads: int | None) -> dict[str, str]:
    """The environment variables of a worker: its GPU, and its number of threads."""
    own = dict(os.environ)
    if devices:
        own["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
    return own if threads is None else own | cpus.thread_variables(threads)


def _report_oversubscription(workers: int, threads: int | None, work: Work) -> None:
    """Report that the spec asks for more threads than there are processors."""
    usable = cpus.usable_cpus()
    if workers * (threads or 1) > usable:
        work.note(
            f"{workers} workers with {threads or 1} threads each share {usable} CPUs: the runs slow each other down"
        )


def _run_here(work: Work) -> None:
    from .execution import execute

    while (job := work.next()) is not None:
        dispatch(execute(job, functools.partial(work.report, job.name)), job.name, work)


def _serve(workers: list[_Worker], work: Work, selector: selectors.BaseSelector) -> None:
    while True:
        for worker in workers:
            if worker.job is None and (job := work.next()) is not None:
                worker.start(job, selector)
        if all(worker.job is None for worker in workers):
            return
        for key, _ in selector.select(_TICK):
            worker = key.data
            for event in worker.events(selector):
                assert worker.job is not None
                name = worker.job.name
                if event["event"] in ("finished", "failed", "died"):
                    worker.job = None
                dispatch(event, name, work)
        work.tick()


class _Worker:
    """A worker process, created for its first job, and again after it has died."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.job: Job | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._unparsed = b""

    def start(self, job: Job, selector: selectors.BaseSelector) -> None:
        """Send it a job."""
        if self._process is None:
            # `-P`: a file such as random.py in the working directory is not executed.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"{__package__}.worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment,
            )  # fmt: skip
            selector.register(self._output(), selectors.EVENT_READ, self)
        assert self._process.stdin is not None
        self.job = job
        with suppress(BrokenPipeError):  # it has died, which the end of its output will report
            self._process.stdin.write(json.dumps(asdict(job), default=str).encode() + b"\n")
            self._process.stdin.flush()

    def _output(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout

    def events(self, selector: selectors.BaseSelector) -> Iterator[dict[str, Any]]:
        """Read its new events; the end of its output becomes the event `died`."""
        output = os.read(self._output().fileno(), 1 << 16)
        *lines, self._unparsed = (self._unparsed + output).split(b"\n")
        yield from (json.loads(line) for line in lines)
        if not output:
            selector.unregister(self._output())
            code = self._close()
            if self.job is not None:
                yield {"event": "died", "reason": _cause(code)}

    def kill(self) -> None:
        """Kill the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._close()

    def _close(self) -> int:
        """Wait for the process to end, and close its pipes; returns the exit code."""
        assert self._process is not None
        process, self._process, self._unparsed = self._process, None, b""
        code = process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()
        return code


def _cause(code: int) -> str:
    """The cause of a process's death, according to its exit code."""
    if code >= 0:
        return f"its process ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    more = " (out of memory?)" if name == "SIGKILL" else ""
    return f"its process was killed by {name}{more}"


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, named as in CUDA_VISIBLE_DEVICES."""
    variable = os.environ.get("CUDA_VISIBLE_DEVICES")
    if variable is not None:
        return [name.strip() for name in variable.split(",") if name.strip() not in ("", "-1")]
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number, line in enumerate(listing.stdout.splitlines()) if line.startswith("GPU")]
