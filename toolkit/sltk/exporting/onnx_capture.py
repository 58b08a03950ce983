"""A network as an ONNX graph, by torch's exporters: the fast one, or the one that knows more operations.

Tracing takes seconds, also with many blocks; `torch.export` takes minutes. Tracing records what happens to one batch,
so a graph is used only if it gives the scores of the network for batches of other sizes too.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ModelError, Problem
from ..nn.padded_tagger import PaddedTagger
from ..runtime.progress import Progress
from . import onnx_operations
from .onnx_graph import OPSET, OUTPUT, simplified
from .onnx_session import session_of

_SIZES = ((2, 7, 3), (3, 11, 5), (1, 1, 1), (5, 2, 1))
"""Sentences, tokens and words of the batches that are compared; the first one is traced."""
_SAME = 5e-3
"""Largest difference, relative to the largest score, that may be rounding. `onnx_gates.py` compares exactly."""


class _NotCapturedError(Exception):
    """An exporter of torch cannot represent the network; the text names the layer or the operation."""


def inputs_of(tagger: PaddedTagger) -> list[str]:
    """The names of the inputs of the graph, in order."""
    return ["input_ids", "attention_mask", *(["word_first", "word_last"] if tagger.labels_words else [])]


def capture(tagger: PaddedTagger, progress: Progress) -> Any:
    """The network as a simplified model of `onnx_ir`, with its weights.

    Raises:
        ModelError: neither of torch's exporters can represent it; the message names the layer or the operation.
    """
    try:
        return _captured(_traced, tagger)
    except _NotCapturedError as error:
        reason = str(error)
    progress.note(f"the model could not be traced ({reason}); torch.export takes longer")
    try:
        return _captured(_exported, tagger)
    except _NotCapturedError as error:
        notes = (
            f"tracing it fails too: {reason}",
            "without `--format onnx`, `sltk export` writes a folder that sltk and `sltk serve` run",
        )
        raise ModelError(Problem(f"torch cannot export this model to ONNX: {error}", notes=notes)) from error


def _captured(method: Callable[[PaddedTagger, tuple[Tensor, ...]], Any], tagger: PaddedTagger) -> Any:
    """Capture the network with one exporter, and compare the scores of the graph for batches of several sizes."""
    batches = [_batch(tagger, *sizes) for sizes in _SIZES]
    with _active_layers(tagger) as layers, _quiet(), torch.no_grad():
        try:
            model = method(tagger, batches[0])
        except Exception as error:  # both exporters let errors of any kind through
            raise _NotCapturedError(_reason(error, layers)) from error
        expected = [tagger(*batch).numpy() for batch in batches]
    try:
        model = simplified(model)
        session = session_of(model)
        results = [session.run([OUTPUT], _feed(tagger, batch))[0] for batch in batches]
    except Exception as error:  # onnxruntime's errors have no public base class
        raise _NotCapturedError(f"onnxruntime cannot run the graph: {_first_line(error)}") from error
    for result, scores in zip(results, expected, strict=True):
        difference = float(np.abs(result - scores).max())
        if not difference <= _SAME * max(1.0, float(np.abs(scores).max())):
            raise _NotCapturedError(f"the scores of the graph differ by {difference:.2g}")
    return model


def _batch(tagger: PaddedTagger, sentences: int, tokens: int, words: int) -> tuple[Tensor, ...]:
    """A batch whose sentences have different lengths, and words of one or more tokens."""
    size = int(tagger.model.get_input_embeddings().weight.shape[0])
    ids = torch.arange(sentences * tokens).view(sentences, tokens) * 7 % max(1, size - 3) + min(3, size - 1)
    lengths = torch.tensor([max(1, tokens - 2 * number) for number in range(sentences)])
    mask = (torch.arange(tokens) < lengths[:, None]).long()
    if not tagger.labels_words:
        return ids, mask
    first = (torch.arange(words) * 2).expand(sentences, -1).clamp(max=tokens - 1)
    return ids, mask, first, (first + 1).clamp(max=tokens - 1)


def _feed(tagger: PaddedTagger, batch: tuple[Tensor, ...]) -> dict[str, Any]:
    return {name: value.numpy() for name, value in zip(inputs_of(tagger), batch, strict=True)}


def _axes(tagger: PaddedTagger) -> dict[str, dict[int, str]]:
    widths = {"input_ids": "length", "attention_mask": "length", "word_first": "words", "word_last": "words"}
    return {name: {0: "batch", 1: widths[name]} for name in inputs_of(tagger)}


def _traced(tagger: PaddedTagger, batch: tuple[Tensor, ...]) -> Any:
    """Record the operations on one batch. The weights are added afterwards, so that models may exceed 2 GB."""
    import onnx
    import onnx_ir as ir

    onnx_operations.register()
    axes, file = _axes(tagger), io.BytesIO()
    stream: Any = file  # torch's types do not name it
    torch.onnx.export(
        tagger, batch, stream, dynamo=False, export_params=False, keep_initializers_as_inputs=True,
        do_constant_folding=False, verbose=False, input_names=list(axes), output_names=[OUTPUT], opset_version=OPSET,
        dynamic_axes={**axes, OUTPUT: {0: "batch", 1: "words" if tagger.labels_words else "length"}},
    )  # fmt: skip
    model = ir.from_proto(onnx.load_from_string(file.getvalue()))
    weights = {**dict(tagger.named_parameters()), **dict(tagger.named_buffers())}
    for value in list(model.graph.inputs)[len(axes) :]:
        model.graph.inputs.remove(value)
        value.const_value = ir.tensor(weights[str(value.name)].detach(), name=value.name)
        model.graph.register_initializer(value)
    return model


def _exported(tagger: PaddedTagger, batch: tuple[Tensor, ...]) -> Any:
    """Derive the operations for batches of any size."""
    axes = _axes(tagger)
    program = torch.onnx.export(
        tagger, batch, dynamo=True, input_names=list(axes), output_names=[OUTPUT], opset_version=OPSET,
        dynamic_shapes=axes, verbose=False,
    )  # fmt: skip
    assert program is not None
    return program.model


@contextmanager
def _active_layers(tagger: nn.Module) -> Iterator[list[str]]:
    """The names of the layers that are being computed, outermost first; after an error, those it occurred in."""
    active: list[str] = []
    hooks = []
    for name, module in tagger.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda *_, name=name: active.append(name)))
        hooks.append(module.register_forward_hook(lambda *_: [None, active.pop()][0]))
    try:
        yield active
    finally:
        for hook in hooks:
            hook.remove()


def _reason(error: Exception, layers: list[str]) -> str:
    text = str(error)
    operation = re.search(r"(?:operator '|aten[.:]+)(?:aten::)?([\w:]+)", text)
    if type(error).__name__ == "UnsupportedOperatorError" or "No ONNX function found" in text:
        name = operation.group(1) if operation else _first_line(error)
        return f"there is no ONNX operation for `{name}`"
    where = f"in the layer `{layers[-1]}`: " if layers and layers[-1] else ""
    return f"{where}{type(error).__name__}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what torch prints about its exporters; the comparison of scores replaces the warnings of tracing."""
    loggers = {logger: logger.level for logger in map(logging.getLogger, ("torch.onnx", "onnxscript"))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in loggers.items():
                logger.setLevel(level)
