"""Reads what ONNX alone tells about a model: checker, types, operators, inputs, weights (chapter 08).

Needs onnx. It reads what a stranger may have made, in C++ that can crash: let a ``helpers.worker.Worker`` call it.

>>> facts(__file__)["unusable"][:20]
'is not an ONNX model'
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...model_files import all_tensors, inside, locations
from .model_weights import NAME, brief, count_weights, external_part
from .report import MOST, NODES
from .uses import use_of

LARGE = 8192  # bytes; shape inference needs no tensor above that, and a trial no true values
VALUES = 1 << 22  # in all vectors of a model, that shape inference may follow; each takes 60 bytes of memory
USES = 12  # of an operator that are told
SHAPES = ("Shape", "Size")
MOST_AXES = 100  # of a shape that are told; TensorRT has 8
MESSAGE = 2000  # characters
DATA = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
INTEGERS = (2, 3, 4, 5, 6, 7, 12, 13)  # TensorProto's UINT8, INT8, UINT16, INT16, INT32, INT64, UINT32, UINT64


class Contents(NamedTuple):
    """A model with its large tensors emptied, all its TensorProtos, and what was seen of them before that."""

    model: Any
    tensors: list
    external: list[dict]
    weights: dict[str, int]
    suspicious: dict[str, list[str]]
    misfits: list[str]


def facts(path: str) -> dict:
    """Returns all findings, as a dict for JSON. ``unusable`` says why this is no model at all; None if it is one.

    No list is longer than ``MOST``: ``more`` says by its name how many are left out.
    """
    from google.protobuf.message import DecodeError

    read_model.cache_clear()  # the file may be another one by now
    infer.cache_clear()
    try:
        model, tensors, external, weights, suspicious, misfits = read_model(path)
    except (DecodeError, ValueError) as error:
        return {"unusable": f"is not an ONNX model, or is cut short ({_line(error)})"}
    graph = model.graph
    if not model.HasField("graph") or not model.ir_version:
        return {"unusable": "is not an ONNX model: there is no graph, or no IR version, in it"}
    refused = any(file["wrong"] for file in external)
    found = {
        "unusable": None,
        "ir_version": model.ir_version,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "opsets": {domain_of(entry): entry.version for entry in model.opset_import},
        "inputs": inputs_of(graph),
        "outputs": [_tensor(value) for value in graph.output],
        "operators": _operators(path),
        "nodes": len(graph.node),
        "checker": None if refused else _check(path),  # it opens the files of external data
        "inference": infer(path)[1],
        "misfits": misfits,
        "weights": weights,
        "suspicious": suspicious,
        "external": external,
        "doubles": _names_of_type(graph, tensors, 11),
        "int64": _names_of_type(graph, tensors, 7),
        "no_outputs": [name_of(node, i) for i, node in enumerate(graph.node) if not node.output],
        "zero_divisions": list(_zero_divisions(graph)),
    }
    lists = [*found.items(), *suspicious.items()]
    more = {name: len(rows) - MOST for name, rows in lists if isinstance(rows, (list, dict)) and len(rows) > MOST}
    return {**{name: shortened(value) for name, value in found.items()}, "more": more}


def shortened(found, most: int = MOST, longest: int = MESSAGE):
    """Returns the same for JSON and for a reader: at most ``most`` items, ``longest`` characters, and no bytes."""
    if isinstance(found, dict):
        pairs = itertools.islice(found.items(), most)
        return {shortened(key, longest=NAME): shortened(value, most, NAME) for key, value in pairs}
    if isinstance(found, list):
        cut = ["…"] if most == MOST_AXES < len(found) else []  # a shape has to say so itself
        return [shortened(value, MOST_AXES, NAME) for value in found[:most]] + cut
    return brief(text(found), longest) if isinstance(found, (str, bytes)) else found


def text(found: str | bytes) -> str:
    """Returns a string for what protobuf gives as bytes: names that are not UTF-8."""
    return found.decode(errors="replace") if isinstance(found, bytes) else found


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
        complaint = _line(error)
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


def domain_of(thing) -> str:
    """Returns the domain of a node or an opset; "" for ONNX's own, which has two names."""
    return "" if thing.domain == "ai.onnx" else thing.domain


def name_of(node, index: int) -> str:
    """Names a node to a reader: many have no name of their own, so they get their ``index`` in the graph."""
    return f"{node.op_type} {node.name!r}" if node.name else f"{node.op_type}, node {index}"


def constants(graph) -> dict:
    """Returns the onnx.TensorProto of each initializer and Constant node, by name."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            for attribute in node.attribute:
                if (tensor := _constant(attribute)) is not None:
                    found[node.output[0]] = tensor
    return found


def _dimensions(kind) -> list[int | None] | None:
    if not kind.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]


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


def _check(path: str) -> str | None:
    """Returns what onnx.checker says, or None. By path, so that it sees external data and takes more than 2 GB."""
    import onnx

    try:
        onnx.checker.check_model(path)
    except Exception as error:
        return _line(error)
    return None


def _line(error: Exception) -> str:
    """Joins the first lines of an exception, without onnx's context."""
    return " ".join(str(error).split("==> Context:")[0].split()) or type(error).__name__


def inputs_of(graph) -> list[dict]:
    """Returns name, type and shape of the inputs that no initializer fills: what a caller has to give."""
    initializers = {tensor.name for tensor in graph.initializer}
    return [_tensor(value) for value in graph.input if value.name not in initializers]


def _tensor(value) -> dict:
    name, kind = text(value.name), value.type.WhichOneof("value")
    if kind != "tensor_type":
        return {"name": name, "type": kind or "unknown", "shape": None}
    tensor = value.type.tensor_type
    shape = [_dimension(dimension) for dimension in tensor.shape.dim] if tensor.HasField("shape") else None
    return {"name": name, "type": _type_names().get(tensor.elem_type, f"type {tensor.elem_type}"), "shape": shape}


@functools.lru_cache(maxsize=1)
def _type_names() -> dict[int, str]:
    from onnx import TensorProto

    return {number: name for name, number in TensorProto.DataType.items()}


def _dimension(dimension) -> int | str:
    if dimension.HasField("dim_value") and dimension.dim_value >= 0:
        return dimension.dim_value
    return text(dimension.dim_param) or "?"


def _operators(path: str) -> list[list]:
    """Returns [domain, type, opset that defines it, count, places, uses], the most frequent first.

    ``places`` are nodes in the graph to look at: the first of each use, then others. ``uses`` are pairs as
    ``atlas.known`` takes them. Nodes of inner graphs count and have a use, but no place.
    """
    from onnx import defs

    model = read_model(path).model
    opsets = {domain_of(entry): entry.version for entry in model.opset_import}
    counts = Counter((domain_of(node), node.op_type) for graph in all_graphs(model.graph) for node in graph.node)
    uses = _Uses(path, opsets.get("", 0))
    found: dict[tuple, dict] = {}  # the places of each use
    for graph in all_graphs(model.graph):
        for i, node in enumerate(graph.node):
            places = found.setdefault((domain_of(node), node.op_type), {})
            use = uses.of(node)
            if use in places or len(places) < USES:
                places.setdefault(use, []).extend([i] if graph is model.graph else [])
    rows = []
    for (domain, kind), count in counts.most_common():
        version = opsets.get(domain, 0)
        with contextlib.suppress(Exception):  # onnx does not know it: its domain's version has to do
            version = defs.get_schema(kind, min(version, defs.onnx_opset_version()), domain).since_version
        used = found.get((domain, kind), {})
        in_turn = sorted((rank, place) for places in used.values() for rank, place in enumerate(places[:NODES]))
        rows.append([domain, kind, version, count, [place for _, place in in_turn], [list(use) for use in used]])
    return rows


class _Uses:
    """Tells the use of a model's nodes, as ``uses.use_of`` does."""

    def __init__(self, path: str, opset: int):
        graph = read_model(path).model.graph
        self.opset, self.types = opset, infer(path)[0]
        self.constants = {name: tensor for one in all_graphs(graph) for name, tensor in constants(one).items()}
        self.fixed = known_at_build(graph)

    def of(self, node) -> tuple[str, bool]:
        """Returns the use, and whether all inputs after the first are known when TensorRT builds."""
        constant = self.fixed.issuperset(filter(None, node.input[1:]))
        if domain_of(node):
            return "", constant
        return brief(use_of(node, self.opset, self.tensor, self.is_zero)), constant

    def tensor(self, name: str) -> tuple[int, list | None]:
        """Returns element type and shape of a tensor; 0 and None where they are not known."""
        if name in self.constants:
            return self.constants[name].data_type, list(self.constants[name].dims)
        kind = self.types[name].tensor_type if name in self.types else None
        if kind is None:
            return 0, None
        return kind.elem_type, _dimensions(kind)

    def is_zero(self, name: str) -> bool:
        """Returns whether a zero point is 0; True where that is not known."""
        from onnx import numpy_helper

        tensor = self.constants.get(name)
        if tensor is None or locations(tensor):
            return True
        with contextlib.suppress(ValueError, TypeError):
            return not np.any(numpy_helper.to_array(tensor).astype(np.float32))
        return True


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


def _names_of_type(graph, tensors: list, element_type: int) -> list[str]:
    names = [value.name for value in [*graph.input, *graph.output] if value.type.tensor_type.elem_type == element_type]
    names += [tensor.name for tensor in tensors if tensor.data_type == element_type]
    for i, node in enumerate(graph.node):
        if node.op_type == "Cast" and any(a.name == "to" and a.i == element_type for a in node.attribute):
            names.append(name_of(node, i))
    return list(dict.fromkeys(name or "a constant" for name in names))


def _zero_divisions(graph) -> Iterator[list]:
    """Yields [node, whether its other operand is constant too] for each integer Div or Mod by a constant with a 0."""
    from onnx import numpy_helper

    known = constants(graph)
    for i, node in enumerate(graph.node):
        if node.op_type not in ("Div", "Mod") or len(node.input) < 2 or node.input[1] not in known:
            continue
        divisor = known[node.input[1]]
        if divisor.data_type in INTEGERS and not locations(divisor):
            try:
                zero = bool(np.any(numpy_helper.to_array(divisor) == 0))
            except (ValueError, TypeError):
                continue
            if zero:
                yield [name_of(node, i), node.input[0] in known]
