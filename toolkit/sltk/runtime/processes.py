"""The processes of a run: one, or as many as `torchrun` or `accelerate launch` started.

The launcher sets the rank of each process in its environment. All processes compute; only the main process writes
files and prints.

Processes are connected twice. Gradients go through the default group of torch. Everything else goes through the control
group, which exchanges Python objects on the CPU, and in which a process may wait for hours: while the main process
tokenizes a corpus, hashes a base model or writes a checkpoint, the others wait there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from ..errors import PeerError, Problem, RunError, UsageError

S = TypeVar("S")
T = TypeVar("T")

JOIN_TIMEOUT = timedelta(minutes=10)
"""How long the first process waits until the last one has started."""
GRADIENT_TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the gradients of another one: nothing but a forward pass and a backward pass."""
CONTROL_TIMEOUT = timedelta(hours=48)
"""How long a process waits for a step of the main process, such as tokenizing a corpus for pre-training."""

_control: Any = None
_is_abandoned = False


@dataclass(frozen=True)
class Departure:
    """The message of a process that fails to the others: its error, and the exit code of the run."""

    rank: int
    host: str
    error: str
    exit_code: int

    def as_error(self) -> PeerError:
        """The error that ends the other processes."""
        first_line = self.error.partition("\n")[0]
        return PeerError(
            f"rank {self.rank} ({self.host}) ended the run: {first_line}", self.exit_code, self.host
        )


def world_size() -> int:
    """The number of processes."""
    return max(1, _number("WORLD_SIZE", 1)) if is_launched() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return _number("RANK", 0) if is_launched() else 0


def local_rank() -> int:
    """The number of this process among those of this machine, from 0: that of its GPU."""
    return _number("LOCAL_RANK", 0)


def _number(name: str, default: int) -> int:
    """A variable of the launcher. `launch_settings` refuses odd values, and prints that error as one process."""
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default


def is_main_process() -> bool:
    """Whether this is the process that writes files and prints."""
    return rank() == 0


def is_launched() -> bool:
    """Whether a launcher started this process."""
    return "LOCAL_RANK" in os.environ


def connect() -> Any:
    """Select the GPU of this process, connect the processes, and return the control group; None without a launcher.

    Every later call only returns the group.

    Raises:
        UsageError: this machine has fewer GPUs than processes.
        RunError: another process did not start within `JOIN_TIMEOUT`.
    """
    global _control
    if not is_launched():
        return None
    import torch
    from torch import distributed

    if not distributed.is_initialized():
        if torch.cuda.is_available():
            _check_gpus(torch.cuda.device_count())
            torch.cuda.set_device(local_rank())
        _join()
        _control = None
    if _control is None:
        _control = distributed.new_group(backend="gloo", timeout=CONTROL_TIMEOUT)
    return _control


def _check_gpus(gpus: int) -> None:
    """Check that each process of this machine has a GPU of its own; all of its processes raise the same error."""
    here = _number("LOCAL_WORLD_SIZE", local_rank() + 1)
    if here > gpus:
        message = f"{here} processes were started on a machine with {gpus} GPU{'s' if gpus > 1 else ''}"
        note = f"start one process per GPU: `--nproc-per-node {gpus}`; CUDA_VISIBLE_DEVICES hides GPUs"
        raise UsageError(Problem(message, notes=(note,)))


def _join() -> None:
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    try:
        store, own, size = next(rendezvous("env://", timeout=JOIN_TIMEOUT))
        store = PrefixStore("sltk", store)
        distributed.init_process_group(
            backend(), store=store, rank=own, world_size=size, timeout=GRADIENT_TIMEOUT
        )
    except distributed.DistError as error:
        limit = f"{JOIN_TIMEOUT.total_seconds() / 60:.0f} minutes"
        about = f"{world_size()} processes did not connect within {limit}; this is rank {rank()}"
        raise RunError(f"{about}: {error}") from error


def store() -> Any:
    """The key-value store of the connected processes."""
    from torch.distributed import distributed_c10d

    return distributed_c10d._get_default_store()


def barrier() -> None:
    """Wait for all processes; the first call also connects them."""
    gather_objects(None)


def gather_objects(value: T) -> list[T]:
    """The value that each process has, by rank. All processes must call this, and it returns in all of them.

    Any value that can be pickled will do. Without a launcher, the list has the value of this process.

    Raises:
        PeerError: another process failed.
    """
    answers = exchange(value)
    departed = next((answer for answer in answers if isinstance(answer, Departure)), None)
    if departed is not None:
        raise departed.as_error()
    return answers


def abandon() -> None:
    """Record that other processes did not answer, so that nothing can be exchanged with them any more."""
    global _is_abandoned
    _is_abandoned = True


def exchange(value: Any) -> list[Any]:
    """What each process has to say: a value, or a `Departure` if it failed.

    Raises:
        RunError: an earlier run of these processes ended before all of them answered.
    """
    group = connect()
    if group is None:
        return [value]
    if _is_abandoned:
        raise RunError("an earlier run failed while other processes did not answer: start all of them again")
    from torch import distributed

    answers: list[Any] = [None] * world_size()
    distributed.all_gather_object(answers, value, group=group)
    return answers


def broadcast(value: T) -> T:
    """The value that the main process has. All processes must call this; what the others pass is ignored."""
    return gather_objects(value if is_main_process() else None)[0]  # type: ignore[return-value]


def divide(function: Callable[[S], T], items: Iterable[S]) -> Iterable[T]:
    """`map(function, items)`, of which each process computes a share. All processes must call this."""
    if world_size() == 1:
        return map(function, items)
    return _divided(function, items)


def _divided(function: Callable[[S], T], items: Iterable[S]) -> list[T]:
    size, count, results = world_size(), 0, []
    for count, item in enumerate(items, 1):
        if (count - 1) % size == rank():
            results.append(function(item))
    shares = gather_objects(results)
    return [shares[number % size][number // size] for number in range(count)]


def backend() -> str:
    """The communication backend for gradients."""
    import torch

    return "nccl" if torch.cuda.is_available() else "gloo"
