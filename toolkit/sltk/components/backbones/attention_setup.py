"""Run a model on sltk's attention with its mask, or find out why it cannot."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ... import masks
from ...errors import ModelError, Problem
from ...nn import autocast, copy_proof, mask_proof, probe_sentences, window_proof
from ...nn.attention import NAME
from ...nn.backbone import BuildContext, PackedBackbone, Proof
from ...nn.mask_flags import UnsuitableError, assign_flags, attention_modules, is_bidirectional
from ...nn.packing import Packing

if TYPE_CHECKING:
    from .pretrained import PretrainedBackbone

_MODEL_ERRORS = (
    ValueError, KeyError, TypeError, RuntimeError, AttributeError, IndexError, NotImplementedError,
    AssertionError,
)  # fmt: skip
"""Exceptions raised by the code of a family that does not support the call."""


def apply_mask(
    model: Any, tokenizer: Any, flags: tuple[bool, ...], spec: PretrainedBackbone, context: BuildContext
) -> PackedBackbone:
    """Wrap a model for packed sentences, with one flag per block.

    An encoder that does not support this runs unchanged on padded batches, if the mask is its own.

    Raises:
        ModelError: the family does not support this mask, or does not obey it.
    """
    model.config.use_cache = False
    backbone = PackedBackbone(model.eval(), tokenizer, flags)
    backbone.copies, backbone.attends_to_padding = spec.copies, spec.attend_to_padding
    backbone.window = masks.window(spec.unmask)
    if autocast.autocast_dtype(context.precision, context.device) is not None:
        backbone.precision = context.precision  # so the proof is for the format in which the model runs
    is_encoder = spec.type_name == "encoder"
    try:
        _use_own_attention(backbone, spec, context, own=is_encoder or is_bidirectional(model.config))
    except UnsuitableError as error:
        if not (is_encoder and all(flags) and backbone.window is None):
            raise ModelError(_cannot_unmask(model, spec, str(error))) from error
        _run_padded(backbone, context)
    return backbone


def _use_own_attention(
    backbone: PackedBackbone, spec: PretrainedBackbone, context: BuildContext, *, own: bool
) -> None:
    with _as_unsuitable():
        backbone.model.set_attn_implementation(NAME)  # type: ignore[operator]
        modules = attention_modules(backbone)
    drop_window = spec.unmask_window == "drop"
    assign_flags(modules, backbone.flags, drop_window=drop_window, window=backbone.window)
    backbone.prove = functools.partial(_prove, backbone, modules, own=own)
    if context.prove:
        with _as_unsuitable():
            backbone.proof = backbone.prove()


@contextmanager
def _as_unsuitable() -> Iterator[None]:
    """Turn an exception of a family's code into `UnsuitableError`."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except _MODEL_ERRORS as error:
        lines = str(error).strip().splitlines() or [""]
        raise UnsuitableError(f"{type(error).__name__}: {lines[0]}") from error


def _prove(backbone: PackedBackbone, modules: Sequence[nn.Module], *, own: bool) -> Proof:
    """Prove the mask; and, if sentences are not read as they are, how they are read."""
    start_time = time.perf_counter()
    proof = mask_proof.prove(backbone, modules, own=own)
    if backbone.window is not None:
        window_proof.prove(backbone, modules)
        proof = replace(proof, window=backbone.window)
    if backbone.copies > 1 or backbone.attends_to_padding:
        copy_proof.prove(backbone, modules, own=own)
        proof = replace(proof, copies=backbone.copies)
    return replace(proof, seconds=round(time.perf_counter() - start_time, 3))


def _cannot_unmask(model: Any, spec: PretrainedBackbone, reason: str) -> Problem:
    return Problem(
        f"the family `{model.config.model_type}` cannot be unmasked block by block: {reason}",
        path="backbone.unmask" if spec.type_name == "encoder" else "backbone.name",
        notes=("families that can: docs/reference/families.md",),
    )


def _run_padded(backbone: PackedBackbone, context: BuildContext) -> None:
    """Let an encoder run on padded batches, after a check that padding does not change its output.

    Raises:
        ModelError: the model cannot run as an encoder, or padding changes its output.
    """
    model: Any = backbone.model
    start_time = time.perf_counter()
    model.set_attn_implementation("eager")
    backbone.packs = False
    family = f"the family `{model.config.model_type}`"
    if not context.prove:
        return
    try:
        with _as_unsuitable():
            difference = _padding_difference(backbone)
            is_causal = not mask_proof.looks_ahead(backbone)
    except UnsuitableError as error:
        message = f"{family} cannot be run as an encoder: {error}"
        raise ModelError(Problem(message, path="backbone.name")) from error
    if is_causal:
        message = f"{family} cannot be run as an encoder: its words do not see later words"
        raise ModelError(Problem(message, path="backbone.type", notes=("use `type: decoder`",)))
    if not difference <= mask_proof.tolerance(backbone):
        message = f"{family} does not ignore padding: it changes the output by {difference:.1%}"
        raise ModelError(Problem(message, path="backbone.name"))
    blocks = list(range(len(backbone.flags)))
    seconds = round(time.perf_counter() - start_time, 3)
    backbone.proof = Proof(
        len(blocks), blocks, 0, difference, seconds, packed=False, precision=backbone.precision
    )


def _padding_difference(backbone: PackedBackbone) -> float:
    """The relative difference of the output for sentences in a padded batch from that for each of them alone."""
    ids_T = probe_sentences.token_ids(backbone.model)
    with torch.inference_mode():
        together_TH = backbone(ids_T, probe_sentences.PACKING)
        parts = zip(ids_T.split(probe_sentences.LENGTHS), probe_sentences.LENGTHS, strict=True)  # type: ignore[no-untyped-call]
        alone_TH = torch.cat([backbone(ids, Packing.of_lengths((length,))) for ids, length in parts])
    return mask_proof.relative_difference(together_TH, alone_TH)
