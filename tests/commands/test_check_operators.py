"""The table of operators in a check: true after a refusal, and nobody is accused on an ill-formed trial."""

from __future__ import annotations

import onnx.parser
import pytest
import small_models as small

from helpers.commands.check import check, node_trial
from helpers.commands.check.made_up import fits, made_up
from helpers.commands.check.model_facts import facts
from helpers.commands.check.operator_trials import judge_operators
from helpers.commands.check.report import Operator, Report
from helpers.trt import FLAVOUR, has

pytestmark = pytest.mark.skipif(not has("build"), reason="needs a TensorRT that builds here")
rtx = pytest.mark.skipif(FLAVOUR != "tensorrt_rtx", reason="what TensorRT for RTX refuses")


def parsed_model(text: str, opset: int = 17) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> g {text}')


def table(report: Report) -> dict[str, str]:
    return {operator.type: operator.verdict for operator in report.operators}


def cut(model: onnx.ModelProto, folder, index=0, **options):
    """A node of the model alone, as it is tried."""
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    facts(str(folder / "m.onnx"))
    return node_trial.cut_node(str(folder / "m.onnx"), index, **options)


def tried(model: onnx.ModelProto, folder, index=0, **options) -> dict:
    """What becomes of a node alone."""
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    facts(str(folder / "m.onnx"))
    return node_trial.try_node(str(folder / "m.onnx"), index, **options)


# After a refusal


@rtx
def test_a_parser_stops_at_its_first_failed_assertion_and_the_others_are_tried_alone(worker):
    """Three nodes that are refused, of which the parser names one."""
    model = parsed_model(
        """(float[1,1,8,8] x, float[4] votes, int64[3,1] where, float[3] updates) => (float s, float z, int64[1,n] i) <
            float[4] scales = {1, 1, 0.5, 0.5}
        > {
            s = ScatterND<reduction="max">(votes, where, updates)
            r = Resize<mode="linear", antialias=1>(x, , scales)
            z = Relu(r)
            i = NonZero(votes)
        }""",
        18,
    )
    report = check(model, worker=worker)
    assert table(report) == {
        "ScatterND": "not supported",
        "Resize": "not supported",
        "NonZero": "not supported",
        "Relu": "parsed",
    }
    said = " ".join(problem.where for problem in report.problems)
    assert all(operator in said for operator in ("ScatterND", "Resize", "NonZero"))
    (resize,) = (operator for operator in report.operators if operator.type == "Resize")
    assert resize.nodes == ["Resize, node 1"]
    assert "ntialias" in resize.reason


@rtx
def test_the_node_with_the_use_that_is_refused_is_found_among_many_of_its_kind(worker):
    """Only the last of many ScatterND has a reduction."""
    uses = "".join(f"s{i + 1} = ScatterND(s{i}, where, updates)\n" for i in range(9))
    model = parsed_model(
        f"(float[4] s0, int64[3,1] where, float[3] updates) => (float[4] y, float[4] d) "
        f'{{ d = Det(s0) {uses} y = ScatterND<reduction="add">(s9, where, updates) }}'
    )
    (scatter,) = (operator for operator in check(model, worker=worker).operators if operator.type == "ScatterND")
    assert (scatter.verdict, scatter.nodes) == ("not supported", ["ScatterND, node 10"])


@rtx
def test_after_a_failed_build_innocents_are_not_accused(worker):
    """The graph is for batch 1, since a Reshape has a constant size, and NonMaxSuppression does not build."""
    model = parsed_model(
        f"""(float[N,4,2,2] x, float[1,10,4] boxes, float[1,1,10] scores) => (float[1,1] y, int64[n,3] kept) <
            int64[2] flat = {{1, 16}}, float[16,1] w = {{{", ".join(["1"] * 16)}}},
            int64[1] most = {{5}}, float[1] iou = {{0.5}}, float[1] score = {{0.5}}
        > {{
            r = Reshape(x, flat)
            y = MatMul(r, w)
            kept = NonMaxSuppression(boxes, scores, most, iou, score)
        }}"""
    )
    report = check(model, worker=worker, shapes={"x": (1, 4, 2, 2)})
    assert report.exit_code == 1
    assert table(report) == {"Reshape": "builds", "MatMul": "builds", "NonMaxSuppression": "parses, does not build"}


def test_what_has_no_types_is_not_tried(worker):
    report = check(small.unknown_operator("ours"), worker=worker)
    assert table(report) == {"Foo": "not supported", "Relu": "not tried"}


# Well-formed trials


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("(float[N,4,2,2] x) => (float[1,16] y) <int64[2] s = {1, 16}> { y = Reshape(x, s) }", 1),
        ("(float[N,16] x) => (float[M,8,2] y) <int64[3] s = {-1, 8, 2}> { y = Reshape(x, s) }", 4),
        ("(float[3,N] x) => (float[3,4] y) <float[16,4] w> { y = MatMul(x, w) }", 16),
        ("(float[1,N,8,8] x) => (float[1,2,6,6] y) <float[2,3,3,3] w> { y = Conv(x, w) }", 3),
        ("(float[N,2] x) => (float[N,2] y) <float[2,2] w> { y = Add(x, w) }", 1),
    ],
)
def test_dynamic_axes_get_a_size_that_fits(text, size, tmp_path):
    model = parsed_model(text)
    fitting = [n for n in node_trial.SIZES if fits(cut(model, tmp_path, size=n), n)]
    assert fitting[0] == size
    assert tried(model, tmp_path, and_build=True)["message"] is None


def test_a_trial_that_cannot_be_well_formed_is_not_made(tmp_path):
    text = "(float[N,7] x) => (float[1,5] y) <int64[2] s = {1, 5}> { y = Reshape(x, s) }"
    assert tried(parsed_model(text), tmp_path) == {"made": False}


@pytest.mark.parametrize(
    ("text", "name", "array"),
    [
        ("(float[2,6] x, int64[2] s) => (float[a,3] y) { y = Reshape(x, s) }", "s", [-1, 3]),
        ("(float[2,6] x, int64[2] s) => (float[4,3] y) { y = Reshape(x, s) }", "s", [4, 3]),
        ("(float[2,6] x, int64[3] s) => (float[a,b,c] y) { y = Reshape(x, s) }", "s", [-1, 4, 4]),
        ("(float[2,6] x, int64[2] a) => (float y) { y = ReduceMax(x, a) }", "a", [0, 1]),
        ("(float[2,1,6,1] x, int64[1] a) => (float y) { y = Squeeze(x, a) }", "a", [1]),
        ("(float[2] x, int64[1] a, int64[1] b) => (float y) { y = Slice(x, a, b) }", "b", [2**31 - 1]),
        ("(float[2] x, int64[1] k) => (float y, int64 i) { y, i = TopK(x, k) }", "k", [1]),
        ("(float[1,2] x, int64[3] i) => (float y) { y = Gather(x, i) }", "i", [0, 0, 0]),
        ("(float[1,1,4,6] x, int64[4] s) => (float y) { y = Resize(x, , , s) }", "s", [1, 1, 4, 6]),
        ("(float[1,1,4,6] x, float[4] s) => (float y) { y = Resize(x, , s) }", "s", [1, 1, 1, 1]),
        ("(float[7] x, int64[3] s) => (float a, float b, float c) { a, b, c = Split(x, s) }", "s", [2, 2, 3]),
        ("(float[2,2] x, int64[4] p) => (float y) { y = Pad(x, p) }", "p", [0, 0, 0, 0]),
        ("(float[3,2] x, int64[2] r) => (float y) { y = Tile(x, r) }", "r", [1, 1]),
        ("(int8[2] x, float s, int8 z) => (float y) { y = DequantizeLinear(x, s, z) }", "z", 0),
    ],
)
def test_what_becomes_a_constant_makes_sense(text, name, array):
    model = parsed_model(text, 18)
    assert made_up(model, name, 4).tolist() == array


def test_what_makes_no_sense_is_not_made_up():
    squeeze = parsed_model("(float[2,6] x, int64[1] a) => (float y) { y = Squeeze(x, a) }")
    assert made_up(squeeze, "a", 4) is None
    split = parsed_model("(float[2] x, int64[3] s) => (float a, float b, float c) { a, b, c = Split(x, s) }")
    assert made_up(split, "s", 4) is None
    text = parsed_model("(string[2] x, string[3] s) => (string y) { y = Concat<axis=0>(x, s) }")
    assert made_up(text, "s", 4) is None or made_up(text, "s", 4).dtype == object


@pytest.mark.parametrize("opset", [-(2**63), -1, 0, 2**62])
def test_an_opset_that_cannot_be_is_no_fault_of_an_operator(opset, tmp_path):
    model = parsed_model("(float[n,4] x, int64[1] a) => (float[n,1] y) { y = ReduceSum(x, a) }")
    model.opset_import[0].version = opset
    tried(model, tmp_path)
    tried(model, tmp_path, constant=True)


def test_a_trial_that_fails_accuses_nobody():
    report = Report("m", operators=[Operator("", "Relu", 14, 1), Operator("", "Det", 11, 1)])
    rows = {"operators": [["", "Relu", 14, 1, [0], []], ["", "Det", 11, 1, [1], []]]}
    failures = {0: "fails in Python (TypeError: TensorRT)", 1: "crashes TensorRT (SIGSEGV)"}
    judge_operators(report, rows, "m", lambda _, path, place, **more: (None, failures[place]), "parsed", "no", [])
    assert table(report) == {"Relu": "not tried", "Det": "crashes TensorRT"}
    assert [(p.severity, p.where) for p in report.problems] == [("note", "Relu")]
    assert "fails in Python" in report.problems[0].what


def test_the_real_values_of_constants_are_used(tmp_path):
    model = parsed_model(
        "(float[4] x) => (float[2] y, int64[2] i) { k = Constant<value_ints=[2]>() y, i = TopK(x, k) }"
    )
    single = cut(model, tmp_path, index=1)
    (k,) = single.graph.initializer
    assert onnx.numpy_helper.to_array(k).tolist() == [2]


def test_a_loop_is_not_computed_for_it_may_never_end():
    model = parsed_model(
        """(float[2] x) => (float[2] y) <bool c = {1}> {
            y = Loop(, c, x) <body = b (int64 i, bool go, float[2] a) => (bool on, float[2] z) {
                on = Identity(go) z = Identity(a)
            }>
        }"""
    )
    assert fits(model, 4)


def test_inner_graphs_get_what_they_read_from_outside(tmp_path):
    model = parsed_model(
        """(bool c, float[2] x) => (float[2] y) <float[2] w = {1, 2}> {
            y = If(c) <then_branch = a () => (float[2] t) { t = Add(x, w) },
                       else_branch = b () => (float[2] e) { e = Identity(x) }>
        }"""
    )
    single = cut(model, tmp_path)
    assert [value.name for value in single.graph.input] == ["c", "x"]
    assert [tensor.name for tensor in single.graph.initializer] == ["w"]
    assert tried(model, tmp_path, and_build=True)["message"] is None


def test_inputs_that_tensorrt_computes_while_it_builds_are_no_reason_to_accuse(tmp_path, worker):
    """Alone, ReduceSum wants constant axes. In the model they come from a shape, or from an input."""
    from_shape = parsed_model(
        "(float[4,1] x) => (float y) { s = Shape(x) n = Size(s) one = Constant<value_ints=[1]>() d = Unsqueeze(n, one) "
        "y = ReduceSum(x, d) }"
    )
    from_input = parsed_model("(float[4,1] x, int64[1] a) => (float y) { y = ReduceSum(x, a) }")
    assert tried(from_shape, tmp_path, 4, constant=True).get("computed") in (False, None)
    assert tried(from_input, tmp_path, 0, constant=True)["computed"]


# What counts


def test_blamed_nodes_are_tried_and_good_outcomes_do_not_acquit_them():
    facts = {"operators": [["", "Foo", 1, 9, [0, 1, 2]], ["", "Bar", 1, 1, [3]]]}
    error = {"operator": "Foo", "kind": "Foo", "names": [], "count": 0, "places": [7, 2]}
    good, bad = {"made": True, "message": None}, {"made": True, "message": "alone", "errors": []}

    def judged(text: str, *outcomes: dict) -> tuple[list[int], tuple[str, str], str]:
        tried, waiting = [], list(outcomes)

        def attempt(function, path, place, **named):
            tried.append(place)
            return waiting.pop(0), None

        report = Report("m", operators=[Operator("", "Foo", 1, 9), Operator("", "Bar", 1, 1)])
        judge_operators(report, facts, "m.onnx", attempt, "parsed", "refused", [{**error, "text": text}])
        assert not waiting
        foo, bar = report.operators
        return tried, (foo.verdict, foo.reason), bar.verdict

    known = {**good, "computed": False}  # TensorRT knows it when it builds
    no = {"made": False}
    assert judged("no", good, good, good, good) == ([7, 2, 0, 3], ("not supported", "no"), "parsed")
    assert judged("no", no, no, no, no) == ([7, 2, 0, 3], ("not supported", "no"), "not tried")
    assert judged("wants a constant", good, good, good, good)[1] == ("needs a constant input", "wants a constant")
    assert judged("no", good, bad, no, good, good) == ([7, 2, 2, 0, 3], ("not supported", "alone"), "parsed")
    assert judged("no", bad, good, good, good, good)[1] == ("needs a constant input", "alone")
    assert judged("no", good, good, good, bad, no)[2] == "not supported"  # the parser did not come to it
    assert judged("no", good, good, good, bad, good)[2] == "needs a constant input"
    assert judged("no", good, good, good, bad, known)[2] == "parsed"
