"""An error in one process ends all processes of a run, with one message and one exit code.

A process that fails says so to the others wherever they exchange objects, and in the store of the group. A process that
waits for gradients hears nothing: a thread watches the store for it, and ends it if it does not end by itself.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from ..errors import PeerError, RunError, SltkError
from . import processes
from .processes import Departure

PATIENCE = 5.0
"""Seconds that a process which fails waits for the others to receive its message."""
GRACE = 20.0
"""Seconds after which a process that has not ended by itself is ended; more than `PATIENCE`, so that the process that
failed prints its error before a launcher ends it."""
_INTERVAL = 1.0
_INTERRUPTED = 130
_runs = 0


@contextmanager
def all_or_none() -> Iterator[None]:
    """Run a block in all processes; an exception in one of them ends the block in all of them.

    The process where it happened raises it, the others raise `PeerError`. If several fail, `is_reported` says of which
    exceptions another process has already reported one.

    Raises:
        PeerError: another process failed.
        RunError: another process was killed.
    """
    if processes.connect() is None or processes.world_size() == 1:
        yield
        return
    with _Watch() as watch:
        try:
            yield
        except BaseException as error:
            cause = _depart(error, watch)
            if cause is error:
                raise
            raise cause from error


def is_reported(error: BaseException) -> bool:
    """Whether another process reports this exception, or the one that caused it."""
    return isinstance(error, PeerError) or getattr(error, "is_reported", False)


def _depart(error: BaseException, watch: _Watch) -> BaseException:
    """Tell the other processes about an error, and return the error that this process raises."""
    if isinstance(error, PeerError):
        return error
    own = _departure(error)
    first = watch.announce(own)
    if _is_disconnected(error):
        if first.rank != own.rank:
            return first.as_error()
        lost = "lost the connection to another process, which was killed or whose machine is gone"
        return RunError(f"rank {own.rank} ({own.host}) {lost}")
    answers = _exchange(own)
    is_everywhere = bool(answers) and all(
        isinstance(answer, Departure) and answer.error == own.error for answer in answers
    )
    with suppress(AttributeError):
        error.is_reported = own.rank != (0 if is_everywhere else first.rank)  # type: ignore[attr-defined]
        error.is_everywhere = is_everywhere  # type: ignore[attr-defined]
    return error


def _departure(error: BaseException) -> Departure:
    code = getattr(error, "exit_code", _INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1)
    text = str(error) if isinstance(error, SltkError) else f"{type(error).__name__}: {error}"
    if isinstance(error, KeyboardInterrupt):
        text = "interrupted"
    return Departure(processes.rank(), platform.node(), text, code if isinstance(code, int) else 1)


def _is_disconnected(error: BaseException) -> bool:
    from torch.distributed import DistError

    signs = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "gloo/transport")
    text = str(error)
    return isinstance(error, DistError) or (
        isinstance(error, RuntimeError)
        and not isinstance(error, SltkError)
        and any(sign in text for sign in signs)
    )


def _exchange(own: Departure) -> list[Any]:
    """What the others say; empty if they do not within `PATIENCE`, because they compute or wait for gradients."""
    answers: list[Any] = []

    def exchange() -> None:
        with suppress(Exception):
            answers.extend(processes.exchange(own))

    thread = threading.Thread(target=exchange, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        processes.abandon()
    return answers


class _Watch(threading.Thread):
    """Ends this process if another one failed and this one does not notice."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="sltk-watch")
        global _runs
        _runs += 1
        self._key = f"departure-{_runs}"
        self._store = processes.store()
        self.finished = threading.Event()

    def __enter__(self) -> _Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finished.set()
        self.join(GRACE)  # torch aborts the process if it ends while another thread uses a store

    def announce(self, own: Departure) -> Departure:
        """Write a departure to the store; returns the first one that was written."""
        try:
            found = self._store.compare_set(self._key, "", json.dumps(asdict(own)))
        except Exception:  # the process that keeps the store is gone
            return own
        return _read(found)

    def run(self) -> None:
        """Look for the departure of another process."""
        store = self._store.clone()  # a store serves one thread at a time
        while not self.finished.wait(_INTERVAL):
            try:
                found = _read(store.get(self._key)) if store.check([self._key]) else None
            except Exception:
                own = Departure(processes.rank(), platform.node(), "", 1)
                self._end(own, "the process that started first, or its launcher, is gone")
                return
            if found is not None:
                self._end(found, str(found.as_error()))
                return

    def _end(self, first: Departure, message: str) -> None:
        if self.finished.wait(GRACE) or (first.rank == processes.rank() and first.error):
            return
        with suppress(Exception):
            sys.stderr.write(f"error: {message}\n")
            sys.stderr.flush()
        os._exit(first.exit_code)


def _read(text: bytes | str) -> Departure:
    return Departure(**json.loads(text))
