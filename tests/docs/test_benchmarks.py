"""The benchmarks run and compare equal models; their speed is not tested."""

from __future__ import annotations

import json
import os
import subprocess
from types import ModuleType
from typing import Any

import pytest

import warm
from repository import ROOT

pytestmark = pytest.mark.slow

BENCHMARKS = ROOT / "benchmarks"


def run_benchmark(*command: str) -> dict[str, Any]:
    """Run a benchmark and return its JSON output."""
    completed = subprocess.run(
        [*warm.python(), str(BENCHMARKS / command[0]), *command[1:], "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert completed.returncode == 0, completed.stderr
    result: dict[str, Any] = json.loads(completed.stdout)
    return result


@pytest.mark.parametrize("shape", ["tiny", "tiny-encoder"])
def test_all_contenders_train_the_same_model(shape: str) -> None:
    """Without dropout, the losses of each update differ only by rounding."""
    result = run_benchmark(
        "training.py", "--shape", shape, "--updates", "1", "--repetitions", "1", "--loss-updates", "12"
    )
    assert result["loss_difference"] < 1e-5
    assert result["contenders"].keys() == {"authors", "transformers", "sltk"}
    for scores in result["contenders"].values():
        assert scores["words_per_second"] > 0
        assert scores["peak_memory_bytes"] > 0


@pytest.mark.parametrize("shape", ["tiny", "tiny-encoder"])
def test_pipeline_and_sltk_predict_the_same_labels(shape: str) -> None:
    """Every word has the same label, whatever the batch size."""
    result = run_benchmark(
        "prediction.py", "--shape", shape, "--sentences", "60", "--search", "20", "--repetitions", "1"
    )
    assert result["contenders"].keys() == {"pipeline_default", "pipeline_best", "sltk"}
    assert result["words_with_other_labels"] == {"pipeline_default": 0, "pipeline_best": 0}


def test_the_server_loses_no_request_of_a_load_test(serve_library: ModuleType) -> None:
    """Each request of 1, 8 and 32 clients is answered once, with the spans of `predict`."""
    options = ("--shape", "tiny", "--requests", "48", "--repetitions", "1")
    result = run_benchmark("serving.py", *options)
    for loads in result["servers"].values():
        assert [load["clients"] for load in loads] == [1, 8, 32]
        assert all(load["requests"] == 48 for load in loads)
        assert all(load["not_answered_once"] == 0 and not load["failures"] for load in loads)
    assert all(load["different_answers"] == 0 for load in result["servers"]["sltk"])


def test_an_update_of_a_7b_model_stays_within_its_number_of_gpu_operations() -> None:
    """64 sentences in one forward pass, NF4 with double quantization, LoRA, no checkpointing; nothing waits for them."""
    result = run_benchmark("operations.py")
    assert (result["blocks"], result["sentences"], result["checkpointing"]) == (32, 64, False)
    per_block = {part: sum(e["per_block"] for e in each.values()) for part, each in result["parts"].items()}
    assert per_block["4-bit layers"] >= 7 * 8  # seven layers, dequantized and multiplied in both passes
    assert result["operations"] <= 6_500
    assert result["synchronizations"] == 0
