"""The command line: `sltk`, or `python -m sltk`."""

import os
import sys
from contextlib import suppress
from typing import NoReturn

from . import _interrupt

_INTERRUPTED = 130


def run() -> NoReturn:
    """Run the command line and exit with its code; an interrupt is 130 at any moment, also during imports."""
    try:
        _interrupt.remember()
        from .cli import main

        code = main()
        _interrupt.ignore()
    except KeyboardInterrupt:
        if sys.stderr is not None:
            print("interrupted", file=sys.stderr)
        code = _INTERRUPTED
    is_failed_rank = bool(code) and "LOCAL_RANK" in os.environ
    if code == _INTERRUPTED or is_failed_rank:
        # Python would end with the signal instead if the interrupt came while it executed generated code, and torch
        # would abort the process if other processes of the run are gone.
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with suppress(OSError, ValueError):  # nobody reads it any more
                stream.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
