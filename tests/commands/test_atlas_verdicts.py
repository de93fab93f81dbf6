"""check/atlas.py: what became of test cases, told for the uses that a model has; uses.py: what a use is."""

from __future__ import annotations

import onnx.parser
import pytest

from helpers.commands.check import atlas
from helpers.commands.check.atlas import Known, known, known_verdicts, outcomes
from helpers.commands.check.uses import use_of
from helpers.trt import NAMES

USES = {
    "FLOAT": "bb",
    "FLOAT16": "b",
    "INT64": "rr",
    "FLOAT axes:attribute": "b",
    "FLOAT axes:input": "ww",
    "FLOAT mode=odd": "x",
    "FLOAT mode=new": "b",
    "FLOAT size:input": "cc",
    "FLOAT 5-D": "brr",
    "FLOAT16 5-D": "r",
    "FLOAT training_mode=1": "r",
    "FLOAT mostly": "wwbw",
    "FLOAT16 mostly": "w",
    "FLOAT seldom": "bwb",
    "FLOAT16 seldom": "b",
    "FLOAT small": "bbbb",
    "FLOAT16 small": "w",
}


@pytest.fixture
def stored(monkeypatch):
    """An atlas of one operator, Op, in one release, R; and of others that are taken never or always."""
    rows = {"Op": USES, "Never": {"FLOAT": "rr"}, "Only parsed": {"FLOAT": "rp"}, "Kills": {"FLOAT": "rx"}}
    rows |= {"Lies": {"FLOAT": "w"}, "Always": {"FLOAT": "bb", "INT64": "b", "FLOAT Mask:output": "r"}}
    rows |= {"Fixed": {"FLOAT": "bc"}}
    content = {"runs": {"R": {}}, "operators": {name: {"R": {"uses": uses}} for name, uses in rows.items()}}
    monkeypatch.setattr(atlas, "read_atlas", lambda: content)


@pytest.mark.parametrize(
    ("use", "constant", "good", "text"),
    [
        ("FLOAT", True, True, "builds"),
        ("INT64", True, False, "not with INT64"),
        ("FLOAT axes:attribute", True, True, "builds"),
        ("FLOAT axes:input", True, False, "computes something else with axes as an input"),
        ("FLOAT mode=odd", True, False, "not with mode=odd"),
        ("FLOAT size:input", True, True, "builds"),
        ("FLOAT size:input", False, False, "needs a constant input"),
        ("FLOAT 5-D", True, None, "unknown"),  # one case of three builds: nobody knows about this one
        ("FLOAT16 5-D", True, None, "unknown"),  # it is as with FLOAT
        ("DOUBLE", True, True, "builds"),  # as FLOAT, which TensorRT makes of it
        ("DOUBLE mode=odd", True, False, "not with mode=odd"),
        ("FLOAT16 mode=new", True, None, "probably builds"),  # never together in one case
        ("FLOAT16 mode=odd", True, False, "not with mode=odd"),
        ("INT64 mode=new", True, False, "not with INT64"),
        ("FLOAT16 axes:input", True, False, "computes something else with axes as an input"),
        ("FLOAT mode=unheard", True, None, "unknown"),
        ("BOOL", True, None, "unknown"),
        ("FLOAT mostly", True, None, "computes something else with mostly"),  # one of four is right
        ("FLOAT16 mostly", True, None, "computes something else with mostly"),
        ("? mostly", True, None, "computes something else with mostly"),
        ("FLOAT seldom", True, None, "may compute something else"),
        ("FLOAT16 seldom", True, True, "builds"),
        ("INT32 seldom", True, None, "may compute something else"),
        ("FLOAT16 small", True, False, "computes something else with small"),  # however many are right with FLOAT
        ("FLOAT8E5M2", True, None, "unknown"),
        ("? mode=odd", True, False, "not with mode=odd"),
        ("?", True, None, "probably builds"),
    ],
)
def test_what_is_known_of_a_use(stored, use, constant, good, text):
    assert known("Op", "R", [(use, constant)]) == Known(good, text)


def test_the_uses_of_a_model_are_judged_together(stored):
    assert known("Op", "R", [("FLOAT", True), ("FLOAT16", True)]) == Known(True, "builds")
    both = [("FLOAT", True), ("INT64", True), ("FLOAT mode=odd", True), ("BOOL", True)]
    assert known("Op", "R", both) == Known(False, "not with INT64, mode=odd")
    assert known("Op", "R", [("FLOAT", True), ("BOOL", True)]) == Known(None, "unknown")
    assert known("Op", "R", []) == Known(None, "unknown")  # it lies in an inner graph, of which no types are known


@pytest.mark.parametrize(
    ("operator", "good", "text"),
    [
        (
            "Op",
            None,
            "builds, not with INT64, mode=odd; computes something else with axes as an input, mostly, small",
        ),
        ("Never", False, "not supported"),
        ("Only parsed", False, "parses, does not build"),
        ("Kills", False, "crashes TensorRT"),
        ("Lies", False, "computes something else"),
        ("Always", True, "builds"),  # the mask is for training
        ("Fixed", True, "builds, with constant inputs"),
    ],
)
def test_what_is_known_of_an_operator(stored, operator, good, text):
    assert known(operator, "R") == Known(good, text)
    assert known_verdicts(operator) == {"R": text}
    if good is False:
        assert known(operator, "R", [("FLOAT", True)]) == Known(False, text)


def test_a_constant_is_taken_like_an_initializer(stored):
    """Whatever its case did, in which it is the output of a network."""
    atlas.read_atlas()["operators"]["Constant"] = {"R": {"uses": {"FLOAT": "b", "INT8": "p", "BFLOAT16": "r"}}}
    uses = ("FLOAT", "DOUBLE", "FLOAT16", "INT8", "UINT8", "INT32", "INT64", "BOOL")
    assert known("Constant", "R", [(use, True) for use in uses]) == Known(True, "builds")
    assert known("Constant", "R", [("INT64", True), ("BFLOAT16", True)]).good is False
    assert known("Constant", "R", [("STRING", True)]).good is None
    assert known("Constant", "another release", [("FLOAT", True)]) == Known(None, "unknown")


@pytest.mark.skipif("TensorRT 8.6.1" not in atlas.read_atlas()["runs"], reason="the atlas has no such column")
def test_reductions_with_axes_as_an_input_on_8_6():
    found = known("ReduceMax", "TensorRT 8.6.1", [("FLOAT axes:input", True)])
    assert found.text == "computes something else with axes as an input"


def test_what_was_not_measured_is_not_known(stored):
    assert known("Op", "another release", [("FLOAT", True)]) == Known(None, "unknown")
    assert known("Unheard", "R", [("FLOAT", True)]) == Known(None, "unknown")
    assert known_verdicts("Unheard") == {}


def test_counts_of_an_operator_are_those_of_its_usual_type(stored):
    assert outcomes({"uses": USES}) == {"built": 12, "constant": 2, "wrong": 6, "crashed": 1, "refused": 2}
    assert outcomes({"uses": {"BOOL": "bb", "INT8": "r"}}) == {"built": 2, "refused": 1}


def test_no_atlas(tmp_path):
    assert atlas.read_atlas(tmp_path / "none.json") == {"runs": {}, "operators": {}}


def test_a_reader_meets_one_wording_for_tensorrt_for_rtx():
    runs = atlas.read_atlas()["runs"]
    assert runs.keys() == known_verdicts("Relu").keys()
    assert all(run.rpartition(" ")[0] in NAMES.values() for run in runs)


@pytest.mark.parametrize(
    ("text", "opset", "use"),
    [
        ("(float[N,4] x) => (float[N,4] y) { y = Relu(x) }", 17, "FLOAT"),
        ("(int64[4] x) => (int64[4] y) { y = Relu(x) }", 17, "INT64"),
        ("(float[4] x) => (int64[4] y) { y = Cast<to=7>(x) }", 17, "FLOAT to=INT64"),
        ("(float[2,4] x) => (float[1] y) { y = ReduceMax<axes=[1]>(x) }", 17, "FLOAT axes:attribute"),
        ("(float[2,4] x, int64[1] a) => (float[1] y) { y = ReduceMax(x, a) }", 18, "FLOAT axes:input"),
        ("(float[2,4] x, int64[0] a) => (float[1] y) { y = ReduceMax(x, a) }", 18, "FLOAT axes:empty"),
        ("(float[2,4] x, int64[1] a) => (float y) { y = ReduceSum<noop_with_empty_axes=1>(x, a) }", 18,
         "FLOAT axes:input"),
        ("(float[2,4] x) => (float y) { y = ReduceSum<noop_with_empty_axes=1>(x) }", 18,
         "FLOAT noop_with_empty_axes=1"),
        ("(float[2,2] x) => (float[2] y) { y = Einsum<equation=\"ii->i\">(x) }", 17, "FLOAT twice"),
        ("(float[2,2] x) => (float y) { y = Einsum<equation=\"...ij, ...jk->...ik\">(x, x) }", 17, "FLOAT"),
        ("(float[2,4] x, int64[4] p, int64[2] a) => (float[2] y) { y = Pad(x, p, , a) }", 18,
         "FLOAT axes:input pads:input"),
        ("(float[2,4] x, float[1] s) => (float[2,8] y) { y = Resize<axes=[1]>(x, , s) }", 18, "FLOAT 2-D axes"),
        ("(float[2,4] x) => (float[1] y) { y = ReduceMax(x) }", 18, "FLOAT"),
        ("(float[1,1,2,2,2] x, float[1,1,1,1,3] g) => (float[1] y) { y = GridSample(x, g) }", 16, "FLOAT 5-D"),
        ("(float[1,1,2,2] x, float[1,1,1,2] g) => (float[1] y) { y = GridSample<mode=\"linear\">(x, g) }", 20,
         "FLOAT mode=linear"),  # the default by now, but another word than the first one
        ("(float[1,1,2,2] x, float[1,1,1,2] g) => (float[1] y) { y = GridSample<mode=\"bilinear\">(x, g) }", 16,
         "FLOAT"),
        ("(bool[4] c, float16[4] x) => (float16[4] y) { y = Where(c, x, x) }", 17, "FLOAT16"),
        ("(float[1,1,8] x, float[1,1,3] w) => (float[1,1,4] y) { y = Conv<dilations=[2]>(x, w) }", 17,
         "FLOAT 3-D dilations"),
        ("(float[1,1,8,8] x, float[1,1,3,3] w) => (float[1] y) { y = Conv<dilations=[1,1]>(x, w) }", 17, "FLOAT"),
        ("(float[2,4] x, float[4] s) => (float[2,4] y, float[2] m) { y, m = LayerNormalization(x, s) }", 17,
         "FLOAT Mean:output"),
        ("(float[4] x, int64[1] k) => (float[2] y, int64[2] i) { y, i = TopK<largest=0>(x, k) }", 17,
         "FLOAT largest=0 K:input"),
        ("(float[4] x) => (int8[4] y) <float s = {1}, int8 z = {5}> { y = QuantizeLinear(x, s, z) }", 17,
         "FLOAT to=INT8 zero_point"),
        ("(float[4] x) => (int8[4] y) <float s = {1}, int8 z = {0}> { y = QuantizeLinear(x, s, z) }", 17,
         "FLOAT to=INT8"),
        ("(float[4] x) => (float[4] y) { y = NoSuch<mode=\"odd\", axis=1>(x) }", 17, "FLOAT mode=odd"),
    ],
)  # fmt: skip
def test_the_use_of_a_node(text, opset, use):
    graph = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> g {text}').graph
    tensors = {value.name: value.type.tensor_type for value in [*graph.input, *graph.output]}
    zeros = {tensor.name for tensor in graph.initializer if not onnx.numpy_helper.to_array(tensor).any()}

    def tensor(name):
        known = tensors.get(name)
        return (known.elem_type, [dimension.dim_value for dimension in known.shape.dim]) if known else (0, None)

    assert use_of(graph.node[0], opset, tensor, zeros.__contains__) == use
