"""Simplify ONNX graphs and save them: fewer nodes, the same bytes each time, and nothing about this machine.

onnxruntime folds constants and shares equal nodes; its basic optimizations leave only standard operators. Large
weights are graph inputs meanwhile, so that no step copies them or exceeds the 2 GB of a protobuf message.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__

OPSET = 18
"""Version of the ONNX operators; onnxruntime reads it since version 1.14."""
OUTPUT = "logits"

_SMALL = 1 << 16
"""Bytes of weights that take part in the simplification, such as those of norms."""
_LARGEST_FILE = 2_000_000_000
"""Bytes of weights in one file; a protobuf message has at most 2 GiB."""
_ROUNDS = 2


def simplified(model: Any) -> Any:
    """A model of `onnx_ir` that computes the same in fewer nodes. It takes over the weights of `model`."""
    import onnx
    import onnx_ir as ir

    _transpose_weights(model.graph)
    weights = _without_weights(model.graph)
    proto = ir.to_proto(model)
    for number in range(_ROUNDS):
        inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
        proto = _optimized(_with_known_sizes(inferred, prefix=f"size_{number}"))
    remove_descriptions(proto)
    result = ir.from_proto(proto)
    for value in [value for value in result.graph.inputs if value.name in weights]:
        result.graph.inputs.remove(value)
        if value.uses():
            value.const_value = weights[str(value.name)]
            result.graph.register_initializer(value)
    return result


def save(model: Any, path: Path) -> None:
    """Write a model of `onnx_ir`, and check it; above 2 GB the weights are in a second file, `model.onnx.data`."""
    import onnx
    import onnx_ir as ir

    initializers = sorted(model.graph.initializers.items())
    model.graph.initializers.clear()
    model.graph.initializers.update(initializers)
    is_large = sum(value.const_value.nbytes for _, value in initializers) > _LARGEST_FILE
    ir.save(model, path, external_data=f"{path.name}.data" if is_large else None)
    onnx.checker.check_model(str(path))


def _transpose_weights(graph: Any) -> None:
    """Store the weights of linear layers as they are multiplied."""
    import onnx_ir as ir

    for node in list(graph):
        source = node.inputs[0] if node.op_type == "Transpose" else None
        if source is None or source.const_value is None or not source.is_initializer():
            continue
        values = source.const_value.numpy().transpose(node.attributes["perm"].as_ints())
        output = node.outputs[0]
        name, output.name = output.name, f"{output.name}_before"
        tensor = ir.tensor(np.ascontiguousarray(values), name=name)
        weight = ir.Value(
            name=name, shape=ir.Shape(values.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
        )
        output.replace_all_uses_with(weight)
        graph.remove(node, safe=True)
        graph.register_initializer(weight)
        if not source.uses():
            del graph.initializers[source.name]


def _without_weights(graph: Any) -> dict[str, Any]:
    """Make the large weights inputs of the graph, and return their values by name."""
    import onnx_ir as ir

    large = [value for value in graph.initializers.values() if value.const_value.nbytes > _SMALL]
    weights = {}
    for value in large:
        weights[str(value.name)] = tensor = value.const_value
        del graph.initializers[value.name]
        value.const_value = None
        value.shape, value.type = tensor.shape, ir.TensorType(tensor.dtype)
        graph.inputs.append(value)
    return weights


def _with_known_sizes(proto: Any, prefix: str) -> Any:
    """Replace each size that is computed from a tensor, but known, by a number, or by that of an input.

    Names of new values begin with `prefix`.
    """
    from onnx import helper, numpy_helper

    graph = proto.graph
    shapes = {value.name: value.type.tensor_type.shape for value in [*graph.value_info, *graph.input]}
    constants = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if not tensor.dims
    }
    constants |= {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t)
        for node in graph.node
        if node.op_type == "Constant" and node.attribute[0].name == "value"
    }
    measured = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Shape"}
    added: list[Any] = []
    sizes = _input_sizes(graph, prefix)
    for node in graph.node:
        if node.op_type != "Gather" or node.input[0] not in measured or node.input[1] not in constants:
            continue
        dimension = _dimension(shapes.get(measured[node.input[0]]), constants[node.input[1]])
        if dimension is None:
            continue
        if dimension.HasField("dim_value"):
            value = numpy_helper.from_array(np.array(dimension.dim_value, dtype=np.int64))
            node.CopyFrom(helper.make_node("Constant", [], list(node.output), value=value))
        elif dimension.dim_param in sizes:
            source = sizes[dimension.dim_param]
            if source[0] not in {each.output[0] for each in added}:
                added += _measure(*source)
            node.CopyFrom(helper.make_node("Identity", [source[0]], list(node.output)))
    nodes = [*added, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return proto


def _dimension(shape: Any, index: Any) -> Any:
    if shape is None or index.ndim or not -len(shape.dim) <= int(index) < len(shape.dim):
        return None
    return shape.dim[int(index)]


def _input_sizes(graph: Any, prefix: str) -> dict[str, tuple[str, str, int]]:
    """Name of the size of each axis of the inputs that has a name, with input and number of the axis."""
    return {
        dimension.dim_param: (f"{prefix}_{dimension.dim_param}", value.name, axis)
        for value in reversed(graph.input)
        for axis, dimension in reversed(list(enumerate(value.type.tensor_type.shape.dim)))
        if dimension.dim_param
    }


def _measure(name: str, source: str, axis: int) -> list[Any]:
    from onnx import helper, numpy_helper

    value = numpy_helper.from_array(np.array(axis, dtype=np.int64))
    return [
        helper.make_node("Shape", [source], [f"{name}_shape"]),
        helper.make_node("Constant", [], [f"{name}_axis"], value=value),
        helper.make_node("Gather", [f"{name}_shape", f"{name}_axis"], [name]),
    ]


def _optimized(proto: Any) -> Any:
    """The graph after the basic optimizations of onnxruntime, which depend on no processor."""
    import onnx

    from .onnx_session import optimize

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        optimize(proto.SerializeToString(), path)
        return onnx.load(path)


def remove_descriptions(proto: Any) -> None:
    """Remove traces of source files, intermediate shapes and unused domains."""
    from onnx import helper

    graph = proto.graph
    proto.producer_name, proto.producer_version, graph.name = "sltk", __version__, "tagger"
    opset = max(each.version for each in proto.opset_import if each.domain in ("", "ai.onnx"))
    for field in (proto.opset_import, proto.metadata_props, graph.metadata_props, graph.value_info):
        del field[:]
    proto.opset_import.append(helper.make_opsetid("", opset))
    proto.doc_string = graph.doc_string = ""
    for each in [*graph.node, *graph.input, *graph.output, *graph.initializer]:
        each.doc_string = ""
        del each.metadata_props[:]
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{number}"
    for value in [*graph.input, *graph.output]:
        _rename_axes(value)


def _rename_axes(value: Any, names: Mapping[int, str] = {0: "batch", 1: "length"}) -> None:
    for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
        if dimension.dim_param:
            words = value.name.startswith("word_") and axis == 1
            dimension.dim_param = "words" if words else names.get(axis, dimension.dim_param)
