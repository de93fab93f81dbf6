"""Moves steps of a detector into its ONNX network: decoding, NMS, the turn from pictures to input (chapter 13).

Each function takes a model such as ``data/yolox_nano.onnx`` (input ``images``: float32, BGR, from 0 to 255; output
``predictions``, undecoded) and returns a new one. What the network does, the program around it does not have to do.
Needs onnx.

>>> decoded = with_decode(onnx.load("yolox_nano.onnx"), (320, 320))  # doctest: +SKIP
>>> [output.name for output in decoded.graph.output]  # doctest: +SKIP
['boxes', 'scores']
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .detector import IOU, MOST, PADDING, SCORE, grid

if TYPE_CHECKING:
    import onnx

FLOAT, UINT8, INT32, INT64 = 1, 2, 6, 7  # onnx.TensorProto.DataType


def with_size(model: onnx.ModelProto, size: tuple[int, int]) -> onnx.ModelProto:
    """Fixes height and width of the input; the batch stays as it is. Raises ValueError for an odd size."""
    cells = len(grid(size)[0])
    model = _copy(model)
    (images,) = _real_inputs(model)
    for axis, side in zip(images.type.tensor_type.shape.dim[2:], size, strict=True):
        axis.dim_value = side
    answer = model.graph.output[0].type.tensor_type.shape.dim
    if len(answer) == 3 and not answer[1].dim_value:  # (pictures, cells, ...), and not what NMS has kept
        answer[1].dim_value = cells
    del model.graph.value_info[:]  # they hold the old shapes
    return model


def with_decode(model: onnx.ModelProto, size: tuple[int, int]) -> onnx.ModelProto:
    """Appends what :func:`helpers.detector.decode` does. ``size`` is (height, width) of the input, fixed from now on.

    The outputs are ``boxes`` (N, A, 4) in pixels of the input, and ``scores`` (N, A, classes). Raises ValueError where
    the model has another output than one of (N, A, 5 + classes), or ``size`` is no multiple of 32.
    """
    model = with_size(model, size)
    predictions = model.graph.output[0]
    shape = predictions.type.tensor_type.shape.dim
    if len(model.graph.output) != 1 or len(shape) != 3 or shape[2].dim_value < 6:
        names = ", ".join(output.name for output in model.graph.output)
        raise ValueError(f"{names}: not one output of (pictures, cells, 5 + classes); is it decoded already?")
    batch, cells, classes = shape[0], len(grid(size)[0]), shape[2].dim_value - 5
    corners, strides = grid(size)
    edit = _Edit(model, "decode")
    centre, extent, sure, each = edit.add(
        "Split", predictions.name, edit.constant([2, 2, 1, classes]), outputs=4, axis=2
    )
    stride = edit.constant(strides[None])
    middle = edit.add("Add", edit.add("Mul", centre, stride), edit.constant(corners[None]))
    half = edit.add("Mul", edit.add("Exp", extent), edit.constant(strides[None] / 2))
    edit.add("Concat", edit.add("Sub", middle, half), edit.add("Add", middle, half), outputs=["boxes"], axis=2)
    edit.add("Mul", sure, each, outputs=["scores"])
    edit.outputs(boxes=(FLOAT, [batch, cells, 4]), scores=(FLOAT, [batch, cells, classes]))
    return model


def with_nms(
    model: onnx.ModelProto, size: tuple[int, int], *, iou: float = IOU, score: float = SCORE, most: int = MOST
) -> onnx.ModelProto:
    """Appends decoding and ONNX's NonMaxSuppression, each class for itself, with ``most`` boxes of a class at most.

    Each output has a row for each of K boxes: ``boxes`` (K, 4), ``scores`` (K,), ``classes`` (K,), ``pictures`` (K,),
    which picture of the batch it is from. K depends on the data: TensorRT builds that from 8.5 on, but TensorRT for RTX
    does not.
    """
    model = with_decode(model, size)
    edit = _Edit(model, "nms")
    by_class = edit.add("Transpose", _best_class_alone(edit), perm=[0, 2, 1])
    limits = [edit.constant(np.array([limit])) for limit in (most, np.float32(iou), np.float32(score))]
    chosen = edit.add("NonMaxSuppression", "boxes", by_class, *limits)
    picture, label, place = edit.add("Split", chosen, edit.constant([1, 1, 1]), outputs=3, axis=1)
    edit.add("GatherND", "boxes", edit.add("Concat", picture, place, axis=1), outputs=["kept_boxes"])
    edit.add("GatherND", by_class, chosen, outputs=["kept_scores"])
    axis = edit.constant([1])
    edit.add("Squeeze", label, axis, outputs=["classes"])
    edit.add("Squeeze", picture, axis, outputs=["pictures"])
    _rename(model, {"boxes": "all_boxes", "scores": "all_scores", "kept_boxes": "boxes", "kept_scores": "scores"})
    edit.outputs(
        boxes=(FLOAT, ["kept", 4]), scores=(FLOAT, ["kept"]), classes=(INT64, ["kept"]), pictures=(INT64, ["kept"])
    )
    return model


def with_efficient_nms(
    model: onnx.ModelProto, size: tuple[int, int], *, iou: float = IOU, score: float = SCORE, most: int = MOST
) -> onnx.ModelProto:
    """Appends decoding and the plugin EfficientNMS_TRT, which only the full TensorRT has.

    The outputs: ``count`` int32 (N, 1), and ``boxes`` (N, most, 4), ``scores`` and ``classes`` (N, most), of which the
    first ``count`` of each picture are filled. Call ``trt.init_libnvinfer_plugins(logger, "")`` before parsing.
    """
    model = with_decode(model, size)
    batch = model.graph.output[0].type.tensor_type.shape.dim[0]
    edit = _Edit(model, "efficient_nms")
    edit.add(
        "EfficientNMS_TRT",
        "boxes",
        _best_class_alone(edit),
        outputs=["count", "kept_boxes", "kept_scores", "classes"],
        domain="TRT",
        plugin_version="1",
        background_class=-1,
        max_output_boxes=most,
        score_threshold=score,
        iou_threshold=iou,
        score_activation=0,  # the scores are probabilities already
        class_agnostic=0,
        box_coding=0,  # corners
    )
    model.opset_import.add(domain="TRT", version=1)
    _rename(model, {"boxes": "all_boxes", "scores": "all_scores", "kept_boxes": "boxes", "kept_scores": "scores"})
    edit.outputs(
        count=(INT32, [batch, 1]),
        boxes=(FLOAT, [batch, most, 4]),
        scores=(FLOAT, [batch, most]),
        classes=(INT32, [batch, most]),
    )
    return model


def with_uint8_input(model: onnx.ModelProto) -> onnx.ModelProto:
    """Lets the network take letterboxed pictures as they are: ``pictures``, uint8 (N, height, width, 3), RGB.

    They become floating point, BGR and channels first inside. A quarter of the bytes is copied to the device.
    """
    model = _copy(model)
    (images,) = _real_inputs(model)
    batch, _, height, width = images.type.tensor_type.shape.dim
    edit = _Edit(model, "input")
    turned = edit.add("Transpose", edit.add("Cast", "pictures", to=FLOAT), perm=[0, 3, 1, 2])
    edit.add("Gather", turned, edit.constant([2, 1, 0]), outputs=[images.name], axis=1)
    edit.to_front()
    edit.inputs(images, pictures=(UINT8, [batch, height, width, 3]))
    return model


def with_letterbox(model: onnx.ModelProto, size: tuple[int, int], padding: int = PADDING) -> onnx.ModelProto:
    """Lets the network letterbox: ``picture``, uint8 (picture_height, picture_width, 3), RGB, of any size.

    The picture is scaled into ``size`` (height, width), with linear interpolation between four pixels, and padded on
    the right and below. A batch holds one picture then. Pillow averages over more pixels where a picture gets smaller,
    so boxes and scores differ a little.
    """
    model = with_size(with_uint8_input(model), size)
    (pictures,) = _real_inputs(model)
    edit = _Edit(model, "letterbox")
    moving = edit.add("Unsqueeze", edit.add("Cast", "picture", to=FLOAT), edit.constant([0]))
    moving = edit.add("Transpose", moving, perm=[0, 3, 1, 2])
    # In whole numbers, which TensorRT computes as shapes in every release: the side that fills the square stays, the
    # other one is rounded.
    shape = edit.add("Shape", moving)
    given = [edit.add("Gather", shape, edit.constant([axis])) for axis in (2, 3)]
    sides = []
    for own, other in ((0, 1), (1, 0)):
        twice = edit.add("Mul", given[own], edit.constant([2 * size[other]]))
        rounded = edit.add("Div", edit.add("Add", twice, given[other]), edit.add("Add", given[other], given[other]))
        sides.append(edit.add("Max", edit.add("Min", rounded, edit.constant([size[own]])), edit.constant([1])))
    new = edit.add("Concat", *sides, axis=0)
    target = edit.add("Concat", edit.constant([1, 3]), new, axis=0)
    smaller = edit.add("Resize", moving, "", "", target, mode="linear", coordinate_transformation_mode="half_pixel")
    room = edit.add("Sub", edit.constant(list(size)), new)
    pads = edit.add("Concat", edit.constant([0] * 6), room, axis=0)
    padded = edit.add("Pad", smaller, pads, edit.constant(np.array(padding, np.float32)))
    padded = edit.add("Reshape", padded, edit.constant([1, 3, *size]))  # says the size, which is known after all
    whole = edit.add("Round", edit.add("Transpose", padded, perm=[0, 2, 3, 1]))
    edit.add("Identity", whole, outputs=[pictures.name + "_float"])
    edit.to_front()
    _replace_input_cast(model, pictures.name)
    edit.inputs(pictures, picture=(UINT8, ["picture_height", "picture_width", 3]))
    return model


class _Edit:
    """Adds nodes to a model's graph, with names of their own."""

    def __init__(self, model: onnx.ModelProto, name: str):
        self.model, self.name, self.first = model, name, len(model.graph.node)
        self.opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))

    def add(self, kind: str, *given: str, outputs: int | Sequence[str] = 1, domain: str = "", **attributes: Any) -> Any:
        from onnx import helper

        graph, number = self.model.graph, len(self.model.graph.node)
        if isinstance(outputs, int):
            outputs = [f"{self.name}/{kind}_{number}" + (f"_{i}" if outputs > 1 else "") for i in range(outputs)]
        node = helper.make_node(
            kind, given, outputs, name=f"{self.name}/{kind}_{number}", domain=domain or None, **attributes
        )
        graph.node.append(node)
        return outputs[0] if len(outputs) == 1 else outputs

    def constant(self, values: Any) -> str:
        from onnx import numpy_helper

        array = np.asarray(values)
        array = array.astype(np.int64) if array.dtype.kind == "i" else array
        name = f"{self.name}/constant_{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def to_front(self) -> None:
        nodes = list(self.model.graph.node)
        del self.model.graph.node[:]
        self.model.graph.node.extend(nodes[self.first :] + nodes[: self.first])

    def inputs(self, replaced: Any, **values: tuple[int, list]) -> None:
        others = [value for value in self.model.graph.input if value.name != replaced.name]
        self._set(self.model.graph.input, values, others)

    def outputs(self, **values: tuple[int, list]) -> None:
        self._set(self.model.graph.output, values, [])

    def _set(self, field: Any, values: dict[str, tuple[int, list]], others: list) -> None:
        from onnx import helper

        new = []
        for name, (kind, shape) in values.items():
            sizes = [axis if isinstance(axis, (int, str)) else axis.dim_param or axis.dim_value for axis in shape]
            new.append(helper.make_tensor_value_info(name, kind, sizes))
        del field[:]
        field.extend(new + others)


def _best_class_alone(edit: _Edit) -> str:
    """Makes all scores of a box 0 but the best: as it is, one object could be found as two classes."""
    best = edit.add("ReduceMax", "scores", edit.constant([2])) if edit.opset >= 18 else None
    best = best or edit.add("ReduceMax", "scores", axes=[2])
    lower = edit.add("Less", "scores", best)
    return edit.add("Where", lower, edit.constant(np.array(0, np.float32)), "scores")


def _replace_input_cast(model: onnx.ModelProto, name: str) -> None:
    """Feeds what read ``name`` through a Cast to FLOAT with the floats themselves."""
    (cast,) = [node for node in model.graph.node if node.op_type == "Cast" and name in node.input]
    cast.op_type = "Identity"
    cast.input[0] = f"{name}_float"
    del cast.attribute[:]


def _rename(model: onnx.ModelProto, names: dict[str, str]) -> None:
    for node in model.graph.node:
        for field in (node.input, node.output):
            for place, name in enumerate(field):
                field[place] = names.get(name, name)


def _real_inputs(model: onnx.ModelProto) -> list:
    filled = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in filled]


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = type(model)()
    copy.CopyFrom(model)
    return copy
