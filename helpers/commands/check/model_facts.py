"""Reads what ONNX alone tells about a model: checker, types, operators, inputs, weights (chapter 08).

Needs onnx. It reads what a stranger may have made, in C++ that can crash: let a ``helpers.worker.Worker`` call it.

>>> facts(__file__)["unusable"][:20]
'is not an ONNX model'
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections import Counter
from collections.abc import Iterator

import numpy as np

from ...model_files import locations
from .model_weights import NAME, brief
from .reading import all_graphs, constants, domain_of, infer, known_at_build, line, name_of, read_model, text
from .report import MOST, NODES
from .uses import use_of

USES = 12  # of an operator that are told
MOST_AXES = 100  # of a shape that are told; TensorRT has 8
MESSAGE = 2000  # characters
INTEGERS = (2, 3, 4, 5, 6, 7, 12, 13)  # TensorProto's UINT8, INT8, UINT16, INT16, INT32, INT64, UINT32, UINT64


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
        return {"unusable": f"is not an ONNX model, or is cut short ({line(error)})"}
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


def _dimensions(kind) -> list[int | None] | None:
    if not kind.HasField("shape") or len(kind.shape.dim) > MOST_AXES:
        return None
    return [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]


def _check(path: str) -> str | None:
    """Returns what onnx.checker says, or None. By path, so that it sees external data and takes more than 2 GB."""
    import onnx

    try:
        onnx.checker.check_model(path)
    except Exception as error:
        return line(error)
    return None


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
