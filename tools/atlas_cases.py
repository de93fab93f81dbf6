"""The cases of the operator atlas: ONNX's own test models of a single node, and what is made of them (tools/atlas.py).

The onnx wheel ships a small model with inputs and outputs for each case of each operator. Models that people have use
operators otherwise than those: with other types, in older opsets, without the outputs that only training needs. So
each case is made again in these ways. A made case counts only if onnx.checker and shape inference have nothing
against it; its outputs are those of ONNX's reference implementation.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx.reference
from onnx import TensorProto, checker, defs, helper, numpy_helper, shape_inference

from helpers.commands.check.uses import MAIN, MAKES, RANKED, is_inference, use_of

TWINS = 3  # of ONNX's cases of one use and opset that are kept
OPSETS = (17, 13, 11)  # in which operators are tried that were defined otherwise there
FLOAT16, BFLOAT16, INT64 = TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT64
INT32 = TensorProto.INT32
TYPES = (TensorProto.FLOAT, FLOAT16, BFLOAT16, INT32, INT64, TensorProto.BOOL, TensorProto.UINT8, TensorProto.INT8)
# Cases that say nothing about models: a pool whose last window lies in the padding alone.
LEFT_OUT = ("test_maxpool_2d_ceil_output_size_reduce_by_one", "test_averagepool_2d_ceil_last_window_starts_on_pad")
REDEFINED = {"Softmax": 13, "LogSoftmax": 13, "Hardmax": 13}  # before, the same node meant something else
MODES = {"linear": "bilinear", "cubic": "bicubic"}  # of GridSample, as opset 16 calls them
# What exporters write and ONNX has no case of: a case, and the attributes that it gets.
TORCH = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
EXPORTED: list[tuple[str, dict]] = [
    ("test_resize_upsample_scales_nearest", TORCH),
    ("test_resize_upsample_sizes_nearest", TORCH),
    ("test_resize_upsample_scales_linear", {"coordinate_transformation_mode": "pytorch_half_pixel"}),
    ("test_resize_upsample_sizes_nearest", {"mode": "linear"}),
    ("test_resize_upsample_sizes_nearest", {"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
    ("test_resize_upsample_sizes_nearest", {"mode": "linear", "coordinate_transformation_mode": "asymmetric"}),
    ("test_resize_upsample_scales_linear", {"coordinate_transformation_mode": "asymmetric"}),
    ("test_basic_conv_with_padding", {"dilations": [2, 2], "pads": [2, 2, 2, 2]}),
    ("test_constant_pad", {"mode": "reflect"}),
    ("test_constant_pad", {"mode": "edge"}),
]
# Their inputs are positive numbers, or integers that are 0: quantization is symmetric in TensorRT.
WRITTEN = [
    ("Conv", "(float[1,2,8] x, float[3,2,3] w, float[3] b) => (float[1,3,6] y) { y = Conv(x, w, b) }"),
    ("Conv", "(float[1,2,8] x, float[3,2,3] w, float[3] b) => (float[1,3,4] y) { y = Conv<dilations=[2]>(x, w, b) }"),
    ("Conv", "(float[1,2,5,5] x, float[3,2,3,3] w) => (float[1,3,5,5] y) { y = Conv<auto_pad=\"SAME_UPPER\">(x, w) }"),
    ("Conv", "(float[1,2,4,4,4] x, float[3,2,3,3,3] w) => (float[1,3,2,2,2] y) { y = Conv(x, w) }"),
    ("LSTM", "(float[3,1,2] x, float[2,16,2] w, float[2,16,4] r, float[2,32] b) => (float[3,2,1,4] y) { "
             "y = LSTM<hidden_size=4, direction=\"bidirectional\">(x, w, r, b) }"),
    ("GRU", "(float[3,1,2] x, float[2,12,2] w, float[2,12,4] r, float[2,24] b) => (float[3,2,1,4] y) { "
            "y = GRU<hidden_size=4, direction=\"bidirectional\", linear_before_reset=1>(x, w, r, b) }"),
    ("GRU", "(float[3,1,2] x, float[1,12,2] w, float[1,12,4] r, float[1,24] b) => (float[3,1,1,4] y) { "
            "y = GRU<hidden_size=4, linear_before_reset=1>(x, w, r, b) }"),
    *((kind, f"(float[6] x, float[4] u) => (float[6] y) <int64[4{shape}] i = {{0, 2, 3, 5}}> {{ "
             f'y = {kind}<reduction="{reduction}">(x, i, u) }}')
      for kind, shape in (("ScatterElements", ""), ("ScatterND", ",1")) for reduction in ("min", "max")),
    *((kind, f"({real}[2,3] x, {real} s, {whole} z) => ({real}[2,3] y) <{whole}[2,3] q> "
             "{ q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }")
      for kind in ("QuantizeLinear", "DequantizeLinear") for real in ("float", "float16") for whole in ("int8",
      "uint8")),
    ("DequantizeLinear", "(int32[2,3] x, float s) => (float[2,3] y) { y = DequantizeLinear(x, s) }"),
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One test model of a single node. ``inputs`` are its tensors by name; ``expected`` its outputs, None if there is
    nothing to compare with."""

    name: str
    operator: str
    use: str
    model: Any
    inputs: dict[str, np.ndarray]
    expected: list[np.ndarray] | None

    @property
    def opset(self) -> int:
        return self.model.opset_import[0].version

    def variants(self) -> Iterator[bytes]:
        """The model as it is, and with its inputs as constants: all but the first, then all."""
        yield self.model.SerializeToString()
        before = len(self.model.graph.input)
        for first in (1, 0):
            model = _with_constants(self, first)
            if len(model.graph.input) < before:
                before = len(model.graph.input)
                yield model.SerializeToString()


def cases(operators: set[str] | None = None) -> Iterator[Case]:
    """All cases; of these operators only, if any are given."""
    originals = list(_originals(operators))
    kept: Counter = Counter()
    for case in originals:
        kept[_kind(case)] += 1
        if kept[_kind(case)] <= TWINS:
            yield case
    usual = list(_first_of_each(_without_training(originals), kept))
    yield from usual
    written = list(_written(operators))  # all of them: they were written since ONNX's say too little
    exported = [*written, *_first_of_each(_as_exported(originals), kept)]
    yield from exported
    bases = [
        case for case in [*originals, *usual, *exported] if is_inference(case.use) and len(case.model.graph.node) == 1
    ]
    older = list(_first_of_each(_older(bases), kept))
    yield from older
    made = list(_first_of_each(_of_other_outputs(bases), kept))
    yield from made
    yield from _first_of_each(_of_other_types([*bases, *older, *made]), kept)


def in_turn(found: Iterable[Case]) -> list[Case]:
    """The first case of every operator, then the second of each, and so on: stopped early, none has been left out."""
    seen: Counter = Counter()
    ranked = []
    for case in found:
        seen[case.operator] += 1
        ranked.append((seen[case.operator], case))
    return [case for _, case in sorted(ranked, key=lambda pair: pair[0])]


def _kind(case: Case) -> tuple:
    return case.operator, case.use, _schema(case).since_version


def _first_of_each(made: Iterable[Case], kept: Counter) -> Iterator[Case]:
    for case in made:
        if not kept[_kind(case)]:
            kept[_kind(case)] += 1
            yield case


def _originals(operators: set[str] | None) -> Iterator[Case]:
    """ONNX's own cases of a single node, by name."""
    from onnx.backend.test import __file__ as package

    for folder in sorted((Path(package).parent / "data" / "node").iterdir()):
        if folder.name in LEFT_OUT:
            continue
        model = onnx.load(folder / "model.onnx")
        (node, *others) = model.graph.node
        if not others and node.domain in ("", "ai.onnx") and (operators is None or node.op_type in operators):
            data = folder / "test_data_set_0"
            inputs = _read(data, "input", model.graph.input)
            outputs = _read(data, "output", model.graph.output)
            expected = list(outputs.values()) if len(outputs) == len(model.graph.output) else None
            yield _case(folder.name, model, inputs, expected)


def _read(data: Path, kind: str, values: Iterable) -> dict[str, np.ndarray]:
    found = {}
    for i, value in enumerate(values):
        if value.type.HasField("tensor_type"):
            content = TensorProto.FromString((data / f"{kind}_{i}.pb").read_bytes())
            found[value.name] = numpy_helper.to_array(content)
    return found


def _case(name: str, model: Any, inputs: dict, expected: list | None, operator: str = "") -> Case:
    node = next(node for node in model.graph.node if operator in ("", node.op_type))
    tensors = {v.name: v.type.tensor_type for v in [*model.graph.input, *model.graph.output, *model.graph.value_info]}

    def tensor(name: str) -> tuple[int, list | None]:
        known = tensors.get(name)
        return (known.elem_type, [dimension.dim_value for dimension in known.shape.dim]) if known else (0, None)

    if expected is not None and not all(isinstance(array, np.ndarray) for array in expected):
        expected = None  # sequences

    def is_zero(name: str) -> bool:
        return name not in inputs or not np.any(inputs[name].astype(np.float32))

    use = use_of(node, model.opset_import[0].version, tensor, is_zero)
    return Case(name, node.op_type, use, model, inputs, expected)


def _made(name: str, model: Any, inputs: dict, like: list | None = None, operator: str = "") -> Case | None:
    """The case, if it is well-formed. ``like``: the outputs that it must have, where a reference can compute them,
    ``operator``: which of the model's nodes it is about."""
    try:
        checker.check_model(model, full_check=True)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            expected = onnx.reference.ReferenceEvaluator(model).run(None, inputs)
    except (checker.ValidationError, shape_inference.InferenceError):
        return None
    except Exception:  # the reference lacks it, or cannot do it with this type
        return _case(name, model, inputs, None, operator) if like is None else None
    same = like is None or all(map(_alike, expected, like))
    return _case(name, model, inputs, expected, operator) if same else None


def _alike(a: Any, b: Any) -> bool:
    if not isinstance(a, np.ndarray) or a.shape != b.shape:
        return False
    return a.dtype.kind not in "fiu" or np.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True)


def _without_training(found: Iterable[Case]) -> Iterator[Case]:
    """The cases without their optional outputs, as models for inference have the node."""
    for case in found:
        if ":output" in case.use:
            model = copy.deepcopy(case.model)
            del model.graph.node[0].output[1:], model.graph.output[1:]
            expected = case.expected and case.expected[:1]
            yield _case(f"{case.name}, one output", model, case.inputs, expected)


def _as_exported(found: Iterable[Case]) -> Iterator[Case]:
    by_name = {case.name: case for case in found}
    for name, attributes in EXPORTED:
        if name in by_name:
            model = copy.deepcopy(by_name[name].model)
            _set(model.graph.node[0], attributes)
            if made := _made(f"{name}, {attributes}", model, by_name[name].inputs):
                yield made


def _written(operators: set[str] | None) -> Iterator[Case]:
    numbers = np.random.default_rng(0)
    for operator, text in WRITTEN:
        if operators is None or operator in operators:
            model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> written {text}')
            inputs = {}
            for value in model.graph.input:
                tensor = value.type.tensor_type
                shape = [dimension.dim_value for dimension in tensor.shape.dim]
                number = numbers.uniform(0.1, 1, shape)
                inputs[value.name] = np.asarray(number).astype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
            if made := _made(f"{operator} of {text}", model, inputs, operator=operator):
                yield made


def _set(node: Any, attributes: dict) -> None:
    others = [attribute for attribute in node.attribute if attribute.name not in attributes]
    del node.attribute[:]
    node.attribute.extend([*others, *(helper.make_attribute(name, value) for name, value in attributes.items())])


def _older(found: Iterable[Case]) -> Iterator[Case]:
    """The cases in older opsets, where the operator has another definition there."""
    for case, opset in itertools.product(found, OPSETS):
        with contextlib.suppress(defs.SchemaError):  # there was no such operator
            new, old = _schema(case), defs.get_schema(case.operator, opset, "")
            if opset < REDEFINED.get(case.operator, 0):
                continue
            if opset < case.opset and old.since_version < new.since_version and case.expected is not None:
                model = _translated(case, new, old)
                if model is not None:
                    model.opset_import[0].version = opset
                    made = _made(f"{case.name}, opset {opset}", model, _inputs_of(model, case.inputs), case.expected)
                    if made is not None:
                        yield made


def _translated(case: Case, new: Any, old: Any) -> Any:
    """The case's model with the older definition's attributes in place of inputs. None where that cannot be done."""
    model = copy.deepcopy(case.model)
    (node,) = model.graph.node
    called, attributes = {slot.name for slot in old.inputs}, {}
    for position, slot in list(enumerate(new.inputs))[::-1]:
        if position < len(node.input) and slot.name not in called and position >= len(old.inputs):
            name = node.input.pop(position)
            if name and (slot.name not in old.attributes or name not in case.inputs):
                return None
            if name and case.inputs[name].size:
                attributes[slot.name] = case.inputs[name].tolist()
    kept = [attribute for attribute in node.attribute if attribute.name in old.attributes]
    del node.attribute[:]
    node.attribute.extend(kept)
    _set(node, attributes)
    for attribute in node.attribute:
        if case.operator == "GridSample" and attribute.s.decode() in MODES:
            attribute.s = MODES[attribute.s.decode()].encode()
    used = [value for value in model.graph.input if value.name in node.input]
    del model.graph.input[:]
    model.graph.input.extend(used)
    return model


def _inputs_of(model: Any, inputs: dict) -> dict:
    return {value.name: inputs[value.name] for value in model.graph.input if value.name in inputs}


def _of_other_outputs(found: list[Case]) -> Iterator[Case]:
    """The first case of operators that make another type, such as Cast, with all ``TYPES`` as their output's."""
    for operator in sorted((MAKES | {"Constant"}) - {"BitCast", "CastLike"}):
        for case in _simplest(case for case in found if case.operator == operator):
            for element in TYPES:
                if made := _retyped(case, element, _schema(case).outputs[0].type_str):
                    yield made


def _of_other_types(found: list[Case]) -> Iterator[Case]:
    """The simplest use of each operator in all ``TYPES``, and every use of FLOAT in FLOAT16 and, where
    it may be shape arithmetic, in INT32 and INT64."""
    known = {(case.operator, case.use) for case in found}
    simplest = [id(case) for _, group in _by_operator(found) for case in _simplest(group)]
    for case in found:
        types = TYPES if case.operator == "Cast" else TYPES[:-1] if id(case) in simplest else ()  # INT8 has a scale
        if not types and case.use.startswith("FLOAT "):
            types = (FLOAT16,) if case.operator in RANKED else (FLOAT16, INT32, INT64)
        schema = _schema(case)
        for element in types if schema.inputs else ():
            main = schema.inputs[min(MAIN.get(case.operator, 0), len(schema.inputs) - 1)].type_str
            made = _retyped(case, element, main)
            if made and (made.operator, made.use) not in known:
                known.add((made.operator, made.use))
                yield made


def _by_operator(found: list[Case]) -> list[tuple[str, list[Case]]]:
    groups: dict[str, list[Case]] = {}
    for case in found:
        groups.setdefault(case.operator, []).append(case)
    return list(groups.items())


def _simplest(found: Iterable[Case]) -> list[Case]:
    """The one case with the fewest features, in a list; none where there is none."""
    return sorted(found, key=lambda case: (len(case.use.split()), -case.opset))[:1]


def _schema(case: Case) -> Any:
    return defs.get_schema(case.operator, case.opset, "")


def _retyped(case: Case, element: int, variable: str) -> Case | None:
    """The case with another element type for all tensors of one of its schema's type variables.

    A model in FLOAT16 or BFLOAT16 has all its numbers so: then those of other variables follow that are FLOAT."""
    name, schema = TensorProto.DataType.Name(element), _schema(case)
    allowed = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
    takes = {variable for variable, types in allowed.items() if f"tensor({name.lower()})" in types}
    if variable not in takes:
        return None
    half = element in (FLOAT16, BFLOAT16) and case.operator not in MAKES
    model, inputs = copy.deepcopy(case.model), dict(case.inputs)
    (node,) = model.graph.node
    dtype = helper.tensor_dtype_to_np_dtype(element)
    for slots, names, values in (
        (schema.inputs, node.input, model.graph.input),
        (schema.outputs, node.output, model.graph.output),
    ):
        by_name = {value.name: value for value in values}
        for position, tensor in enumerate(names):
            own = slots[min(position, len(slots) - 1)].type_str
            if tensor not in by_name or not by_name[tensor].type.HasField("tensor_type"):
                continue
            follows = half and own in takes and by_name[tensor].type.tensor_type.elem_type == TensorProto.FLOAT
            if own == variable or follows:
                by_name[tensor].type.tensor_type.elem_type = element
                if tensor in inputs:
                    inputs[tensor] = _converted(inputs[tensor], dtype)
    for attribute in node.attribute:
        if variable == schema.outputs[0].type_str:
            if attribute.name == "to":
                attribute.i = element
            elif attribute.name == "value":
                attribute.t.CopyFrom(numpy_helper.from_array(np.ones(list(attribute.t.dims), dtype)))
    return _made(f"{case.name}, {name}", model, inputs)


def _converted(array: np.ndarray, dtype: Any) -> np.ndarray:
    """The array in another type. Integers are made of the next larger one and hold no 0: some are divisors."""
    if np.dtype(dtype).kind == "b":
        return np.asarray(array.astype(np.float32) > 0)
    if np.dtype(dtype).kind in "iu" and array.dtype.kind not in "iub":
        whole = np.nan_to_num(np.ceil(np.abs(array.astype(np.float32))))
        return np.asarray(np.clip(whole, 1, 100)).astype(dtype)
    with np.errstate(all="ignore"):
        return np.asarray(array.astype(dtype))


def _with_constants(case: Case, first: int) -> Any:
    """The model with its inputs from number ``first`` on as initializers."""
    model = copy.deepcopy(case.model)
    for position, value in list(enumerate(model.graph.input))[first:][::-1]:
        if value.name in case.inputs:
            model.graph.initializer.append(numpy_helper.from_array(case.inputs[value.name], value.name))
            del model.graph.input[position]
    return model
