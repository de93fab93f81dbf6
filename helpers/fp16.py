"""Puts an ONNX model into FP16, and leaves in float32 what has to be (chapter 10). Needs onnx.

Each node computes in FP16, and a Cast stands wherever one type is read as the other. The schemas of ONNX say what must
be float32, such as all of Range. Arithmetic with shapes stays in float32 too: FP16 cannot count beyond 2048, and
TensorRT computes no shapes in it.

>>> half = to_fp16("data/lenet.onnx")  # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .model_files import TOO_LARGE_IN_MEMORY, load_onnx
from .onnx_graphs import all_graphs, all_nodes, check_kept, label, lift_constants, names_to_keep, sort_nodes, subgraphs

if TYPE_CHECKING:
    import onnx

FP32, FP16 = 1, 10  # numbers of the types in ONNX
LARGEST, SMALLEST = 65504.0, 2.0**-24  # of FP16: the latter is its smallest number above 0

# Operators that stay in float32 though ONNX allows FP16: an attribute says which type they make, or bits count.
STAY = {"EyeLike", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
STAY |= {"BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix", "Constant", "BitCast"}
STAY |= {"MeanVarianceNormalization", "TensorScatter"}  # what TensorRT expands with float32, and only takes an input
RECURRENT = {"RNN", "GRU", "LSTM"}  # with lengths of sequences: TensorRT's importer then mixes the types
NO_SHAPES = {"Conv", "ConvTranspose", "Gemm", "MatMul", "DequantizeLinear"}  # here arithmetic with shapes ends
GATHER = {"Gather", "GatherElements", "GatherND"}  # and here, if it is a table of weights that they read
ANY_TYPE = {"Cast", "Shape", "Size"}  # they read either type, and give the same


def to_fp16(model: str | os.PathLike | bytes | onnx.ModelProto, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Returns a copy of the model (a file, its bytes, or an onnx.ModelProto) that computes in FP16, subgraphs included.

    Inputs and outputs stay float32, with casts behind and before them. ``keep`` names nodes that stay in float32: those
    that overflow, such as a mean of squares. A node without a name goes by its first output. Functions of the model are
    inlined before. Weights that are inputs as well are inputs no longer: TensorRT takes them for constants.

    Infinite weights and NaN stay what they are, and tiny ones do not become 0. Raises ValueError for other weights
    beyond ±65504, for a name in ``keep`` that no node has, for a model of more than 2 GB, and for what is no model;
    TypeError for what is neither a model nor a list of names; FileNotFoundError for a missing file.
    """
    names = names_to_keep(keep)
    half = _inlined(load_onnx(model))
    check_kept(names, half.graph)
    for graph in all_graphs(half.graph):
        sort_nodes(graph)
    half.ir_version = max(half.ir_version, 4)  # before, each weight had to be an input as well
    weights = {tensor.name for tensor in half.graph.initializer}
    inputs = [value for value in half.graph.input if value.name not in weights]
    del half.graph.input[:]
    half.graph.input.extend(inputs)
    half = _typed(half)
    _Converter(half, names).convert()
    return half


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model without functions of its own."""
    import onnx.inliner  # not there unless imported
    from google.protobuf.message import EncodeError

    if not model.functions:
        return model
    try:
        return onnx.inliner.inline_local_functions(model)
    except EncodeError:
        raise ValueError(f"the model {TOO_LARGE_IN_MEMORY}") from None
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        raise ValueError(f"onnx cannot inline the model's functions: {error}") from error


def _typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model with the types of what its nodes compute, as far as onnx can tell them."""
    import onnx
    from google.protobuf.message import EncodeError

    try:
        return onnx.shape_inference.infer_shapes(model)
    except EncodeError:
        raise ValueError(f"the model {TOO_LARGE_IN_MEMORY}") from None
    except (ValueError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(f"onnx cannot tell the types of the model's tensors: {error}") from error


class _Parameter(NamedTuple):
    """An input or output of an operator: the ``variable`` that stands for its type, None if each of several may have
    its own; and whether it may be FP16."""

    variable: str | None
    half: bool


class _Scope(NamedTuple):
    """What a graph knows about tensors: its own in the first map of each, those of the graphs around it behind."""

    types: ChainMap  # name -> type in the model given
    now: ChainMap  # name of what was float32 there -> FP16 or FP32
    casts: ChainMap  # (name, type) -> name of the same tensor in that type
    weights: ChainMap  # name -> TensorProto
    shapes: ChainMap  # name of a constant -> False, of what is computed from shapes and constants alone -> True

    def inner(self) -> _Scope:
        return _Scope(*(each.new_child() for each in self))


class _Converter:
    def __init__(self, model: onnx.ModelProto, keep: set[str]):
        self._model, self._keep = model, keep
        self._version = max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=1)
        self._names = {name for node in all_nodes(model.graph) for name in (*node.input, *node.output, node.name)}
        self._names |= {each.name for graph in all_graphs(model.graph) for each in (*graph.initializer, *graph.input)}
        self._readers: dict[str, list[str]] = {}  # of a weight in FP16, by its name there

    def convert(self) -> None:
        self._graph(self._model.graph, _Scope(*(ChainMap() for _ in _Scope._fields)), stays=False)

    def _graph(self, graph: onnx.GraphProto, scope: _Scope, stays: bool) -> None:
        """Converts a graph in place. ``stays``: what it takes, computes and gives stays in float32."""
        main, nodes = graph is self._model.graph, lift_constants(graph)
        done: list[onnx.NodeProto] = []
        for value in (*graph.value_info, *graph.output, *graph.input):
            scope.types[value.name] = value.type.tensor_type.elem_type
        for value in graph.input:
            scope.now[value.name] = FP32 if main or stays else FP16
        for tensor in graph.initializer:
            scope.types[tensor.name], scope.weights[tensor.name] = tensor.data_type, tensor
            scope.now[tensor.name], scope.shapes[tensor.name] = FP32, False
        exact = self._exact(nodes, scope)
        outside = {value.name for value in graph.output} if main else set()
        for index, node in enumerate(nodes):
            self._node(node, scope, stays or index in exact or self._stays(node), outside, done)
        if not main:
            for value in (*graph.input, *graph.output):
                if scope.types[value.name] == FP32:
                    value.type.tensor_type.elem_type = FP32 if stays else FP16
            for value in graph.output:
                if scope.types[value.name] == FP32:
                    value.name = self._as(value.name, FP32 if stays else FP16, scope, done, "")
        self._halve_weights(graph, scope, done)
        for value in graph.value_info:
            if scope.types[value.name] == FP32:
                value.type.tensor_type.elem_type = scope.now.get(value.name, FP32)
        del graph.node[:]
        graph.node.extend(done)

    def _node(self, node: onnx.NodeProto, scope: _Scope, stays: bool, outside: set[str], done: list) -> None:
        """Appends a node to ``done``, with casts before and behind it where it needs them."""
        inputs, outputs = self._parameters(node)
        _deduce(node, inputs, outputs, scope)
        for i, name in enumerate(node.input):
            if scope.types.get(name) == FP32 and node.op_type not in ANY_TYPE:
                wanted = FP16 if inputs[i].half and not stays else FP32
                node.input[i] = self._as(name, wanted, scope, done, label(node))
        for inner in subgraphs(node):
            self._graph(inner, scope.inner(), stays)
        if not stays:
            _halve_attributes(node)
        done.append(node)
        for i, name in enumerate(node.output):
            if scope.types.get(name) == FP32:
                scope.now[name] = FP16 if outputs[i].half and not stays else FP32
                if name in outside and scope.now[name] == FP16:  # outside the model it stays float32
                    node.output[i] = scope.casts[name, FP16] = self._fresh(f"{name}_fp16")
                    scope.now[name] = FP32
                    done.append(self._cast(node.output[i], name, FP32))

    def _as(self, name: str, wanted: int, scope: _Scope, done: list, reader: str) -> str:
        """Returns the name of a tensor in the type that is wanted; appends a Cast to ``done`` if need be."""
        if scope.now.get(name, FP32) == wanted:
            return name
        if (name, wanted) not in scope.casts:
            fresh = self._fresh(f"{name}_fp{16 if wanted == FP16 else 32}")
            if name in scope.weights:  # for all graphs that know the weight
                level = next(level for level, own in enumerate(scope.weights.maps) if name in own)
                scope.casts.maps[level][name, wanted] = fresh
                self._readers[fresh] = []
            else:
                scope.casts[name, wanted] = fresh
                done.append(self._cast(name, fresh, wanted))
        found = scope.casts[name, wanted]
        if found in self._readers:
            self._readers[found].append(reader)
        return found

    def _halve_weights(self, graph: onnx.GraphProto, scope: _Scope, done: list[onnx.NodeProto]) -> None:
        """Puts the graph's own weights into FP16 where they are read so. Those that are read in float32, too, stay as
        they are beside a copy; all others keep their names."""
        own = {half: name for (name, _), half in scope.casts.maps[0].items() if name in scope.weights.maps[0]}
        _check_range({half: scope.weights[name] for half, name in own.items()}, self._readers)
        inner = [each for node in done for outer in subgraphs(node) for each in all_graphs(outer)]
        nodes = [*done, *(node for each in inner for node in each.node)]
        single = {name for node in nodes for name in node.input}
        single.update(value.name for each in (graph, *inner) for value in each.output)
        names = {half: name for half, name in own.items() if name not in single}
        for half, name in own.items():
            tensor = _half_of(scope.weights[name])
            if half in names:
                scope.weights[name].CopyFrom(tensor)
                scope.now[name] = FP16
            else:
                tensor.name = half
                graph.initializer.append(tensor)
        for node in nodes:
            for i, name in enumerate(node.input):
                if name in names:
                    node.input[i] = names[name]

    def _stays(self, node: onnx.NodeProto) -> bool:
        """Returns whether a node stays in float32, wherever it is."""
        lengths = node.op_type in RECURRENT and len(node.input) > 4 and node.input[4] != ""
        sequences = "Sequence" in node.op_type or node.op_type.startswith("Optional")
        return label(node) in self._keep or node.op_type in STAY or lengths or sequences

    def _exact(self, nodes: list[onnx.NodeProto], scope: _Scope) -> set[int]:
        """Returns the numbers of the nodes that compute exactly: with shapes, or with constants for something that is
        no FP16, such as the scales of a Resize."""
        shapes = scope.shapes
        for node in nodes:
            names = [name for name in node.input if name]
            if node.op_type in ("Shape", "Size", "Constant"):
                shapes.update(dict.fromkeys(node.output, node.op_type != "Constant"))
            elif names and all(name in shapes for name in names) and not subgraphs(node):
                table = node.op_type in GATHER and not shapes[names[0]]
                if not table and node.op_type not in NO_SHAPES:
                    shapes.update(dict.fromkeys(node.output, any(shapes[name] for name in names)))
        exact: set[int] = set()
        wanted: set[str] = set()
        for index in reversed(range(len(nodes))):
            node = nodes[index]
            inputs, _ = self._parameters(node)
            if any(name in shapes and (shapes[name] or name in wanted) for name in node.output):
                exact.add(index)
                wanted.update(node.input)
            wanted.update(name for name, parameter in zip(node.input, inputs, strict=True) if not parameter.half)
        return exact

    def _parameters(self, node: onnx.NodeProto) -> tuple[list[_Parameter], list[_Parameter]]:
        """Returns the parameters for each input and output of a node, by the schema of its operator. Where ONNX has
        none, as for a plugin, nothing may be FP16."""
        import onnx

        try:
            if node.domain not in ("", "ai.onnx"):
                raise onnx.defs.SchemaError
            schema = onnx.defs.get_schema(node.op_type, self._version)
        except onnx.defs.SchemaError:
            return [_Parameter("", False)] * len(node.input), [_Parameter("", False)] * len(node.output)
        allowed = {each.type_param_str: each.allowed_type_strs for each in schema.type_constraints}

        def parameter(formals: Any, index: int) -> _Parameter:
            if not formals:
                return _Parameter(None, False)
            formal = formals[min(index, len(formals) - 1)]
            half = "tensor(float16)" in allowed.get(formal.type_str, ())
            return _Parameter(formal.type_str if formal.is_homogeneous else None, half)

        found = []
        for names, formals in ((node.input, schema.inputs), (node.output, schema.outputs)):
            found.append([parameter(formals, index) for index in range(len(names))])
        if node.op_type == "Resize":
            found[0][1:] = [each._replace(half=False) for each in found[0][1:]]  # what it computes shapes with
        return found[0], found[1]

    def _cast(self, name: str, to: str, kind: int) -> onnx.NodeProto:
        import onnx

        return onnx.helper.make_node("Cast", [name], [to], name=self._fresh(f"{to}_cast"), to=kind)

    def _fresh(self, name: str) -> str:
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name


def _deduce(node: Any, inputs: list[_Parameter], outputs: list[_Parameter], scope: _Scope) -> None:
    """Notes types that onnx could not tell, behind a plugin for one: those that the same variable stands for are equal,
    and what has no schema is taken to give what it takes first."""
    ends = [*zip(node.input, inputs, strict=True), *zip(node.output, outputs, strict=True)]
    types = {each.variable: scope.types[name] for name, each in reversed(ends) if scope.types.get(name)}
    for name, each in ends:
        if name and each.variable is not None and not scope.types.get(name) and types.get(each.variable) == FP32:
            scope.types[name] = FP32
            scope.now.setdefault(name, FP32)


def _check_range(tensors: dict[str, onnx.TensorProto], readers: dict[str, list[str]]) -> None:
    """Raises ValueError for finite numbers beyond FP16, with all nodes that would have to be kept."""
    large, nodes = [], []
    for half, tensor in tensors.items():
        array = _array(tensor)
        peak = np.abs(array).max(initial=0, where=np.isfinite(array))
        if peak > LARGEST:
            large.append(f"weight {tensor.name!r} goes up to {peak:g}")
            nodes += [reader for reader in readers[half] if reader and reader not in nodes]
    if large:
        more = f" (and {len(large) - 1} more such weights)" if len(large) > 1 else ""
        raise ValueError(f"{large[0]}, FP16 to {LARGEST:g}{more}: name the nodes that read it in keep, keep={nodes}")


def _array(tensor: onnx.TensorProto) -> np.ndarray:
    from onnx import numpy_helper

    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:  # it does not hold as many numbers as its shape says
        raise ValueError(f"weight {tensor.name!r} is damaged: {error}") from error


def _half_of(tensor: onnx.TensorProto) -> onnx.TensorProto:
    from onnx import numpy_helper

    array = _array(tensor)
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    lost = (half == 0) & (array != 0)  # an epsilon that becomes 0 divides by 0
    return numpy_helper.from_array(np.where(lost, np.copysign(SMALLEST, array), half).astype(np.float16), tensor.name)


def _halve_attributes(node: onnx.NodeProto) -> None:
    import onnx

    for attribute in node.attribute:
        made = node.op_type in ("Cast", "DequantizeLinear") and attribute.name in ("to", "output_dtype")
        if made and attribute.i == FP32:
            attribute.i = FP16
        elif node.op_type == "ConstantOfShape" and attribute.t.data_type == FP32:
            _check_range({"": attribute.t}, {"": [label(node)]})
            attribute.t.CopyFrom(_half_of(attribute.t))
    if node.op_type == "ConstantOfShape" and not node.attribute:
        zero = onnx.helper.make_tensor("value", FP16, [1], [0])
        node.attribute.append(onnx.helper.make_attribute("value", zero))
