"""helpers/commands/check/kinds.py, blame.py, advice.py: what the graph alone tells explains what TensorRT refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import small_models as small
from measured import rtx_17
from onnx import TensorProto, helper
from small_models import FLOAT, INT64, constant, model, node, value

from helpers.advice import by_id
from helpers.commands.check import check, trial
from helpers.commands.check.advice import ALWAYS, BY_MESSAGE, NOTES, OF_OPERATORS, UNBUILT, advise
from helpers.commands.check.blame import blamed
from helpers.commands.check.findings import where_of
from helpers.commands.check.kinds import RULES, kinds
from helpers.commands.check.model_facts import facts
from helpers.commands.check.reading import read_model
from helpers.commands.check.report import MOST, Operator, Problem, Report
from helpers.onnx_parser import NodeError
from helpers.trt import has

INT8, UINT8, INT32, BOOL = TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32, TensorProto.BOOL
MICROSOFT, ML = helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("ai.onnx.ml", 1)


# A model of each kind


def floats(name: str, *shape):
    return value(name, FLOAT, list(shape))


def dynamically_quantized():
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], "quantize"),
        node("MatMulInteger", ["q", "w", "z"], ["a"], "product"),
        node("Cast", ["a"], ["f"], to=FLOAT),
        node("Mul", ["f", "s"], ["y"]),
    ]
    return model(nodes, constants=[constant("w", np.ones((4, 4)), np.uint8)])


def quantized(zero=0, dtype=np.int8, bias=False):
    """Conv between QuantizeLinear and DequantizeLinear."""
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], "quantize"),
        node("DequantizeLinear", ["q", "s", "z"], ["d"], "dequantize"),
        node("DequantizeLinear", ["wq", "s", "zero"], ["w"], "weights"),
        node("DequantizeLinear", ["bq", "s"], ["b"], "bias"),
        node("Conv", ["d", "w", *(["b"] if bias else [])], ["y"], "conv", kernel_shape=[1, 1]),
    ]
    constants = [
        constant("s", 0.1, np.float32),
        constant("z", zero, dtype),
        constant("zero", 0, np.int8),
        constant("wq", np.ones((2, 3, 1, 1)), np.int8),
        constant("bq", [1, 2], np.int32),
    ]
    nodes = nodes if bias else [one for one in nodes if one.name != "bias"]
    return model(nodes, [floats("x", 1, 3, 4, 4)], [floats("y", 1, 2, 4, 4)], constants)


def quantized_operators():
    constants = [constant("s", 0.1, np.float32), constant("z", 0, np.int8), constant("w", np.ones((4, 4)), np.int8)]
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("QLinearMatMul", ["q", "s", "z", "w", "s", "z", "s", "z"], ["p"], "product"),
        node("DequantizeLinear", ["p", "s", "z"], ["y"]),
    ]
    return model(nodes, constants=constants)


def weight_only(transposed=False):
    nodes = [node("DequantizeLinear", ["wq", "s"], ["w"], "weights")]
    if transposed:
        nodes.append(node("Transpose", ["w"], ["t"], perm=[1, 0]))
    nodes.append(node("MatMul", ["x", "t" if transposed else "w"], ["y"], "product"))
    return model(nodes, constants=[constant("wq", np.ones((4, 4)), np.int8), constant("s", 0.1, np.float32)])


def few_bits():
    nodes = [
        node("MatMulNBits", ["x", "w", "s"], ["y"], "product", "", "com.microsoft", K=16, N=4, bits=4, block_size=16)
    ]
    constants = [constant("w", np.ones((4, 1, 8)), np.uint8), constant("s", np.ones(4), np.float32)]
    return model(nodes, [floats("x", 1, 16)], constants=constants, domains=[MICROSOFT])


def uint8_arithmetic():
    inputs = [value("x", UINT8, [1, 4]), value("z", UINT8, [1, 4])]
    return model([node("Add", ["x", "z"], ["y"], "sum")], inputs, [value("y", UINT8, [1, 4])])


def scaler():
    nodes = [node("Scaler", ["x"], ["y"], "scale", domain="ai.onnx.ml", offset=[0.0], scale=[1.0])]
    return model(nodes, domains=[ML])


def fused():
    nodes = [node("FusedMatMul", ["x", "w"], ["y"], "product", domain="com.microsoft", alpha=2.0)]
    return model(nodes, constants=[constant("w", np.ones((4, 4)), np.float32)], domains=[MICROSOFT])


def scatter(operator="ScatterND", reduction="max"):
    indices = constant("i", [[0], [0], [3]]) if operator == "ScatterND" else constant("i", np.zeros((3, 4)))
    nodes = [node(operator, ["x", "i", "u"], ["y"], "vote", reduction=reduction)]
    return model(nodes, [floats("x", 8, 4), floats("u", 3, 4)], [floats("y", 8, 4)], [indices], opset=18)


def resize(**attributes):
    nodes = [node("Resize", ["x", "", "scales"], ["y"], "shrink", mode="linear", **attributes)]
    constants = [constant("scales", [1, 1, 0.5, 0.5], np.float32)]
    return model(nodes, [floats("x", 1, 3, 8, 8)], [floats("y", 1, 3, 4, 4)], constants, opset=18)


def top_k(k=4000):
    outputs = [floats("y", 1, k), value("i", INT64, [1, k])]
    return model([node("TopK", ["x", "k"], ["y", "i"], "best")], [floats("x", 1, 5000)], outputs, [constant("k", [k])])


def branch(nodes, output, shape):
    return helper.make_graph(nodes, output, [], [value(output, FLOAT, shape)])


def squeeze_of_a_dynamic_axis(inner=()):
    """What PyTorch's exporter makes of x.squeeze(1)."""
    one = node("Constant", [], ["one"], value=constant("", [1]))
    then = branch([one, node("Squeeze", ["x", "one"], ["s"], "squeeze"), *inner], "s", ["n", 4])
    other = branch([node("Identity", ["x"], ["k"], "keep")], "k", ["n", "c", 4])
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "axis"], ["size"], axis=0),
        node("Equal", ["size", "axis"], ["is_one"]),
        node("If", ["is_one"], ["y"], "maybe", then_branch=then, else_branch=other),
    ]
    return model(nodes, [floats("x", "n", "c", 4)], [floats("y", "n", 4)], [constant("axis", [1])])


def if_of(then, other, name="choose"):
    nodes = [node("If", ["flag"], ["y"], name, then_branch=then, else_branch=other)]
    return model(nodes, [floats("x", 1, 4), value("flag", BOOL, [])], [floats("y", "a")])


def branches_that_differ():
    flat = branch([node("Flatten", ["x"], ["t"]), node("ReduceSum", ["t"], ["f"], keepdims=0)], "f", [])
    return if_of(flat, branch([node("Relu", ["x"], ["r"])], "r", [1, 4]))


def nested_if():
    relu, neg = (branch([node(kind, ["x"], [kind])], kind, [1, 4]) for kind in ("Relu", "Neg"))
    inner = branch([node("If", ["flag"], ["i"], "inner", then_branch=relu, else_branch=neg)], "i", [1, 4])
    return if_of(inner, branch([node("Abs", ["x"], ["a"])], "a", [1, 4]))


def attention(operator="MultiHeadAttention", domain="com.microsoft"):
    nodes = [node(operator, ["q", "q", "q"], ["y"], "attend", domain=domain, num_heads=2)]
    return model(nodes, [floats("q", 1, 4, 8)], [floats("y", 1, 4, 8)], domains=[MICROSOFT])


def attention_of_onnx():
    nodes = [node("Attention", ["q", "q", "q", "", "p", "p"], ["y", "k", "v"], "attend")]
    cache = [floats("p", 1, 2, 3, 4)]
    outputs = [floats("y", 1, 2, 4, 4), floats("k", 1, 2, 7, 4), floats("v", 1, 2, 7, 4)]
    return model(nodes, [floats("q", 1, 2, 4, 4), *cache], outputs, opset=23, ir=11)


def plugin():
    nodes = [
        node("EfficientNMS_TRT", ["b", "s"], ["n", "bb", "ss", "cc"], "nms", plugin_version="1", score_threshold=0.2)
    ]
    outputs = [value("n", INT32, [1, 1]), floats("bb", 1, 9, 4), floats("ss", 1, 9), value("cc", INT32, [1, 9])]
    return model(nodes, [floats("b", 1, 20, 4), floats("s", 1, 20, 3)], outputs)


def axes_of_one_name(*shape):
    return model([node("Relu", ["x"], ["y"])], [floats("x", *shape)], [floats("y", *shape)])


def grid_sample():
    inputs = [floats("x", 1, 2, 4, 6, 6), floats("grid", 1, 4, 6, 6, 3)]
    nodes = [node("GridSample", ["x", "grid"], ["y"], "sample", mode="linear")]
    return model(nodes, inputs, [floats("y", 1, 2, 4, 6, 6)], opset=20)


def reduction(operator="ReduceMax"):
    return model(
        [node(operator, ["x", "a"], ["y"], "best")],
        outputs=[floats("y", 1, 1)],
        constants=[constant("a", [1])],
        opset=18,
    )


def non_zero():
    nodes = [
        node("NonZero", ["m"], ["i"], "which"),
        node("Transpose", ["i"], ["t"]),
        node("GatherND", ["x", "t"], ["y"]),
    ]
    return model(nodes, [floats("x", 8, 3), value("m", BOOL, [8])], [floats("y", "kept", 3)])


def baked(sizes, *shape):
    constants = [constant("sizes", sizes)]
    return model(
        [node("Reshape", ["x", "sizes"], ["y"], "flatten")],
        [floats("x", *shape)],
        [floats("y", *"abcd"[: len(sizes)])],
        constants,
    )


BAKED = ["Reshape 'flatten'"]
# The id, the model, and the nodes that are named.
KINDS = [
    ("TRT020", dynamically_quantized(), ["DynamicQuantizeLinear 'quantize'", "MatMulInteger 'product'"]),
    ("TRT059", quantized_operators(), ["QLinearMatMul 'product'"]),
    ("TRT021", quantized(3), ["QuantizeLinear 'quantize'", "DequantizeLinear 'dequantize'"]),
    ("TRT021", quantized(0, np.uint8), ["QuantizeLinear 'quantize'", "DequantizeLinear 'dequantize'"]),
    ("TRT022", quantized(bias=True), ["DequantizeLinear 'bias'"]),
    ("TRT023", weight_only(), ["DequantizeLinear 'weights'"]),
    ("TRT023", weight_only(True), ["DequantizeLinear 'weights'"]),
    ("TRT023", few_bits(), ["MatMulNBits 'product'"]),
    ("TRT024", uint8_arithmetic(), ["Add 'sum'"]),
    ("TRT025", scaler(), ["Scaler 'scale'"]),
    ("TRT026", fused(), ["FusedMatMul 'product'"]),
    ("TRT027", scatter(), ["ScatterND 'vote'"]),
    ("TRT027", scatter("ScatterElements", "add"), ["ScatterElements 'vote'"]),
    ("TRT028", resize(antialias=1), ["Resize 'shrink'"]),
    ("TRT029", top_k(), ["TopK 'best'"]),
    ("TRT030", squeeze_of_a_dynamic_axis(), ["If 'maybe'"]),
    ("TRT030", squeeze_of_a_dynamic_axis([node("Relu", ["s"], ["r"])]), ["If 'maybe'"]),
    ("TRT031", branches_that_differ(), ["If 'choose'"]),
    ("TRT031", nested_if(), ["If 'choose'"]),
    ("TRT032", attention(), ["MultiHeadAttention 'attend'"]),
    ("TRT032", attention("GroupQueryAttention"), ["GroupQueryAttention 'attend'"]),
    ("TRT032", attention_of_onnx(), ["Attention 'attend'"]),
    ("TRT033", plugin(), ["EfficientNMS_TRT 'nms'"]),
    ("TRT034", axes_of_one_name("n", 3, "?", "?"), ["input 'x' (axes 2 and 3 are called '?')"]),
    ("TRT034", axes_of_one_name("s", "s", "s"), ["input 'x' (axes 0, 1 and 2 are called 's')"]),
    ("TRT036", grid_sample(), ["GridSample 'sample'"]),
    ("TRT037", reduction(), ["ReduceMax 'best'"]),
    ("TRT038", non_zero(), ["NonZero 'which'"]),
    ("TRT038", small.non_max_suppression(), ["NonMaxSuppression, node 0"]),
    ("TRT039", baked([1, 16], "batch", 4, 2, 2), BAKED),
    ("TRT039", baked([1, -1, 4], "batch", 4, 2, 2), ["Reshape 'flatten'"]),
    ("TRT008", small.strings(), ["Identity, node 0"]),
]  # fmt: skip


def kinds_of(made, tmp_path) -> list[dict]:
    path = str(tmp_path / "model.onnx")
    onnx.save(made, path)
    facts(path)  # forgets the model before it
    return kinds(path)


@pytest.mark.parametrize(("id", "made", "nodes"), KINDS, ids=[f"{id}-{nodes[0]}" for id, _, nodes in KINDS])
def test_each_kind_is_known_by_its_graph(id, made, nodes, tmp_path):
    found = [kind for kind in kinds_of(made, tmp_path) if kind["advice"] == id]
    assert found
    assert found[0]["nodes"] == nodes
    assert by_id(id).cure
    assert found[0]["always"] == (id == "TRT034" or nodes is BAKED)


INNOCENT = {
    "quantized, symmetric": quantized(),
    "UINT8 that is cast": model([node("Cast", ["x"], ["y"], to=FLOAT)], [value("x", UINT8, [1, 4])]),
    "scatter without reduction": scatter(reduction="none"),
    "no antialias": resize(antialias=0),
    "small TopK": top_k(3840),
    "4-D GridSample": model(
        [node("GridSample", ["x", "grid"], ["y"])],
        [floats("x", 1, 2, 6, 6), floats("grid", 1, 6, 6, 2)],
        [floats("y", 1, 2, 6, 6)],
    ),
    "ReduceSum": reduction("ReduceSum"),
    "one name in two inputs": model(
        [node("Add", ["x", "z"], ["y"])], [floats("x", "n", 4), floats("z", "n", 4)], [floats("y", "n", 4)]
    ),
    "axes without a name": axes_of_one_name(None, 3, None, None),
    "a size that is computed": baked([-1, 16], "batch", 4, 2, 2),
    "a size that is kept": baked([0, 16], "batch", 4, 2, 2),
    "fixed sizes": baked([2, 8], 1, 4, 2, 2),
    "an operator of somebody else's": model(
        [node("Attention", ["x"], ["z"], domain="ours"), node("Resize", ["z"], ["y"], domain="ours", antialias=1)],
        domains=[small.OURS],
    ),
    "lenet": onnx.load(Path(__file__).parents[2] / "data" / "lenet.onnx"),
}  # fmt: skip


@pytest.mark.parametrize("name", INNOCENT)
def test_innocents_are_not_accused(name, tmp_path):
    assert kinds_of(INNOCENT[name], tmp_path) == []


def test_a_gelu_of_onnx_runtime_explains_only_errors(tmp_path):
    made = model([node("Gelu", ["x"], ["y"], "gelu", domain="com.microsoft")], domains=[MICROSOFT])
    (kind,) = kinds_of(made, tmp_path)
    report = Report("m")
    advise(report, [kind], [])
    assert (kind["advice"], kind["always"], report.problems) == ("TRT026", False, [])


def test_kinds_inside_branches_and_functions(tmp_path):
    inner = branch([node("TopK", ["x", "k"], ["b", "i"], "inner")], "b", [1, 4])
    made = if_of(inner, branch([node("Relu", ["x"], ["r"])], "r", [1, 4]))
    made.graph.initializer.append(constant("k", [5000]))
    body = [node("Resize", ["a", "", "s"], ["b"], "in a function", antialias=1)]
    made.functions.append(
        helper.make_function("ours", "shrink", ["a", "s"], ["b"], body, [helper.make_opsetid("", 18)])
    )
    found = {kind["advice"]: kind["nodes"] for kind in kinds_of(made, tmp_path)}
    assert found == {"TRT029": ["TopK 'inner'"], "TRT028": ["Resize 'in a function'"]}


def test_many_nodes_and_strange_ones_are_bounded(tmp_path):
    many = [node("NonZero", ["x"], [f"y{i}"], "n" * 2000) for i in range(MOST + 100)]
    strange = [
        node("TopK", ["x", "text"], ["a", "b"]), node("TopK", ["x"], ["c"], k="many"), node("If", [], []),
        node("Reshape", [], []), node("If", ["x"], ["d"], then_branch=3), node("DequantizeLinear", ["text"], []),
        node("ReduceMax", ["x", ""], []), node("ScatterND", [], [], reduction=[1, 2]),
        node("QuantizeLinear", ["x", "x", "text"], ["e"], output_dtype="u"),
        node("Reshape", ["x", "text"], ["f"]), node("GridSample", ["text", "x"], ["g"]),
    ]  # fmt: skip
    made = model([*many, *strange], constants=[helper.make_tensor("text", TensorProto.STRING, [2], [b"\xff", b"b"])])
    made.graph.initializer.append(TensorProto(name="no type", data_type=99, dims=[1], raw_data=b"1"))
    made.graph.node.append(node("TopK", ["x", "no type"], ["h", "i"]))
    found = {kind["advice"]: kind for kind in kinds_of(made, tmp_path)}
    assert len(found["TRT038"]["nodes"]) == MOST
    assert max(map(len, found["TRT038"]["nodes"])) < 600


# Nodes in the builder's messages


def test_nodes_in_messages(tmp_path):
    path = str(tmp_path / "model.onnx")
    made = if_of(
        branch([node("Squeeze", ["x"], ["s"], "/Squeeze")], "s", []),
        branch([node("Relu", ["x"], ["r"])], "r", []),
        "/If",
    )
    nodes = [
        node("Conv", ["x"], ["c"], "/m/0/conv/Conv"),
        node("Relu", ["c"], ["/r_out"]),
        node("Mul", ["c"], [], "Error"),
    ]
    made.graph.node.extend([*nodes, node("Add", ["c"], [], "/add")])
    onnx.save(made, path)
    facts(path)

    def named(message: str) -> list[str]:
        return [row["where"] for row in blamed(path, message)]

    assert named("(IConditionalOutputLayer /If_OutputLayer: Must have inputs with equal ranks)") == ["If '/If'"]
    assert named("IShuffleLayer /Squeeze: reshape changes volume") == ["If '/If', in it Squeeze '/Squeeze'"]
    assert named("Could not find any implementation for node {ForeignNode[/m/0/conv/Conv.../add]}.") == [
        "Conv '/m/0/conv/Conv'", "Add '/add'",
    ]  # fmt: skip
    assert named("Assertion failed. node_of_/r_out_0 has no runners that implement it") == ["Relu, node 2"]
    assert named("Error Code 4: Internal Error (no node is named here)") == []
    assert named("Error Code 4: API Usage Error (IElementWiseLayer Error: types differ)") == ["Mul 'Error'"]
    assert blamed(path, "/add: wrong")[0] == {"where": "Add '/add'", "operator": "Add", "place": 4}
    assert blamed(path, "/Squeeze: wrong")[0]["place"] is None


# The advice


def report_of(what: str, where: str = "", **more) -> Report:
    report = Report("m.onnx", tensorrt="TensorRT for RTX 1.7.1", **more)
    report.add("error", what, where=where)
    return report


def kind_of(id: str, *nodes: str, always: bool = False) -> dict:
    return {"advice": id, "nodes": list(nodes), "operators": [nodes[0].partition(" ")[0].rstrip(",")], "always": always}


def test_a_kind_of_the_node_comes_before_the_message():
    report = report_of("TensorRT's parser refuses it: false", "MatMulInteger 'fc'")
    advise(report, [kind_of("TRT020", "MatMulInteger 'fc'")], [])
    (problem,) = report.problems
    known = by_id("TRT020")
    assert (problem.where, problem.what) == ("MatMulInteger 'fc'", "TensorRT's parser refuses it: false")
    assert (problem.advice, problem.cause, problem.todo, problem.chapter) == known[:4]
    assert problem.reason == known.cause


def test_a_node_without_a_name_is_called_alike_everywhere(worker):
    """By the parser, by the graph and alone: else its kind would not be found, and it would seem to be several."""
    nodes = [node("Relu", ["x"], ["r"]), node("NonZero", ["r"], ["y"])]
    report = check(model(nodes, outputs=[value("y", INT64, [2, "n"])]), worker=worker)
    assert {problem.where for problem in report.problems} <= {"NonZero, node 1"}


@rtx_17
def test_another_release_is_named_where_this_one_lacks_the_operator(worker):
    """Of a Reshape that cannot be, both releases build others: that helps nobody."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Mul", ["s", "k"], ["many"]),
        node("Expand", ["one", "many"], ["e"]),
        node("Reshape", ["e", "five"], ["y"], "squash"),
    ]
    numbers = [constant("k", [10**8]), constant("one", [1], np.float32), constant("five", [5])]
    report = check(model(nodes, [value("x", FLOAT, ["n"])], [value("y", FLOAT, [5])], numbers), worker=worker)
    assert report.verdict == "not convertible"
    assert {operator.type: operator.expected for operator in report.operators}["Reshape"] == "builds"
    assert "8.6" not in f"{report.summary} {report.problems[0].cause} {report.problems[0].todo}"


def test_nodes_of_another_kind_explain_nothing():
    report = report_of("TensorRT's parser refuses it: false", "Resize 'first'")
    advise(report, [kind_of("TRT028", "Resize 'second'")], [])
    assert report.problems[0].advice == "TRT007"


def test_a_node_without_a_name_is_named_by_its_place():
    report = report_of("TensorRT's parser refuses it: false", "Resize")
    advise(report, [kind_of("TRT028", "Resize, node 7")], [])
    assert (report.problems[0].where, report.problems[0].advice) == ("Resize, node 7", "TRT028")


def test_an_old_parser_names_a_number_only(tmp_path):
    two = model([node("Identity", ["x"], ["i"]), node("Resize", ["i", "", "s"], ["y"])])
    for name, where in (("shrink", "Resize 'shrink'"), ("", "Resize, node 1")):
        two.graph.node[1].name = name
        onnx.save(two, tmp_path / "m.onnx")
        (row,) = trial._alike([NodeError("number 1", "", "false")], str(tmp_path / "m.onnx"))
        read_model.cache_clear()
        assert where_of(row) == where
        report = report_of("TensorRT's parser refuses it: false", where)
        advise(report, [kind_of("TRT027", "Resize 'another'"), kind_of("TRT028", where)], [row])
        assert (report.problems[0].where, report.problems[0].advice) == (where, "TRT028")


@pytest.mark.parametrize(
    ("what", "id"),
    [
        ("crashes TensorRT (SIGFPE) while building", "TRT001"),
        ("TensorRT's parser refuses it: axes must be an initializer", "TRT005"),
        ("out of memory", "TRT013"),
    ],
)
def test_what_a_message_says_of_values_and_crashes_comes_first(what, id):
    report = report_of(what, "Resize 'shrink'")
    advise(report, [kind_of("TRT028", "Resize 'shrink'")], [])
    assert report.problems[0].advice == id


def test_a_refusal_without_a_reason_has_advice():
    report = report_of("TensorRT's parser refuses it: false", "Det 'd'")
    report.add("error", "TensorRT's parser refuses it: Assertion failed: x != false", where="Foo 'f'")
    advise(report, [], [])
    assert "gives up without saying why" in report.problems[0].cause
    assert "gives up" not in report.problems[1].cause
    assert "another opset" in report.problems[1].todo


def test_what_has_advice_already_keeps_it():
    report = Report("m", problems=[Problem("error", "Plugin not found", "write one", "Foo 'f'")])
    advise(report, [], [])
    assert report.problems == [Problem("error", "Plugin not found", "write one", "Foo 'f'")]


def test_another_release_that_builds_the_operator_is_named():
    elsewhere = {"TensorRT 8.6.1": "builds", "TensorRT 9": "not with INT64"}
    operators = [Operator("", "NonZero", 13, 1, "not supported", "false", elsewhere)]
    report = report_of("TensorRT's parser refuses it: false", "NonZero 'n'", operators=operators)
    advise(report, [kind_of("TRT038", "NonZero 'n'")], [])
    assert report.problems[0].cause.endswith("TensorRT 8.6.1 builds NonZero.")
    assert "take that where there is a GPU" in report.problems[0].todo
    report = report_of("TensorRT's parser refuses it: false", "NonZero 'n'", operators=operators)
    advise(report, [kind_of("TRT028", "NonZero 'n'")], [])  # it is how the operator is used that counts
    assert "8.6.1" not in report.problems[0].cause + report.problems[0].todo


def test_the_trials_name_what_a_message_does_not():
    operators = [Operator("", "Relu", 14, 1, "builds"), Operator("", "Loop", 13, 1, "parses, does not build", "no")]
    report = report_of("Internal Error", operators=operators)
    advise(report, [], [])
    assert report.problems[0].where == "Loop"


def test_operators_that_were_refused_alone_are_told():
    operators = [
        Operator("", "ScatterND", 18, 1, "not supported", "reduction"),
        Operator("", "Resize", 18, 1, "not supported", "antialias"),
        Operator("", "Relu", 14, 1, "parsed"),
        Operator("", "Det", 14, 1, "not tried"),
    ]
    report = report_of("TensorRT's parser refuses it: reduction", "ScatterND 'vote'", operators=operators)
    advise(report, [kind_of("TRT027", "ScatterND 'vote'"), kind_of("TRT028", "Resize 'shrink'")], [])
    assert [(p.severity, p.where, p.advice) for p in report.problems] == [
        ("error", "ScatterND 'vote'", "TRT027"), ("warning", "Resize 'shrink'", "TRT028"),
    ]  # fmt: skip
    operators[1].nodes = ["Resize 'other'"]
    report = report_of("TensorRT's parser refuses it: reduction", "ScatterND 'vote'", operators=operators)
    advise(report, [kind_of("TRT036", "Resize 'shrink'")], [])
    assert (report.problems[1].where, report.problems[1].advice) == ("Resize 'other'", "TRT028")  # by its message
    report = Report("m", operators=operators)  # nothing was refused
    advise(report, [], [])
    assert report.problems == []


def test_warnings_of_the_graph_are_told_once():
    baked_in = kind_of("TRT039", "Reshape 'r'", always=True)
    report = Report("m", built=True)
    for _ in range(2):
        advise(report, [baked_in, kind_of("TRT030", "If 'i'")], [])
    assert [(p.severity, p.where, p.advice) for p in report.problems] == [("warning", "Reshape 'r'", "TRT039")]
    report = Report("m")  # not built: so an If may be why it will not
    advise(report, [kind_of("TRT030", "If 'i'"), kind_of("TRT031", "If 'i'")], [])
    assert [(p.severity, p.advice) for p in report.problems] == [("warning", "TRT030")]


@pytest.mark.parametrize(
    ("id", "release", "takes"),
    [
        ("TRT036", "TensorRT for RTX 1.7.1", True), ("TRT036", "TensorRT 8.6.1", False),
        ("TRT036", "TensorRT 10.13.3", False), ("TRT036", "TensorRT 11.1.0", False),
        ("TRT036", "TensorRT 11.4.0", True), ("TRT037", "TensorRT for RTX 1.7.1", True),
        ("TRT037", "TensorRT 8.6.1", False), ("TRT037", "TensorRT 10.13.3", True), ("TRT037", "TensorRT 11.4.0", True),
    ],
)  # fmt: skip
def test_what_only_some_releases_take_is_a_note_there_and_a_cause_elsewhere(id, release, takes):
    report = Report("m", tensorrt=release)
    advise(report, [kind_of(id, "Foo 'f'")], [])
    assert [problem.severity for problem in report.problems] == ["note"] * takes
    report = Report("m", tensorrt=release, problems=[Problem("error", "no", "", "Foo 'f'")])
    advise(report, [kind_of(id, "Foo 'f'")], [])
    assert (report.problems[0].advice == id) != takes


def test_every_id_that_the_check_knows_exists():
    ids = (
        {rule.advice for rule in RULES}
        | ALWAYS.keys()
        | UNBUILT.keys()
        | NOTES.keys()
        | set(BY_MESSAGE)
        | set(OF_OPERATORS)
    )
    assert all(by_id(id).id == id for id in ids - {""})
    assert ALWAYS.keys() == {rule.advice for rule in RULES if rule.always} | {"TRT034"}


# With TensorRT

REFUSED = {  # by TensorRT for RTX 1.7: the id, and what the summary says
    "TRT020": "dynamically quantized",
    "TRT059": "QOperator",
    "TRT022": "INT32 bias",
    "TRT024": "UINT8",
    "TRT025": "ai.onnx.ml",
    "TRT026": "optimised by ONNX Runtime",
    "TRT027": "reduction",
    "TRT028": "antialias",
    "TRT033": "standard plugins",
    "TRT008": "no such type",
}


@rtx_17
@pytest.mark.parametrize("id", REFUSED)
def test_the_summary_says_why_and_where(id, worker):
    made, nodes = next((made, nodes) for kind, made, nodes in KINDS if kind == id)
    report = check(made, worker=worker)
    error = report.problems[0]
    assert (error.severity, error.advice, error.where) == ("error", id, nodes[0])
    assert REFUSED[id] in report.summary
    assert nodes[0] in report.summary
    assert "another opset" not in error.todo


@rtx_17
def test_the_builder_names_layers_and_the_report_nodes(worker):
    for made, id, where in (
        (branches_that_differ(), "TRT031", "If 'choose'"),
        (top_k(), "TRT029", "TopK 'best'"),
        (small.non_max_suppression(), "TRT038", "NonMaxSuppression, node 0"),
    ):
        report = check(made, build=True, worker=worker)
        assert (report.verdict, report.problems[0].where, report.problems[0].advice) == ("not convertible", where, id)


@pytest.mark.skipif(not has("build"), reason="needs a TensorRT that builds here")
def test_axes_of_one_name_are_told_of_a_model_that_converts(worker):
    report = check(axes_of_one_name("n", 3, "?", "?"), worker=worker)
    assert report.convertible
    (problem,) = report.problems
    assert (problem.severity, problem.advice) == ("warning", "TRT034")
    assert "axes 2 and 3" in problem.where
