"""Puts our attention under a model, or finds out why that cannot be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

from ...errors import ModelError, Problem
from ...nn import probe, proof
from ...nn.attention import NAME
from ...nn.backbone import BuildContext, PackedBackbone, Proof
from ...nn.mask_flags import UnsuitableError, assign_flags, attention_modules
from ...nn.packing import Packing

if TYPE_CHECKING:
    from .pretrained import PretrainedBackbone

_FOREIGN_FAILURES = (
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    AttributeError,
    IndexError,
    NotImplementedError,
)
"""What a family's own code raises when it is called in a way that it does not know."""


def masked(
    model: Any, tokenizer: Any, flags: tuple[bool, ...], spec: PretrainedBackbone, context: BuildContext
) -> PackedBackbone:
    """The model on packed sentences, every block obeying its flag.

    An encoder that cannot have this runs as it is, on padded batches, if its mask is its own.

    Raises:
        ModelError: the family cannot have this mask, or does not obey it.
    """
    model.config.use_cache = False
    backbone = PackedBackbone(model.eval(), tokenizer, flags)
    is_encoder = spec.type_name == "encoder"
    try:
        _put_under(backbone, spec, context, own=is_encoder)
    except UnsuitableError as error:
        if not (is_encoder and all(flags)):
            raise ModelError(_cannot(model, spec, str(error))) from error
        _run_as_it_is(backbone, context)
    return backbone


def _put_under(
    backbone: PackedBackbone, spec: PretrainedBackbone, context: BuildContext, *, own: bool
) -> None:
    model: Any = backbone.model
    try:
        model.set_attn_implementation(NAME)
        modules = attention_modules(backbone)
    except torch.OutOfMemoryError:
        raise
    except _FOREIGN_FAILURES as error:
        raise UnsuitableError(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}") from error
    assign_flags(modules, backbone.flags, drop_window=spec.unmask_window == "drop")
    if context.prove:
        backbone.proof = proof.prove(backbone, modules, own=own)


def _cannot(model: Any, spec: PretrainedBackbone, reason: str) -> Problem:
    return Problem(
        f"the family `{model.config.model_type}` cannot be unmasked block by block: {reason}",
        path="backbone.unmask" if spec.type_name == "encoder" else "backbone.name",
        notes=("families that can: docs/reference/families.md",),
    )


def _run_as_it_is(backbone: PackedBackbone, context: BuildContext) -> None:
    """Let an encoder run on padded batches, having seen that padding changes nothing.

    Raises:
        ModelError: it cannot be run so, or padding leaks into its sentences.
    """
    model: Any = backbone.model
    begun = time.perf_counter()
    model.set_attn_implementation("eager")
    backbone.packs = False
    family = f"the family `{model.config.model_type}`"
    if not context.prove:
        return
    ids_T = probe.token_ids(model)
    try:
        with torch.inference_mode():
            together_TH = backbone(ids_T, probe.PACKING)
            alone_TH = torch.cat(
                [backbone(ids_T[:5], Packing.of_lengths((5,))), backbone(ids_T[5:], Packing.of_lengths((3,)))]
            )
    except _FOREIGN_FAILURES as error:
        raise ModelError(
            Problem(f"{family} cannot be run as an encoder: {error}", path="backbone.name")
        ) from error
    difference = proof.relative_difference(together_TH, alone_TH)
    if not difference <= proof.tolerance(model):
        raise ModelError(
            Problem(
                f"{family} does not leave padding out: {difference:.1%} of its output is padding's",
                path="backbone.name",
            )
        )
    blocks = list(range(len(backbone.flags)))
    seconds = round(time.perf_counter() - begun, 3)
    backbone.proof = Proof(len(blocks), blocks, 0, difference, seconds, packed=False)
