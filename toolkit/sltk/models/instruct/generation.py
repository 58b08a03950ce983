"""Responses for many prompts at once: key-value cache, left padding, rows that leave when they are done.

What all prompts begin with (instruction, options, examples) is computed once and shared. Attention is
transformers' own here, which knows caches; the blocks are causal, so that it computes what ours does: `prove` looks.

B rows of a batch, L subwords of a row, V subwords there are.
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
from ...nn import probe, proof
from ...nn.attention import NAME
from ...nn.language_model import LanguageModel
from ...nn.packing import Packing
from ...spec.instruct_settings import Sampling
from .constraint import SpanConstraint, Walk


@dataclass(frozen=True)
class Request:
    """A prompt that is to be answered."""

    ids: list[int]
    room: int
    """Most subwords of the response, its end among them."""
    seed: int = 0
    """Of the response, where it is drawn: it does not depend on the batch."""
    walk: Walk | None = None
    """What the response may be; None: anything."""


@dataclass
class _Row:
    """A response in the making."""

    request: Request
    position: int
    """In the batch as it was given."""
    ids: list[int] = field(default_factory=list)
    random: torch.Generator = field(default_factory=torch.Generator)


class Generator:
    """Writes responses with a language model whose weights stay as they are: the prefix is read once.

    Args:
        network: the model.
        end: the subword that ends a response.
        prefix: what prompts begin with; prompts that do not are computed whole.
        sampling: how responses are drawn; None: the most probable subword each time.
    """

    def __init__(
        self, network: LanguageModel, end: int, prefix: Sequence[int] = (), sampling: Sampling | None = None
    ) -> None:
        self.network, self.end, self.prefix = network, end, list(prefix)
        self._whole = whole_of(network)
        self._warpers: list[Any] = []
        self._draws = sampling is not None
        if sampling is not None:
            self._warpers = [TemperatureLogitsWarper(sampling.temperature), TopPLogitsWarper(sampling.top_p)]
        self._shared: Any = None
        """Keys and values of the prefix."""

    def generate(self, requests: Sequence[Request]) -> list[list[int]]:
        """The response to each prompt: with its end, or without where it ran out of room."""
        responses: list[list[int]] = [[] for _ in requests]
        with attending_with_cache(self.network), torch.inference_mode():
            for row in self._rows(requests):
                responses[row.position] = row.ids
        return responses

    def _rows(self, requests: Sequence[Request]) -> Iterator[_Row]:
        """Each response as soon as it is done."""
        rows = [_Row(request, position) for position, request in enumerate(requests)]
        for row in rows:
            row.random.manual_seed(row.request.seed)
        constraint = _constraint(requests)
        cache, ids_BL, mask_BL = self._begin(requests)
        while rows:
            scores_BV = forward(self._whole, ids_BL, mask_BL, cache).float()
            last_B1 = ids_BL[:, -1:]
            if constraint is not None:
                scores_BV = constraint(last_B1, scores_BV)
            chosen = self._choose(last_B1, scores_BV, rows)
            for row, number in zip(rows, chosen, strict=True):
                row.ids.append(number)
            going_on = [number for number, row in enumerate(rows) if not self._is_done(row)]
            yield from (row for row in rows if self._is_done(row))
            if len(going_on) < len(rows):
                rows = [rows[number] for number in going_on]
                if not rows:
                    return
                kept = torch.tensor(going_on, device=mask_BL.device)
                cache.batch_select_indices(kept)
                mask_BL = mask_BL[kept]
                if constraint is not None:
                    constraint.keep(going_on)
            ids_BL = torch.tensor([[row.ids[-1]] for row in rows], device=mask_BL.device)
            mask_BL = torch.cat([mask_BL, mask_BL.new_ones(len(rows), 1)], dim=1)

    def _is_done(self, row: _Row) -> bool:
        return row.ids[-1] == self.end or len(row.ids) >= row.request.room

    def _choose(self, ids_BL: Tensor, scores_BV: Tensor, rows: Sequence[_Row]) -> list[int]:
        """The next subword of each row."""
        if not self._draws:
            return list(scores_BV.argmax(-1).tolist())
        for warper in self._warpers:
            scores_BV = warper(ids_BL, scores_BV)
        sums_BV = scores_BV.softmax(-1).cpu().cumsum(-1)
        drawn_B1 = torch.stack([torch.rand(1, generator=row.random) for row in rows])
        picked_B1 = torch.searchsorted(sums_BV, drawn_B1 * sums_BV[:, -1:], right=True)
        return list(picked_B1.clamp(max=sums_BV.shape[1] - 1)[:, 0].tolist())

    def _begin(self, requests: Sequence[Request]) -> tuple[Any, Tensor, Tensor]:
        """The cache, what is still to be read, and which of the row's positions are real."""
        prompts = [request.ids for request in requests]
        shared = len(self.prefix) if self._may_share(requests) else 0
        whole = self._whole
        cache = self._shared_cache(len(requests)) if shared else DynamicCache(config=whole.config)
        device = whole.get_input_embeddings().weight.device
        ids_BL, mask_BL = left_padded([ids[shared:] for ids in prompts], self.end, device)
        return cache, ids_BL, torch.cat([mask_BL.new_ones(len(prompts), shared), mask_BL], dim=1)

    def _may_share(self, requests: Sequence[Request]) -> bool:
        """Whether all prompts begin alike, and no window would count the padding between beginning and rest."""
        size = len(self.prefix)
        if not size or any(r.ids[:size] != self.prefix or len(r.ids) == size for r in requests):
            return False
        window = getattr(self._whole.config, "sliding_window", None)
        longest = max(len(request.ids) for request in requests) + max(request.room for request in requests)
        return not window or longest < window

    def _shared_cache(self, rows: int) -> Any:
        if self._shared is None:
            whole = self._whole
            self._shared = DynamicCache(config=whole.config)
            ids_1L = torch.tensor([self.prefix], device=whole.get_input_embeddings().weight.device)
            forward(self._whole, ids_1L, torch.ones_like(ids_1L), self._shared)
        cache = copy.deepcopy(self._shared)
        cache.batch_repeat_interleave(rows)
        return cache


def _constraint(requests: Sequence[Request]) -> SpanConstraint | None:
    walks = [request.walk for request in requests if request.walk is not None]
    return SpanConstraint(walks) if walks else None


def left_padded(rows: Sequence[Sequence[int]], padding: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows of one length [B, L], padding first, and a mask that is 1 where there is none."""
    length = max(map(len, rows))
    ids = [[padding] * (length - len(row)) + list(row) for row in rows]
    mask = [[0] * (length - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def forward(whole: Any, ids_BL: Tensor, mask_BM: Tensor, cache: Any) -> Tensor:
    """[B, V]: scores of what comes after the last subword; `mask_BM` is about the cache too."""
    positions_BL = (mask_BM.cumsum(-1) - 1).clamp(min=0)[:, -ids_BL.shape[1] :]
    keeps = "logits_to_keep" in inspect.signature(type(whole).forward).parameters
    out = whole(
        input_ids=ids_BL, attention_mask=mask_BM, position_ids=positions_BL, past_key_values=cache,
        use_cache=True, **({"logits_to_keep": 1} if keeps else {}),
    )  # fmt: skip
    return out.logits[:, -1]  # type: ignore[no-any-return]


def whole_of(network: LanguageModel) -> Any:
    """The transformers model with its output embedding; it shares the weights of the backbone."""
    return network.backbone.language_model


@contextmanager
def attending_with_cache(network: LanguageModel) -> Iterator[None]:
    """Inside, the model attends by a function of transformers that knows caches, and is not in training."""
    whole, was_training = whole_of(network), network.training
    capped = getattr(whole.config, "attn_logit_softcapping", None)
    network.eval()
    whole.set_attn_implementation("sdpa" if whole._supports_sdpa and capped is None else "eager")
    try:
        yield
    finally:
        whole.set_attn_implementation(NAME)
        network.train(was_training)


def prove(network: LanguageModel) -> float:
    """See that a padded row, read in two parts with a cache, gives what packed training gives; how far it is off.

    Raises:
        ModelError: it does not: such a model would be used otherwise than it was trained.
    """
    whole, was_training = whole_of(network), network.training
    ids_T = probe.token_ids(whole)
    rows = [ids_T[:5].tolist(), ids_T[5:].tolist()]
    with torch.inference_mode():
        network.eval()
        at_N = torch.tensor([4, len(ids_T) - 1], device=ids_T.device)
        vectors_TH = network.backbone(ids_T, Packing.of_lengths([len(row) for row in rows]))
        packed_BV = network.scores(vectors_TH.index_select(0, at_N))
        network.train(was_training)
        with attending_with_cache(network):
            cache = DynamicCache(config=whole.config)
            ids_BL, mask_BL = left_padded([row[:-1] for row in rows], rows[0][0], ids_T.device)
            forward(whole, ids_BL, mask_BL, cache)
            last_B1 = torch.tensor([row[-1:] for row in rows], device=ids_T.device)
            mask_BL = torch.cat([mask_BL, mask_BL.new_ones(2, 1)], dim=1)
            cached_BV = forward(whole, last_B1, mask_BL, cache)
    difference = proof.relative_difference(cached_BV, packed_BV)
    if not difference <= proof.tolerance(whole):
        family = whole.config.model_type
        about = f"the family `{family}` generates {difference:.1%} off what it is trained to"
        raise ModelError(Problem(about, path="backbone.name"))
    return difference
