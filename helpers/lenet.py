"""A LeNet-5-style digit classifier, written three times: in PyTorch, as ONNX, and layer by layer in TensorRT.

Taught in chapter 03 (PyTorch to ONNX) and chapter 04 (the network API). ``torch_lenet`` and ``export_onnx``
import torch, onnx and onnxscript; ``lenet_network`` needs only NumPy and TensorRT.

>>> untrained = {name: np.zeros(shape, np.float32) for name, shape in WEIGHT_SHAPES.items()}
>>> lenet_network(untrained).num_layers
21
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .builder import create_network, keep
from .trt import trt

if TYPE_CHECKING:
    import torch

# Every weight of the network by its PyTorch name: convolution kernels are (out, in, height, width),
# matrices are (out, in), biases are (out,).
WEIGHT_SHAPES = {
    "conv1.weight": (16, 1, 5, 5),
    "conv1.bias": (16,),
    "conv2.weight": (32, 16, 5, 5),
    "conv2.bias": (32,),
    "fc1.weight": (120, 800),
    "fc1.bias": (120,),
    "fc2.weight": (84, 120),
    "fc2.bias": (84,),
    "fc3.weight": (10, 84),
    "fc3.bias": (10,),
}


def torch_lenet() -> torch.nn.Module:
    """Returns an untrained LeNet as a PyTorch module: float32 (N, 1, 28, 28) in, float32 logits (N, 10) out.

    Taught in chapter 03. Needs torch.
    """
    from collections import OrderedDict

    from torch import nn

    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 16, 5, padding=2),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(16, 32, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(800, 120),
            relu3=nn.ReLU(),
            fc2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            fc3=nn.Linear(84, 10),
        )
    )


def export_onnx(model: torch.nn.Module, path: str | os.PathLike, image_shape: tuple[int, ...] = (1, 28, 28)) -> Path:
    """Exports a classifier to one self-contained ONNX file with tensors ``image`` and ``logits`` (chapter 03).

    ``image`` is (batch, *image_shape) and ``logits`` (batch, classes), both in the dtype of the model's parameters;
    ``batch`` is dynamic. Opset 17 and IR version 8 are what TensorRT 8.6 was made for; later releases read them too.
    Needs torch, onnx and onnxscript. Returns the path.
    """
    import onnx
    import torch

    program = torch.onnx.export(
        model.eval(),
        (torch.zeros(2, *image_shape, dtype=next(model.parameters()).dtype),),
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        opset_version=17,
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # only the exporter before dynamo returns nothing
    proto = program.model_proto
    proto.ir_version = 8
    # The exporter notes source files and stack traces on every node: of no use to TensorRT, and private.
    graph = proto.graph
    for item in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        del item.metadata_props[:]
    onnx.save(proto, path)  # weights inside: a second .onnx.data file is easily left behind
    return Path(path)


def lenet_network(weights: Mapping[str, np.ndarray], name: str = "lenet") -> trt.INetworkDefinition:
    """Returns the same LeNet as a network definition, made layer by layer with the network API (chapter 04).

    ``weights`` maps the names of :data:`WEIGHT_SHAPES` to float32 arrays, as ``np.load("data/lenet.npz")`` does.
    Input ``image`` float32 (-1, 1, 28, 28), output ``logits`` float32 (-1, 10); an optimization profile is needed
    to build it. Raises ValueError that names the weight which is missing, or has another shape or dtype.
    """
    for key, shape in WEIGHT_SHAPES.items():
        if key not in weights:
            raise ValueError(f"weight {key!r} is missing; LeNet needs {', '.join(WEIGHT_SHAPES)}")
        array = weights[key]
        if array.shape != shape or array.dtype != np.float32:
            raise ValueError(f"weight {key!r} is {array.dtype} {array.shape}, LeNet needs float32 {shape}")

    network = create_network(name)

    # Every layer gets PyTorch's name for it: TensorRT's messages, tables and profiles speak of layers by name.
    def named(layer, label):
        layer.name = label
        return layer.get_output(0)

    def convolution(x, label, maps, padding):
        kernel, bias = (keep(network, weights[f"{label}.{part}"]) for part in ("weight", "bias"))
        layer = network.add_convolution_nd(x, maps, (5, 5), kernel, bias)
        layer.padding_nd = (padding, padding)
        return named(layer, label)

    def relu(x, label):
        return named(network.add_activation(x, trt.ActivationType.RELU), label)

    def halve(x, label):
        layer = network.add_pooling_nd(x, trt.PoolingType.MAX, (2, 2))
        layer.stride_nd = (2, 2)
        return named(layer, label)

    def constant(label, array):
        return named(network.add_constant(array.shape, keep(network, array)), label)

    def linear(x, label):
        """Returns x @ weight.T + bias: PyTorch keeps matrices as (out, in)."""
        matrix = constant(f"{label}.weight", weights[f"{label}.weight"])
        row = constant(f"{label}.bias", weights[f"{label}.bias"].reshape(1, -1))
        product = network.add_matrix_multiply(x, trt.MatrixOperation.NONE, matrix, trt.MatrixOperation.TRANSPOSE)
        total = network.add_elementwise(named(product, label), row, trt.ElementWiseOperation.SUM)
        return named(total, f"{label}.sum")

    x = network.add_input("image", trt.float32, (-1, 1, 28, 28))
    x = halve(relu(convolution(x, "conv1", 16, padding=2), "relu1"), "pool1")
    x = halve(relu(convolution(x, "conv2", 32, padding=0), "relu2"), "pool2")
    flatten = network.add_shuffle(x)
    flatten.reshape_dims = (-1, 800)
    x = named(flatten, "flatten")
    x = relu(linear(x, "fc1"), "relu3")
    x = relu(linear(x, "fc2"), "relu4")
    x = linear(x, "fc3")
    x.name = "logits"
    network.mark_output(x)
    return network
