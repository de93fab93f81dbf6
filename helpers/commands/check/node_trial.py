"""Tries what TensorRT makes of one node of a model alone (chapter 08). Needs onnx.

A trial is of use only if it is well-formed: what the model does not say, sizes and values, is made up so that ONNX
itself has nothing against it (:mod:`.made_up`). Where that cannot be, there is no trial.

It can end the process: let a ``helpers.worker.Worker`` call it.

>>> from onnx import helper
>>> _captured(helper.make_node("Relu", ["x"], ["y"]))  # of an If: what its branches read
[]
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...model_files import all_tensors, locations
from .made_up import fits, made_up
from .model_weights import brief, numpy_type
from .reading import all_graphs, constants, infer, known_at_build, name_of, read_model
from .trial import build, parse

ONES = 1 << 24  # values: no constant larger than that is made up for a trial
SIZES = (4, 1, 2, 8, 16, 3, 32, 64)  # of dynamic axes
FITTING = 3  # of these that are tried


def try_node(path: str, index: int, constant: bool = False, and_build: bool = False) -> dict:
    """Parses one node of a model alone, with its constants as initializers, and builds it if asked.

    ``constant``: the inputs after the first become constants too. Returns ``made``, False where no well-formed trial
    can be made or ``constant`` changes nothing; ``node``, its name for a reader; ``computed``, whether values of the
    model's inputs decide about those that became constants; and what :func:`parse` or :func:`build` returns. The best
    outcome counts: a dynamic axis may have a size of which we do not know.
    """
    single = cut_node(path, index, constant, SIZES[0] if constant else None)
    if single is None:
        return {"made": False}
    sized: list = []
    if constant or any(-1 in _shape(value, -1) for value in single.graph.input):
        sized = list(itertools.islice(_sized(path, index, constant), FITTING))
        if not sized:
            return {"made": False}
    graph = read_model(path).model.graph
    changed = graph.node[index].input[1:] if constant else []
    computed = not known_at_build(graph).issuperset(filter(None, changed))
    about = {"made": True, "node": brief(name_of(graph.node[index], index)), "computed": computed}
    if and_build:
        results = (_build(single, size) for size, _ in sized or [(SIZES[0], single)])
    else:
        models = [single, *(model for _, model in sized)] if not constant else [model for _, model in sized]
        results = (parse(model.SerializeToString()) for model in models)
    first = None
    for result in results:
        if result["message"] is None:
            return {**about, **result}
        first = first or result
    return {**about, **(first or {})}


def _build(single: Any, size: int) -> dict:
    """Builds, with a profile of this size for dynamic axes, and made up values of shape inputs."""
    content = single.SerializeToString()
    parsed = parse(content)
    if parsed["message"] is not None:
        return {"plan_bytes": None, "message": parsed["message"]}
    profile: dict = {}
    for value in single.graph.input:
        if value.name in parsed["shape_inputs"]:
            array = made_up(single, value.name, size)
            profile[value.name] = (np.ravel(array).tolist(),) * 3 if array is not None else ()
        elif -1 in _shape(value, -1):
            profile[value.name] = (_shape(value, size),) * 3
    return build(content, profile)


def _sized(path: str, index: int, constant: bool) -> Iterator[tuple[int, Any]]:
    """Yields each size with which a trial is well-formed, and the trial with it."""
    for size in SIZES:
        model = cut_node(path, index, constant, size)
        if model is not None and fits(model, size):
            yield size, model


def cut_node(path: str, index: int, constant: bool = False, size: int | None = None):
    """Makes an onnx.ModelProto of one node, for :func:`try_node`; None where there is no such trial to make.

    ``size``: what dynamic axes become; None: they stay dynamic.
    """
    from onnx import helper, numpy_helper

    model = read_model(path).model
    types, _ = infer(path)
    node, known = model.graph.node[index], constants(model.graph)
    names = list(dict.fromkeys(filter(None, [*node.input, *_captured(node)])))
    inputs, initializers, later = [], [], []
    for name in names:
        if name in known:
            tensor = known[name]
            initializers.append(type(tensor).FromString(tensor.SerializeToString()))
            initializers[-1].name = name
        elif name not in types or types[name].WhichOneof("value") != "tensor_type":
            return None
        else:
            inputs.append(_value(name, types[name], size))
            later += [name] * (constant and name in node.input[1:])
    outputs = [
        helper.make_value_info(name, types[name]) if name in types else helper.make_empty_tensor_value_info(name)
        for name in node.output
        if name
    ]
    graph = helper.make_graph([node], "trial", inputs, outputs, initializers)
    single = helper.make_model(graph, functions=model.functions, opset_imports=model.opset_import)
    single.ir_version = model.ir_version
    if not all(_filled(tensor) for tensor in all_tensors(single)) or (constant and not later):
        return None
    for name in later:
        array = made_up(single, name, size or SIZES[0])
        if array is None or array.size > ONES:
            return None
        single.graph.initializer.append(numpy_helper.from_array(array, name))
    kept = [value for value in single.graph.input if value.name not in later]
    del single.graph.input[:]
    single.graph.input.extend(kept)
    return single


def _captured(node: Any) -> list[str]:
    """Returns the names that a node's inner graphs read from outside."""
    graphs = [graph for attribute in node.attribute for graph in (*attribute.graphs, attribute.g) if graph.node]
    inner = [one for graph in graphs for one in all_graphs(graph)]
    made = {value.name for graph in inner for value in (*graph.input, *graph.initializer)}
    made |= {name for graph in inner for one in graph.node for name in one.output}
    return [name for graph in inner for one in graph.node for name in one.input if name not in made]


def _value(name: str, kind: Any, size: int | None) -> Any:
    """Makes an input of this type, with dynamic axes of a size."""
    from onnx import helper

    value = helper.make_value_info(name, type(kind).FromString(kind.SerializeToString()))
    for dimension in value.type.tensor_type.shape.dim if size is not None else ():
        if not dimension.HasField("dim_value"):
            dimension.dim_value = size
    return value


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


def _shape(value, dynamic: int) -> tuple[int, ...]:
    """Returns the shape of a graph's input, with ``dynamic`` for each of its dynamic dimensions."""
    return tuple(d.dim_value if d.HasField("dim_value") else dynamic for d in value.type.tensor_type.shape.dim)
