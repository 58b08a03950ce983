"""Processes of Python that start warm: forked from one that has imported torch, transformers, peft and sltk.

`subprocess.run([*warm.python(), "-m", "sltk", …])` differs from `[sys.executable, "-m", "sltk", …]` only in the seconds
that imports take: it is a process of its own, with the streams, environment and working directory of its caller.
Tests of start-up, of imports, of encodings and of signals start cold.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


def python() -> list[str]:
    """The command that stands for `python`."""
    return [sys.executable, "-I", "-S", str(_HERE / "warm_client.py"), _server()]


@cache
def _server() -> str:
    """The socket of the server, which is started on first use and ends with this process."""
    folder = tempfile.TemporaryDirectory(prefix="warm")
    socket = str(Path(folder.name) / "socket")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    server = subprocess.Popen(
        [sys.executable, str(_HERE / "warm_server.py"), socket],
        env=environment, cwd=folder.name, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    owner = os.getpid()

    def end() -> None:
        if os.getpid() == owner:
            server.stdin.close()  # type: ignore[union-attr]
            server.wait()
            folder.cleanup()

    atexit.register(end)
    return socket
