"""The processes of one run: one, or as many as `torchrun` or `accelerate launch` started.

A launcher tells each process its place in the environment. All of them compute; the first one writes and talks.
"""

from __future__ import annotations

import os


def world_size() -> int:
    """How many there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process writes files and talks."""
    return int(os.environ.get("RANK", "0")) == 0


def is_launched() -> bool:
    """Whether a launcher started this process."""
    return "LOCAL_RANK" in os.environ


def barrier() -> None:
    """Wait until every process is here; the first time, take this process's GPU and open the connection."""
    if not is_launched():
        return
    import torch
    from torch import distributed

    if not distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group(backend())
    distributed.barrier()


def backend() -> str:
    """What carries gradients between the processes."""
    import torch

    return "nccl" if torch.cuda.is_available() else "gloo"
