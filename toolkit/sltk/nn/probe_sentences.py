"""A batch of two tiny sentences, run through a model to learn how its attention behaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .attention import NAME
from .packing import Packing

LENGTHS = (5, 3)
"""Tokens of the two sentences; there are two so that leaks between sentences show."""
FIRST, SECOND = slice(0, 5), slice(5, 8)
"""The layout of the packed batch."""
PACKING = Packing.of_lengths(LENGTHS)


def token_ids(model: Any, count: int = sum(LENGTHS)) -> Tensor:
    """Token ids of both sentences, or of others, [count], spread over the vocabulary; none of them is padding."""
    weight = model.get_input_embeddings().weight
    size, padding = weight.shape[0], getattr(model.config, "pad_token_id", None)
    usable = [number for number in range(min(3, size - 1), size) if number != padding] or [0]
    return torch.tensor([usable[11 * i % len(usable)] for i in range(count)], device=weight.device)


@contextmanager
def recorded_calls() -> Iterator[list[tuple[nn.Module, int | None]]]:
    """Record each call of the registered attention function: the calling module and its sliding window."""
    calls: list[tuple[nn.Module, int | None]] = []
    registered = ALL_ATTENTION_FUNCTIONS[NAME]

    def recording(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        calls.append((module, kwargs.get("sliding_window")))
        return registered(module, *args, **kwargs)

    AttentionInterface.register(NAME, recording)
    try:
        yield calls
    finally:
        AttentionInterface.register(NAME, registered)
