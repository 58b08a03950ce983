"""Generate responses for a batch of prompts, with a key-value cache and left padding.

The common prefix of the prompts (instruction, options, examples) is computed once and shared; rows leave the batch when
their response is complete. transformers' own attention is used here, since it supports caches. All blocks are causal,
so the results equal those of sltk's packed attention; `prove` verifies this.

Shapes: B rows per batch, L subwords per row, V subwords in the vocabulary.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, TemperatureLogitsWarper, TopPLogitsWarper

from ...errors import ModelError, Problem
from ...nn import mask_proof, probe_sentences
from ...nn.attention import NAME
from ...nn.kernel_choice import Choice
from ...nn.language_model import LanguageModel
from ...nn.packing import Packing
from ...spec.instruct_settings import Sampling
from .constraint import ConstrainedResponse, SpanConstraint


@dataclass(frozen=True)
class Request:
    """A prompt that needs a response."""

    ids: list[int]
    limit: int
    """Maximum number of subwords of the response, including its end."""
    seed: int = 0
    """Seed for sampling this response, so that it does not depend on the batch."""
    constraint: ConstrainedResponse | None = None
    """The responses that are allowed; None if any is."""


@dataclass
class _Row:
    """A response while it is generated."""

    request: Request
    random: torch.Generator
    ids: list[int] = field(default_factory=list)


class Generator:
    """Generates responses with a language model; its weights must not change, since the prefix is computed once.

    Args:
        network: the model.
        end: the subword that ends a response.
        prefix: the common prefix of the prompts; a batch with other prompts is computed without it.
        sampling: how responses are sampled; None to take the most probable subword each time.
    """

    def __init__(
        self, network: LanguageModel, end: int, prefix: Sequence[int] = (), sampling: Sampling | None = None
    ) -> None:
        self.network, self.end, self.prefix = network, end, list(prefix)
        self._model: Any = network.backbone.language_model
        self._device = next(network.parameters()).device
        self._warpers: list[Any] = []
        if sampling is not None:
            self._warpers = [TemperatureLogitsWarper(sampling.temperature), TopPLogitsWarper(sampling.top_p)]
        self._prefix_cache: Any = None
        """Keys and values of the prefix."""

    def generate(self, requests: Sequence[Request]) -> list[list[int]]:
        """The token ids of the response to each prompt, with the end token unless it reached the length limit."""
        rows = [_Row(request, torch.Generator().manual_seed(request.seed)) for request in requests]
        with attending_with_cache(self.network), torch.inference_mode():
            self._complete(rows)
        return [row.ids for row in rows]

    def _complete(self, rows: Sequence[_Row]) -> None:
        """Append subwords to all rows until they are complete."""
        requests = [row.request for row in rows]
        constraints = [request.constraint for request in requests if request.constraint is not None]
        constraint = SpanConstraint(constraints) if constraints else None
        cache, ids_BL, mask_BL = self._start(requests)
        while rows:
            scores_BV = forward(self.network, ids_BL, mask_BL, cache).float()
            last_B1 = ids_BL[:, -1:]
            if constraint is not None:
                scores_BV = constraint(last_B1, scores_BV)
            for row, number in zip(rows, self._choose(last_B1, scores_BV, rows), strict=True):
                row.ids.append(number)
            incomplete = [number for number, row in enumerate(rows) if not self._is_complete(row)]
            if len(incomplete) < len(rows):
                rows = [rows[number] for number in incomplete]
                if not rows:
                    return
                indices = torch.tensor(incomplete, device=self._device)
                cache.batch_select_indices(indices)
                mask_BL = mask_BL[indices]
                if constraint is not None:
                    constraint.keep(incomplete)
            ids_BL = torch.tensor([row.ids[-1:] for row in rows], device=self._device)
            mask_BL = torch.cat([mask_BL, mask_BL.new_ones(len(rows), 1)], dim=1)

    def _is_complete(self, row: _Row) -> bool:
        return row.ids[-1] == self.end or len(row.ids) >= row.request.limit

    def _choose(self, ids_BL: Tensor, scores_BV: Tensor, rows: Sequence[_Row]) -> list[int]:
        """The next subword of each row."""
        if not self._warpers:
            return list(scores_BV.argmax(-1).tolist())
        for warper in self._warpers:
            scores_BV = warper(ids_BL, scores_BV)
        sums_BV = scores_BV.softmax(-1).cpu().cumsum(-1)
        random_B1 = torch.stack([torch.rand(1, generator=row.random) for row in rows])
        chosen_B1 = torch.searchsorted(sums_BV, random_B1 * sums_BV[:, -1:], right=True)
        return list(chosen_B1.clamp(max=sums_BV.shape[1] - 1)[:, 0].tolist())

    def _start(self, requests: Sequence[Request]) -> tuple[Any, Tensor, Tensor]:
        """The cache, the subwords that it does not contain, and the attention mask."""
        shared = len(self.prefix) if self._shares_prefix(requests) else 0
        cache = self._cache(len(requests)) if shared else DynamicCache(config=self._model.config)
        ids_BL, mask_BL = left_padded([request.ids[shared:] for request in requests], self.end, self._device)
        return cache, ids_BL, torch.cat([mask_BL.new_ones(len(requests), shared), mask_BL], dim=1)

    def _shares_prefix(self, requests: Sequence[Request]) -> bool:
        """Whether all prompts start with the prefix, and no sliding window counts the padding after it."""
        size = len(self.prefix)
        if not size or any(r.ids[:size] != self.prefix or len(r.ids) == size for r in requests):
            return False
        window = getattr(self._model.config, "sliding_window", None)
        longest = max(len(request.ids) for request in requests) + max(request.limit for request in requests)
        return not window or longest < window

    def _cache(self, rows: int) -> Any:
        """A cache of this many rows that contains the prefix."""
        if self._prefix_cache is None:
            self._prefix_cache = DynamicCache(config=self._model.config)
            ids_1L = torch.tensor([self.prefix], device=self._device)
            forward(self.network, ids_1L, torch.ones_like(ids_1L), self._prefix_cache)
        cache = copy.deepcopy(self._prefix_cache)
        cache.batch_repeat_interleave(rows)
        return cache


def left_padded(rows: Sequence[Sequence[int]], padding: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows of equal length [B, L], with padding at the start, and a mask that is 0 for padding."""
    length = max(map(len, rows))
    ids = [[padding] * (length - len(row)) + list(row) for row in rows]
    mask = [[0] * (length - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def forward(network: LanguageModel, ids_BL: Tensor, mask_BM: Tensor, cache: Any) -> Tensor:
    """[B, V]: scores of the subword after the last one; `mask_BM` covers the cache too."""
    model: Any = network.backbone.language_model
    positions_BL = (mask_BM.cumsum(-1) - 1).clamp(min=0)[:, -ids_BL.shape[1] :]
    options = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    with network.backbone.computing():
        logits: Tensor = model(
            input_ids=ids_BL, attention_mask=mask_BM, position_ids=positions_BL, past_key_values=cache, use_cache=True,
            **options,
        ).logits  # fmt: skip
    return logits[:, -1]


@contextmanager
def attending_with_cache(network: LanguageModel) -> Iterator[None]:
    """Switch to an attention function of transformers that supports caches, and to evaluation mode."""
    model: Any = network.backbone.language_model
    was_training = network.training
    soft_cap = getattr(model.config, "attn_logit_softcapping", None)
    name = "sdpa" if model._supports_sdpa and soft_cap is None else "eager"
    network.eval()
    model.set_attn_implementation(name)
    network.backbone.kernels.add("generation", Choice(name, "keys and values are in a cache", False))
    try:
        yield
    finally:
        model.set_attn_implementation(NAME)
        network.train(was_training)


def prove(network: LanguageModel) -> float:
    """Check that generation with padding and a cache gives the scores of packed training; return the difference.

    Raises:
        ModelError: the scores differ, so generation would not match training.
    """
    model: Any = network.backbone.language_model
    was_training = network.training
    ids_T = probe_sentences.token_ids(model)
    rows = [ids_T[:5].tolist(), ids_T[5:].tolist()]
    with torch.inference_mode():
        network.eval()
        last_N = torch.tensor([4, len(ids_T) - 1], device=ids_T.device)
        vectors_TH = network.backbone(ids_T, Packing.of_lengths([len(row) for row in rows]))
        packed_BV = network.scores(vectors_TH.index_select(0, last_N))
        network.train(was_training)
        with attending_with_cache(network):
            cache = DynamicCache(config=model.config)
            ids_BL, mask_BL = left_padded([row[:-1] for row in rows], rows[0][0], ids_T.device)
            forward(network, ids_BL, mask_BL, cache)
            last_B1 = torch.tensor([row[-1:] for row in rows], device=ids_T.device)
            mask_BL = torch.cat([mask_BL, mask_BL.new_ones(2, 1)], dim=1)
            cached_BV = forward(network, last_B1, mask_BL, cache)
    network.backbone.kernels.clear()  # which names those of training and generation
    difference = mask_proof.relative_difference(cached_BV, packed_BV)
    if not difference <= mask_proof.tolerance(network.backbone):
        about = (
            f"the family `{model.config.model_type}` generates with scores that differ by {difference:.1%} "
            "from those in training"
        )
        raise ModelError(Problem(about, path="backbone.name"))
    return difference
