"""Small ONNX models, good and bad ones, that the tests make when they run."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, DOUBLE, INT64, STRING = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING
value, node = helper.make_tensor_value_info, helper.make_node
OURS = helper.make_opsetid("ours", 1)


def constant(name: str, values, dtype=np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, dtype), name)


def model(nodes, inputs=None, outputs=None, constants=(), opset=17, domains=(), ir=8) -> onnx.ModelProto:
    """A model; by default one of input "x" and output "y", both FLOAT (1, 4)."""
    inputs = [value("x", FLOAT, [1, 4])] if inputs is None else inputs
    outputs = [value("y", FLOAT, [1, 4])] if outputs is None else outputs
    graph = helper.make_graph(nodes, "small", inputs, outputs, list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), *domains], ir_version=ir)


def relu(**more) -> onnx.ModelProto:
    return model([node("Relu", ["x"], ["y"], "relu")], **more)


def division_by_zero(operator: str) -> onnx.ModelProto:
    """Kills the builder of TensorRT for RTX 1.7 with SIGFPE, and passes onnx.checker."""
    nodes = [node(operator, ["a", "b"], ["c"]), node("Cast", ["c"], ["d"], to=FLOAT), node("Add", ["x", "d"], ["y"])]
    return model(nodes, constants=[constant("a", [4]), constant("b", [0])])


def node_without_outputs(operator: str = "Foo", domain: str = "ours") -> onnx.ModelProto:
    """Kills the parser of TensorRT for RTX 1.7 with SIGSEGV; onnx.checker knows only operators of ONNX's own."""
    return model([node(operator, ["x"], [], domain=domain), node("Relu", ["x"], ["y"])], domains=[OURS])


def too_many_dimensions(rank: int = 100) -> onnx.ModelProto:
    """Kills the parser of TensorRT for RTX 1.7 with SIGSEGV, and passes onnx.checker. TensorRT has 8 dimensions."""
    shape = [1] * (rank - 1) + [4]
    nodes = [node("Reshape", ["x", "shape"], ["y"])]
    return model(nodes, outputs=[value("y", FLOAT, shape)], constants=[constant("shape", shape)])


def unknown_operator(domain: str = "") -> onnx.ModelProto:
    return model([node("Foo", ["x"], ["z"], "foo", domain=domain), node("Relu", ["z"], ["y"])], domains=[OURS])


def determinant() -> onnx.ModelProto:
    return model([node("Det", ["x"], ["y"], "det")], [value("x", FLOAT, [1, 4, 4])], [value("y", FLOAT, [1])])


def dynamic_axes() -> onnx.ModelProto:
    """A ReduceSum whose axes are an input: TensorRT wants them constant."""
    inputs = [value("x", FLOAT, [1, 4]), value("axes", INT64, [1])]
    return model([node("ReduceSum", ["x", "axes"], ["y"], "sum")], inputs, [value("y", FLOAT, [1, 1])])


def dynamic_reshape() -> onnx.ModelProto:
    inputs = [value("x", FLOAT, [1, 4]), value("shape", INT64, [2])]
    return model([node("Reshape", ["x", "shape"], ["y"])], inputs, [value("y", FLOAT, ["rows", "columns"])])


def double_precision() -> onnx.ModelProto:
    return model([node("Relu", ["x"], ["y"])], [value("x", DOUBLE, [1, 4])], [value("y", DOUBLE, [1, 4])])


def strings() -> onnx.ModelProto:
    return model([node("Identity", ["x"], ["y"])], [value("x", STRING, [1, 4])], [value("y", STRING, [1, 4])])


def non_max_suppression() -> onnx.ModelProto:
    constants = [constant("most", [5]), constant("iou", [0.5], np.float32), constant("score", [0.5], np.float32)]
    return model(
        [node("NonMaxSuppression", ["boxes", "scores", "most", "iou", "score"], ["y"])],
        [value("boxes", FLOAT, [1, 10, 4]), value("scores", FLOAT, [1, 1, 10])],
        [value("y", INT64, ["n", 3])],
        constants,
    )


def mixed_types() -> onnx.ModelProto:
    return model([node("Add", ["x", "k"], ["y"], "add")], constants=[constant("k", [1])])


def weights(values, dtype=np.float32) -> onnx.ModelProto:
    return model([node("Add", ["x", "w"], ["y"])], constants=[constant("w", [values], dtype)])


def in_file(location: str, shape=(4,), dtype=FLOAT, **entries) -> TensorProto:
    """A tensor "w" in a file of external data, which is not made here."""
    w = TensorProto(name="w", data_type=dtype, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, entry in {"location": location, **entries}.items():
        w.external_data.add(key=key, value=str(entry))
    return w


def external(location: str, shape=(4, 4), dtype=FLOAT, **entries) -> onnx.ModelProto:
    """A MatMul whose weights "w" are in a file of external data."""
    w = in_file(location, shape, dtype, **entries)
    inputs, outputs = [value("x", FLOAT, [1, shape[0]])], [value("y", FLOAT, [1, shape[1]])]
    return model([node("MatMul", ["x", "w"], ["y"])], inputs, outputs, [w])


def external_everywhere(location: str) -> dict[str, onnx.ModelProto]:
    """Models whose tensor "w" is in a file of external data, by the place in the model where that tensor stands."""
    w = in_file(location)
    dense = TensorProto(name="d", data_type=FLOAT, dims=[4], float_data=[1, 2, 3, 4])
    sparse = onnx.SparseTensorProto(values=w, indices=constant("i", [0, 1, 2, 3]), dims=[4])
    sparse_indices = onnx.SparseTensorProto(values=dense, indices=w, dims=[4])
    constant_w, add = node("Constant", [], ["w"], value=w), node("Add", ["x", "w"], ["y"])
    branch = helper.make_graph([constant_w, add], "branch", [], [value("y", FLOAT, [1, 4])])
    filled = helper.make_graph([add], "filled", [], [value("y", FLOAT, [1, 4])], [w])
    both = {"then_branch": branch, "else_branch": branch}
    condition = constant("condition", True, bool)

    def calls(*nodes) -> onnx.ModelProto:
        function = helper.make_function("ours", "Fn", ["x"], ["y"], list(nodes), [helper.make_opsetid("", 17)])
        found = model([node("Fn", ["x"], ["y"], domain="ours")], domains=[OURS])
        found.functions.append(function)
        return found

    def with_constant(**attribute) -> onnx.ModelProto:
        return model([node("Constant", [], ["w"], **attribute), add])

    def ours(**attribute) -> onnx.ModelProto:
        return model([node("Foo", ["x"], ["y"], domain="ours", **attribute)], domains=[OURS])

    found = {
        "initializer": model([add], constants=[w]),
        "initializer of a branch": model([node("If", ["condition"], ["y"], then_branch=filled, else_branch=filled)],
                                         constants=[condition]),
        "Constant": with_constant(value=w),
        "Constant in a branch": model([node("If", ["condition"], ["y"], **both)], constants=[condition]),
        "tensors": ours(many=[w, w]),
        "graphs": ours(many=[branch]),
        "sparse value": with_constant(sparse_value=sparse),
        "sparse tensors": ours(many=[sparse, sparse]),
        "sparse initializer": model([add]),
        "sparse indices": model([add]),
        "function": calls(constant_w, add),
        "branch in a function": calls(node("Constant", [], ["c"], value=condition), node("If", ["c"], ["y"], **both)),
        "training": relu(),
        "newer than onnx": model([add], constants=[w], ir=99),
        "first of two": model([add], constants=[w]),
        "last of two": model([add], constants=[w]),
    }  # fmt: skip
    found["sparse initializer"].graph.sparse_initializer.append(sparse)
    found["sparse indices"].graph.sparse_initializer.append(sparse_indices)
    found["training"].training_info.add().initialization.initializer.append(w)
    found["first of two"].graph.initializer[0].external_data.add(key="location", value="weights.bin")
    found["last of two"].graph.initializer[0].external_data.insert(
        0, onnx.StringStringEntryProto(key="location", value="weights.bin")
    )
    named = calls(constant_w, add)
    next(iter(named.functions[0].node[0].attribute)).t.name = "No Op registered for Foo"
    return {**found, "a name that excuses": named}


def network(opset: int = 17) -> onnx.ModelProto:
    """A small network with a dynamic batch, constants, shapes and a branch: a good one to damage."""
    rng = np.random.default_rng(0)
    constants = [
        constant("w1", rng.normal(size=(4, 1, 3, 3)), np.float32),
        constant("b1", rng.normal(size=4), np.float32),
        constant("w2", rng.normal(size=(16, 3)), np.float32),
        constant("shape", [0, -1]),
        constant("starts", [0]),
        constant("ends", [2]),
        constant("axes", [1]),
        constant("two", [2]),
        constant("four", [4]),
    ]
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["a"], "conv", pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"], "relu"),
        node("MaxPool", ["b"], ["c"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Slice", ["c", "starts", "ends", "axes"], ["d"], "slice"),
        node("Concat", ["d", "d"], ["e"], "concat", axis=1),
        node("Sigmoid", ["e"], ["f"], "sigmoid"),
        node("Mul", ["e", "f"], ["g"], "mul"),
        node("Reshape", ["g", "shape"], ["h"], "reshape"),
        node("MatMul", ["h", "w2"], ["i"], "matmul"),
        node("Div", ["four", "two"], ["j"], "div"),
        node("Cast", ["j"], ["k"], "cast", to=FLOAT),
        node("Add", ["i", "k"], ["l"], "add"),
        node("Softmax", ["l"], ["y"], "softmax", axis=1),
    ]
    inputs, outputs = [value("x", FLOAT, ["batch", 1, 4, 4])], [value("y", FLOAT, ["batch", 3])]
    return model(nodes, inputs, outputs, constants, opset)
