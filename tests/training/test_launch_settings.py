"""Settings of a launcher that a run would ignore, or that contradict its spec, are refused before it loads anything."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import tiny
import warm
from sltk import UsageError
from sltk.cli import main, process_errors
from sltk.components.backbones import precision
from sltk.runtime import processes
from sltk.runtime.launch_settings import SpecSettings, check, check_command, own_precision
from sltk.training.collective import check_device

TORCHRUN = {
    "RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}
ACCELERATE = {
    "ACCELERATE_MIXED_PRECISION": "no",
    "ACCELERATE_DYNAMO_BACKEND": "NO",
    "ACCELERATE_DYNAMO_MODE": "default",
    "ACCELERATE_DYNAMO_USE_FULLGRAPH": "False",
    "ACCELERATE_CPU_AFFINITY": "1",
    "ACCELERATE_USE_CPU": "True",
    "ACCELERATE_DEBUG_MODE": "true",
}
"""What `accelerate launch` sets for plain data parallelism."""

REFUSED = {
    "ACCELERATE_USE_FSDP": ("true", "trainer.sharding: full"),
    "FSDP_SHARDING_STRATEGY": ("FULL_SHARD", "trainer.sharding: full"),
    "ACCELERATE_USE_DEEPSPEED": ("true", "trainer.sharding: full"),
    "ACCELERATE_DEEPSPEED_ZERO_STAGE": ("3", "trainer.sharding: full"),
    "ACCELERATE_USE_MEGATRON_LM": ("True", "trainer.sharding: full"),
    "ACCELERATE_USE_PARALLELISM_CONFIG": ("true", "trainer.sharding: full"),
    "PARALLELISM_CONFIG_TP_SIZE": ("2", "trainer.sharding: full"),
    "ACCELERATE_MIXED_PRECISION": ("bf16", "trainer.precision: bf16"),
    "ACCELERATE_FP8_BACKEND": ("TE", "trainer.precision"),
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": ("4", "trainer.gradient_accumulation: 4"),
    "ACCELERATE_GRADIENT_CLIPPING": ("0.5", "trainer.clip: 0.5"),
    "ACCELERATE_DYNAMO_BACKEND": ("INDUCTOR", "--dynamo_backend no"),
    "ACCELERATE_TORCH_DEVICE": ("cuda:3", "CUDA_VISIBLE_DEVICES"),
    "XLA_USE_BF16": ("1", "TPU"),
    "PJRT_DEVICE": ("TPU", "TPU"),
    "RANK": ("4", "WORLD_SIZE=4"),
    "LOCAL_RANK": ("2", "LOCAL_WORLD_SIZE=2"),
    "WORLD_SIZE": ("two", "whole number"),
    "LOCAL_WORLD_SIZE": ("8", "WORLD_SIZE=4"),
    "MASTER_ADDR": ("", "MASTER_ADDR"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_that_a_run_would_ignore_is_refused(name: str) -> None:
    """The error names the variable, and the key of the spec, or the option, to use instead."""
    value, instead = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        check(SpecSettings(clip=1.0), {**TORCHRUN, **ACCELERATE, name: value})
    assert name in str(caught.value)
    assert instead in str(caught.value)


@pytest.mark.parametrize("environment", [{}, TORCHRUN, ACCELERATE, {**TORCHRUN, **ACCELERATE}])
def test_plain_launches_are_accepted(environment: dict[str, str]) -> None:
    """One process, `torchrun`, and `accelerate launch` in its plain configuration."""
    check(SpecSettings(), environment)


def test_settings_that_agree_with_the_spec_are_accepted() -> None:
    """The environment may repeat what the spec says."""
    same = {
        "ACCELERATE_MIXED_PRECISION": "bf16",
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4",
        "ACCELERATE_GRADIENT_CLIPPING": "1",
    }
    check(SpecSettings("bf16", 4, 1.0), {**TORCHRUN, **same})


def test_a_run_computes_in_its_own_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """During the run, `accelerate` does not see the precision of the environment, even if the spec has the same."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with own_precision():
        assert os.environ["ACCELERATE_MIXED_PRECISION"] == "no"
    assert os.environ["ACCELERATE_MIXED_PRECISION"] == "bf16"


@pytest.mark.parametrize("name", ["SLURM_STEP_NUM_TASKS", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_tasks_that_know_nothing_of_each_other_are_refused(name: str) -> None:
    """Several tasks without `torchrun` would write one run directory; one task per machine with it is fine."""
    with pytest.raises(UsageError, match="torchrun"):
        check(SpecSettings(), {name: "8"})
    check(SpecSettings(), {name: "1"})
    check(SpecSettings(), {name: "2", **TORCHRUN})


def test_accelerate_on_a_cpu_starts_one_process() -> None:
    """`accelerate launch --cpu --num_processes 2` sets the address of a main process, and starts nothing else."""
    check(SpecSettings(), {"ACCELERATE_USE_CPU": "True"})
    with pytest.raises(UsageError, match="starts one process"):
        check(
            SpecSettings(), {"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
        )


@pytest.mark.parametrize("missing", ["WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT"])
def test_a_part_of_the_variables_of_a_launcher_is_refused(missing: str) -> None:
    """A process that does not know its rank would train alone, or write nothing."""
    part = {name: value for name, value in TORCHRUN.items() if name != missing}
    with pytest.raises(UsageError, match=missing):
        check(SpecSettings(), part)


@pytest.mark.parametrize("variables", [{"LOCAL_RANK": "0"}, {**TORCHRUN, "WORLD_SIZE": "abc"}])
def test_odd_variables_of_a_launcher_are_one_error(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line names the variable, whatever it asks the launcher for."""
    for name, value in {**variables, "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert main(["train", "missing.yaml"]) == 2
    assert "WORLD_SIZE" in capsys.readouterr().err


def test_other_commands_run_in_one_process() -> None:
    """`sltk sweep` in several processes would do everything several times."""
    check_command("train", TORCHRUN)
    check_command("sweep", {})
    with pytest.raises(UsageError, match="not `sltk sweep`"):
        check_command("sweep", TORCHRUN)


def test_a_launch_for_the_cpu_on_a_machine_with_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """`accelerate` would move the batches to the CPU, and the model would be on the GPU."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    check_device()
    monkeypatch.setattr(precision, "device", lambda: SimpleNamespace(type="cuda"))
    with pytest.raises(UsageError, match="CUDA_VISIBLE_DEVICES"):
        check_device()


def test_each_process_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how many processes to start; on enough GPUs there is none."""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    processes._check_gpus(4)
    with pytest.raises(UsageError, match="4 processes were started on a machine with 2 GPUs") as caught:
        processes._check_gpus(2)
    assert "--nproc-per-node 2" in str(caught.value)


@pytest.mark.parametrize(("rank", "shown"), [("0", ""), ("1", "   = on rank 1 of 4")])
def test_an_error_before_the_processes_are_connected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rank: str, shown: str
) -> None:
    """Process 0 prints it; another one waits for that first, and prints its rank if it is not ended meanwhile."""
    waited: list[float] = []
    monkeypatch.setattr(process_errors, "time", SimpleNamespace(sleep=waited.append))
    for name, value in {**TORCHRUN, "RANK": rank}.items():
        monkeypatch.setenv(name, value)
    assert main(["train", "missing.yaml"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert shown in last
    assert len(waited) == int(rank)


def test_a_launch_with_fsdp_ends_with_one_message(tmp_path: Path) -> None:
    """Exit code 2 in the main process, with the only message; nothing is written."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(tiny.spec()))
    launched = {**TORCHRUN, "RANK": "0", "LOCAL_RANK": "0", "ACCELERATE_USE_FSDP": "true"}
    completed = subprocess.run(
        [*warm.python(), "-m", "sltk", "train", str(spec), "--output", str(tmp_path / "run")],
        env={**launched}, cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert completed.returncode == 2
    assert completed.stderr.startswith("error: `ACCELERATE_USE_FSDP=true`")
    assert completed.stderr.count("error") == 1
    assert not (tmp_path / "run").exists()
