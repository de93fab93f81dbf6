"""Recognises in a model's graph alone what TensorRT is known to refuse, by the ids of ``helpers.advice`` (chapter 08).

Needs onnx. It reads what a stranger may have made: let a ``helpers.worker.Worker`` call it.

>>> len(RULES) > 15 and "EfficientNMS_TRT" in PLUGINS
True
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...model_files import locations
from .model_facts import MOST_AXES, inputs_of
from .model_weights import brief
from .operator_names import (
    ATTENTION,
    DYNAMIC_QUANTIZATION,
    MAY_READ_UINT8,
    PLUGINS,
    QUANTIZED_OPERATORS,
    REDUCTIONS,
    THROUGH,
)
from .reading import all_graphs, all_nodes, constants, domain_of, infer, name_of, read_model, text
from .report import MOST

# Of onnx.TensorProto: UINT8 and INT32; UINT8, INT8, UINT4 and INT4; strings and complex numbers.
UINT8, INT32, SMALL_INTEGERS, UNKNOWN_TYPES = 2, 6, (2, 3, 21, 22), (8, 14, 15)
MOST_READERS = 8  # of a tensor that are looked at
LARGEST_K = 3840  # of TopK, in every TensorRT


class Graph(NamedTuple):
    """What the rules look up by a tensor's name, in the whole model: the onnx.TypeProto, the constant, the node that
    makes it and those that read it. ``axes`` holds the names of the inputs' dynamic axes."""

    types: dict[str, Any]
    constants: dict[str, Any]
    makers: dict[str, Any]
    readers: dict[str, list]
    axes: frozenset[str]

    def has(self, names: Sequence[str], types: Collection[int]) -> bool:
        """Says whether one of the first tensors is of one of these types."""
        return any(self.type(name) in types for name in names[:MOST_READERS])

    def type(self, name: str) -> int:
        """Returns the element type; 0 where it is not known."""
        if name in self.constants:
            return self.constants[name].data_type
        return self.types[name].tensor_type.elem_type if name in self.types else 0

    def shape(self, name: str) -> list[int | str] | None:
        """Returns the shape, with a name or "" for each dynamic axis; None where the rank is not known."""
        if name in self.constants:
            return list(self.constants[name].dims)
        if name not in self.types or not self.types[name].tensor_type.HasField("shape"):
            return None
        dims = self.types[name].tensor_type.shape.dim
        if len(dims) > MOST_AXES:  # nodes that read it may be many
            return None
        return [dim.dim_value if dim.HasField("dim_value") else text(dim.dim_param) for dim in dims]

    def values(self, name: str) -> list | None:
        """Returns the values of a small constant; None where there are no numbers to be had."""
        from onnx import numpy_helper

        maker = self.makers.get(name)
        if maker is not None and maker.op_type == "Constant":
            for one in maker.attribute:
                if one.name in ("value_int", "value_ints", "value_float", "value_floats"):
                    return [*one.ints, *one.floats] or [one.i or one.f]
        if name not in self.constants or locations(self.constants[name]):
            return None
        try:
            values = numpy_helper.to_array(self.constants[name])
        except (KeyError, TypeError, ValueError):  # of a type that does not exist, too
            return None
        return np.ravel(values).tolist() if values.dtype.kind in "biuf" else None


def kinds(path: str) -> list[dict]:
    """Returns what of :data:`RULES` the model has, in that order, as dicts for JSON.

    ``advice`` is the id, ``nodes`` names the nodes as :func:`reading.name_of` does, ``operators`` are their types.
    ``always``: it is worth a warning even where TensorRT takes the model; else it only explains an error.
    """
    model = read_model(path).model
    graph = _look_up(model, infer(path)[0])
    found = {rule: {"advice": rule.advice, "nodes": [], "operators": [], "always": rule.always} for rule in RULES}
    for node, index, _ in all_nodes(model):
        for rule in _rules_for(text(node.op_type), text(domain_of(node))):
            if rule.fits(graph, node):
                _note(found[rule], brief(name_of(node, index)), brief(text(node.op_type)))
    shared = {"advice": "TRT034", "nodes": list(_axes_of_one_name(model.graph))[:MOST], "operators": [], "always": True}
    return [kind for kind in [*found.values(), shared] if kind["nodes"]]


def _note(kind: dict, node: str, operator: str) -> None:
    if len(kind["nodes"]) < MOST:
        kind["nodes"].append(node)
    if operator not in kind["operators"] and len(kind["operators"]) < MOST:
        kind["operators"].append(operator)


def _look_up(model, types: dict) -> Graph:
    known: dict[str, Any] = {}
    makers: dict[str, Any] = {}
    readers: dict[str, list] = {}
    for graph in all_graphs(model.graph):
        known.update(constants(graph))
    for node, _, _ in all_nodes(model):
        makers.update(dict.fromkeys(node.output, node))
        for name in set(node.input):
            some = readers.setdefault(name, [])
            if len(some) < MOST_READERS:
                some.append(node)
    axes = {axis for tensor in inputs_of(model.graph) for axis in tensor["shape"] or () if isinstance(axis, str)}
    return Graph(types, known, makers, readers, frozenset(axes) - {"?"})


def _axes_of_one_name(graph) -> Iterator[str]:
    """Yields a name for each input of which several axes share a name: "input 'x' (axes 2 and 3 are both 'n')"."""
    filled = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        if value.name in filled:
            continue
        places: dict[str, list[int]] = {}
        for place, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param:
                places.setdefault(text(dim.dim_param), []).append(place)
        for axis, shared in places.items():
            if len(shared) > 1:
                numbers = f"{', '.join(map(str, shared[:-1]))} and {shared[-1]}"
                yield brief(f"input {text(value.name)!r} (axes {numbers} are called {axis!r})")


class Rule(NamedTuple):
    """Tells a kind of node: one of these ``operators`` (all, if empty) of one of these ``domains``, or of a part of one
    (any, if empty), which ``fits``. ``always``: it is worth a warning even where TensorRT takes the model."""

    advice: str
    operators: Collection[str]
    fits: Callable[[Graph, Any], bool] = lambda graph, node: True
    domains: Collection[str] = ("",)  # ONNX's own
    always: bool = False

    def is_for(self, operator: str, domain: str) -> bool:
        """Says whether nodes of an operator can be of this kind at all."""
        part_of = not self.domains or any(f"{domain}.".startswith(f"{one}.") for one in self.domains)
        return part_of and (not self.operators or operator in self.operators)


@functools.lru_cache(maxsize=1000)
def _rules_for(operator: str, domain: str) -> list[Rule]:
    return [rule for rule in RULES if rule.is_for(operator, domain)]


# The rules: each says of one node whether it is of its kind.


def _attribute(node, name: str, default=None):
    for attribute in node.attribute:
        if attribute.name == name:
            return attribute.s or attribute.i or (attribute.g if attribute.HasField("g") else default)
    return default


def _dequantizes_int32(graph: Graph, node) -> bool:
    return graph.type(_input(node, 0)) == INT32


def _asymmetric(graph: Graph, node) -> bool:
    quantized = [_input(node, 2)] if node.op_type == "QuantizeLinear" else [_input(node, 0), _input(node, 2)]
    unsigned = graph.has(quantized, [UINT8]) or _attribute(node, "output_dtype", 0) == UINT8
    return unsigned or any(graph.values(_input(node, 2)) or [])


def _weight_only(graph: Graph, node) -> bool:
    weight = _input(node, 0)
    if weight not in graph.constants or graph.type(weight) not in SMALL_INTEGERS or not node.output:
        return False
    output, readers = node.output[0], graph.readers.get(node.output[0], [])
    for reader in list(readers):
        if reader.op_type in ("Transpose", "Cast", "Reshape") and reader.output:
            output, readers = reader.output[0], graph.readers.get(reader.output[0], [])
    products = [reader for reader in readers if reader.op_type in ("MatMul", "Gemm")]
    return any(_made_by(graph, name) != "DequantizeLinear" for p in products for name in p.input[:2] if name != output)


def _uint8_arithmetic(graph: Graph, node) -> bool:
    return graph.has(node.input, [UINT8]) and node.op_type not in MAY_READ_UINT8


def _scatter_with_reduction(graph: Graph, node) -> bool:
    return _attribute(node, "reduction", b"none") != b"none"


def _antialias(graph: Graph, node) -> bool:
    return bool(_attribute(node, "antialias", 0))


def _large_top_k(graph: Graph, node) -> bool:
    values = graph.values(_input(node, 1)) or [_attribute(node, "k", 0)]
    return isinstance(values[0], int) and values[0] > LARGEST_K


def _branches(node) -> list:
    return [a.g for a in node.attribute if a.name in ("then_branch", "else_branch") and a.HasField("g")]


def _if_from_squeeze(graph: Graph, node) -> bool:
    branches = [{inner.op_type for inner in branch.node} - {"Constant"} for branch in _branches(node)]
    if not any("Squeeze" in branch for branch in branches):
        return False
    return all(branch <= {"Squeeze", "Identity"} for branch in branches) or _compares_a_size(graph, _input(node, 0))


def _compares_a_size(graph: Graph, condition: str) -> bool:
    """Says whether a condition comes from Equal, and that from a tensor's size."""
    compared = False
    for _ in range(20):
        maker = graph.makers.get(condition)
        if maker is None:
            return False
        if maker.op_type in ("Shape", "Size"):
            return compared
        compared = compared or maker.op_type == "Equal"
        if maker.op_type not in THROUGH:
            return False
        condition = _input(maker, 0)
    return False


def _if_that_differs(graph: Graph, node) -> bool:
    branches = _branches(node)
    if any(inner.op_type == "If" for branch in branches for inner in branch.node):
        return True
    if len(branches) != 2:
        return False
    for one, other in zip(branches[0].output, branches[1].output, strict=False):
        one, other = one.type.tensor_type, other.type.tensor_type
        if one.HasField("shape") and other.HasField("shape") and len(one.shape.dim) != len(other.shape.dim):
            return True
    return False


def _grid_sample_5d(graph: Graph, node) -> bool:
    return 5 in [len(graph.shape(name) or ()) for name in node.input[:2]]


def _reduction_with_axes_input(graph: Graph, node) -> bool:
    return bool(_input(node, 1))


def _sizes_baked_in(graph: Graph, node) -> bool:
    """Says of a Reshape to constant sizes whether a dynamic axis of an input has only one size for which it works."""
    shape, sizes = graph.shape(_input(node, 0)), graph.values(_input(node, 1))
    if not shape or not sizes or -1 in sizes:
        return False
    kept = set() if _attribute(node, "allowzero", 0) else {i for i, size in enumerate(sizes) if size == 0}
    return any(isinstance(axis, str) and axis in graph.axes and i not in kept for i, axis in enumerate(shape))


def _batch_baked_in(graph: Graph, node) -> bool:
    """Says whether a Reshape sets the first axis, of which the input may have any number."""
    shape, sizes = graph.shape(_input(node, 0)) or [0], graph.values(_input(node, 1)) or [0]
    return isinstance(shape[0], str) and sizes[0] > 0


def _no_such_type(graph: Graph, node) -> bool:
    return graph.has(node.input, UNKNOWN_TYPES) or graph.has(node.output, UNKNOWN_TYPES)


def _input(node, place: int) -> str:
    return node.input[place] if len(node.input) > place else ""


def _made_by(graph: Graph, name: str) -> str:
    maker = graph.makers.get(name)
    return maker.op_type if maker is not None else ""


MICROSOFT = ("com.microsoft", "com.ms")
# Where several fit a node, the first explains its error.
RULES: tuple[Rule, ...] = (
    Rule("TRT020", DYNAMIC_QUANTIZATION, domains=("", *MICROSOFT)),
    Rule("TRT059", QUANTIZED_OPERATORS, domains=("", *MICROSOFT)),
    Rule("TRT022", ("DequantizeLinear",), _dequantizes_int32, ("", *MICROSOFT)),
    Rule("TRT021", ("QuantizeLinear", "DequantizeLinear"), _asymmetric, ("", *MICROSOFT)),
    Rule("TRT023", ("DequantizeLinear",), _weight_only),
    Rule("TRT023", ("MatMulNBits", "MatMulBnb4", "MatMulFpQ4"), domains=MICROSOFT),
    Rule("TRT033", PLUGINS, domains=()),
    Rule("TRT032", ATTENTION, domains=("", *MICROSOFT)),
    Rule("TRT025", (), domains=("ai.onnx.ml",)),
    Rule("TRT026", (), domains=MICROSOFT),
    Rule("TRT027", ("ScatterND", "ScatterElements"), _scatter_with_reduction),
    Rule("TRT028", ("Resize",), _antialias),
    Rule("TRT029", ("TopK",), _large_top_k),
    Rule("TRT030", ("If",), _if_from_squeeze),
    Rule("TRT031", ("If",), _if_that_differs),
    Rule("TRT036", ("GridSample",), _grid_sample_5d),
    Rule("TRT037", REDUCTIONS, _reduction_with_axes_input),
    Rule("TRT038", ("NonZero", "NonMaxSuppression", "Unique", "Compress")),
    Rule("TRT039", ("Reshape",), _sizes_baked_in, always=True),
    Rule("TRT039", ("Reshape",), _batch_baked_in),
    Rule("TRT008", (), _no_such_type, domains=()),
    Rule("TRT024", (), _uint8_arithmetic),
)
