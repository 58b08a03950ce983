"""Refuse settings of a launcher that a run would ignore, or that would change it behind its spec. Imports no torch.

transformers' Trainer reads dozens of variables of `accelerate`, so a run that `accelerate launch` starts with FSDP
would train something else than its spec says. A spec is the only description of a run: what the environment asks for
must be the same, or the run does not start.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

from ..errors import Problem, UsageError

_ON = {"1", "true", "yes", "on", "y", "t"}
_LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_TORCHRUN = "start the processes with `torchrun --nproc-per-node N -m sltk …`"
_PLAIN = (
    "configure `accelerate` for plain data parallelism (`accelerate config`: answer `no`), or use `torchrun`"
)

_SWITCHES = {
    "ACCELERATE_USE_FSDP": ("FSDP", "trainer.sharding: full"),
    "ACCELERATE_USE_DEEPSPEED": ("DeepSpeed", "trainer.sharding: full"),
    "ACCELERATE_USE_MEGATRON_LM": ("Megatron-LM", "trainer.sharding: full"),
    "ACCELERATE_USE_PARALLELISM_CONFIG": (
        "a parallelism configuration of `accelerate`",
        "trainer.sharding: full",
    ),
}
"""Variables that switch something on, what that is, and the key of a spec for it."""

_FAMILIES = {
    "FSDP_": ("FSDP", "trainer.sharding: full"),
    "ACCELERATE_DEEPSPEED_": ("DeepSpeed", "trainer.sharding: full"),
    "MEGATRON_LM_": ("Megatron-LM", "trainer.sharding: full"),
    "PARALLELISM_CONFIG_": ("tensor, context or sequence parallelism", "trainer.sharding: full"),
    "ACCELERATE_FP8_": ("fp8", "trainer.precision"),
}
"""Prefixes of variables that configure one of these; without its switch they would do nothing, silently."""

_MPI_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


@dataclass(frozen=True)
class SpecSettings:
    """What a spec says about settings that a launcher may contradict."""

    precision: str = "auto"
    gradient_accumulation: int = 1
    clip: float | None = None


def check(spec: SpecSettings, environment: Mapping[str, str] | None = None) -> None:
    """Check that a launcher asks for nothing that a run would ignore, or that contradicts its spec.

    Args:
        spec: what the spec says about the same settings.
        environment: the environment variables; those of this process by default.

    Raises:
        UsageError: a variable asks for it; each problem names the variable, and the key of the spec to use instead.
    """
    variables = os.environ if environment is None else environment
    problems = [
        *_ranks(variables),
        *_unconnected(variables),
        *_sharding(variables),
        *_contradictions(variables, spec),
        *_devices(variables),
    ]
    if problems:
        raise UsageError(problems)


@contextmanager
def own_precision() -> Iterator[None]:
    """Keep `accelerate` from computing all of a model in the precision of a checked environment: a run has its own."""
    before = os.environ.get("ACCELERATE_MIXED_PRECISION")
    if before is None:
        yield
        return
    os.environ["ACCELERATE_MIXED_PRECISION"] = "no"
    try:
        yield
    finally:
        os.environ["ACCELERATE_MIXED_PRECISION"] = before


def check_command(command: str, environment: Mapping[str, str] | None = None) -> None:
    """Check that a launcher starts several processes only for a command that divides its work between them.

    Raises:
        UsageError: it starts them for another command, or their numbers do not fit together.
    """
    variables = os.environ if environment is None else environment
    size = variables.get("WORLD_SIZE", "")
    if command in ("train", "pretrain"):
        problems = list(_ranks(variables))
    elif "LOCAL_RANK" in variables and size not in ("", "1"):
        about = f"only `sltk train` and `sltk pretrain` run in several processes, not `sltk {command}`"
        problems = [_problem("WORLD_SIZE", size, about, "start it without `torchrun` or `accelerate launch`")]
    else:
        return
    if problems:
        raise UsageError(problems)


def _problem(name: str, value: str, message: str, *notes: str) -> Problem:
    return Problem(f"`{name}={value}`: {message}", notes=notes)


def is_on(value: str) -> bool:
    """Whether the value of an environment variable switches something on."""
    return value.strip().lower() in _ON


def _ranks(variables: Mapping[str, str]) -> Iterator[Problem]:
    """Numbers of processes that do not fit together."""
    found = {name: variables[name] for name in _LAUNCHER if variables.get(name)}
    numbers = {}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        if text := variables.get(name):
            if not text.isdecimal():
                yield _problem(name, text, "expected a whole number", _TORCHRUN)
                return
            numbers[name] = int(text)
    alone = numbers.get("WORLD_SIZE", 1) == 1 and numbers.get("RANK", 0) == 0
    if "LOCAL_RANK" not in numbers and alone:
        return
    if missing := [name for name in _LAUNCHER if name not in found]:
        shown = ", ".join(f"`{name}={value}`" for name, value in found.items())
        absent = ", ".join(f"`{name}`" for name in missing)
        about = f"{shown}: several processes also need {absent}"
        yield Problem(about, notes=(f"{_TORCHRUN}, or unset the variables to train in one process",))
    else:
        yield from _out_of_range(numbers)


def _out_of_range(numbers: Mapping[str, int]) -> Iterator[Problem]:
    local_size = numbers.get("LOCAL_WORLD_SIZE", numbers["WORLD_SIZE"])
    for name, of, size in (
        ("RANK", "WORLD_SIZE", numbers["WORLD_SIZE"]),
        ("LOCAL_RANK", "LOCAL_WORLD_SIZE", local_size),
    ):
        if numbers[name] >= size:
            shown = of if of in numbers else "WORLD_SIZE"
            yield _problem(name, str(numbers[name]), f"expected less than `{shown}={size}`", _TORCHRUN)
    if local_size > numbers["WORLD_SIZE"]:
        about = f"expected at most `WORLD_SIZE={numbers['WORLD_SIZE']}`"
        yield _problem("LOCAL_WORLD_SIZE", str(local_size), about, _TORCHRUN)


def _unconnected(variables: Mapping[str, str]) -> Iterator[Problem]:
    """Several tasks that a scheduler started, each of which would train alone and write the same run directory."""
    if "LOCAL_RANK" in variables:
        return
    for name in (*_MPI_SIZES, "SLURM_STEP_NUM_TASKS"):
        value = variables.get(name, "")
        if value.isdecimal() and int(value) > 1:
            yield _problem(
                name,
                value,
                f"{value} tasks were started, and each would train alone and write the same run directory",
                "start one task per machine (`srun --ntasks-per-node=1`), and in it "
                "`torchrun --nnodes … --nproc-per-node N -m sltk …`",
                f"runs that are independent: unset `{name}` in each task",
            )
            return
    if is_on(variables.get("ACCELERATE_USE_CPU", "")) and variables.get("MASTER_ADDR"):
        about = "`accelerate launch --cpu` starts one process, however many it is asked for"
        yield _problem("ACCELERATE_USE_CPU", variables["ACCELERATE_USE_CPU"], about, _TORCHRUN)


def _sharding(variables: Mapping[str, str]) -> Iterator[Problem]:
    """Ways to divide a model between processes that sltk does not support."""
    shown = set()
    for name, (what, key) in _SWITCHES.items():
        if is_on(variables.get(name, "")):
            shown.add(what)
            yield _refused(name, variables[name], what, key)
    if shown:
        return  # they come with variables of the families below
    for prefix, (what, key) in _FAMILIES.items():
        found = next(
            (name for name in sorted(variables) if name.startswith(prefix) and variables[name]), None
        )
        if found is not None:
            yield _refused(found, variables[found], what, key)


def _refused(name: str, value: str, what: str, key: str) -> Problem:
    about = f"`accelerate` is configured for {what}, which a run would not use as configured"
    return _problem(name, value, about, f"use `{key}` in the spec instead", _PLAIN)


def _contradictions(variables: Mapping[str, str], spec: SpecSettings) -> Iterator[Problem]:
    """Settings that specs have too, with another value."""
    precision = variables.get("ACCELERATE_MIXED_PRECISION", "").lower()
    if precision not in ("", "no", spec.precision):
        use = (
            f"`trainer.precision: {precision}`"
            if precision in ("bf16", "fp16")
            else "`trainer.precision: bf16`"
        )
        about = f"the spec has `trainer.precision: {spec.precision}`"
        name = "ACCELERATE_MIXED_PRECISION"
        yield _problem(name, variables[name], about, f"use {use} in the spec, and `--mixed_precision no`")
    for name, key, value in (
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "gradient_accumulation", spec.gradient_accumulation),
        ("ACCELERATE_GRADIENT_CLIPPING", "clip", spec.clip),
    ):
        text = variables.get(name, "")
        if text.lower() not in ("", "auto", "none") and _number(text) != value:
            shown = "null" if value is None else value
            about = f"the spec has `trainer.{key}: {shown}`"
            yield _problem(
                name, text, about, f"use `trainer.{key}: {text}` in the spec, or unset the variable"
            )
    backend = variables.get("ACCELERATE_DYNAMO_BACKEND", "")
    if backend.lower() not in ("", "no"):
        about = "sltk does not compile models: its packed batches differ in length"
        yield _problem("ACCELERATE_DYNAMO_BACKEND", backend, about, "use `--dynamo_backend no`")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _devices(variables: Mapping[str, str]) -> Iterator[Problem]:
    """Devices other than the one that sltk would choose."""
    gpus = "sltk trains on the GPU, or without one on the CPU"
    if device := variables.get("ACCELERATE_TORCH_DEVICE"):
        use = "choose a GPU with `CUDA_VISIBLE_DEVICES`"
        yield _problem("ACCELERATE_TORCH_DEVICE", device, gpus, use)
    for name in ("XLA_USE_BF16", "XLA_DOWNCAST_BF16", "ACCELERATE_DOWNCAST_BF16"):
        if is_on(variables.get(name, "")):
            yield _problem(name, variables[name], f"TPUs are not supported: {gpus}", "unset the variable")
    if variables.get("PJRT_DEVICE", "").upper() == "TPU":
        yield _problem("PJRT_DEVICE", "TPU", f"TPUs are not supported: {gpus}", "unset the variable")
    elif find_spec("torch_xla") and not _is_off(variables.get("USE_TORCH_XLA", "")):
        about = "the package `torch_xla` is installed, and `accelerate` would train on its devices"
        yield Problem(about, notes=("set `USE_TORCH_XLA=0`",))
    if is_on(variables.get("ACCELERATE_USE_SAGEMAKER", "")):
        kind = variables.get("ACCELERATE_SAGEMAKER_DISTRIBUTED_TYPE", "")
        if kind.upper() != "NO":
            about = "the parallelism of SageMaker is not supported"
            yield _problem("ACCELERATE_SAGEMAKER_DISTRIBUTED_TYPE", kind, about, "use `NO`, or `torchrun`")


def _is_off(value: str) -> bool:
    return value.strip().lower() in {"0", "false", "no", "off", "n", "f"}
