"""Puts an ONNX model into FP16 or INT8, and asks an engine which types it really uses (chapter 10).

Needs onnx and onnxruntime. What comes out builds on every TensorRT: strongly typed releases need nothing else, 8.6 and
10 also the permission, ``flags=("FP16",)`` or ``flags=("INT8",)``.

>>> round(relative_error(np.array([1.0, 2.02]), np.array([1.0, 2.0])), 3)
0.01
"""

from __future__ import annotations

import itertools
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .fp16 import to_fp16 as to_fp16  # so that one place has both
from .model_files import load_onnx
from .trt import trt

if TYPE_CHECKING:
    import onnx

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")  # what gains from INT8; the rest stays in floating point


def relative_error(result: np.ndarray, reference: np.ndarray) -> float:
    """Returns the largest difference, as a part of the reference's largest magnitude. Computed in float64.

    Raises ValueError for different shapes, which NumPy would broadcast in silence, and for a reference of zeros.
    """
    result, reference = np.asarray(result, np.float64), np.asarray(reference, np.float64)
    if result.shape != reference.shape:
        raise ValueError(f"the result has the shape {result.shape}, the reference {reference.shape}")
    scale = np.abs(reference).max()
    if scale == 0:
        raise ValueError("the reference is all zeros: there is nothing to be relative to")
    return float(np.abs(result - reference).max() / scale)


def quantize(
    model: str | os.PathLike | onnx.ModelProto, batches: Iterable[Mapping[str, np.ndarray]]
) -> onnx.ModelProto:
    """Returns a copy of the model (or of its file) with INT8 Q/DQ nodes before convolutions and matrix products.

    ``batches`` are calibration inputs by name, pre-processed exactly as in use: the largest magnitude that a tensor
    has in them becomes 127. Symmetric, one scale per activation, one per output channel of a weight; biases stay in
    floating point. So TensorRT wants it, 8.6 included. ONNX Runtime does it. Raises ValueError without batches.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    batches = iter(batches)
    first = next(batches, None)
    if first is None:
        raise ValueError("there are no calibration batches; some hundred typical inputs are enough")

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.batches = itertools.chain([first], batches)

        def get_next(self):
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as folder:
        given, prepared, done = (Path(folder, f"{name}.onnx") for name in ("given", "prepared", "done"))
        onnx.save(load_onnx(model), given)  # ONNX Runtime 1.23 fails on models in memory
        quant_pre_process(given, prepared, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            done,
            Reader(),
            op_types_to_quantize=list(WEIGHTED),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                "ActivationSymmetric": True,  # zero point 0: TensorRT has no other
                "AddQDQPairToWeight": True,  # weights stay float32 in the file: 8.6 wants to quantize them itself
                "QuantizeBias": False,  # 8.6 knows no int32 bias
                "OpTypesToExcludeOutputQuantization": list(WEIGHTED),  # TensorRT looks at inputs
            },
        )
        return onnx.load(done)


class LayerTypes(NamedTuple):
    """A layer of an engine: its ``name``, ``kind``, the types that it reads and writes, and its ``tactic`` (kernel)."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tactic: str


def layer_types(engine: trt.ICudaEngine) -> list[LayerTypes]:
    """Returns what the engine inspector says of each layer, in the engine's order.

    With dynamic shapes an execution context is made, with the shapes that profile 0 is best for (it takes device memory
    meanwhile): NVIDIA documents that the inspector tells types only then. 8.6 tells none all the same.
    Raises ValueError for an engine that was built without ``profiling_verbosity`` DETAILED.
    """
    inspector = engine.create_engine_inspector()
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    dynamic = [
        name
        for name in names
        if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT and -1 in tuple(engine.get_tensor_shape(name))
    ]
    if dynamic:
        context = engine.create_execution_context()
        for name in dynamic:
            context.set_input_shape(name, engine.get_tensor_profile_shape(name, 0)[1])
        inspector.execution_context = context
    return parse_layer_types(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def parse_layer_types(information: str) -> list[LayerTypes]:
    """Reads the JSON of ``get_engine_information``, whose words for types differ between releases.

    Raises ValueError if only names of layers are in it.
    """
    layers = json.loads(information, strict=False)["Layers"]  # 8.6 leaves control characters as they are
    if any(isinstance(layer, str) for layer in layers):
        raise ValueError("only names of layers are in it: set config.profiling_verbosity to DETAILED before the build")
    return [
        LayerTypes(
            layer.get("Name", ""),
            layer.get("LayerType", ""),
            tuple(_type_name(tensor) for tensor in layer.get("Inputs", [])),
            tuple(_type_name(tensor) for tensor in layer.get("Outputs", [])),
            layer.get("TacticName", ""),
        )
        for layer in layers
    ]


_SAME = {"FLOAT": "FP32", "HALF": "FP16", "BFLOAT16": "BF16"}


def _type_name(tensor: Mapping[str, str]) -> str:
    """Returns "FP16" for {"Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}."""
    text = " ".join(str(value) for key, value in tensor.items() if key.startswith(("Format", "Data")))
    found = re.search(r"\b(FP32|FP16|BF16|FP8|FP4|INT8|INT4|INT32|INT64|FLOAT|HALF|BFLOAT16|BOOL)\b", text, re.I)
    return _SAME.get(found.group().upper(), found.group().upper()) if found else "?"
