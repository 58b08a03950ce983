"""A process that runs jobs one after the other: `python -m sltk.components.executors.worker`.

It reads one job per line from standard input, and writes one event per line to standard output, both as JSON. It
exits as soon as standard input ends, even during a run: the sweep has then ended, and another one may start.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from ...runtime.jobs import Job
from .execution import execute


def main() -> None:
    """Run jobs until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep handles Ctrl-C
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # keeps what libraries print apart from the events

    def emit(event: Mapping[str, Any]) -> None:
        events.write(json.dumps(event, ensure_ascii=False, default=str) + "\n")

    for job in _jobs():
        emit(execute(job, emit))


def _jobs() -> Iterator[Job]:
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    while True:
        yield Job(**json.loads(lines.get()))


def _read(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)  # without waiting for the main thread


if __name__ == "__main__":
    main()
