"""Damaged and hostile ONNX models, made from good ones by a seed: the food of fuzz_check.py."""

from __future__ import annotations

import functools
import random
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test.data as onnx_data
import small_models as small

from helpers.model_files import all_tensors

DATA = Path(next(iter(onnx_data.__path__)))
LENET = Path(__file__).parents[2] / "data" / "lenet.onnx"
INTEGERS = [0, 1, -1, 2, -2, 3, 7, 64, 1 << 16, (1 << 31) - 1, 1 << 31, -(1 << 31), (1 << 63) - 1, -(1 << 63)]
FLOATS = [0.0, -1.0, 1e-45, 1e38, float("inf"), float("-inf"), float("nan")]
# What a name may be that somebody else has chosen, and where external data may be said to lie: fuzz_check.py makes some
# of these places, and watches that no secret is read through them.
NAMES = ["", "x", "\x1b]0;title\x07", "<img src=x onerror=alert(1)>", "a\nb", "a\0b", "é" * 200, "%s%n", "[red]x[/red]",
         "../../x", "No Op registered for Relu", "x" * 70_000, "\U0010ffff"]  # fmt: skip
LOCATIONS = ["weights.bin", "link.bin", "zero", "pipe", "up/secret.bin", "../secret.bin", "/etc/passwd", "", ".",
             "..", "weights.bin/", "./weights.bin", "weights.bin\0x", "a" * 5000, "left-out", "/dev/zero",
             "model.onnx"]  # fmt: skip
NODE_MODELS = 150  # of the 1,765 single-node tests of onnx


@functools.lru_cache(maxsize=1)
def bases() -> list[bytes]:
    """The good models; the first few, which are whole networks, are taken more often."""
    rng = random.Random(0)
    small_ones = [
        small.network(),
        small.network(13),
        small.relu(),
        small.dynamic_reshape(),
        small.weights([1, 2, 3, 4]),
    ]
    small_ones += [small.division_by_zero("Div"), small.dynamic_axes(), small.non_max_suppression()]
    light = [DATA / "light" / "light_zfnet512.onnx"]
    nodes = rng.sample(sorted((DATA / "node").glob("*/model.onnx")), NODE_MODELS)
    files = [path.read_bytes() for path in [LENET, *light, *nodes]]
    return [*(model.SerializeToString() for model in small_ones), *files]


def damaged(seed: int | str) -> tuple[str, bytes]:
    """A model and how it was damaged: one in eight by its bytes, the others by their graphs, one to four times over."""
    rng = random.Random(seed)
    everything = bases()
    base = rng.choice(everything[:10] if rng.random() < 0.5 else everything)
    if rng.random() < 0.12:
        return "bytes", damage_bytes(base, rng)
    model, done = onnx.load_from_string(base), []
    for _ in range(rng.choice([1, 1, 1, 1, 2, 3])):
        damage = rng.choice(DAMAGES)
        try:
            damage(model, rng)
        except Exception:  # nothing there to be damaged like that, or damaged already
            continue
        done.append(damage.__name__)
    try:
        return "+".join(done), model.SerializeToString()
    except UnicodeEncodeError:  # protobuf wants no half characters
        return "nothing", base


def damage_bytes(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    kind = rng.choice(["flip", "flip", "flip", "cut", "drop", "double", "noise"])
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.choice([1, 2, 8, 64]))
    if kind == "flip":
        for _ in range(rng.choice([1, 1, 2, 8])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[start:]
    elif kind == "drop":
        del data[start:end]
    elif kind == "double":
        data[start:start] = data[start:end]
    else:
        data[start:end] = rng.randbytes(end - start)
    return bytes(data)


def remove_node(model, rng):
    del model.graph.node[rng.randrange(len(model.graph.node))]


def repeat_node(model, rng):
    model.graph.node.append(rng.choice(model.graph.node))


def swap_nodes(model, rng):
    first, second = rng.choice(model.graph.node), rng.choice(model.graph.node)
    kept = onnx.NodeProto()
    kept.CopyFrom(first)
    first.CopyFrom(second)
    second.CopyFrom(kept)


def change_operator(model, rng):
    rng.choice(model.graph.node).op_type = rng.choice(sorted({s.name for s in onnx.defs.get_all_schemas()}))


def change_domain(model, rng):
    rng.choice(model.graph.node).domain = rng.choice(["", "ours", "ai.onnx.ml", "com.microsoft"])


def change_input(model, rng):
    node = rng.choice(model.graph.node)
    node.input[rng.randrange(len(node.input))] = rng.choice([*_names(model), "", "nowhere"])


def remove_input(model, rng):
    node = rng.choice(model.graph.node)
    del node.input[rng.randrange(len(node.input))]


def add_input(model, rng):
    rng.choice(model.graph.node).input.append(rng.choice(_names(model)))


def change_output(model, rng):
    node = rng.choice(model.graph.node)
    node.output[rng.randrange(len(node.output))] = rng.choice([*_names(model), "", "nowhere"])


def remove_outputs(model, rng):
    del rng.choice(model.graph.node).output[:]


def change_attribute(model, rng):
    attribute = rng.choice(rng.choice([n for n in model.graph.node if n.attribute]).attribute)
    if attribute.type == onnx.AttributeProto.INTS and attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(INTEGERS)
    elif attribute.type == onnx.AttributeProto.INT:
        attribute.i = rng.choice(INTEGERS)
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = rng.choice(FLOATS)
    elif attribute.type == onnx.AttributeProto.STRING:
        attribute.s = rng.choice([b"", b"SAME_UPPER", b"\xff\xfe", b"x" * 5000])


def lengthen_attribute(model, rng):
    lists = [a for n in model.graph.node for a in n.attribute if a.type == onnx.AttributeProto.INTS]
    attribute = rng.choice(lists)
    attribute.ints.extend([rng.choice(INTEGERS)] * rng.choice([1, 2, 100]))


def remove_attribute(model, rng):
    node = rng.choice([n for n in model.graph.node if n.attribute])
    del node.attribute[rng.randrange(len(node.attribute))]


def change_attribute_type(model, rng):
    attribute = rng.choice(rng.choice([n for n in model.graph.node if n.attribute]).attribute)
    attribute.type = rng.randrange(0, 15)


def change_constant(model, rng):
    tensor = rng.choice([t for t in model.graph.initializer if t.data_location != t.EXTERNAL])
    array = onnx.numpy_helper.to_array(tensor).copy()
    values = FLOATS if array.dtype.kind == "f" else INTEGERS
    array.flat[rng.randrange(array.size)] = _fitting(array.dtype, rng.choice(values))
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def change_dimensions(model, rng):
    tensor = rng.choice(model.graph.initializer)
    tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(INTEGERS)


def reshape_constant(model, rng):
    tensor = rng.choice(model.graph.initializer)
    dims = list(tensor.dims)
    rng.shuffle(dims)
    tensor.dims[:] = rng.choice([dims, [*dims, 1], [1, *dims]])


def change_constant_type(model, rng):
    rng.choice(model.graph.initializer).data_type = rng.randrange(0, 28)


def empty_constant(model, rng):
    tensor = rng.choice(model.graph.initializer)
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")


def constant_to_input(model, rng):
    i = rng.randrange(len(model.graph.initializer))
    tensor = model.graph.initializer[i]
    model.graph.input.append(small.value(tensor.name, tensor.data_type, list(tensor.dims)))
    del model.graph.initializer[i]


def input_to_constant(model, rng):
    i = rng.randrange(len(model.graph.input))
    value = model.graph.input[i]
    kind = value.type.tensor_type
    shape = [d.dim_value or 1 for d in kind.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    size = 1
    for n in shape:
        size *= n
    if size > 1 << 16:
        raise ValueError("too large")
    values = [_fitting(dtype, rng.choice([0, 1, 2])) for _ in range(size)]
    model.graph.initializer.append(small.constant(value.name, values, dtype))
    model.graph.initializer[-1].dims[:] = shape
    del model.graph.input[i]


def to_external(model, rng):
    tensor = rng.choice(list(all_tensors(model)))
    tensor.ClearField("raw_data")
    tensor.data_location = tensor.EXTERNAL
    for _ in range(rng.choice([1, 1, 2])):
        key = rng.choice(["location", "location", "location", "Location"])
        tensor.external_data.add(key=key, value=rng.choice(LOCATIONS))
    for key in ("offset", "length"):
        if rng.random() < 0.5:
            numbers = ["0", "-1", "16", "x", "", "0x10", "1e3", "9" * 18, "9" * 30]
            tensor.external_data.add(key=key, value=rng.choice(numbers))


def to_function(model, rng):
    """Moves a node into a function of the model, which at times calls itself."""
    node = rng.choice(model.graph.node)
    inputs, outputs = [f"in{i}" for i in range(len(node.input))], [f"out{i}" for i in range(len(node.output))]
    function = onnx.helper.make_function("ours", "Fn", inputs, outputs, [node], list(model.opset_import))
    function.node[0].input[:], function.node[0].output[:] = inputs, outputs
    node.op_type, node.domain = "Fn", "ours"
    del node.attribute[:]
    if rng.random() < 0.2:
        function.node[0].op_type, function.node[0].domain = "Fn", "ours"
    model.functions.append(function)
    model.opset_import.append(small.OURS)


def add_sparse_constant(model, rng):
    values, where = small.constant("v", [1.0, 2.0], np.float32), small.constant("w", [0, rng.choice([1, *INTEGERS])])
    sparse = onnx.helper.make_sparse_tensor(values, where, [rng.choice([4, *INTEGERS])])
    if rng.random() < 0.5:
        model.graph.sparse_initializer.append(sparse)
    else:
        node = small.node("Constant", [], [rng.choice(_names(model))], sparse_value=sparse)
        model.graph.node.insert(0, node)


def add_training(model, rng):
    model.training_info.add().initialization.CopyFrom(model.graph)


def nest(model, rng):
    """Puts the last node into branches of branches."""
    node = model.graph.node[-1]
    outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in node.output]
    names = list(node.output)
    for depth in range(rng.choice([2, 5, 20, 60])):
        branch = onnx.helper.make_graph([node], f"branch{depth}", [], outputs)
        node = small.node("If", ["deep"], names, then_branch=branch, **({"else_branch": branch} if depth < 3 else {}))
    model.graph.initializer.append(small.constant("deep", True, bool))
    model.graph.node[-1].CopyFrom(node)


def lengthen_dimensions(model, rng):
    tensor = rng.choice(list(all_tensors(model)))
    tensor.dims.extend([rng.choice([1, 2, 1 << 62, *INTEGERS])] * rng.choice([1, 3, 20, 100]))


def change_name(model, rng):
    new, node = rng.choice(NAMES), rng.choice(model.graph.node)
    kind = rng.choice(["node", "operator", "domain", "producer", "input", "tensor", "axis", "opset"])
    if kind == "node":
        node.name = new
    elif kind == "operator":
        node.op_type = new
    elif kind == "domain":
        node.domain = new
    elif kind == "producer":
        model.producer_name = model.doc_string = new
    elif kind == "input":
        rng.choice(model.graph.input).name = new
    elif kind == "tensor":
        rng.choice(list(all_tensors(model))).name = new
    elif kind == "axis":
        rng.choice(rng.choice(model.graph.input).type.tensor_type.shape.dim).dim_param = new
    else:
        model.opset_import.add(domain=new, version=rng.choice(INTEGERS))


def repeat_much(model, rng):
    """Thousands of outputs, of nodes without outputs, or of kinds of operators."""
    kind = rng.choice([*["outputs", "operators"] * 4, "nodes"])  # these kill the parser, which takes time
    count = rng.choice([30, 1500])
    if kind == "outputs":
        model.graph.output.extend([rng.choice(model.graph.output)] * count)
    elif kind == "nodes":
        model.graph.node.extend([small.node("Foo", _names(model)[:1], [], domain="ours")] * count)
    else:
        nodes = [small.node(f"Foo{i}", _names(model)[:1], [f"foo{i}"], domain="ours") for i in range(count)]
        model.graph.node.extend(nodes)


def change_kind_of_input(model, rng):
    value = rng.choice([*model.graph.input, *model.graph.output])
    old = onnx.TypeProto.FromString(value.type.SerializeToString())
    value.type.Clear()
    kind = rng.choice(["sequence_type", "optional_type", "sparse_tensor_type", "none"])
    if kind == "sparse_tensor_type":
        value.type.sparse_tensor_type.elem_type = rng.randrange(0, 20)
    elif kind != "none":
        getattr(value.type, kind).elem_type.CopyFrom(old)


def change_input_shape(model, rng):
    value = rng.choice([*model.graph.input, *model.graph.output])
    axis = rng.choice(value.type.tensor_type.shape.dim)
    if rng.random() < 0.5:
        axis.dim_param = rng.choice(["", "batch", "height", "x" * 3000])
    else:
        axis.dim_value = rng.choice(INTEGERS)


def change_input_rank(model, rng):
    shape = rng.choice([*model.graph.input, *model.graph.output]).type.tensor_type.shape
    if rng.random() < 0.5:
        del shape.dim[rng.randrange(len(shape.dim))]
    else:
        shape.dim.add().dim_value = 2


def change_input_type(model, rng):
    rng.choice([*model.graph.input, *model.graph.output]).type.tensor_type.elem_type = rng.randrange(0, 28)


def forget_input_shape(model, rng):
    rng.choice(model.graph.input).type.tensor_type.ClearField("shape")


def remove_graph_output(model, rng):
    del model.graph.output[rng.randrange(len(model.graph.output))]


def add_graph_output(model, rng):
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(rng.choice(_names(model))))


def rename_graph_output(model, rng):
    rng.choice(model.graph.output).name = rng.choice([*_names(model), "nowhere", ""])


def change_opset(model, rng):
    rng.choice(model.opset_import).version = rng.choice([*range(28), 99, *INTEGERS])


def change_ir_version(model, rng):
    model.ir_version = rng.choice([0, 1, 3, 4, 7, 10, 13, 99, *INTEGERS])


def rename_node(model, rng):
    rng.choice(model.graph.node).name = rng.choice(["", "x" * 100_000, "\x1b[2J", "ü", "a\0b"])


def into_branch(model, rng):
    """Moves a node into both branches of an If with a constant condition."""
    i = rng.randrange(len(model.graph.node))
    node = model.graph.node[i]
    outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in node.output]
    branch = onnx.helper.make_graph([node], "branch", [], outputs)
    new = small.node("If", ["condition"], list(node.output), then_branch=branch, else_branch=branch)
    model.graph.initializer.append(small.constant("condition", rng.random() < 0.5, bool))
    model.graph.node[i].CopyFrom(new)


DAMAGES = [
    remove_node, repeat_node, swap_nodes, change_operator, change_domain, change_input, remove_input, add_input,
    change_output, remove_outputs, change_attribute, change_attribute, change_attribute, lengthen_attribute,
    remove_attribute, change_attribute_type, change_constant, change_constant, change_constant, change_dimensions,
    reshape_constant, reshape_constant, change_constant_type, empty_constant, constant_to_input, constant_to_input,
    change_constant, change_constant, change_attribute, change_input_shape, change_input_shape,
    input_to_constant, input_to_constant, to_external, change_input_shape, change_input_shape, change_input_rank,
    change_input_type, forget_input_shape, remove_graph_output, add_graph_output, rename_graph_output, change_opset,
    change_ir_version, rename_node, into_branch, to_external, to_external, to_function, to_function, to_function,
    add_sparse_constant, add_training, nest, lengthen_dimensions, change_name, change_name, repeat_much,
    change_kind_of_input,
]  # fmt: skip


def _names(model) -> list[str]:
    return [
        *(tensor.name for tensor in model.graph.initializer),
        *(value.name for value in model.graph.input),
        *(name for node in model.graph.node for name in node.output),
    ]


def _fitting(dtype, number):
    """The number as this type: integers wrap around."""
    if dtype.kind in "iu":
        return number % (1 << (8 * dtype.itemsize - (dtype.kind == "i")))
    return number
