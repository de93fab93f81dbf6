"""Small ONNX models, good and bad ones, that tests/test_check.py and tests/test_check_fuzz.py make when they run."""

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


def external(location: str, shape=(4, 4), length: int | None = None, dtype=FLOAT) -> onnx.ModelProto:
    """A MatMul whose weights "w" are in a file of external data, which is not made here."""
    w = TensorProto(name="w", data_type=dtype, dims=shape, data_location=TensorProto.EXTERNAL)
    w.external_data.add(key="location", value=location)
    if length is not None:
        w.external_data.add(key="length", value=str(length))
    inputs, outputs = [value("x", FLOAT, [1, shape[0]])], [value("y", FLOAT, [1, shape[1]])]
    return model([node("MatMul", ["x", "w"], ["y"])], inputs, outputs, [w])


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
