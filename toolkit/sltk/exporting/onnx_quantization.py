"""8-bit weights of an ONNX model: onnxruntime's dynamic quantization."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any


def quantize_int8(source: Path, target: Path) -> None:
    """Write the graph in `source` with 8-bit weights; inputs of layers are quantized when it runs.

    The last layer stays in float32: it is small, and rounding would decide between close scores.
    """
    import onnx
    import onnx_ir as ir
    from onnxruntime import quantization

    from .onnx_graph import remove_descriptions, save

    graph = onnx.load(source, load_external_data=False).graph
    last = [node.name for node in graph.node if node.op_type in ("MatMul", "Gemm")][-1:]
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises to optimize the graph, which sltk has done
    raw = target.with_name("quantized.onnx")
    try:
        quantization.quantize_dynamic(
            source,
            raw,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=last,
            use_external_data_format=source.with_name(f"{source.name}.data").exists(),
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    finally:
        root.setLevel(level)
    proto: Any = onnx.load(raw)
    remove_descriptions(proto)
    save(ir.from_proto(proto), target)
    for path in raw.parent.glob(f"{raw.name}*"):
        path.unlink()


def size(file: Path) -> int:
    """Bytes of a model, with its second file if there is one."""
    data = file.with_name(f"{file.name}.data")
    return file.stat().st_size + (data.stat().st_size if data.exists() else 0)
