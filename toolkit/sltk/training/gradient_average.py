"""The mean of the gradients of all processes, once per update.

DistributedDataParallel exchanges gradients while the last backward pass of an update runs. Then a process whose memory
runs out in that pass leaves the others with half of its gradients, and parameters without a gradient in one process
(experts without a token) are an error. Here every process first finishes its passes, however many they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ..runtime import processes

_BUCKET = 2**24
"""Numbers per message: large enough to be fast, small enough to need little memory."""


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace each gradient by the mean over all processes. All processes must call this with the same parameters.

    A parameter without a gradient here counts as zero; one without a gradient anywhere keeps none.
    """
    from torch import distributed

    present = processes.gather_objects([p.grad is not None for p in parameters])
    gradients = []
    for parameter, *has in zip(parameters, *present, strict=True):
        if any(has):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.flatten() for gradient in bucket]).div_(processes.world_size())
        distributed.all_reduce(flat)
        means = torch.split(flat, [gradient.numel() for gradient in bucket])
        for gradient, mean in zip(bucket, means, strict=True):
            gradient.copy_(mean.view_as(gradient))


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Groups of consecutive gradients of one dtype, of at most `_BUCKET` numbers or one gradient."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        size = sum(each.numel() for each in bucket) + gradient.numel()
        if bucket and (gradient.dtype != bucket[0].dtype or size > _BUCKET):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
