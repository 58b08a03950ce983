"""A process that does runs one after the other: `python -m sltk.components.executors.worker`.

It reads a job a line on standard input and writes events a line on standard output, both JSON. It ends when
standard input ends, in the middle of a run too: its sweep is gone then, and another one may begin.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any

from ...runtime.jobs import Job
from .execution import execute


def main() -> None:
    """Do the jobs that come in."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the sweep's to hear
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what a library prints is no event

    def tell(event: Mapping[str, Any]) -> None:
        events.write(json.dumps(event, ensure_ascii=False, default=str) + "\n")

    for job in _jobs():
        tell(execute(job, tell))


def _jobs() -> Any:
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    while True:
        yield Job(**json.loads(lines.get()))


def _read(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)  # whatever the other thread is doing


if __name__ == "__main__":
    main()
