"""The processes of a run: one, or as many as `torchrun` or `accelerate launch` started.

The launcher sets the rank of each process in its environment. All processes compute; only the main process writes
files and prints.

Processes are connected twice. Gradients go through the default group of torch. Everything else goes through the control
group, which exchanges Python objects on the CPU, and in which a process may wait for hours: while the main process
tokenizes a corpus, hashes a base model or writes a checkpoint, the others wait there.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")

JOIN_TIMEOUT = timedelta(minutes=10)
"""How long the first process waits until the last one has started."""
GRADIENT_TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the gradients of another one: nothing but a forward pass and a backward pass."""
CONTROL_TIMEOUT = timedelta(hours=48)
"""How long a process waits for a step of the main process, such as tokenizing a corpus for pre-training."""

_control: Any = None


def world_size() -> int:
    """The number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """The number of this process among those of this machine, from 0: that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


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
        RuntimeError: another process did not start within `JOIN_TIMEOUT`.
    """
    global _control
    if not is_launched():
        return None
    import torch
    from torch import distributed

    if not distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(local_rank())
        store, own, size = next(distributed.rendezvous("env://", timeout=JOIN_TIMEOUT))
        store = distributed.PrefixStore("sltk", store)
        distributed.init_process_group(
            backend(), store=store, rank=own, world_size=size, timeout=GRADIENT_TIMEOUT
        )
        _control = None
    if _control is None:
        _control = distributed.new_group(backend="gloo", timeout=CONTROL_TIMEOUT)
    return _control


def barrier() -> None:
    """Wait for all processes; the first call also connects them."""
    gather_objects(None)


def gather_objects(value: T) -> list[T]:
    """The value that each process has, by rank. All processes must call this, and it returns in all of them.

    Any value that can be pickled will do. Without a launcher, the list has the value of this process.
    """
    group = connect()
    if group is None:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value, group=group)
    return values


def broadcast(value: T) -> T:
    """The value that the main process has. All processes must call this; what the others pass is ignored."""
    return gather_objects(value if is_main_process() else None)[0]  # type: ignore[return-value]


def backend() -> str:
    """The communication backend for gradients."""
    import torch

    return "nccl" if torch.cuda.is_available() else "gloo"
