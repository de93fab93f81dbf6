"""Specifications of the exercises of chapter 04, the network API."""

import numpy as np

from helpers.builder import build_plan, create_network
from helpers.trt import trt
from helpers.workbook.exercises import exercise, expect, started


def _layers(network) -> list:
    return [network.get_layer(i) for i in range(network.num_layers)]


@exercise(
    "04.1",
    "Let the network answer with probabilities: a softmax over the ten digits, as the output `probabilities`.",
    "Axes are bits: 1 << 1 is dimension 1. Without it a softmax may run over the batch, and no error tells you.",
)
def softmax(function):
    network = create_network("exercise")
    logits = network.add_input("logits", trt.float32, (-1, 10))
    function(network, logits)
    kinds = [layer.type.name for layer in _layers(network)]
    started(kinds)
    expect("SOFTMAX" in kinds, "a SOFTMAX layer", kinds, "network.add_softmax(logits)")
    layer = _layers(network)[kinds.index("SOFTMAX")]
    layer.__class__ = trt.ISoftMaxLayer
    expect(
        layer.axes == 1 << 1, "axes 0b10, dimension 1", bin(layer.axes), "axes is a bit mask: set layer.axes = 1 << 1"
    )
    outputs = [network.get_output(i).name for i in range(network.num_outputs)]
    expect(outputs, "an output", "none", "network.mark_output(tensor)")
    expect(outputs == ["probabilities"], "output 'probabilities'", outputs, "name the tensor before you mark it")
    ends = layer.get_input(0).name, layer.get_output(0).name
    expect(ends == ("logits", "probabilities"), "logits -> softmax -> probabilities", ends, "mark the softmax's output")
    plan = build_plan(network, profiles=[{"logits": ((1, 10), (4, 10), (8, 10))}])
    expect(len(plan) > 100, "a plan", len(plan), "")


@exercise(
    "04.2",
    "Write a linear layer for PyTorch's weights: x @ weight.T + bias.",
    "PyTorch keeps matrices as (out, in), so the product needs a transpose; and a bias needs as many dimensions as x.",
)
def linear(function):
    random = np.random.default_rng(0)
    weight, bias = random.standard_normal((6, 6), np.float32), random.standard_normal(6, np.float32)
    network = create_network("exercise")
    x = network.add_input("x", trt.float32, (4, 6))
    y = function(network, x, weight, bias)
    started(y is not None)
    expect(isinstance(y, trt.ITensor), "an ITensor", type(y).__name__, "return layer.get_output(0), not the layer")
    kinds = [layer.type.name for layer in _layers(network)]
    expect("MATRIX_MULTIPLY" in kinds, "a MATRIX_MULTIPLY layer", kinds, "network.add_matrix_multiply")
    product = _layers(network)[kinds.index("MATRIX_MULTIPLY")]
    product.__class__ = trt.IMatrixMultiplyLayer
    constants = [layer for layer, kind in zip(_layers(network), kinds, strict=True) if kind == "CONSTANT"]
    for layer in constants:
        layer.__class__ = trt.IConstantLayer
    values = [np.array(layer.weights).reshape(tuple(layer.shape)) for layer in constants]
    transposed = product.op1 == trt.MatrixOperation.TRANSPOSE
    for layer, kind in zip(_layers(network), kinds, strict=True):
        if kind == "SHUFFLE" and layer.get_output(0).name == product.get_input(1).name:
            layer.__class__ = trt.IShuffleLayer
            transposed ^= tuple(layer.first_transpose)[:2] == (1, 0)
    matrix = next((v for v in values if v.size == 36), np.zeros((6, 6)))
    effective = matrix.T if transposed else matrix
    expect(
        np.array_equal(effective, weight.T),
        "x @ weight.T",
        "x @ weight",
        "the matrix is square, so no shape complains: use trt.MatrixOperation.TRANSPOSE for the weights",
    )
    expect("ELEMENTWISE" in kinds, "an ELEMENTWISE layer for the bias", kinds, "add the bias with add_elementwise, SUM")
    final = next((layer for layer in _layers(network) if layer.get_output(0).name == y.name), None)
    expect(
        final is not None and final.type == trt.LayerType.ELEMENTWISE,
        "the sum's output",
        final and final.type.name,
        "return the output of add_elementwise",
    )
    final.__class__ = trt.IElementWiseLayer
    expect(
        final.op == trt.ElementWiseOperation.SUM, "SUM", final.op.name, "the bias is added: ElementWiseOperation.SUM"
    )
    feeds = [final.get_input(i).name for i in range(2)]
    expect(x.name not in feeds, "product + bias", " + ".join(feeds), "add the bias to the product, not to x")
    network.mark_output(y)
    try:
        shape = tuple(y.shape)
    except (RuntimeError, ValueError):
        shape = ()
    expect(shape == (4, 6), "an output of shape (4, 6)", shape or "an error", "give the bias the shape (1, 6)")
    expect(
        any(np.array_equal(v.ravel(), bias) for v in values), "the bias as a constant", kinds, "add_constant(…, bias)"
    )
    build_plan(network)
