"""Says in a few words how a node uses its operator: type, rank, telling attributes, inputs and outputs (chapter 08).

A *use* is a line of features, such as "FLOAT 5-D mode=nearest" or "INT64 axes:input". The operator atlas keeps its
cases by use, and ``check`` asks it about the uses of a model. Features that nearly every node has are left out.
Needs onnx.

>>> in_words("axes:input"), in_words("5-D"), in_words("largest=0")
('axes as an input', '5-D tensors', 'largest=0')
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

# Attributes that decide whether an operator is taken. Of the second group the value itself tells nothing.
VALUES = frozenset((
    "align_corners", "allowzero", "antialias", "approximate", "auto_pad", "ceil_mode", "center_point_box",
    "coordinate_transformation_mode", "count_include_pad", "detect_negative", "detect_positive", "direction",
    "exclude_outside", "exclusive", "fmod", "input_forget", "interleaved", "inverse", "is_causal",
    "keep_aspect_ratio_policy", "largest", "layout", "linear_before_reset", "mode", "nearest_mode",
    "noop_with_empty_axes", "onesided", "p", "padding_mode", "qk_matmul_output_mode", "reduction", "reverse",
    "round_mode", "saturate", "select_last_index", "softmax_precision", "sorted", "storage_order", "training_mode",
    "update_rule"
))  # fmt: skip
NAMES = frozenset(("activations", "axes", "batch_dims", "block_size", "dilations", "num_outputs", "output_padding",
                   "output_shape", "softcap"))  # fmt: skip
# Inputs that decide, besides those that were attributes in an older opset.
INPUTS = frozenset(
    ("attn_mask", "axes", "nonpad_kv_seqlen", "past_key", "past_state", "sequence_lens", "sizes", "training_mode", "P")
)
RANKED = frozenset(("Attention", "AveragePool", "Conv", "ConvInteger", "ConvTranspose", "GridSample", "LpPool",
                    "MatMul", "MaxPool", "MaxUnpool", "Resize", "TensorScatter"))  # fmt: skip
MAIN = {"Where": 1, "OneHot": 2}  # the input whose type counts, where it is not the first
MAKES = frozenset(("BitCast", "Cast", "CastLike", "ConstantOfShape", "QuantizeLinear"))  # the output's type counts, too
TRAINING = ("training_mode", ":output")  # in a use that a model for inference has not
SAID = {"zero_point": "a zero point that is not 0", "twice": "a letter twice in one term"}
UNKNOWN = "?"  # the type of a tensor that nothing is known of


def use_of(
    node: Any, opset: int, tensor: Callable[[str], tuple[int, list | None]], is_zero: Callable[[str], bool]
) -> str:
    """Returns the use of an onnx.NodeProto of ONNX's own domain.

    ``opset``: the model's. ``tensor`` tells element type (0: unknown) and shape (None: unknown rank) of a tensor by
    name, ``is_zero`` whether a zero point of that name is 0 everywhere.
    """
    now, oldest = _schema(node.op_type, opset), _attributes_ever(node.op_type)
    outputs = [name for name in node.output if name]
    main = MAIN.get(node.op_type, 0)
    name = node.input[main] if len(node.input) > main else outputs[0] if outputs else ""
    element, shape = tensor(name)
    words = [_type_name(element)]
    if node.op_type in RANKED and shape is not None and len(shape) != 4:
        words.append(f"{len(shape)}-D")
    if node.op_type in MAKES and outputs:
        words.append(f"to={_type_name(tensor(outputs[0])[0])}")
    words += sorted(_attributes(node, oldest))
    words += ["twice"] * (node.op_type == "Einsum" and _has_letter_twice(node))
    if now is not None:
        words += sorted(f"{slot}:{kind}" for slot, kind in _inputs(node, now, oldest, tensor))
        if "axes:input" in words:
            words = [word for word in words if not word.startswith("noop_with_empty_axes")]
        points = [name for slot, name in zip(now.inputs, node.input, strict=False) if slot.name.endswith("zero_point")]
        words += ["zero_point"] * (not all(is_zero(name) for name in points if name))
        # Where every output is optional, as in LSTM, all of them are for inference.
        if len(node.output) > 1 and now.outputs and not _is_optional(now.outputs[0]):
            pairs = list(zip(node.output, now.outputs, strict=False))[1:]
            words += [f"{slot.name}:output" for given, slot in pairs if given and _is_optional(slot)]
    return " ".join(words)


def in_words(feature: str) -> str:
    """Says a feature of a use to a reader."""
    name, _, kind = feature.partition(":")
    if kind:
        words = {"output": f"the output {name}", "empty": f"empty {name}"}
        return words.get(kind, f"{name} as an {kind}")
    if feature in SAID:
        return SAID[feature]
    return f"{feature} tensors" if feature.endswith("-D") else feature


def is_inference(use: str) -> bool:
    """Returns whether a model for inference may have the use: no training mode, no outputs that only training needs."""
    return not any(word in use for word in TRAINING)


def _has_letter_twice(node: Any) -> bool:
    equation = next((attribute.s.decode(errors="replace") for attribute in node.attribute if attribute.s), "")
    terms = [term.replace(".", "").replace(" ", "") for term in equation.partition("->")[0].split(",")]
    return any(len(set(term)) < len(term) for term in terms)


def _attributes(node: Any, oldest: dict) -> list[str]:
    """Returns the telling attributes that differ from the default of the oldest opset that had them: a name that a
    newer opset gives to the default, such as "linear" for "bilinear", may be unknown to an older release."""
    from onnx import helper

    given, found, became_inputs = {}, [], _inputs_ever(node.op_type)
    for attribute in node.attribute:
        if attribute.name in became_inputs:
            found.append(f"{attribute.name}:attribute")
            continue
        if attribute.name in VALUES | NAMES:
            with contextlib.suppress(ValueError):  # it has no value
                given[attribute.name] = helper.get_attribute_value(attribute)
    for name, value in given.items():
        value = value.decode(errors="replace") if isinstance(value, bytes) else value
        if name in NAMES:
            plain = set(value) <= {0 if name == "output_padding" else 1} if isinstance(value, list) else value in (0, 1)
            if not plain or name in ("activations", "axes", "num_outputs"):
                found.append(name)
        elif value != oldest.get(name) and isinstance(value, (str, int)):
            found.append(f"{name}={value}")
    return found


def _inputs(node: Any, now: Any, oldest: dict, tensor: Callable) -> list[tuple[str, str]]:
    """Returns the telling inputs, each as an "input" or "empty": no axes at all are a case of their own."""
    telling, found = INPUTS | {name.lower() for name in oldest}, []
    for given, slot in zip(node.input, now.inputs, strict=False):
        if given and (slot.name in telling or slot.name.lower() in telling):
            found.append((slot.name, "empty" if 0 in (tensor(given)[1] or ()) else "input"))
    return found


@functools.lru_cache(maxsize=1024)
def _schema(kind: str, opset: int) -> Any:
    from onnx import defs

    with contextlib.suppress(Exception):  # onnx does not know it
        return defs.get_schema(kind, min(opset, defs.onnx_opset_version()), "")
    return None


@functools.lru_cache(maxsize=1)
def _all_schemas() -> dict[str, list]:
    from onnx import defs

    found: dict[str, list] = {}
    for schema in sorted(defs.get_all_schemas_with_history(), key=lambda schema: schema.since_version):
        if not schema.domain:
            found.setdefault(schema.name, []).append(schema)
    return found


@functools.lru_cache(maxsize=1024)
def _inputs_ever(kind: str) -> frozenset[str]:
    """Returns the names of the operator's inputs in all opsets, in lower case."""
    return frozenset(slot.name.lower() for schema in _all_schemas().get(kind, []) for slot in schema.inputs)


@functools.lru_cache(maxsize=1024)
def _attributes_ever(kind: str) -> dict:
    """Returns the default of each attribute that the operator ever had, from the oldest opset that has it."""
    from onnx import helper

    found: dict = {}
    for schema in _all_schemas().get(kind, []):
        for name, attribute in schema.attributes.items():
            if name not in found:
                default = attribute.default_value
                value = helper.get_attribute_value(default) if default.type else None
                found[name] = value.decode() if isinstance(value, bytes) else value
    return found


def _is_optional(slot: Any) -> bool:
    return slot.option.name == "Optional"


@functools.lru_cache(maxsize=64)
def _type_name(element: int) -> str:
    from onnx import TensorProto

    try:
        return TensorProto.DataType.Name(element) if element else UNKNOWN
    except ValueError:
        return UNKNOWN
