"""The benchmarks run and compare equal models; their speed is not tested."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import contended
import shared
import slim_wheel
import training
import warm
from repository import ROOT
from sltk.components.backbones.precision import is_fast_in_bfloat16
from sltk.nn.fused.linear_layer import FusedLinear

pytestmark = pytest.mark.slow

BENCHMARKS = ROOT / "benchmarks"


def run_benchmark(*command: str, code: int = 0) -> dict[str, Any]:
    """Run a benchmark that ends with an exit code, and return its JSON output."""
    completed = subprocess.run(
        [*warm.python(), str(BENCHMARKS / command[0]), *command[1:], "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert completed.returncode == code, completed.stderr
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
    """64 sentences in one forward pass, NF4, LoRA, no checkpointing; nothing waits for the GPU."""
    result = run_benchmark("operations.py")
    assert (result["blocks"], result["sentences"], result["checkpointing"]) == (32, 64, False)
    per_block = {part: sum(e["per_block"] for e in each.values()) for part, each in result["parts"].items()}
    assert per_block["4-bit layers"] >= 7 * 8  # seven layers, dequantized and multiplied in both passes
    assert result["operations"] <= 6_500
    assert result["synchronizations"] == 0


SECTIONS = ("device", "kernels", "lora", "encoder", "prediction", "generation")


@pytest.fixture(scope="module")
def gpu_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `gpu.py` writes at the tiny shape."""
    folder = tmp_path_factory.mktemp("gpu") / "results"
    result = run_benchmark("gpu.py", "--shape", "tiny", "--output", str(folder))
    assert result == json.loads((folder / "gpu.json").read_text(encoding="utf-8"))
    return folder


def test_the_gpu_benchmark_measures_every_section_at_a_tiny_shape(gpu_results: Path) -> None:
    """Kernels agree, losses and labels are those of transformers, and the tables have every contender."""
    result = json.loads((gpu_results / "gpu.json").read_text(encoding="utf-8"))
    for name in SECTIONS:
        assert not {"error", "not_measured"} & result[name].keys(), name
    for each in (*result["kernels"]["calls"].values(), *result["kernels"]["families"].values()):
        assert each["agrees"]
        assert each["difference"] < 1e-5
    lora = result["lora"]
    assert lora["loss_difference"] < 1e-5
    speeds = [*lora["contenders"].values(), *lora["passes"], *result["encoder"]["as_configured"].values()]
    assert all(each["words_per_second"] > 0 for each in speeds)
    prediction = result["prediction"]["tiny-encoder"]
    assert prediction["words_with_other_labels"] == {"pipeline_default": 0, "pipeline_best": 0}
    markdown = (gpu_results / "gpu.md").read_text(encoding="utf-8")
    for contender in (*lora["contenders"], "run_ner", "pipeline_best", "batches_constrained"):
        assert f"| {contender} |" in markdown


def test_one_section_of_the_gpu_benchmark_can_be_repeated(gpu_results: Path) -> None:
    """Without time it says so, and the results of the other sections are kept."""
    before = json.loads((gpu_results / "gpu.json").read_text(encoding="utf-8"))
    options = ("--shape", "tiny", "--output", str(gpu_results), "--minutes", "0.09")
    after = run_benchmark("gpu.py", *options, "--only", "generation")
    assert "time" in after["generation"]["not_measured"]
    assert {**after, "generation": None} == {**before, "generation": None}


def test_a_section_of_the_gpu_benchmark_that_fails_or_hangs_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error is recorded, a section that hangs is stopped with what it has, and the exit code is 1."""
    import gpu
    import gpu_run

    def fail(run: gpu_run.Run) -> dict[str, Any]:
        raise ValueError("no such kernel")

    def hang(run: gpu_run.Run) -> dict[str, Any]:
        run.partial["first"] = 1
        while True:
            pass

    monkeypatch.setattr(gpu_run, "fail", fail, raising=False)
    monkeypatch.setattr(gpu_run, "hang", hang, raising=False)
    monkeypatch.setattr(gpu, "WRITING", 0.0)
    sections = {
        "encoder": ("gpu_run:fail", 0.1),
        "lora": ("gpu_run:hang", 0.5),
        "device": ("gpu_run:_versions", 1.0),
    }
    monkeypatch.setattr(gpu, "SECTIONS", sections)
    arguments = ["gpu.py", "--shape", "tiny", "--output", str(tmp_path), "--minutes", "0.1"]
    monkeypatch.setattr("sys.argv", arguments)
    monkeypatch.setattr(gpu_run, "_versions", lambda run: {"versions": {}})
    assert gpu.main() == 1
    capsys.readouterr()
    result = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert result["encoder"]["error"] == "ValueError: no such kernel"
    assert result["lora"]["first"] == 1
    assert "its share of the time" in result["lora"]["not_measured"]
    assert result["device"]["versions"] == {}
    assert "**failed**: ValueError: no such kernel" in (tmp_path / "gpu.md").read_text(encoding="utf-8")


def test_a_wheel_of_bitsandbytes_is_reduced_to_one_gpu_library(tmp_path: Path) -> None:
    """The other libraries leave the archive and its RECORD; a library that it lacks is named."""
    wheel = tmp_path / "bitsandbytes-1-py3-none-any.whl"
    libraries = [f"bitsandbytes/libbitsandbytes_{name}.so" for name in ("cpu", "cuda130", "rocm72")]
    record = "bitsandbytes-1.dist-info/RECORD"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in (*libraries, "bitsandbytes/__init__.py"):
            archive.writestr(name, "content")
        archive.writestr(record, "".join(f"{name},,\n" for name in (*libraries, record)))
    with pytest.raises(ValueError, match=r"has no libbitsandbytes_cuda1\.so; it has .*cuda130"):
        slim_wheel.slim(wheel, "libbitsandbytes_cuda1.so")
    slim_wheel.slim(wheel, "libbitsandbytes_cuda130.so")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.namelist() == [*libraries[:2], "bitsandbytes/__init__.py", record]
        assert archive.read(record).decode().splitlines() == [
            f"{name},," for name in (*libraries[:2], record)
        ]


AMD = "vendor_id\t: AuthenticAMD\ncpu family\t: {}\nmodel\t\t: {}\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (AMD.format(25, 17), "AMD EPYC (Zen 4)"),
        (AMD.format(25, 1), "AMD EPYC (Zen 3)"),
        (AMD.format(26, 2), "AMD EPYC (Zen 5)"),
        (AMD.format(99, 7), "AMD EPYC (family 99, model 7)"),
        (
            "vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t: 207\nmodel name\t: Intel Xeon\n",
            "Intel Xeon (family 6, model 207)",
        ),
        ("CPU implementer\t: 0x41\n", None),
    ],
)
def test_figures_name_the_generation_of_the_processor(tmp_path: Path, text: str, name: str | None) -> None:
    """By family and model; without a known generation, by these numbers, and without a name by the architecture."""
    (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")
    expected = name or platform.processor() or platform.machine()
    assert shared.processor(tmp_path / "cpuinfo") == expected
    assert shared.processor(tmp_path / "missing") == (platform.processor() or platform.machine())


@pytest.mark.skipif(not is_fast_in_bfloat16(torch.device("cpu")), reason="the processor has no bfloat16")
def test_bf16_is_trained_beside_both_formats_of_transformers() -> None:
    """Losses differ from those in float32 by rounding only; speeds are also given relative to the padding."""
    options = ("--shape", "tiny", "--updates", "1", "--repetitions", "1", "--loss-updates", "4")
    result = run_benchmark("training.py", *options, "--precision", "bf16")
    assert result["contenders"].keys() == {"authors", "transformers", "transformers_bf16", "sltk"}
    assert 1e-7 < result["loss_difference"] < 0.01
    speeds = {name: each["words_per_second"] for name, each in result["contenders"].items()}
    for name, quotient in result["speedup_to_padding"].items():
        assert quotient == pytest.approx(speeds["sltk"] / speeds[name] / result["padding"]["timed"], rel=0.01)


def test_the_products_of_transformers_can_be_those_of_sltk() -> None:
    """Only linear layers change, and they compute the same."""
    layers = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3), torch.nn.Linear(3, 2))
    x = torch.randn(5, 4)
    expected = layers(x)
    training.use_products_of_sltk(layers)
    assert [isinstance(layer, FusedLinear) for layer in layers] == [True, False, True]
    assert torch.allclose(layers(x), expected, atol=1e-6)


def test_a_frozen_backbone_is_compared_over_epochs() -> None:
    result = run_benchmark(
        "frozen.py", "--shape", "tiny", "--sentences", "8", "--repetitions", "1", "--epochs", "2"
    )
    assert result["seconds"].keys() == {"1", "2"}
    assert result["ratio"] == pytest.approx(result["seconds"]["2"][0] / result["seconds"]["1"][0], abs=1e-3)


def test_settings_of_waiting_threads_become_the_environment_of_a_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What this process has set is removed, so that sltk sets its own value; a wrong name is refused."""
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    cases = {
        "sltk": (None, None),
        "default": (contended.DEFAULT_SPINS, None),
        "GOMP_SPINCOUNT=0": ("0", None),
        "GOMP_SPINCOUNT=5,OMP_WAIT_POLICY=passive": ("5", "passive"),
    }
    for setting, expected in cases.items():
        variables = contended.environment(setting, 2)
        assert tuple(map(variables.get, contended.VARIABLES)) == expected
        assert variables["OMP_NUM_THREADS"] == "2"
    for setting in ("GOMP_SPIN=1", "passive", ""):
        with pytest.raises(ValueError, match="expected sltk, default, or one of GOMP_SPINCOUNT"):
            contended.environment(setting, 2)


def test_label_changes_are_counted_where_the_processor_has_bfloat16(tmp_path: Path) -> None:
    """Every word is labelled in both precisions; without the instructions, the benchmark ends with the reason."""
    data = tmp_path / "data.conll"
    data.write_text("Ann B-PER\nsaw O\nRome B-LOC\n\nNobody O\nleft O\n", encoding="utf-8")
    command = ("label_changes.py", str(ROOT / "tests" / "stored_runs" / "tagger"), "--data", str(data))
    if not is_fast_in_bfloat16(torch.device("cpu")):
        with pytest.raises(AssertionError, match="AVX512-BF16"):
            run_benchmark(*command)
        return
    result = run_benchmark(*command)
    assert result["words"] == 5
    assert result["share"] == result["words_with_other_labels"] / 5
