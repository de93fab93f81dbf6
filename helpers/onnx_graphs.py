"""Walks through the graphs of an ONNX model, subgraphs included: puts nodes in order, and names them (chapter 10).

Behind ``to_fp16`` and ``quantize``. Needs onnx only for :func:`lift_constants`.

>>> names_to_keep(["last"])
{'last'}
"""

from __future__ import annotations

import difflib
import graphlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx


def lift_constants(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Makes initializers of the graph's float32 constants; returns the other nodes."""
    nodes, outputs = [], {value.name for value in graph.output}
    for node in graph.node:
        tensor = _constant(node) if node.op_type == "Constant" and outputs.isdisjoint(node.output) else None
        if tensor is None:
            nodes.append(node)
        else:
            graph.initializer.append(tensor)
            graph.initializer[-1].name = node.output[0]
    return nodes


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """Returns the float32 value of a Constant node; None for one of another type, or without an output."""
    from onnx import numpy_helper

    value = {attribute.name: attribute for attribute in node.attribute} if node.output else {}
    if "value" in value and value["value"].t.data_type == value["value"].t.FLOAT:
        return value["value"].t
    if "value_float" in value or "value_floats" in value:
        number = value["value_float"].f if "value_float" in value else list(value["value_floats"].floats)
        return numpy_helper.from_array(np.array(number, np.float32))
    return None


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Puts nodes behind those whose results they read, as ONNX wants it. Raises ValueError for a circle."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    reads = []
    for node in graph.node:
        inside = {name for inner in subgraphs(node) for each in all_graphs(inner) for name in _read(each)}
        reads.append({makers[name] for name in {*node.input, *inside} if name in makers})
    if all(not names or max(names) < index for index, names in enumerate(reads)):
        return
    try:
        order = list(graphlib.TopologicalSorter(dict(enumerate(reads))).static_order())
    except graphlib.CycleError as error:
        raise ValueError(f"node {label(graph.node[error.args[1][0]])!r} reads what is computed from it") from None
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes[index] for index in order)


def _read(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (name for node in graph.node for name in node.input)
    yield from (value.name for value in graph.output)


def subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Returns a node's subgraphs, such as the branches of an If."""
    return [graph for each in node.attribute for graph in ([each.g] if each.HasField("g") else each.graphs)]


def all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yields a graph and all that are inside it."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from all_graphs(inner)


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yields the nodes of a graph and of all that are inside it."""
    return (node for each in all_graphs(graph) for node in each.node)


def label(node: onnx.NodeProto) -> str:
    """Returns the name of a node, or that of its first output if it has none."""
    return node.name or next(iter(node.output), "")


def names_to_keep(keep: Any) -> set[str]:
    """Returns the names of nodes as a set. Raises TypeError for what is no list of names."""
    names: list[Any] = list(keep) if isinstance(keep, Iterable) and not isinstance(keep, (str, bytes)) else [None]
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"keep={keep!r:.80}: give a list of names of nodes, keep=['…']")
    return set(names)


def check_kept(keep: set[str], graph: onnx.GraphProto) -> None:
    """Raises ValueError for a name that no node of the graph has, with those that are like it."""
    names = list(dict.fromkeys(map(label, all_nodes(graph))))
    for name in sorted(keep.difference(names)):
        close = difflib.get_close_matches(name, names, 3) or names[:3]
        raise ValueError(
            f"keep: the model has no node {name!r}; it has {', '.join(map(repr, close))} among {len(names)} (a node "
            "without a name goes by its first output)"
        )
