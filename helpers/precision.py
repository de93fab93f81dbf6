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
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .fp16 import to_fp16 as to_fp16  # so that one place has both
from .model_files import load_onnx
from .onnx_graphs import check_kept, label, names_to_keep
from .trt import trt

if TYPE_CHECKING:
    import onnx

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")  # what gains from INT8; the rest stays in floating point


def relative_error(result: np.ndarray, reference: np.ndarray) -> float:
    """Returns the largest difference, as a part of the reference's largest magnitude. Computed in float64.

    Raises ValueError for different shapes, which NumPy would broadcast in silence, and for a reference that is empty or
    all zeros.
    """
    result, reference = np.asarray(result, np.float64), np.asarray(reference, np.float64)
    if result.shape != reference.shape:
        raise ValueError(f"the result has the shape {result.shape}, the reference {reference.shape}")
    scale = np.abs(reference).max(initial=0)
    if scale == 0:
        raise ValueError(
            f"the reference is {'all zeros' if reference.size else 'empty'}: nothing can be relative to it"
        )
    return float(np.abs(result - reference).max() / scale)


def quantize(
    model: str | os.PathLike | onnx.ModelProto,
    batches: Iterable[Mapping[str, np.ndarray]],
    keep: Collection[str] = (),
) -> onnx.ModelProto:
    """Returns a copy of the model (or of its file) with INT8 Q/DQ nodes before convolutions and matrix products.

    ``batches`` are calibration inputs by name, pre-processed exactly as in use: the largest magnitude that a tensor
    has in them becomes 127. Symmetric, one scale per activation, one per output channel of a weight; biases stay in
    floating point. So TensorRT wants it, 8.6 included. ONNX Runtime does it. ``keep`` names nodes that stay in floating
    point, such as the last convolutions of a detector; a node without a name goes by its first output.

    Raises ValueError without batches, for a batch that the model cannot take or with numbers that are not finite, for
    a model that ONNX Runtime cannot run, and for a name in ``keep`` that no node has; TypeError for what is no list of
    mappings from names to NumPy arrays, or of names; and for the model what ``helpers.model_files.load_onnx`` raises.
    Exceptions of ``batches`` pass through.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    names = names_to_keep(keep)
    given_model = load_onnx(model)
    check_kept(names, given_model.graph)
    for node in given_model.graph.node:
        node.name = label(node)  # ONNX Runtime leaves nodes out by name
    checked = _checked(batches, given_model)
    first = next(checked, None)
    if first is None:
        raise ValueError("there are no calibration batches; some hundred typical inputs are enough")

    class Reader(CalibrationDataReader):
        error: BaseException | None = None

        def __init__(self):
            self.batches = itertools.chain([first], checked)

        def get_next(self):
            try:
                return next(self.batches, None)
            except BaseException as error:
                Reader.error = error
                raise

    with tempfile.TemporaryDirectory() as folder:
        given, prepared, done = (Path(folder, f"{name}.onnx") for name in ("given", "prepared", "done"))
        onnx.save(given_model, given)  # ONNX Runtime 1.23 fails on models in memory
        try:
            quant_pre_process(given, prepared, skip_optimization=True, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                done,
                Reader(),
                op_types_to_quantize=list(WEIGHTED),
                nodes_to_exclude=list(names),
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
        except AssertionError as error:  # "scale issue"
            raise ValueError(
                "there is no scale for some tensor: the model computes infinities or NaN from these batches, which "
                "ONNX Runtime shows if you run one of them"
            ) from error
        except Exception as error:
            if error is Reader.error:
                raise
            raise ValueError(f"ONNX Runtime cannot quantize this model: {error}") from error
        return onnx.load(done)


def _checked(batches: Any, model: onnx.ModelProto) -> Iterator[dict[str, np.ndarray]]:
    """Yields the batches, each checked against the inputs of the model."""
    from onnx import helper

    if isinstance(batches, (str, bytes, Mapping, np.ndarray)) or not isinstance(batches, Iterable):
        raise TypeError(f"batches is {type(batches).__name__}: give a list of mappings, [{{name: array}}, …]")
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value.type.tensor_type for value in model.graph.input if value.name not in weights}
    for number, batch in enumerate(batches):
        what = f"calibration batch {number}"
        if not isinstance(batch, Mapping):
            raise TypeError(f"{what} is {type(batch).__name__}: give a mapping, {{{next(iter(inputs), '')!r}: array}}")
        if set(batch) != set(inputs):
            raise ValueError(
                f"{what} has {', '.join(map(repr, batch)) or 'nothing'}; the model takes {', '.join(inputs)}"
            )
        for name, array in batch.items():
            if not isinstance(array, np.ndarray):
                raise TypeError(f"{what}: {name!r} is {type(array).__name__}; give a NumPy array")
            dtype = helper.tensor_dtype_to_np_dtype(inputs[name].elem_type)
            if array.dtype != dtype:
                raise TypeError(f"{what}: {name!r} is {array.dtype}, the model takes {dtype}: use .astype(np.{dtype})")
            sizes = [size.dim_value or size.dim_param or "?" for size in inputs[name].shape.dim]
            fits = len(sizes) == array.ndim and all(
                s == n for s, n in zip(sizes, array.shape, strict=True) if isinstance(s, int)
            )
            if inputs[name].HasField("shape") and not fits:
                raise ValueError(
                    f"{what}: {name!r} has shape {array.shape}, the model takes ({', '.join(map(str, sizes))})"
                )
            if not array.size:
                raise ValueError(f"{what}: {name!r} is empty, with shape {array.shape}")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(f"{what}: {name!r} has NaN or infinities: look at what prepares it")
        yield dict(batch)


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
    if not hasattr(engine, "create_engine_inspector"):
        raise TypeError(f"engine is {type(engine).__name__}: load_engine makes an engine of a plan")
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

    Raises ValueError if only names of layers are in it, or for another text.
    """
    try:
        layers = json.loads(information, strict=False)["Layers"]  # 8.6 leaves control characters as they are
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(
            f"this is not what get_engine_information(JSON) gives of a whole engine ({error!r})"
        ) from error
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
