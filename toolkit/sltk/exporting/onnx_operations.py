"""Operations that torch cannot trace, in operators of ONNX: they occur in position embeddings and activations."""

from __future__ import annotations

from typing import Any

import torch
from torch.onnx import symbolic_helper

from .onnx_graph import OPSET


def register() -> None:
    """Let the exporter use them."""
    exporter: Any = torch.onnx  # torch's types leave out the function, and a later version may too
    exporter.register_custom_op_symbolic("aten::repeat_interleave", _repeat_interleave, OPSET)
    exporter.register_custom_op_symbolic("aten::expm1", _expm1, OPSET)


def _repeat_interleave(graph: Any, x: Any, repeats: Any, dim: Any = None, output_size: Any = None) -> Any:
    """Repeat each number along the last axis: Cohere and GLM rotate neighbouring numbers."""
    count, axis = symbolic_helper._maybe_get_const(repeats, "i"), symbolic_helper._maybe_get_const(dim, "i")
    rank = symbolic_helper._get_tensor_rank(x)
    if not isinstance(count, int) or rank is None or axis not in (-1, rank - 1):
        return symbolic_helper._unimplemented("repeat_interleave", "other than along the last axis")
    column = graph.op("Unsqueeze", x, _constant(graph, [-1]))
    repeated = graph.op("Concat", *[column] * count, axis_i=-1)
    return graph.op("Reshape", repeated, _constant(graph, [0] * (rank - 1) + [-1]))


def _expm1(graph: Any, x: Any) -> Any:
    """exp(x) - 1, as in xIELU."""
    one = graph.op("Constant", value_t=torch.tensor(1.0))
    return graph.op("Sub", graph.op("Exp", x), one)


def _constant(graph: Any, numbers: list[int]) -> Any:
    return graph.op("Constant", value_t=torch.tensor(numbers, dtype=torch.int64))
