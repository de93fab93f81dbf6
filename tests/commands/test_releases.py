"""check --for: a release that is not here is judged by the atlas and its API, and what they do not say is undecided."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper
from report_schema import assert_schema

from helpers.commands.check import atlas, check, operator_trials, releases
from helpers.commands.check.operator_trials import judge_operators, recall_operators
from helpers.commands.check.releases import PLUGIN, elsewhere_line, known_in, release_of
from helpers.commands.check.report import BUILDS, NOT_SUPPORTED, Operator, Report
from helpers.worker import Worker

ROOT = Path(__file__).resolve().parents[2]
OLD, RTX = "TensorRT 8.6.1", "TensorRT for RTX 1.7.1"
# Both took the everyday operators. Of the others the columns say what was measured.
ROWS = {
    "Relu": ({"FLOAT": "b", "INT64": "r"}, {"FLOAT": "b", "INT64": "b"}),
    "NonZero": ({"FLOAT": "b", "BOOL": "b"}, {"FLOAT": "r", "BOOL": "r"}),
    "ReduceMax": ({"FLOAT": "b", "FLOAT axes:input": "w"}, {"FLOAT": "b", "FLOAT axes:input": "c"}),
    "GridSample": ({"FLOAT": "b", "FLOAT 5-D": "r"}, {"FLOAT": "b", "FLOAT 5-D": "b"}),
    "Resize": ({"FLOAT": "b", "FLOAT antialias=1 mode=linear": "r"}, {"FLOAT": "b", "FLOAT mode=linear": "b"}),
    "LayerNormalization": ({"FLOAT": "b", "FLOAT Mean:output": "r"}, {"FLOAT": "b", "FLOAT Mean:output": "r"}),
    "Det": ({"FLOAT": "r"}, {"FLOAT": "r"}),
    "Softmax": ({"FLOAT": "bbbw"}, {"FLOAT": "bbbb"}),
    "Constant": ({"FLOAT": "b"}, {"FLOAT": "b", "INT8": "p"}),
    "Reshape": ({"FLOAT shape:input": "b"}, {"FLOAT shape:input": "b"}),
    "ReduceMin": ({"FLOAT axes:input": "wwbw"}, {"FLOAT axes:input": "c"}),
    "If": ({"BOOL": "b"}, {"BOOL": "b"}),
    "TopK": ({"FLOAT K:input": "b"}, {"FLOAT K:input": "b"}),
}


@pytest.fixture(scope="module")
def worker():
    with Worker() as worker:
        yield worker


@pytest.fixture(autouse=True)
def two_columns(monkeypatch):
    operators = {name: {OLD: {"uses": old}, RTX: {"uses": rtx}} for name, (old, rtx) in ROWS.items()}
    content = {"runs": {OLD: {}, RTX: {}}, "operators": operators}
    for module in (atlas, operator_trials, releases):
        monkeypatch.setattr(module, "read_atlas", lambda: content)


def judged(text: str, release: str, worker: Worker, opset: int = 17) -> Report:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}, "ai.onnx.ml" : 3]> g {text}')
    report = check(model, worker=worker, release=release)
    assert_schema(report)
    return report


def said(report: Report) -> str:
    return "\n".join(f"{p.severity}: {p.where}: {p.what}" for p in report.problems)


RELU = "(float[2] x) => (float[2] y) { y = Relu(x) }"
DET = "(float[2,2] x) => (float y) { y = Det(x) }"
MAX = "(float[2,2] x) => (float y) <int64[1] a = {1}> { y = ReduceMax(x, a) }"
GRID = "(float[1,1,2,2,2] x, float[1,1,1,1,3] g) => (float[1,1,1,1,1] y) { y = GridSample(x, g) }"
TOP_K = "(float[9999] x) => (float y, int64 i) <int64[1] k = {%d}> { y, i = TopK(x, k) }"
NON_ZERO = "(bool[4] x) => (int64[1,n] y) { y = NonZero(x) }"
NMS = "(float[1,9,4] b, float[1,9,2] s) => (int32 n) { n = EfficientNMS_TRT(b, s) }"


@pytest.mark.parametrize(
    ("text", "release", "verdict", "words"),
    [
        (RELU, "8.6", "convertible", "TensorRT 8.6 takes every operator of the model in memory"),
        (RELU, "rtx-1.7", "convertible", "TensorRT for RTX 1.7 takes every operator"),
        (RELU, "10", "undecided", "1 of 1 kinds of operators is unverified: Relu"),
        (RELU, "11.4", "undecided", "TensorRT 11.4 may take the model"),
        ("(int64[2] x) => (int64[2] y) { y = Relu(x) }", "8.6", "not convertible", "Relu: not with INT64"),
        ("(int64[2] x) => (int64[2] y) { y = Relu(x) }", "rtx-1.7.1", "convertible", ""),
        (DET, "8.6.1", "not convertible", "Det"),
        (MAX, "8.6", "not convertible", "ReduceMax"),
        (MAX, "rtx-1.7", "convertible", ""),
        (GRID, "8.6", "not convertible", "GridSample"),
        (GRID, "10.16", "not convertible", "GridSample"),
        (GRID, "11", "undecided", "GridSample"),
        (GRID, "rtx-1.7", "convertible", ""),
        (NON_ZERO, "8.6", "convertible", ""),
        (NON_ZERO, "rtx-1.7", "not convertible", "NonZero"),
        (TOP_K % 3840, "8.6", "convertible", ""),
        (TOP_K % 3841, "8.6", "not convertible", "TopK"),
        (TOP_K % 3841, "10", "not convertible", "TopK"),
        (NMS, "rtx-1.7", "not convertible", "EfficientNMS_TRT"),
        (NMS, "8.6", "undecided", "EfficientNMS_TRT"),
        ("(float[2] x) => (float[2] y) { y = ai.onnx.ml.Scaler(x) }", "10", "not convertible", "Scaler"),
        ("(bfloat16[2] x) => (bfloat16[2] y) { y = Relu(x) }", "8.6", "not convertible", "BFLOAT16"),
        ("(bfloat16[2] x) => (bfloat16[2] y) { y = Relu(x) }", "10", "undecided", "Relu"),
        ("(string[2] x) => (string[2] y) { y = Identity(x) }", "11", "not convertible", "string"),
        ("(float[1,1,4,4] x) => (float y) <float[4] s = {1,1,2,2}> { y = Resize<mode=\"linear\">(x, , s) }", "8.6",
         "undecided", "Resize"),  # only with antialias was that mode measured
        ("(float[2,4] x, float[4] s) => (float[2,4] y) { y = LayerNormalization(x, s) }", "8.6", "convertible", ""),
    ],
)  # fmt: skip
def test_verdicts_by_data(text, release, verdict, words, worker):
    report = judged(text, release, worker, opset=20 if text == GRID else 18)
    assert report.verdict == verdict
    assert report.exit_code == {"convertible": 0, "not convertible": 1, "undecided": 3}[verdict]
    assert words.lower() in f"{report.summary}\n{said(report)}".lower()
    assert report.summary.endswith("(by data, not tried)")
    assert (report.tensorrt, report.built, report.layers) == ("", None, None)
    assert report.judged_for == release_of(release).name


def test_what_computes_something_else_is_told(worker):
    report = judged(MAX, "8.6", worker, opset=18)
    assert "it builds, and computes something else with axes as an input" in said(report)
    assert report.problems[0].advice == "TRT037"


def test_what_may_compute_something_else_is_told(worker):
    report = judged("(float[2,4] x) => (float[2,4] y) { y = Softmax(x) }", "8.6", worker)
    assert (report.verdict, report.operators[0].verdict) == ("undecided", "not tried")
    assert "warning: Softmax: it builds, and may compute something else, by the operator atlas" in said(report)
    assert "not measured" not in said(report)
    report = judged(MAX.replace("Max", "Min"), "8.6", worker, opset=18)
    assert report.verdict == "undecided"  # some of the cases are right
    (problem,) = [problem for problem in report.problems if problem.where == "ReduceMin"]
    assert problem.what.startswith("it builds, and computes something else with axes as an input")
    assert problem.advice == "TRT037"


@pytest.mark.parametrize("release", ["8.6", "rtx-1.7"])
def test_constants_do_not_make_a_model_undecided(release, worker):
    text = "(float[2,4] x) => (float[4,2] y) { s = Constant<value = int64[2] {4, 2}>() y = Reshape(x, s) }"
    assert judged(text, release, worker).verdict == "convertible"


def test_types_in_inner_graphs_are_known(worker):
    """Both branches have a Relu of INT64, of which 8.6 has none."""
    text = """(bool c, int64[2] x) => (int64[2] y) {
        y = If(c) <then_branch = t () => (int64[2] a) { a = Relu(x) }, else_branch = e () => (int64[2] b)
        { v = Relu(x) b = Relu(v) }> }"""
    report = judged(text, "8.6", worker)
    assert (report.verdict, report.problems[0].where) == ("not convertible", "Relu")
    assert "not with INT64" in report.problems[0].what


def test_no_release_has_tensors_of_many_axes(worker):
    """And what thousands of nodes read, is not written out for each."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1] * 20_000)
    y = helper.make_tensor_value_info("y0", TensorProto.FLOAT, None)
    nodes = [helper.make_node("Conv", ["x"], [f"y{i}"]) for i in range(4000)]
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("", 17)])
    report = check(model, worker=worker, release="8.6")
    assert (report.verdict, report.problems[0].where) == ("not convertible", "'x'")
    assert "more than 8 axes" in report.summary
    assert report.seconds < 8


def test_what_the_release_is_called_in_the_page(worker):
    assert "judged for TensorRT 8.6" in str(judged(RELU, "8.6", worker))
    assert "; judged for" not in str(judged(RELU, "8.6", worker))


def test_who_else_takes_it_is_in_the_table(worker):
    report = judged(NON_ZERO, "rtx-1.7", worker)
    assert [operator.elsewhere for operator in report.operators] == [{OLD: "builds"}]
    report = judged(NON_ZERO, "10", worker)
    assert [operator.elsewhere for operator in report.operators] == [{OLD: "builds", RTX: "not supported"}]


def test_what_is_known_of_an_unmeasured_release_is_told(worker):
    """Dynamic quantization is refused wherever it was measured: for 10 that is a warning."""
    text = "(float[2] x) => (uint8[2] y, float s, uint8 z) { y, s, z = DynamicQuantizeLinear(x) }"
    report = judged(text, "10", worker)
    assert report.verdict == "undecided"
    assert [p.advice for p in report.problems if p.severity == "warning" and p.advice] == ["TRT020"]


def test_from_11_on_types_are_those_of_the_graph(worker):
    for release in ("11", "rtx-1.7"):
        assert "no flag FP16" in said(judged(RELU, release, worker))
    for release in ("8.6", "10"):
        assert "no flag FP16" not in said(judged(RELU, release, worker))


def test_int64_is_narrow_in_8_6_alone(worker):
    text = "(int64[2] x) => (int64[2] y) { y = Relu(x) }"
    assert "INT64 silently becomes INT32" in said(judged(text, "8.6", worker))
    assert "INT64 silently becomes INT32" not in said(judged(text, "10", worker))


def test_a_file_that_is_no_model_is_none_for_every_release(worker, tmp_path):
    (tmp_path / "page.onnx").write_text("<html>")
    assert check(tmp_path / "page.onnx", worker=worker, release="10").exit_code == 2


def test_the_table_of_a_check_speaks_about_the_models_own_uses():
    """Not "in 3 of 9 cases": the release that is not here takes this use, or it does not."""
    uses = {
        "Relu": [["INT64", True]],
        "GridSample": [["FLOAT 5-D", True]],
        "ReduceMax": [["FLOAT axes:input", True], ["FLOAT", True]],
        "NonZero": [["BOOL", True]],
        "Resize": [["FLOAT mode=linear", True]],
        "EfficientNMS_TRT": [["FLOAT", True]],
        "LayerNormalization": [["FLOAT", True]],
    }
    report = Report("m", tensorrt=RTX, operators=[Operator("", kind, 1, 1) for kind in uses])
    recall_operators(report, {"operators": [["", kind, 1, 1, [0], used] for kind, used in uses.items()]})
    assert {operator.type: operator.elsewhere for operator in report.operators} == {
        "Relu": {OLD: "not with INT64"},
        "GridSample": {OLD: "not with 5-D tensors"},
        "ReduceMax": {OLD: "computes something else with axes as an input"},
        "NonZero": {OLD: "builds"},
        "Resize": {OLD: "unknown"},
        "EfficientNMS_TRT": {OLD: "standard plugin"},
        "LayerNormalization": {OLD: "builds"},
    }


def test_what_parses_and_was_never_built_is_told():
    rows = {"operators": [["", "Det", 11, 1, [0], [["FLOAT", True]]], ["", "Relu", 14, 1, [1], [["FLOAT", True]]]]}
    content = releases.read_atlas()
    content["operators"]["Det"] = {RTX: {"uses": {"FLOAT": "p"}}}
    report = Report("m", tensorrt=RTX, operators=[Operator("", "Det", 11, 1), Operator("", "Relu", 14, 1)])
    recall_operators(report, rows)
    judge_operators(report, rows, "m", None, "parsed", None, [])
    assert [(p.where, p.severity) for p in report.problems] == [("Det", "warning")]


# Releases


def test_the_releases_that_can_be_asked_for():
    names = releases.releases()
    assert {"8.6", "8.6.1", "10", "10.13", "10.16.1.11", "11", "11.4", "rtx-1.7", "rtx-1.7.1"} <= set(names)
    assert [release_of(name).api for name in ("8.6", "10", "11", "rtx-1.7")] == ["8.6", "10.16", "11.4", "RTX 1.7"]
    assert [release_of(name).column for name in ("8.6", "10", "rtx-1.7.1.116")] == [OLD, "", RTX]
    for name in ("9", "rtx-2", "", "8.6.2", "RTX"):
        with pytest.raises(ValueError, match="is not known; there are 8.6"):
            release_of(name)


def test_the_versions_are_those_of_the_api_that_was_read():
    api = json.loads((ROOT / "data" / "api.json").read_text())
    assert list(releases.READ) == api["releases"] == json.loads((ROOT / "data" / "names.json").read_text())["releases"]
    assert set(releases.TYPES.values()) | {"INT64"} <= {name for name in api["classes"]["DataType"] if name.isupper()}


def test_plugins_of_the_full_tensorrt():
    assert known_in(OLD, "", "EfficientNMS_TRT") == (None, PLUGIN)
    assert known_in(RTX, "", "EfficientNMS_TRT") == (False, NOT_SUPPORTED)
    assert known_in(OLD, "ours", "Relu").text == "unknown"


# Where this one refuses and another builds


@pytest.mark.parametrize(
    ("operators", "line"),
    [
        ([("NonZero", NOT_SUPPORTED, {OLD: BUILDS})], f"{OLD} builds NonZero"),
        ([("NonZero", NOT_SUPPORTED, {OLD: BUILDS}), ("Relu", BUILDS, {OLD: "unknown"})], f"{OLD} builds NonZero"),
        ([("A", NOT_SUPPORTED, {OLD: BUILDS}), ("B", "parses, does not build", {OLD: BUILDS})], f"{OLD} builds A, B"),
        ([("A", NOT_SUPPORTED, {OLD: BUILDS}), ("B", NOT_SUPPORTED, {OLD: "not with INT64"})], ""),
        ([("A", NOT_SUPPORTED, {OLD: "probably builds"})], ""),
        ([("EfficientNMS_TRT", NOT_SUPPORTED, {OLD: PLUGIN})], f"{OLD} has EfficientNMS_TRT as a standard plugin"),
        ([("Relu", BUILDS, {OLD: BUILDS})], ""),
        ([("A", "crashes TensorRT", {OLD: BUILDS})], ""),
    ],
)
def test_another_release_builds_what_this_one_refuses(operators, line):
    rows = [Operator("", kind, 1, 1, verdict, elsewhere=elsewhere) for kind, verdict, elsewhere in operators]
    assert elsewhere_line(Report("m", operators=rows)) == line


# No TensorRT


def test_it_works_without_any_tensorrt(tmp_path):
    """As on macOS: there the import of a TensorRT fails."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, ir_version=8), tmp_path / "m.onnx")
    run = [sys.executable, "-m", "helpers", "check", str(tmp_path / "m.onnx"), "--for", "rtx-1.7", "--json"]
    nowhere = os.environ | {"WORKBOOK_TENSORRT": "tensorrt_dispatch"}  # which is not installed
    done = subprocess.run(run, env=nowhere, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["judged_for"] == "TensorRT for RTX 1.7"
