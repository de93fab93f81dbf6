"""Makes up what a trial of one node lacks, and asks ONNX whether the trial is well-formed (chapter 08). Needs onnx.

>>> _RULES["TopK", "K"]
1
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

SMALL = 1 << 12  # values of a trial that ONNX's reference implementation computes: it is slow
LARGE = (1 << 31) - 1
MOST = 1 << 24  # values of an array that is made up

Rule = Callable[[int, Sequence[int], Any], Any]  # of how many values, the shape of the node's first input, and the node


def _unit_axes(count: int, data: Sequence[int], node: Any) -> list[int] | None:
    axes = [axis for axis, size in enumerate(data) if size == 1]
    return axes[:count] if len(axes) >= count else None


def _parts(count: int, data: Sequence[int], node: Any) -> list[int] | None:
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    if not count or not -len(data) <= axis < len(data) or data[axis] < count:
        return None
    return [data[axis] // count] * (count - 1) + [data[axis] - data[axis] // count * (count - 1)]


def _axes(count: int, data: Sequence[int], node: Any) -> list[int]:
    return list(range(count))


def _data(count: int, data: Sequence[int], node: Any) -> list[int] | None:
    return list(data) if len(data) == count else None


# By operator ("": any) and input, as ONNX names it: the value, or how it is found. All others are 1.
_RULES: dict[tuple[str, str], float | Rule] = {
    ("Slice", "starts"): 0, ("Slice", "ends"): LARGE, ("Slice", "axes"): _axes,
    ("Squeeze", "axes"): _unit_axes, ("Split", "split"): _parts, ("Resize", "sizes"): _data,
    ("", "axes"): _axes, ("", "axis"): 0, ("", "indices"): 0, ("", "pads"): 0,
    ("", "x_zero_point"): 0, ("", "y_zero_point"): 0, ("", "a_zero_point"): 0, ("", "b_zero_point"): 0,
    ("", "w_zero_point"): 0, ("TopK", "K"): 1, ("OneHot", "depth"): 2, ("Range", "start"): 0, ("Range", "limit"): 4,
    ("Clip", "min"): 0, ("Trilu", "k"): 0, ("NonMaxSuppression", "max_output_boxes_per_class"): 10,
    ("NonMaxSuppression", "iou_threshold"): 0.5, ("NonMaxSuppression", "score_threshold"): 0.5,
}  # fmt: skip


def made_up(model: Any, name: str, size: int) -> np.ndarray | None:
    """Makes up an array for an input of a model of one node, with ``size`` for dynamic axes.

    None where the rank or NumPy's type is not known, or nothing sensible is.
    """
    from onnx import helper

    (node,) = model.graph.node
    shapes = {value.name: _shape(value, size) for value in model.graph.input}
    shapes |= {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    shape = shapes.get(name)
    if shape is None or min(shape, default=0) < 0 or math.prod(shape) > MOST:
        return None
    kind = next(value.type.tensor_type.elem_type for value in model.graph.input if value.name == name)
    data = shapes.get(node.input[0]) if node.input else None
    slot = _slot(model, list(node.input).index(name)) if name in node.input else ""
    rule = _RULES.get((node.op_type, slot), _RULES.get(("", slot), 1))
    if (node.op_type, slot) == ("Reshape", "shape"):
        rule = _target(model, size)
    try:
        found = rule(math.prod(shape), data or [], node) if callable(rule) else rule
        if found is None:
            return None
        return np.broadcast_to(np.array(found), shape).astype(helper.tensor_dtype_to_np_dtype(kind))
    except (KeyError, TypeError, ValueError):  # a type that NumPy has not; a shape that does not fit
        return None


def fits(model: Any, size: int) -> bool:
    """Returns whether ONNX has nothing against a model of one node without dynamic axes.

    A small one is computed by ONNX's reference implementation. What ONNX does not know is not held against it.
    """
    from onnx import checker, shape_inference

    (node,) = model.graph.node
    if _schema(model) is None:
        return True
    try:
        bare = type(model).FromString(model.SerializeToString())
        for value in bare.graph.output:  # as it was inferred for the whole model, of which sizes were not known
            value.type.tensor_type.ClearField("shape")
        inferred = shape_inference.infer_shapes(bare, check_type=True, strict_mode=True, data_prop=True).graph
    except (checker.ValidationError, shape_inference.InferenceError):
        return False
    except Exception:
        return True
    shapes = [_shape(value, size) for value in (*inferred.input, *inferred.output)]
    shapes += [list(tensor.dims) for tensor in model.graph.initializer]
    inner = any(attribute.graphs or attribute.HasField("g") for attribute in node.attribute)  # a loop may never end
    if inner or None in shapes or sum(math.prod(shape or []) for shape in shapes) > SMALL:
        return True
    return _computes(model, size)


def _computes(model: Any, size: int) -> bool:
    from onnx.reference import ReferenceEvaluator

    inputs = {value.name: made_up(model, value.name, size) for value in model.graph.input}
    if any(array is None for array in inputs.values()):
        return True
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            ReferenceEvaluator(model).run(None, inputs)
    except NotImplementedError:
        return True
    except Exception:
        return False
    return True


def _target(model: Any, size: int) -> Rule:
    """Returns the rule for Reshape's shape: that of its output, as far as it is known, with -1 for one axis."""

    def rule(count: int, data: Sequence[int], node: Any) -> list[int]:
        kind = model.graph.output[0].type.tensor_type if model.graph.output else None
        dims = list(kind.shape.dim) if kind is not None and kind.HasField("shape") else []
        found = (
            [d.dim_value if d.HasField("dim_value") else None for d in dims] if len(dims) == count else [None] * count
        )
        if None not in found:
            return found  # type: ignore[return-value]
        first = found.index(None)
        rest = [1 if one is None and len(dims) != count else one or size for one in found]
        return [-1 if place == first else one for place, one in enumerate(rest)]

    return rule


def _slot(model: Any, position: int) -> str:
    """Returns ONNX's name of the node's input, "" where it does not know the operator."""
    schema = _schema(model)
    slots = schema.inputs if schema else ()
    return slots[min(position, len(slots) - 1)].name if slots else ""


def _schema(model: Any) -> Any:
    """Returns ONNX's own description of the node's operator; None where it does not know it."""
    from onnx import defs

    (node,) = model.graph.node
    opset = next((entry.version for entry in model.opset_import if entry.domain == node.domain), 1)
    try:
        return defs.get_schema(node.op_type, min(opset, defs.onnx_opset_version()), node.domain)
    except (defs.SchemaError, TypeError):  # a version that no int holds
        return None


def _shape(value: Any, size: int) -> list[int] | None:
    """Returns the shape of an input or output with ``size`` for dynamic axes; None where the rank is not known."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else size for d in tensor.shape.dim]
