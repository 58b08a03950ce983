"""What tests of readers ask of every reader: the message of its error, and how many of its spans are used."""

from __future__ import annotations

import pytest

from sltk.components.slots import Reader
from sltk.data.datasets import load
from sltk.data.statistics import statistics
from sltk.errors import DataError


def error_message(reader: Reader) -> str:
    """The error message of a reader."""
    with pytest.raises(DataError) as caught:
        list(reader.read())
    return str(caught.value)


def accounted(reader: Reader) -> tuple[int, int]:
    """Number of used and unused spans; together they are the annotated spans."""
    data = load(reader, "IOB2")
    used = sum(len(sentence.spans or ()) for sentence in data)
    unused = sum(item.type is not None for item in data.unused)
    assert sum(statistics(reader)["spans"].values()) == used + unused
    return used, unused
