"""A network with a detector's input and output and random weights: quick to make, to run and to build."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def small_detector(classes: int = 10, seed: int = 0) -> onnx.ModelProto:
    """``images`` (batch, 3, height, width) to ``predictions`` (batch, cells, 5 + classes), as YOLOX has them."""
    random, width = np.random.default_rng(seed), 5 + classes
    nodes, initializers, rows = [], [], []

    def constant(name, values):
        initializers.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    for stride in (8, 16, 32):
        weight = constant(f"w{stride}", random.normal(0, 2e-3 / stride, (width, 3, stride, stride)).astype(np.float32))
        bias = constant(f"b{stride}", random.normal(0, 0.5, width).astype(np.float32))
        nodes.append(
            helper.make_node(
                "Conv", ["images", weight, bias], [f"map{stride}"], strides=[stride] * 2, name=f"conv{stride}"
            )
        )
        flat = constant(f"shape{stride}", np.int64([0, width, -1]))
        nodes.append(helper.make_node("Reshape", [f"map{stride}", flat], [f"flat{stride}"], name=f"flat{stride}"))
        rows.append(f"flat{stride}")
    nodes.append(helper.make_node("Concat", rows, ["joined"], axis=2, name="join"))
    nodes.append(helper.make_node("Transpose", ["joined"], ["rows"], perm=[0, 2, 1], name="turn"))
    constant("parts", np.int64([4, 1 + classes]))
    nodes.append(helper.make_node("Split", ["rows", "parts"], ["box", "logits"], axis=2, name="split"))
    nodes.append(helper.make_node("Sigmoid", ["logits"], ["sure"], name="sure"))
    nodes.append(helper.make_node("Concat", ["box", "sure"], ["predictions"], axis=2, name="out"))
    graph = helper.make_graph(
        nodes,
        "small_detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("predictions", TensorProto.FLOAT, ["batch", "cells", width])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model
