"""Recognize exhausted memory behind any error of a library, and say what needed it and what to lower.

Python, numpy, torch, CUDA and onnxruntime report it in different ways, and torch is not imported to find out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import OutOfMemoryError, SltkError

_MESSAGES = re.compile(
    "can't allocate memory|cannot allocate memory|not enough memory|out of memory|CUBLAS_STATUS_ALLOC_FAILED"
    "|Unable to allocate|std::bad_alloc|failed to allocate memory",
    re.IGNORECASE,
)
_SIZE = re.compile(r"(?:tried to allocate|Unable to allocate) ([0-9.]+) ?([A-Za-z]+)", re.IGNORECASE)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception, or any of its causes, says that there is not enough memory."""
    while error is not None:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if _may_report_memory(error) and _MESSAGES.search(str(error)):
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def _may_report_memory(error: BaseException) -> bool:
    """Whether an exception is of a class with which libraries report exhausted memory; onnxruntime has its own."""
    return isinstance(error, RuntimeError | OSError) or type(error).__module__.startswith("onnxruntime.")


@contextmanager
def allocating(doing: str, *advice: str) -> Iterator[None]:
    """Replace an error raised inside by `OutOfMemoryError` if the memory was too small.

    Args:
        doing: what needs the memory: "loading the model".
        advice: what to lower, a line each.

    Raises:
        OutOfMemoryError: the memory was too small; the innermost `allocating` says for what.
    """
    try:
        yield
    except SltkError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError("\n   = ".join([memory_message(doing, error), *advice])) from error


def memory_message(doing: str, error: BaseException) -> str:
    """One line that says what needed the memory, and how much if the error does."""
    size = _size(str(error))
    return f"out of memory while {doing}" + (f": {size} could not be allocated" if size else "")


def _size(text: str) -> str | None:
    match = _SIZE.search(text)
    if match is None:
        return None
    if match[2].lower() != "bytes":
        return f"{match[1]} {match[2]}"
    count = int(float(match[1]))
    return f"{count / 2**30:,.2f} GiB" if count >= 2**27 else f"{count:,} bytes"
