"""A trained tagger in plain form: float32, merged adapters, the modules of transformers, and the mask of the run."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel
from transformers.initialization import no_init_weights

from ..errors import ModelError
from ..models.tagger_model import TaggerModel
from ..nn import adapter_merging, attention
from ..nn.backbone import PackedBackbone
from ..nn.mask_flags import MaskSwitch
from ..nn.tagger import Tagger

_BY_LENGTH = ("longrope", "dynamic")
"""Rotary embeddings whose rotations change for texts beyond a certain length."""


def merged_network(model: TaggerModel) -> Tagger:
    """A copy of the network on the CPU, with merged and dequantized weights in float32, that shares no module with it.

    Raises:
        ModelError: weights of the model are missing.
    """
    trained = model.network.backbone
    config, state = adapter_merging.plain_weights(trained.model)
    config.dtype = torch.float32
    with no_init_weights():
        stock: Any = AutoModel.from_config(config, attn_implementation="eager", trust_remote_code=False)
    _load(stock, state)
    _fix_rotations(stock)
    backbone = PackedBackbone(stock, trained.tokenizer, trained.flags, trained.packs)
    backbone.copies, backbone.window = trained.copies, trained.window
    if backbone.packs:
        stock.set_attn_implementation(attention.NAME)
        MaskSwitch(backbone, drop_window=getattr(model.backbone, "unmask_window", "keep") == "drop")
    aligner, head = copy.deepcopy(model.network.aligner).cpu(), copy.deepcopy(model.network.head).cpu()
    network = Tagger(backbone, aligner, head).eval()
    network.requires_grad_(requires_grad=False)
    return network


def _load(stock: Any, state: dict[str, Tensor]) -> None:
    floats = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    missing = stock.load_state_dict(floats, strict=False, assign=True).missing_keys
    if missing:
        raise ModelError(f"the merged weights lack {', '.join(missing[:3])}")
    stock.tie_weights()
    stock.config.use_cache = False


def _fix_rotations(stock: Any) -> None:
    """Keep the rotations of short texts: a graph cannot choose them by length. See `longest`."""
    for module in stock.modules():
        kind = getattr(module, "rope_type", None)
        if isinstance(kind, dict):
            module.rope_type = {
                layer: "default" if each in _BY_LENGTH else each for layer, each in kind.items()
            }
        elif kind in _BY_LENGTH:
            module.rope_type = "default"


def longest(config: Any) -> int | None:
    """Number of subwords up to which `merged_network` equals the model, if its rotations depend on the length."""
    ropes = getattr(config, "rope_parameters", None) or {}
    by_length = [
        rope
        for rope in (ropes, *(value for value in ropes.values() if isinstance(value, dict)))
        if rope.get("rope_type") in _BY_LENGTH
    ]
    limits = [
        rope.get("original_max_position_embeddings") or config.max_position_embeddings for rope in by_length
    ]
    return min(limits, default=None)
