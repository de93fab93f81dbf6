"""Tries what TensorRT makes of one node of a model alone (chapter 08). Needs onnx.

It can end the process: let a ``helpers.worker.Worker`` call it.
"""

from __future__ import annotations

import math

import numpy as np

from ...model_files import all_tensors, locations
from .model_facts import constants, infer, read_model
from .model_weights import numpy_type
from .trial import build, parse

ONES = 1 << 24  # values: no constant larger than that is made up for a trial


def try_node(path: str, index: int, constant: bool = False, and_build: bool = False) -> dict:
    """Parses one node of a model alone, with its constants as initializers, and builds it if asked.

    ``constant``: the inputs after the first become constants too, all ones. ``made`` is False where the types of its
    inputs are not known, or ``constant`` changes nothing; otherwise what :func:`parse` or :func:`build` returns.
    """
    single = cut_node(path, index, constant)
    if single is None:
        return {"made": False}
    content = single.SerializeToString()
    if and_build:
        profile = {v.name: (_fixed(v),) * 3 for v in single.graph.input if -1 in _fixed(v, -1)}
        return {"made": True, **build(content, profile)}
    return {"made": True, **parse(content)}


def cut_node(path: str, index: int, constant: bool = False):
    """Makes an onnx.ModelProto of one node, for :func:`try_node`; None where there is no such trial to make."""
    from onnx import helper

    model = read_model(path).model
    types, _ = infer(path)
    node, known = model.graph.node[index], constants(model.graph)
    inputs: list = []
    initializers: list = []
    changed = False
    for position, name in enumerate(node.input):
        if not name or name in {value.name for value in [*inputs, *initializers]}:
            continue
        if name in known:
            tensor = known[name]
        elif name not in types or types[name].WhichOneof("value") != "tensor_type":
            return None
        elif constant and position:
            tensor, changed = _ones(name, types[name].tensor_type), True
        else:
            inputs.append(helper.make_value_info(name, types[name]))
            continue
        if tensor is None:
            return None
        initializers.append(type(tensor).FromString(tensor.SerializeToString()))
        initializers[-1].name = name
    if constant and not changed:
        return None
    outputs = [
        helper.make_value_info(name, types[name]) if name in types else helper.make_empty_tensor_value_info(name)
        for name in node.output
        if name
    ]
    graph = helper.make_graph([node], "trial", inputs, outputs, initializers)
    single = helper.make_model(graph, functions=model.functions, opset_imports=model.opset_import)
    single.ir_version = model.ir_version
    return single if all(_filled(tensor) for tensor in all_tensors(single)) else None


def _filled(tensor) -> bool:
    """Fills a tensor with ones if it has no values of its own: external data would be looked for in the current folder,
    and ``read_model`` has emptied the large ones. False if that cannot be done."""
    if not locations(tensor):
        return True
    dtype, size = numpy_type(tensor), math.prod(tensor.dims)
    if dtype is None or not 0 <= size <= ONES:
        return False
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")
    tensor.raw_data = np.ones(size, dtype).tobytes()
    return True


def _ones(name: str, tensor_type):
    from onnx import helper, numpy_helper

    if not tensor_type.HasField("shape"):
        return None
    shape = [d.dim_value if d.HasField("dim_value") else 1 for d in tensor_type.shape.dim]
    if min(shape, default=0) < 0 or np.prod(shape, dtype=object) > ONES:
        return None
    try:
        return numpy_helper.from_array(np.ones(shape, helper.tensor_dtype_to_np_dtype(tensor_type.elem_type)), name)
    except (KeyError, TypeError, ValueError):  # a type that NumPy has not
        return None


def _fixed(value, dynamic: int = 4) -> tuple[int, ...]:
    """Returns the shape of a graph's input, with ``dynamic`` for each of its dynamic dimensions."""
    return tuple(d.dim_value if d.HasField("dim_value") else dynamic for d in value.type.tensor_type.shape.dim)
