"""Specifications of the exercises of chapter 08, will it convert?"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from helpers.workbook.exercises import exercise, expect, started


@exercise(
    "08.1",
    "Say how a child process ended.",
    "A process that dies of a signal cannot say goodbye. Its exit status is all that is left, and it is enough.",
)
def ending(function):
    answer = function(0)
    started(answer is not None)
    expect(answer == "fine", "0 → 'fine'", answer, "0 means that all went well")
    for code, name in ((-11, "SIGSEGV"), (-8, "SIGFPE"), (-9, "SIGKILL")):
        answer = function(code)
        hint = "negative numbers are signals: signal.Signals(-returncode).name"
        expect(answer == name, f"{code} → {name!r}", answer, hint)
    for code in (1, 3, 11):
        answer = function(code)
        hint = "positive numbers are the program's own exit code, not a signal: f'exit code {returncode}'"
        expect(answer == f"exit code {code}", f"{code} → 'exit code {code}'", answer, hint)


@exercise(
    "08.2",
    "Find the tensors that silently become float32.",
    "One float64 array from NumPy is enough, and PyTorch promotes everything after it. Look before you convert.",
)
def doubles_in(function):
    types = {"x": TensorProto.FLOAT, "time": TensorProto.DOUBLE, "ids": TensorProto.INT64}
    inputs = [helper.make_tensor_value_info(name, kind, [2]) for name, kind in types.items()]
    arrays = {"scale": np.float64([1, 2]), "bias": np.float32([1, 2]), "mean": np.float64([0, 0])}
    weights = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph([], "doubles", inputs, [], weights)
    answer = function(helper.make_model(graph))
    started(answer is not None)
    answer = list(answer)
    expect("time" in answer, "input 'time' among them", answer, "graph.input: value.type.tensor_type.elem_type")
    expect("scale" in answer, "initializer 'scale' among them", answer, "graph.initializer: tensor.data_type")
    wrong = [name for name in answer if name not in ("time", "scale", "mean")]
    expect(not wrong, "only DOUBLE", wrong, "compare with onnx.TensorProto.DOUBLE, which is 11")
    expect(answer == ["mean", "scale", "time"], ["mean", "scale", "time"], answer, "sorted(…)")
    clean = function(onnx.ModelProto())
    expect(
        clean is not None and list(clean) == [], "[] for a model without any", clean, "return the list, even if empty"
    )


@exercise(
    "08.3",
    "Ask the atlas which operators are hopeless.",
    "What nobody has measured is not known to work: a careful question counts it among the problems.",
)
def hopeless(function):
    operators = {
        "Relu": {"A": {"built": 3}, "B": {"built": 3}},
        "Det": {"A": {"refused": 2, "reason": "false"}, "B": {"built": 2}},
        "ReduceSum": {"A": {"constant": 4, "refused": 1, "reason": "axes"}},
        "NonMaxSuppression": {"A": {"parsed": 9, "refused": 1}},
        "Cast": {"A": {"built": 1, "refused": 30}},
        "Loop": {"A": {"crashed": 2}},
    }
    kinds = ["Swirl", "Relu", "ReduceSum", "NonMaxSuppression", "Det", "Cast", "Loop"]
    answer = function(kinds, operators, "A")
    started(answer is not None)
    answer = list(answer)
    expect("Det" in answer, "'Det' among them: A refused all", answer, "no case is 'built' and none 'constant'")
    expect("Cast" not in answer, "not 'Cast': one case was built", answer, "a single built case is hope enough")
    expect("ReduceSum" not in answer, "not 'ReduceSum'", answer, "'constant' counts as built: with constant inputs")
    parsed = "NonMaxSuppression" in answer
    expect(parsed, "'NonMaxSuppression' among them", answer, "'parsed' is not built: it got no further")
    expect(
        "Swirl" in answer, "'Swirl' among them: nobody measured it", answer, "operators.get(kind, {}).get(release, {})"
    )
    right = ["Det", "Loop", "NonMaxSuppression", "Swirl"]
    expect(answer == right, right, answer, "sorted(…)")
    other = list(function(["ReduceSum", "Det"], operators, "B"))
    expect(other == ["ReduceSum"], ["ReduceSum"], other, "use the release that was asked for")
