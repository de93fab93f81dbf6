"""A LeNet-5-style digit classifier, written three times: in PyTorch, as ONNX, and layer by layer in TensorRT.

Taught in chapter 03 (PyTorch to ONNX) and chapter 04 (the network API). ``torch_lenet`` and ``export_onnx``
import PyTorch; ``lenet_network`` needs only NumPy and TensorRT.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

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
    """An untrained LeNet as a PyTorch module: float32 (N, 1, 28, 28) in, logits (N, 10) out (chapter 03)."""
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


def export_onnx(model: torch.nn.Module, path: str | os.PathLike, opset: int = 18) -> Path:
    """Exports a LeNet to one self-contained ONNX file with tensors ``image`` and ``logits`` (chapter 03).

    ``image`` is float32 (batch, 1, 28, 28), ``logits`` float32 (batch, 10), ``batch`` is dynamic.
    Needs torch and onnxscript. Returns the path.
    """
    import torch

    program = torch.onnx.export(
        model.eval(),
        (torch.zeros(2, 1, 28, 28),),
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        opset_version=opset,
        dynamo=True,
        external_data=False,  # weights inside the file: a second .onnx.data file is easily left behind
        verbose=False,
    )
    program.save(str(path), external_data=False)
    return Path(path)
