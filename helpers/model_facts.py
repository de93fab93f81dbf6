"""What ONNX alone tells about a model: checker, types, operators, inputs, external data, weights (chapter 08).

Needs onnx. It reads what a stranger may have made, in C++ that can crash: let a ``helpers.worker.Worker`` call it.

>>> facts(__file__)["unusable"][:20]
'is not an ONNX model'
"""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .model_weights import count_weights, external_file, inside

LARGE = 8192  # bytes; shape inference needs no tensor above that, and a trial no true values
INTEGERS = (2, 3, 4, 5, 6, 7, 12, 13)  # TensorProto's UINT8, INT8, UINT16, INT16, INT32, INT64, UINT32, UINT64


def facts(path: str) -> dict:
    """All findings, as a dict for JSON. ``unusable`` says why this is no model at all, and is None if it is one."""
    from google.protobuf.message import DecodeError

    read_model.cache_clear()  # the file may be another one by now
    infer.cache_clear()
    try:
        model, counts = read_model(path)
    except (DecodeError, ValueError) as error:
        return {"unusable": f"is not an ONNX model, or is cut short ({_line(error)})"}
    graph = model.graph
    if not model.HasField("graph") or not model.ir_version:
        return {"unusable": "is not an ONNX model: there is no graph, or no IR version, in it"}
    tensors = list(all_tensors(graph))
    initializers = {tensor.name for tensor in graph.initializer}
    found = {
        "unusable": None,
        "ir_version": model.ir_version,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "opsets": {domain_of(entry): entry.version for entry in model.opset_import},
        "inputs": [_tensor(value) for value in graph.input if value.name not in initializers],
        "outputs": [_tensor(value) for value in graph.output],
        "operators": _operators(model),
        "nodes": [[node.name, domain_of(node), node.op_type] for node in graph.node],
        "checker": _check(path),
        "inference": infer(path)[1],
        "misfits": counts[2],
        "weights": counts[0],
        "suspicious": counts[1],
        "external": _external(tensors, Path(path).parent),
        "doubles": _names_of_type(graph, tensors, 11),
        "int64": _names_of_type(graph, tensors, 7),
        "no_outputs": [name_of(node, i) for i, node in enumerate(graph.node) if not node.output],
        "zero_divisions": list(_zero_divisions(graph)),
    }
    return _as_text(found)


@functools.lru_cache(maxsize=1)
def read_model(path: str) -> tuple:
    """The ModelProto, its large tensors emptied, and what ``count_weights`` said before.

    So a model is in memory once while its weights are counted, and hardly at all when TensorRT reads it.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    counts = count_weights(list(all_tensors(model.graph)), Path(path).parent)
    for tensor in model.graph.initializer:
        if tensor.ByteSize() > LARGE:
            for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
                tensor.ClearField(field)
            if not tensor.external_data:
                tensor.external_data.add(key="location", value="left-out")
            tensor.data_location = tensor.EXTERNAL
    return model, counts


@functools.lru_cache(maxsize=1)
def infer(path: str) -> tuple[dict, str | None]:
    """The onnx.TypeProto of every tensor that has one, by name, and what shape inference complains about, or None."""
    from onnx import shape_inference

    model, (_, _, misfits) = read_model(path)
    complaint = None
    if misfits:  # shape inference takes memory as the shapes say, not as the data does
        return {}, misfits[0]
    try:
        model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # onnx raises its own, and RuntimeError, ValueError and more
        complaint = _line(error)
        try:
            model = shape_inference.infer_shapes(model, data_prop=True)
        except Exception:
            model, _ = read_model(path)
    values = [*model.graph.value_info, *model.graph.output, *model.graph.input]
    return {value.name: value.type for value in values}, complaint


def all_graphs(graph) -> Iterator:
    """The graph and those inside its nodes, as If and Loop have them, without recursion: they may be nested deeply."""
    waiting = [graph]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting.extend(attribute.graphs)
                if attribute.HasField("g"):
                    waiting.append(attribute.g)


def all_tensors(graph) -> Iterator:
    """All TensorProtos: initializers, and constants inside nodes."""
    for inner in all_graphs(graph):
        yield from inner.initializer
        for node in inner.node:
            for attribute in node.attribute:
                yield from attribute.tensors
                if attribute.HasField("t"):
                    yield attribute.t


def domain_of(thing) -> str:
    """The domain of a node or an opset; "" for ONNX's own, which has two names."""
    return "" if thing.domain == "ai.onnx" else thing.domain


def name_of(node, index: int) -> str:
    """How to name a node to a reader: many have no name of their own."""
    return f"{node.op_type} {node.name!r}" if node.name else f"{node.op_type}, node {index}"


def constants(graph) -> dict:
    """TensorProto by name, of initializers and of Constant nodes."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            for attribute in node.attribute:
                if attribute.name == "value" and attribute.HasField("t"):
                    found[node.output[0]] = attribute.t
    return found


def _as_text(found):
    """The same with strings for bytes: protobuf gives names that are not UTF-8 as bytes."""
    if isinstance(found, dict):
        return {_as_text(key): _as_text(value) for key, value in found.items()}
    if isinstance(found, list):
        return [_as_text(value) for value in found]
    return found.decode(errors="replace") if isinstance(found, bytes) else found


def _check(path: str) -> str | None:
    """What onnx.checker says: None if nothing. By path, so that it sees external data and takes more than 2 GB."""
    import onnx

    try:
        onnx.checker.check_model(path)
    except Exception as error:
        return _line(error)
    return None


def _line(error: Exception) -> str:
    """The first lines of an exception, without onnx's context, as one line."""
    return " ".join(str(error).split("==> Context:")[0].split()) or type(error).__name__


def _tensor(value) -> dict:
    from onnx import TensorProto

    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return {"name": value.name, "type": kind or "unknown", "shape": None}
    tensor = value.type.tensor_type
    known = {number: name for name, number in TensorProto.DataType.items()}
    shape = [_dimension(dimension) for dimension in tensor.shape.dim] if tensor.HasField("shape") else None
    return {"name": value.name, "type": known.get(tensor.elem_type, f"type {tensor.elem_type}"), "shape": shape}


def _dimension(dimension) -> int | str:
    if dimension.HasField("dim_value") and dimension.dim_value >= 0:
        return dimension.dim_value
    return dimension.dim_param or "?"


def _operators(model) -> list[list]:
    """[domain, type, opset that defines it, count], the most frequent first; those of inner graphs included."""
    from onnx import defs

    opsets = {domain_of(entry): entry.version for entry in model.opset_import}
    counts = Counter((domain_of(node), node.op_type) for graph in all_graphs(model.graph) for node in graph.node)
    rows = []
    for (domain, kind), count in counts.most_common():
        version = opsets.get(domain, 0)
        with contextlib.suppress(Exception):  # onnx does not know it: its domain's version has to do
            version = defs.get_schema(kind, min(version, defs.onnx_opset_version()), domain).since_version
        rows.append([domain, kind, version, count])
    return rows


def _external(tensors: list, folder: Path) -> list[dict]:
    files: dict[str, dict] = {}
    for tensor in tensors:
        found = external_file(tensor)
        if found is None or found[0] == "left-out":
            continue
        location, offset, length = found
        allowed = inside(folder, location)
        there = allowed and (folder / location).is_file()
        size = (folder / location).stat().st_size if there else 0
        entry = files.setdefault(
            location,
            {"name": location, "bytes": size, "found": there, "allowed": allowed, "tensor": tensor.name, "short": ""},
        )
        if there and not entry["short"] and (offset < 0 or offset + (length or 0) > size):
            entry["short"] = tensor.name
    return list(files.values())


def _names_of_type(graph, tensors: list, element_type: int) -> list[str]:
    names = [value.name for value in [*graph.input, *graph.output] if value.type.tensor_type.elem_type == element_type]
    names += [tensor.name for tensor in tensors if tensor.data_type == element_type]
    for i, node in enumerate(graph.node):
        if node.op_type == "Cast" and any(a.name == "to" and a.i == element_type for a in node.attribute):
            names.append(name_of(node, i))
    return list(dict.fromkeys(name or "a constant" for name in names))


def _zero_divisions(graph) -> Iterator[list]:
    """[node, whether its other operand is constant too] for each integer Div or Mod by a constant with a zero in it."""
    from onnx import numpy_helper

    known = constants(graph)
    for i, node in enumerate(graph.node):
        if node.op_type not in ("Div", "Mod") or len(node.input) < 2 or node.input[1] not in known:
            continue
        divisor = known[node.input[1]]
        if divisor.data_type in INTEGERS and divisor.data_location != divisor.EXTERNAL:
            try:
                zero = bool(np.any(numpy_helper.to_array(divisor) == 0))
            except (ValueError, TypeError):
                continue
            if zero:
                yield [name_of(node, i), node.input[0] in known]
