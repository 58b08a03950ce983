"""Measuring the cost of a run: peak memory and speed."""

from __future__ import annotations

import sys
import time

import numpy as np

from sltk.runtime.cost import Speed, peak_memory, reset_peak_memory


def test_the_peak_of_a_run_does_not_include_memory_freed_before_it() -> None:
    """A run in a sweep has its own peak on Linux: 300 MB that an earlier run has freed do not count."""
    reset_peak_memory()
    before = peak_memory()
    array = np.ones(300_000_000, np.uint8)
    assert peak_memory() > before + 250e6
    del array
    assert peak_memory() > before + 250e6
    reset_peak_memory()
    assert (peak_memory() < before + 100e6) == (sys.platform == "linux")


def test_the_speed_counts_only_what_is_measured() -> None:
    """Words per second and per CPU second come from the measured blocks; sleeping takes no CPU time."""
    speed = Speed()
    with speed.measured():
        time.sleep(0.05)
        speed.words += 10
    assert speed.words_per_second <= 200
    assert speed.words_per_cpu_second > speed.words_per_second
