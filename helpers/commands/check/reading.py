"""Reads an ONNX model once for all that look at it: its graphs, the types of its tensors, its constants (chapter 08).

Needs onnx. It reads what a stranger may have made, in C++ that can crash: let a ``helpers.worker.Worker`` call it.

>>> line(ValueError("no   good ==> Context: here"))
'no good'
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...model_files import all_tensors, inside, locations
from .model_weights import count_weights, external_part

LARGE = 8192  # bytes; shape inference needs no tensor above that, and a trial no true values
VALUES = 1 << 22  # in all vectors of a model, that shape inference may follow; each takes 60 bytes of memory
SHAPES = ("Shape", "Size")
DATA = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")


class Contents(NamedTuple):
    """A model with its large tensors emptied, all its TensorProtos, and what was seen of them before that."""

    model: Any
    tensors: list
    external: list[dict]
    weights: dict[str, int]
    suspicious: dict[str, list[str]]
    misfits: list[str]


@functools.lru_cache(maxsize=1)
def read_model(path: str) -> Contents:
    """Reads a model, and the files of external data in its folder.

    It is in memory once while its weights are counted, and hardly at all when TensorRT reads it. Raises ValueError or
    protobuf's DecodeError for what is no model.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    tensors, folder = list(all_tensors(model)), Path(path).parent
    external = _external(tensors, folder)
    counts = count_weights(tensors, folder, {file["name"] for file in external if not file["wrong"]})
    for tensor in tensors:
        if tensor.ByteSize() > LARGE:
            for field in DATA:
                tensor.ClearField(field)
            tensor.data_location = tensor.EXTERNAL
    return Contents(model, tensors, external, *counts)


def _external(tensors: list, folder: Path) -> list[dict]:
    """Looks at the files of external data. ``wrong`` says of each that it lies "outside" the folder, is "missing",
    "special" (a folder or a device) or too "short" for its ``tensor``; "" if all is well."""
    files: dict[str, dict] = {}
    for tensor in tensors:
        for location in locations(tensor):
            if location not in files:
                wrong, size = _look_at(folder, location)
                files[location] = {"name": location, "bytes": size, "wrong": wrong, "tensor": tensor.name}
            file = files[location]
            offset, length = external_part(tensor)
            if not file["wrong"] and (offset < 0 or offset + (length or 0) > file["bytes"]):
                file.update(wrong="short", tensor=tensor.name)
    return list(files.values())


def _look_at(folder: Path, location: str) -> tuple[str, int]:
    path = folder / location
    if not inside(folder, location):
        return "outside", 0
    if os.path.isfile(path):
        return "", os.path.getsize(path)
    return "special" if os.path.exists(path) else "missing", 0


@functools.lru_cache(maxsize=1)
def infer(path: str) -> tuple[dict, str | None]:
    """Returns the onnx.TypeProto of each tensor that has one, by name, and what shape inference says against it."""
    from onnx import shape_inference

    model, misfits = read_model(path).model, read_model(path).misfits
    complaint, follow = None, False
    if misfits:  # shape inference takes memory as the shapes say, not as the data does
        return {}, misfits[0]
    try:
        follow = _values_in_vectors(shape_inference.infer_shapes(model).graph) <= VALUES
        model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=follow)
    except Exception as error:  # onnx raises its own, and RuntimeError, ValueError and more
        complaint = line(error)
        try:
            model = shape_inference.infer_shapes(model, data_prop=follow)
        except Exception:
            model = read_model(path).model
    return _types_in(model.graph), complaint


def _types_in(graph) -> dict:
    """Returns the types of a graph and of its inner graphs, less those of names that mean several things."""
    own = {value.name: value.type for value in (*graph.value_info, *graph.output, *graph.input)}
    inner: dict[str, Any] = {}
    several = set()
    for one in all_graphs(graph):
        for value in (*one.value_info, *one.output, *one.input) if one is not graph else ():
            if inner.setdefault(value.name, value.type) != value.type:
                several.add(value.name)
    return {name: kind for name, kind in inner.items() if name not in several} | own


def _values_in_vectors(graph) -> int:
    """Counts the values in the graph's tensors of one axis, which is where shapes are computed: shape inference with
    data_prop makes an object of every one of them, also where it knows none."""
    shapes = [value.type.tensor_type.shape.dim for value in (*graph.value_info, *graph.output, *graph.input)]
    sizes = [shape[0].dim_value for shape in shapes if len(shape) == 1]
    sizes += [tensor.dims[0] for tensor in graph.initializer if len(tensor.dims) == 1]
    return sum(size for size in sizes if size > 0)


def all_graphs(graph) -> Iterator:
    """Yields the graph and those inside its nodes, as If and Loop have them. No recursion: they may lie deep."""
    waiting = [graph]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting.extend(attribute.graphs)
                if attribute.HasField("g"):
                    waiting.append(attribute.g)


def all_nodes(model) -> Iterator[tuple[Any, int, str]]:
    """Yields each node of the model with its place in its graph, and what that graph is in: a node or a function, ""
    for the model's own."""
    for index, node in enumerate(model.graph.node):
        yield node, index, ""
        graphs = [graph for one in node.attribute for graph in (*one.graphs, *([one.g] if one.HasField("g") else []))]
        owner = name_of(node, index) if graphs else ""
        for graph in itertools.chain.from_iterable(map(all_graphs, graphs)):
            yield from ((inner, place, owner) for place, inner in enumerate(graph.node))
    for function in model.functions:
        yield from ((node, place, f"function {function.name!r}") for place, node in enumerate(function.node))


def domain_of(thing) -> str:
    """Returns the domain of a node or an opset; "" for ONNX's own, which has two names."""
    return "" if thing.domain == "ai.onnx" else thing.domain


def name_of(node, index: int) -> str:
    """Names a node to a reader: many have no name of their own, so they get their ``index`` in the graph."""
    return f"{node.op_type} {node.name!r}" if node.name else f"{node.op_type}, node {index}"


def text(found: str | bytes) -> str:
    """Returns a string for what protobuf gives as bytes: names that are not UTF-8."""
    return found.decode(errors="replace") if isinstance(found, bytes) else found


def line(error: Exception) -> str:
    """Joins the first lines of an exception, without onnx's context."""
    return " ".join(str(error).split("==> Context:")[0].split()) or type(error).__name__


def constants(graph) -> dict:
    """Returns the onnx.TensorProto of each initializer and Constant node, by name."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            for attribute in node.attribute:
                if (tensor := _constant(attribute)) is not None:
                    found[node.output[0]] = tensor
    return found


def _constant(attribute):
    """Returns the onnx.TensorProto that an attribute of Constant stands for; None where it stands for none."""
    from onnx import helper

    name, kinds = attribute.name, {"value_int": 7, "value_ints": 7, "value_float": 1, "value_floats": 1}
    if name == "value" and attribute.HasField("t"):
        return attribute.t
    if name in kinds:
        values = list({"value_int": [attribute.i], "value_float": [attribute.f], "value_ints": attribute.ints,
                       "value_floats": attribute.floats}[name])  # fmt: skip
        return helper.make_tensor("", kinds[name], [len(values)] if name.endswith("s") else [], values)
    return None


def known_at_build(graph) -> set[str]:
    """Returns the names of tensors whose values TensorRT knows when it builds: constants, shapes, and what is computed
    of these alone, in inner graphs too."""
    known: set[str] = set()
    for one in all_graphs(graph):
        known.update(constants(one))
        for node in one.node:
            if node.op_type in SHAPES or (node.input and known.issuperset(filter(None, node.input))):
                known.update(node.output)
    return known
