"""Print an error of a run in several processes once: in the process where it happened, with its rank."""

from __future__ import annotations

import platform
import time

from ..errors import PeerError
from ..runtime import processes
from ..runtime.departures import is_reported
from .error_messages import print_error
from .terminal import print_diagnostic, print_info

_DELAY = 3.0
"""Seconds that another process has to print its error. A launcher ends all processes as soon as one has ended."""


def print_once(error: Exception | SystemExit) -> int:
    """Print an error unless another process prints it, and return the exit code."""
    if processes.world_size() == 1:
        return print_error(error)
    if is_reported(error):
        time.sleep(_DELAY)
        if isinstance(error, PeerError) and error.host != platform.node() and processes.local_rank() == 0:
            print_diagnostic(f"error: {error}")  # nobody may look at the output of the other machine
        return int(getattr(error, "exit_code", 1))
    is_early = not hasattr(error, "is_reported")  # an error before the processes are connected
    if is_early and not processes.is_main_process():
        time.sleep(_DELAY)  # most likely the main process has the same error
    code = print_error(error)
    if not getattr(error, "is_everywhere", is_early and processes.is_main_process()):
        print_info(f"   = on rank {processes.rank()} of {processes.world_size()} ({platform.node()})")
    return code
