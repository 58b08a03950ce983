"""The benchmarks run, and compare like with like; how fast anything is, is no test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from repository import ROOT

BENCHMARKS = ROOT / "benchmarks"


def result_of(*command: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / command[0]), *command[1:], "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("shape", ["tiny", "tiny-encoder"])
def test_all_contenders_train_the_same_model(shape: str) -> None:
    """Without dropout their losses differ by rounding alone, update for update."""
    result = result_of(
        "training.py", "--shape", shape, "--updates", "1", "--repetitions", "1", "--loss-updates", "12"
    )
    assert result["loss_difference"] < 1e-5
    assert result["contenders"].keys() == {"authors", "transformers", "sltk"}
    for scores in result["contenders"].values():
        assert scores["words_per_second"] > 0
        assert scores["peak_memory_bytes"] > 0


@pytest.mark.parametrize("shape", ["tiny", "tiny-encoder"])
def test_pipeline_and_sltk_give_the_same_labels(shape: str) -> None:
    """On every word, at any batch size."""
    result = result_of(
        "prediction.py", "--shape", shape, "--sentences", "60", "--search", "20", "--repetitions", "1"
    )
    assert result["contenders"].keys() == {"pipeline_default", "pipeline_best", "sltk"}
    assert result["words_with_other_labels"] == {"pipeline_default": 0, "pipeline_best": 0}
