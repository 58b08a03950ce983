"""Run a graph with onnxruntime."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ..runtime.optional_imports import import_optional

_MOST_IN_MEMORY = 1 << 30
"""Bytes of weights up to which a graph need not be written to disk to be run."""


def session_of(model: str | Path | Any, threads: int = 0) -> Any:
    """A session on the CPU for a file, or for a model of `onnx_ir`; `threads` 0 uses all cores."""
    import onnx_ir as ir

    if isinstance(model, str | Path):
        return _session(str(model), threads)
    if sum(value.const_value.nbytes for value in model.graph.initializers.values()) <= _MOST_IN_MEMORY:
        return _session(ir.to_proto(model).SerializeToString(), threads)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        ir.save(model, path, external_data="model.onnx.data")
        return _session(str(path), threads)


def optimize(graph: bytes, path: Path) -> None:
    """Write a graph after the optimizations that leave only standard operators."""
    _session(graph, 1, level="ORT_ENABLE_BASIC", optimized_model_filepath=str(path))


def _session(source: str | bytes, threads: int, level: str = "ORT_ENABLE_ALL", **settings: str) -> Any:
    library = import_optional("onnxruntime", "an ONNX export", "onnx")
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # errors are exceptions too
    options.graph_optimization_level = getattr(library.GraphOptimizationLevel, level)
    for name, value in settings.items():
        setattr(options, name, value)
    return library.InferenceSession(source, options, providers=["CPUExecutionProvider"])
