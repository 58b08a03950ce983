"""Shards: each process holds its part of the weights of a backbone (torch's FSDP2, `fully_shard`).

The matrices of a block are gathered before the block computes, forwards and backwards, and freed afterwards; gradients
are averaged over the processes, and each keeps those of its part. The optimizer then updates and stores its part only.
Vectors, head and aligner are small, and stay whole in every process.

Every function here that returns or takes full weights must be called by all processes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from ..errors import ModelError, Problem, RunError
from ..runtime import processes
from ..types import Precision
from . import autocast
from .backbone import PackedBackbone
from .fused import autocast_modules

_PATH = "trainer.sharding"
Mesh = Any


def build_sharded(
    build: Callable[[], PackedBackbone], device: torch.device, precision: Precision
) -> PackedBackbone:
    """Build a backbone in main memory, move the part of this process to `device`, and prove its mask there.

    The processes of one machine build one after another, so that it holds one full copy of the weights at a time. On
    the device, no more than one block is complete at a time.

    Args:
        build: builds the whole backbone in main memory, in fp32.
        device: where this process computes.
        precision: the number format of its products.

    Raises:
        ModelError: the model cannot be sharded, or not in this precision, or the mask does not hold.
        RunError: the model could not be built in another process, or it has other weights there.
    """
    compute_dtype = autocast.autocast_dtype(precision, device)
    if precision != "fp32" and compute_dtype is None:
        about = f"sharded models compute in fp32 on a {device.type.upper()}, not in {precision}"
        raise ModelError(Problem(about, path="trainer.precision"))
    processes.connect()
    mesh = init_device_mesh(device.type, (processes.world_size(),))
    backbone = _in_turns(lambda: _split(build(), mesh, compute_dtype))
    backbone.precision = precision
    if backbone.prove is not None:
        with warnings.catch_warnings():
            # The proof reads the hidden states that the model returns, and changes none in place.
            warnings.filterwarnings("ignore", message="FSDP2-wrapped module", category=UserWarning)
            backbone.proof = backbone.prove()
    return backbone


def _in_turns(build: Callable[[], tuple[PackedBackbone, float]]) -> PackedBackbone:
    """Build in one process of each machine after another, then check that all have read the same weights."""
    built: tuple[PackedBackbone, float] | None = None
    error: Exception | None = None
    for turn in range(max(processes.gather_objects(processes.local_rank())) + 1):
        if turn == processes.local_rank():
            try:
                built = build()
            except Exception as caught:  # raised below: the other processes wait for this turn to end
                error = caught
        processes.barrier()
    sizes = processes.gather_objects(None if built is None else built[1])
    if error is not None:
        raise error
    if built is None or None in sizes:
        raise RunError(f"process {sizes.index(None)} could not build the model; it says why")
    if not all(math.isclose(size, sizes[0], rel_tol=1e-9) for size in sizes):  # type: ignore[arg-type]
        raise RunError("the processes have read different weights: give every machine the same model")
    return built[0]


def _split(
    backbone: PackedBackbone, mesh: Mesh, compute_dtype: torch.dtype | None
) -> tuple[PackedBackbone, float]:
    """Keep the part of this process; also returns the sum of the absolute values of all weights.

    With `compute_dtype`, the weights of blocks are gathered in it: autocast would keep a copy of all of them until the
    backward pass. Vectors, such as those of norms, stay whole and in float32, so that autocast computes with the same
    numbers as in a model that is not sharded.
    """
    model = backbone.model
    norms = [torch.linalg.vector_norm(p.detach(), 1, dtype=torch.float64) for p in model.parameters()]
    blocks = _blocks(backbone)
    if compute_dtype is not None:
        autocast_modules.prepare(model, compute_dtype)  # which tries layers one by one
    vectors = {parameter for parameter in model.parameters() if parameter.dim() < 2}
    for parameter in vectors:
        parameter.data = parameter.data.to(mesh.device_type)
    options: dict[str, Any] = {"mesh": mesh, "reshard_after_forward": True, "ignored_params": vectors}
    policy = MixedPrecisionPolicy(
        param_dtype=compute_dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for block in blocks:
        fully_shard(block, mp_policy=policy, **options)
    stock = type(model)
    fully_shard(model, **options)
    model.__class__ = stock  # transformers looks models up by their class; the work is done by hooks
    return backbone, float(torch.stack(norms).sum())


def _blocks(backbone: PackedBackbone) -> list[nn.Module]:
    """The blocks of a transformers model, each of which is gathered on its own.

    Raises:
        ModelError: they cannot be told apart, or share weights.
    """
    model: Any = backbone.model
    count = int(model.config.num_hidden_layers)
    lists = [part for part in model.modules() if isinstance(part, nn.ModuleList) and len(part) == count]
    blocks = list(max(lists, key=lambda part: sum(p.numel() for p in part.parameters()), default=()))
    names = [id(p) for block in blocks for p in block.parameters()]
    if not blocks or not backbone.packs or len(set(names)) < len(names):
        reason = (
            "its blocks share weights, or cannot be told apart" if backbone.packs else "it pads its batches"
        )
        message = f"models of the family `{model.config.model_type}` cannot be sharded: {reason}"
        raise ModelError(Problem(message, path=_PATH, notes=("leave out `sharding`",)))
    return blocks


def is_sharded(network: nn.Module) -> bool:
    """Whether this process holds only a part of the weights."""
    return any(isinstance(parameter, DTensor) for parameter in network.parameters())


def full(value: Tensor) -> Tensor:
    """A whole tensor in main memory, whether it is sharded or not."""
    value = value.detach()
    return (value.full_tensor() if isinstance(value, DTensor) else value).cpu()


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """The same tensor, sharded like `like`; each process takes its part of what it was given."""
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


@torch.no_grad()
def assign(parameter: Tensor, value: Tensor) -> None:
    """Copy a whole tensor to a parameter, or its part if the parameter is sharded."""
    if isinstance(parameter, DTensor):
        parameter.to_local().copy_(part_of(value, parameter).to_local())  # type: ignore[attr-defined]
    else:
        parameter.copy_(value)


def whole(network: nn.Module) -> list[nn.Parameter]:
    """The weights that are whole in every process."""
    return [parameter for parameter in network.parameters() if not isinstance(parameter, DTensor)]


def collect(network: nn.Module, *, frozen: bool, keep: bool) -> None:
    """Replace shards by whole weights in main memory where `keep` is True; the network then can only be saved.

    Args:
        network: the trained network.
        frozen: whether to collect frozen weights too.
        keep: whether this process saves the network.
    """
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if isinstance(parameter, DTensor) and (frozen or parameter.requires_grad):
                complete = full(parameter)
                if keep:
                    module._parameters[name] = nn.Parameter(complete, requires_grad=parameter.requires_grad)


__all__ = [
    "assign", "build_sharded", "collect", "full", "is_sharded", "part_of", "whole",
]  # fmt: skip
