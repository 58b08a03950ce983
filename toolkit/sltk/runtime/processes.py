"""The processes of a run: one, or as many as `torchrun` or `accelerate launch` started.

The launcher sets the rank of each process in its environment. All processes compute; only the main process writes
files and prints.
"""

from __future__ import annotations

import os


def world_size() -> int:
    """The number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this is the process that writes files and prints."""
    return int(os.environ.get("RANK", "0")) == 0


def is_launched() -> bool:
    """Whether a launcher started this process."""
    return "LOCAL_RANK" in os.environ


def barrier() -> None:
    """Wait for all processes; the first call also selects the GPU of this process and connects the processes."""
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
    """The communication backend for gradients."""
    import torch

    return "nccl" if torch.cuda.is_available() else "gloo"
