"""How long the threads of OpenMP spin while they wait for each other. Imports no torch.

GNU's OpenMP (libgomp), which torch's wheels for Linux contain, lets a thread that waits at the end of a loop spin for
300,000 rounds before it sleeps: 19 ms on an AMD EPYC (Zen 5). On a machine with other busy processes, the thread that
it waits for may not run at all: spinning then takes the processor time that this thread needs.
docs/reports/performance.md has the measurements.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

SPIN_COUNT = 1000
"""Rounds until a waiting thread sleeps: 65 µs on the same processor."""
_VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_LIBRARY = re.compile(r"/(lib(?:gomp|iomp5|omp))[^/]*\.so[^/]*$")

_was_early = "torch" not in sys.modules
"""Whether libgomp, which reads its settings when it is loaded, was not loaded yet."""


def limit_spinning() -> None:
    """Let waiting threads sleep soon, unless the environment says how they wait.

    It must be called before torch is imported; it then also holds for processes that this one starts.
    """
    if sys.platform == "linux" and not any(name in os.environ for name in _VARIABLES):
        os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)


def settings() -> dict[str, Any]:
    """The OpenMP library of this process, how its threads wait, and whether sltk was in time to set it.

    `in_effect` is false if torch was imported before sltk, so that the library may not have seen the variables.
    """
    return {
        "library": _loaded_library(),
        **{name: os.environ.get(name) for name in _VARIABLES},
        "in_effect": _was_early,
    }


def _loaded_library() -> str | None:
    """The OpenMP library that torch has loaded; None if unknown."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    names = [(match[1], line) for line in lines if (match := _LIBRARY.search(line))]
    return next((name for name, line in names if "/torch/" in line), names[0][0] if names else None)
