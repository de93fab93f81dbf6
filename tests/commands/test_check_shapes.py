"""helpers/commands/check/: shapes that are given or searched, values of shape inputs, and what is said of the rest."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import small_models as small
from measured import rtx_17
from report_schema import assert_schema
from small_models import FLOAT, INT64, constant, node, value

from helpers.builder import build_plan
from helpers.commands.check import check, trial
from helpers.commands.check.building import about_shapes
from helpers.commands.check.report import Tensor
from helpers.commands.check.shapes import (
    as_text,
    check_given,
    options,
    propose_profile,
    shapes_of,
    shapes_of_text,
    values_of_text,
)
from helpers.onnx_parser import parse_onnx
from helpers.trt import has
from helpers.worker import WorkerDied, WorkerMemory, WorkerTimeout

REPOSITORY = Path(__file__).parents[2]
LENET = REPOSITORY / "data" / "lenet.onnx"
BUILT, NO_SHAPES = "convertible", "parses; not built: no shapes that fit were found"
NO_VALUES, BAD_SHAPES = "parses; not built: shape inputs need values", "parses; not built: the given shapes do not fit"
ONLY_FOLDED = "builds only with fixed shapes and folded constants"

builds = pytest.mark.skipif(not has("build"), reason="needs a TensorRT that builds here")


def weights(name: str, *shape: int) -> onnx.TensorProto:
    return constant(name, np.full(shape, 0.01), np.float32)


def one_height(rows: int = 16) -> onnx.ModelProto:
    """Folds ``rows`` rows into one, and squeezes that: no other height fits."""
    conv = node("Conv", ["x", "w"], ["c"], "fold", kernel_shape=[rows, 1], strides=[rows, 1])
    nodes = [conv, node("Squeeze", ["c", "axes"], ["y"], "rows_gone")]
    inputs, outputs = [value("x", FLOAT, ["n", 1, "height", "width"])], [value("y", FLOAT, ["n", 4, "width"])]
    return small.model(nodes, inputs, outputs, [weights("w", 4, 1, rows, 1), constant("axes", [2])])


def baked_batch() -> onnx.ModelProto:
    nodes = [node("Reshape", ["x", "shape"], ["r"], "flatten"), node("MatMul", ["r", "w"], ["y"])]
    inputs, outputs = [value("x", FLOAT, ["batch", 4, 2, 2])], [value("y", FLOAT, ["batch", 3])]
    return small.model(nodes, inputs, outputs, [constant("shape", [1, 16]), weights("w", 16, 3)])


def flattened(rows: int, columns: int) -> onnx.ModelProto:
    """A convolution, and a Gemm that wants the image flattened: one size of image fits."""
    conv = node("Conv", ["x", "k"], ["c"], "conv", strides=[2, 2], pads=[1, 1, 1, 1])
    nodes = [conv, node("Flatten", ["c"], ["f"]), node("Gemm", ["f", "w"], ["y"], "classify")]
    constants = [weights("k", 2, 3, 3, 3), weights("w", 2 * -(-rows // 2) * -(-columns // 2), 5)]
    return small.model(nodes, [value("x", FLOAT, ["n", 3, "h", "w"])], [value("y", FLOAT, ["n", 5])], constants)


def squeeze_as_if(shape: tuple = ("n", "c", 8)) -> onnx.ModelProto:
    """What PyTorch makes of x.squeeze(1): an If whose branches differ in rank."""
    squeezed = onnx.helper.make_graph(
        [node("Squeeze", ["x", "one"], ["t"], "squeeze")], "then", [], [value("t", FLOAT, None)]
    )
    kept = onnx.helper.make_graph([node("Identity", ["x"], ["e"], "keep")], "else", [], [value("e", FLOAT, None)])
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "one"], ["d"]),
        node("Equal", ["d", "one"], ["b"]),
        node("If", ["b"], ["i"], "maybe_squeeze", then_branch=squeezed, else_branch=kept),
        node("Relu", ["i"], ["y"]),
    ]
    return small.model(nodes, [value("x", FLOAT, shape)], [value("y", FLOAT, None)], [constant("one", [1])])


def positions() -> onnx.ModelProto:
    """An input that says how long the output is."""
    nodes = [node("Range", ["zero", "n", "one"], ["p"], "positions"), node("Cast", ["p"], ["y"], to=FLOAT)]
    numbers = [constant("zero", 0), constant("one", 1)]
    return small.model(nodes, [value("n", INT64, [])], [value("y", FLOAT, ["length"])], numbers)


def never_fits() -> onnx.ModelProto:
    """However wide x is, one of two Reshapes does not fit."""
    nodes = [node("Reshape", ["x", "a"], ["r"], "first"), node("Reshape", ["x", "b"], ["s"], "second")]
    inputs, shapes = [value("x", FLOAT, [1, "width"])], [constant("a", [1, 12]), constant("b", [1, 18])]
    outputs = [value("r", FLOAT, [1, 12]), value("s", FLOAT, [1, 18])]
    return small.model(nodes, inputs, outputs, shapes)


def same_names(name: str = "?") -> onnx.ModelProto:
    nodes, outputs = [node("GlobalAveragePool", ["x"], ["y"])], [value("y", FLOAT, ["n", 3, 1, 1])]
    return small.model(nodes, [value("x", FLOAT, ["n", 3, name, name])], outputs)


def problems(report, severity: str) -> list:
    return [problem for problem in report.problems if problem.severity == severity]


def told(report, words: str):
    found = [problem for problem in report.problems if words in f"{problem.where}: {problem.what}"]
    assert found, f"no problem with {words!r} among {report.problems}"
    return found[0]


# What people give


def test_shapes_and_values_as_text():
    shapes = shapes_of_text(["a/b:0=1x3x48x64,1x3x48x320,8x3x48x640", "x=y=7"])
    assert shapes == {"a/b:0": ((1, 3, 48, 64), (1, 3, 48, 320), (8, 3, 48, 640)), "x=y": ((7,), (7,), (7,))}
    values = values_of_text(["size=1,64/1,512/8,512", "n=-1"])
    assert values == {"size": ((1, 64), (1, 512), (8, 512)), "n": ((-1,), (-1,), (-1,))}
    texts = options(shapes, values).split(" --")
    assert texts[0] == "--shapes a/b:0=1x3x48x64,1x3x48x320,8x3x48x640"
    assert shapes_of_text([texts[0].removeprefix("--shapes ")]) == {"a/b:0": shapes["a/b:0"]}
    assert values_of_text([texts[2].removeprefix("values ")]) == {"size": values["size"]}
    assert as_text([("n", 3)]) == "nx3"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", "is not of the form"), ("=1x3", "is not of the form"), ("x=", "is not of the form"),
        ("x=1xa", "is not of the form"), ("x=1x3,", "is not of the form"), ("x=1.5", "is not of the form"),
        ("x=1,2", "not 2"), ("x=1,2,3,4", "not 4"), ("x=1x2,1,1", "not the same length"),
        ("x=2,1,3", "min <= opt <= max"), ("x=-1", "no sizes"), ("x=99999999999", "no sizes"),
    ],
)  # fmt: skip
def test_shapes_that_are_none(text, words):
    with pytest.raises(ValueError, match=words):
        shapes_of_text([text])


def test_shapes_in_python():
    three = ((1, 3), (1, 3), (1, 3))
    for given in ((1, 3), [1, 3], np.array([1, 3]), [(1, 3)], [(1, 3)] * 3, np.array([[1, 3]] * 3)):
        assert shapes_of({"x": given}) == {"x": three}
    for wrong in ("1x3", [1.5], [[1], 2], None, {"min": 1}, [[1], [2]], [[[1]]]):
        with pytest.raises(ValueError, match="'x'"):
            shapes_of({"x": wrong})
    with pytest.raises(ValueError, match="given twice"):
        shapes_of_text(["x=1", "x=2"])


def test_what_is_given_fits_the_inputs():
    inputs = [Tensor("x", "FLOAT", ["n", 3]), Tensor("n", "INT64", []), Tensor("s", "INT64", [2])]
    check_given([*inputs, Tensor("any", "FLOAT", None)], shapes_of({"x": (7, 3), "any": (1,)}), {"n": ((1,),) * 3})
    for shapes, values, words in [
        ({"y": (1,)}, {}, "no input 'y'; its inputs are 'x', 'n', 's'"),
        ({"x": (1, 3, 1)}, {}, r"it has 2 axes \(n, 3\), and 3 are given"),
        ({"x": [(1, 3), (1, 3), (1, 4)]}, {}, "axis 1 is fixed to 3, and 4 is given"),
        ({}, {"s": ((1,),) * 3}, "this input holds 2, and 1 are given"),
        ({}, {"n": ((1, 2),) * 3}, "this input holds 1, and 2 are given"),
    ]:
        with pytest.raises(ValueError, match=words):
            check_given(inputs, shapes_of(shapes), values)


def test_a_proposal_keeps_what_is_given():
    inputs = {"a": ["batch", "length"], "b": ["batch", "?"], "c": [1, 2]}
    given = shapes_of({"a": [(1, 5), (2, 5), (3, 5)]})
    assert propose_profile(inputs, given) == {**given, "b": ((1, 1), (2, 16), (3, 64))}


def test_messages_that_are_about_shapes():
    for text in (
        "kOPT values for profile 0 violate shape constraints: reshape would change volume",
        "reshape changes volume to multiple of original non-zero volume",
        "Input dimensions with this name have contradictory IOptimizationProfile kMIN/kMAX constraints.",
        "cannot do non-empty gather from an empty axis",
        "spatial dimension of convolution/deconvolution output cannot be negative",
    ):
        assert about_shapes(text), text
    for text in (
        "nms_0 has no runners that implement it",
        "Assertion tScope.getType() != ScopeType::kUNDEFINED failed.",
        "Must have inputs with equal ranks when condition is not a build-time constant",
        "crashes TensorRT (SIGSEGV) while building",
    ):
        assert not about_shapes(text), text


# Given shapes


@builds
def test_given_shapes_are_built_with(worker):
    shapes = {"image": [(2, 1, 28, 28), (3, 1, 28, 28), (4, 1, 28, 28)]}
    report = check(LENET, shapes=shapes, worker=worker)
    assert (report.verdict, report.built, report.given) == (BUILT, True, ["image"])
    assert report.shapes == {"image": tuple(shapes["image"])} == report.profile
    assert report.summary.endswith("with given shapes: image=2x1x28x28,3x1x28x28,4x1x28x28")
    assert not report.problems or {p.severity for p in report.problems} == {"note"}
    assert "guessed" not in str(report)
    assert_schema(report)


@builds
def test_given_shapes_that_do_not_fit(worker):
    for shape in ((1, 1, 224, 32), [(1, 1, 16, 8), (1, 1, 32, 8), (1, 1, 64, 8)]):
        report = check(one_height(), shapes={"x": shape}, worker=worker)
        assert (report.verdict, report.exit_code, report.built) == (BAD_SHAPES, 3, None)
        problem = told(report, "the given shapes do not fit")
        assert problem.where == "Squeeze 'rows_gone'"
        assert "must be 1 instead of" in problem.what
        assert "rows_gone" in report.summary
        assert_schema(report)
    report = check(one_height(), shapes={"x": [(1, 1, 16, 8), (1, 1, 16, 8), (1, 1, 32, 8)]}, worker=worker)
    assert report.built  # TensorRT did not look at the largest shape
    assert "x=1x1x32x8" in told(report, "Squeeze 'rows_gone': it builds, but the given shapes do not fit").what
    with pytest.raises(ValueError, match="axis 1 is fixed to 1"):
        check(one_height(), shapes={"x": (1, 2, 16, 8)}, worker=worker)
    with pytest.raises(ValueError, match="no input 'z'"):
        check(one_height(), shapes={"z": (1,)}, worker=worker)


@builds
def test_some_are_given_and_the_others_searched(worker):
    nodes = [node("Concat", ["a", "b"], ["y"], "join", axis=1)]
    inputs = [value("a", FLOAT, ["n", "left"]), value("b", FLOAT, ["n", 4])]
    model = small.model(nodes, inputs, [value("y", FLOAT, ["n", "both"])])
    report = check(model, shapes={"a": (5, 3)}, worker=worker)
    assert (report.verdict, report.given) == (BUILT, ["a"])
    assert report.shapes == {"a": ((5, 3),) * 3, "b": ((5, 4),) * 3}
    assert "--shapes b=5x4" in told(report, "were guessed").what
    assert "--shapes a" not in told(report, "were guessed").what


# Searched shapes


@builds
@pytest.mark.parametrize("rows", [16, 37, 48])
def test_a_height_that_the_graph_demands(worker, rows):
    report = check(one_height(rows), build=True, worker=worker)
    assert (report.verdict, report.exit_code) == (BUILT, 0), report.summary
    low, best, high = report.shapes["x"]
    assert {low[2], best[2], high[2]} <= set(range(rows, 2 * rows))
    assert low[0] < best[0] < high[0]  # a true range where one builds
    assert low[3] < high[3]
    assert report.profile == report.shapes
    assert "with guessed shapes: x=" in report.summary
    assert "were guessed" in told(report, "--shapes x=").what
    assert build_plan(parse_onnx(one_height(rows).SerializeToString()), profiles=[report.profile])


@builds
def test_a_batch_that_is_baked_in(worker):
    report = check(baked_batch(), build=True, worker=worker)
    assert (report.verdict, report.shapes) == (BUILT, {"x": ((1, 4, 2, 2),) * 3})
    problem = told(report, "axis 0 of 'x' is dynamic, but only 1 was found to fit")
    assert (problem.severity, problem.where, problem.advice) == ("warning", "Reshape 'flatten'", "TRT039")
    assert len(problems(report, "warning")) == 1  # told once
    assert report.summary.endswith("with guessed shapes: x=1x4x2x2; others do not fit Reshape 'flatten'")


@builds
@pytest.mark.parametrize(("rows", "columns"), [(32, 32), (90, 90), (32, 128)])
def test_an_image_that_a_matrix_demands(worker, rows, columns):
    report = check(flattened(rows, columns), build=True, worker=worker)
    assert report.verdict == BUILT, report.summary
    *_, height, width = report.shapes["x"][1]
    assert -(-height // 2) * -(-width // 2) == -(-rows // 2) * -(-columns // 2)


@rtx_17
def test_an_if_that_fits_one_size(worker):
    report = check(squeeze_as_if(), build=True, worker=worker)
    assert report.verdict == BUILT, report.summary
    assert {shape[1] for shape in report.shapes["x"]} == {1}
    problem = told(report, "it does not build with wider shapes")
    assert "maybe_squeeze" in problem.where
    assert problem.advice


@builds
def test_axes_of_one_name_get_one_size(worker):
    report = check(same_names(), build=True, worker=worker)
    assert report.verdict == BUILT
    assert all(shape[2] == shape[3] for shape in report.shapes["x"])


@builds
def test_no_shapes_that_fit(worker):
    report = check(never_fits(), build=True, timeout=60, worker=worker)
    assert (report.verdict, report.exit_code, report.built) == (NO_SHAPES, 3, None)
    problem = told(report, "no shapes that fit were found")
    assert problem.where in ("Reshape 'first'", "Reshape 'second'")
    assert "requested shape" in problem.what
    assert problem.advice == "TRT041"
    assert problem.where in report.summary
    assert "no shapes" not in report.summary  # the verdict says so
    assert not problems(report, "error")
    assert {operator.verdict for operator in report.operators} == {"parsed"}
    assert_schema(report)


@rtx_17
def test_what_runs_and_is_refused_is_not_convertible(worker):
    numbers = [constant("most", [5]), constant("iou", [0.5], np.float32), constant("score", [0.5], np.float32)]
    nodes = [node("NonMaxSuppression", ["boxes", "scores", "most", "iou", "score"], ["y"], "nms")]
    inputs = [value("boxes", FLOAT, ["b", "many", 4]), value("scores", FLOAT, ["b", 1, "many"])]
    model = small.model(nodes, inputs, [value("y", INT64, ["n", 3])], numbers)
    report = check(model, build=True, worker=worker)
    assert (report.verdict, report.exit_code, report.built) == ("not convertible", 1, False)
    assert told(report, "no runners").advice == "TRT038"


@rtx_17
def test_what_builds_only_folded(worker):
    """Axes of one name that differ: with fixed shapes they have no name."""
    for given in ((1, 3, 48, 192), [(1, 3, 48, 64), (1, 3, 48, 192), (1, 3, 48, 640)]):
        report = check(same_names(), shapes={"x": given}, worker=worker)
        assert (report.verdict, report.exit_code, report.built) == (ONLY_FOLDED, 3, False), report.summary
        assert "--override-input-shapes x:[1,3,48,192] --fold-constants" in told(report, "as it is").todo
        assert told(report, "as it is").advice == "TRT034"
        assert "x=1x3x48x192" in report.summary
        assert_schema(report)


class Without:
    """A worker without some functions: those raise what the test says."""

    def __init__(self, worker, **ends):
        self.worker, self.ends, self.calls = worker, ends, []

    def call(self, function, *arguments, **named):
        self.calls.append(name := function.rpartition(":")[2])
        if name in self.ends:
            raise self.ends[name]
        return self.worker.call(function, *arguments, **named)


@builds
def test_without_a_judge_tensorrt_is_asked(worker, monkeypatch):
    for end in (WorkerDied("SIGSEGV"), WorkerTimeout("late"), WorkerMemory("large")):
        asked = Without(worker, search=end)
        report = check(baked_batch(), build=True, worker=asked)
        assert report.verdict == BUILT  # the smallest shapes of the guess
        assert report.shapes == {"x": ((1, 4, 2, 2),) * 3}
    monkeypatch.setattr("helpers.commands.check.building.find_spec", lambda name: None)
    report = check(never_fits(), build=True, worker=Without(worker, search=WorkerDied("SIGSEGV")))
    assert report.verdict == NO_SHAPES
    assert told(report, "no shapes that fit were found").where in ("Reshape 'first'", "Reshape 'second'")
    assert told(report, "without ONNX Runtime").todo.startswith("pip install onnxruntime")
    assert asked.calls.count("build_with") <= 3


@builds
def test_a_limit_while_shapes_are_searched(worker):
    report = check(baked_batch(), build=True, worker=Without(worker, build_with=WorkerTimeout("late")))
    assert (report.verdict, report.exit_code) == ("undecided", 3)
    assert told(report, "time limit").advice == "TRT003"


@builds
def test_a_limit_after_the_build_changes_nothing(worker):
    report = check(squeeze_as_if(), build=True, worker=Without(worker, blamed=WorkerTimeout("late")))
    assert (report.verdict, report.built, report.shapes["x"][0]) == (BUILT, True, (1, 1, 8))
    assert report.summary.startswith(f"{report.tensorrt} parses and builds")
    assert told(report, "time limit").severity == "note"


def endless(then: tuple[int, ...] = (5,)) -> onnx.ModelProto:
    """A loop of 2**62 rounds, and behind it a Reshape that refuses the first guess."""
    inner = [value("i", INT64, []), value("go", onnx.TensorProto.BOOL, []), value("v", FLOAT, None)]
    outer = [value("on", onnx.TensorProto.BOOL, []), value("w", FLOAT, None)]
    body = onnx.helper.make_graph([node("Identity", ["go"], ["on"]), node("Relu", ["v"], ["w"])], "body", inner, outer)
    nodes = [node("Loop", ["rounds", "yes", "x"], ["l"], body=body), node("Reshape", ["l", "shape"], ["y"], "squash")]
    numbers = [constant("rounds", 2**62), constant("yes", True, bool), constant("shape", then)]
    return small.model(nodes, [value("x", FLOAT, ["n"])], [value("y", FLOAT, then)], numbers)


@builds
def test_a_run_that_does_not_end_says_nothing_about_shapes(worker, monkeypatch):
    monkeypatch.setattr("helpers.commands.check.building.JUDGING", 1.0)
    start = time.monotonic()
    report = check(endless(), build=True, timeout=60, worker=worker)
    assert report.verdict == NO_SHAPES
    assert "terminate" not in report.to_json()
    assert "came furthest" not in told(report, "no shapes that fit were found").what
    assert time.monotonic() - start < 20


@builds
def test_the_search_takes_half_of_the_time_that_is_left(worker):
    report = check(endless(), build=True, timeout=6, worker=worker)
    assert report.verdict == NO_SHAPES  # so TensorRT was asked after it


@builds
def test_a_large_input_is_not_made_up(worker):
    """Also one of fixed size counts: 4 GB of zeros would be the end of the check."""
    model = baked_batch()
    model.graph.input.append(value("large", FLOAT, [10**9]))
    model.graph.node.append(node("ReduceMax", ["large"], ["most"], "most", keepdims=0))
    model.graph.output.append(value("most", FLOAT, []))
    report = check(model, build=True, memory=3 << 30, worker=worker)
    assert (report.verdict, report.shapes["x"][2]) == (BUILT, (1, 4, 2, 2))
    assert worker.peak < 3 << 30


@pytest.mark.parametrize("sizes", [(10**9,), (10**9, 10**9), (0, 4), ()], ids=str)
def test_odd_fixed_sizes_end_the_search_in_time(sizes, worker):
    model = never_fits()
    model.graph.input.append(value("odd", FLOAT, sizes))
    model.graph.node.append(node("Relu", ["odd"], ["o"]))
    model.graph.output.append(value("o", FLOAT, sizes))
    report = check(model, build=True, timeout=60, memory=4 << 30, worker=worker)
    assert report.verdict in (NO_SHAPES, "not convertible")
    assert report.seconds < 20


def test_hundreds_of_dynamic_inputs_end_the_search_in_time(worker):
    names = [f"x{i}" for i in range(300)]
    nodes = [node("Concat", names, ["c"], axis=1), node("Reshape", ["c", "shape"], ["y"], "squash")]
    inputs = [value(name, FLOAT, [f"{name}_n", f"{name}_m"]) for name in names]
    model = small.model(nodes, inputs, [value("y", FLOAT, [7, 13])], [constant("shape", [7, 13])])
    report = check(model, build=True, timeout=60, worker=worker)
    assert report.verdict == NO_SHAPES
    assert report.seconds < 30
    assert len(report.summary) < 1000


def test_names_are_quoted_for_the_shell():
    assert options({"x'; rm -r": ((1,),) * 3}, {"a b": ((2,),) * 3}) == (
        """--shapes 'x'"'"'; rm -r=1' --values 'a b=2'"""
    )
    assert shlex.split(options({"$(x)": ((1, 2),) * 3}, {})) == ["--shapes", "$(x)=1x2"]


@builds
def test_a_good_model_needs_no_search(worker):
    asked = Without(worker)
    assert check(LENET, build=True, worker=asked).built
    assert asked.calls == ["warm_up", "facts", "kinds", "parse", "build_as_proposed"]


@builds
def test_a_hostile_name_does_not_fill_the_report(worker):
    model = baked_batch()
    name = "'\x1b[2J" + "x" * 4000
    model.graph.input[0].name = model.graph.node[0].input[0] = name
    model.graph.node[0].name = name
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = name
    report = check(model, build=True, worker=worker)
    assert report.verdict == BUILT
    assert len(report.to_json()) < 20_000
    assert "\x1b" not in str(report)


# Values of shape inputs


@builds
@pytest.mark.parametrize(
    ("model", "name", "proposed"),
    [(positions(), "n", ((1,), (16,), (64,))), (small.dynamic_reshape(), "shape", ((1, 4),) * 3)],
    ids=["range", "reshape"],
)
def test_values_are_proposed_and_taken(worker, model, name, proposed):
    report = check(model, build=True, worker=worker)
    assert (report.verdict, report.exit_code, report.built) == (NO_VALUES, 3, None)
    problem = told(report, "the values of this input")
    assert (problem.severity, problem.where, problem.advice) == ("warning", name, "TRT040")
    assert options({}, {name: proposed}) in problem.todo
    assert report.profile == {name: proposed}
    assert_schema(report)
    assert build_plan(parse_onnx(model.SerializeToString()), profiles=[report.profile])
    report = check(model, values={name: proposed}, worker=worker)
    assert (report.verdict, report.values, report.given) == (BUILT, {name: proposed}, [name])
    assert_schema(report)


@builds
def test_values_that_are_none(worker):
    with pytest.raises(ValueError, match="for no shape; its shape inputs are none"):
        check(small.relu(), values={"x": [1, 1, 1, 1]}, worker=worker)
    with pytest.raises(ValueError, match="holds 1, and 2 are given"):
        check(positions(), values={"n": [1, 2]}, worker=worker)
    report = check(small.dynamic_reshape(), values={"shape": (3, 3)}, worker=worker)
    assert report.verdict == BAD_SHAPES
    assert "Reshape" in told(report, "the given shapes do not fit").where


# onnx.checker warns, TensorRT judges


def without_shape() -> onnx.ModelProto:
    return small.model([node("Relu", ["x"], ["y"])], outputs=[value("y", FLOAT, None)])


def unsorted() -> onnx.ModelProto:
    return small.model([node("Relu", ["t"], ["y"], "second"), node("Neg", ["x"], ["t"], "first")])


def unnamed() -> onnx.ModelProto:
    model = small.relu()
    model.graph.name = ""
    return model


@builds
@pytest.mark.parametrize(
    ("model", "advice"),
    [(without_shape(), "TRT043"), (unsorted(), "TRT042"), (unnamed(), "TRT044")],
    ids=["no shape", "unsorted", "unnamed"],
)
def test_what_onnx_checker_refuses_and_tensorrt_builds(worker, model, advice):
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(model)
    for build in (False, True):
        report = check(model, build=build, worker=worker)
        assert (report.verdict, report.exit_code) == (BUILT, 0)
        assert told(report, "onnx.checker: ").severity == "warning"
        assert told(report, "onnx.checker: ").advice == advice


@builds
def test_what_no_runtime_takes_is_no_usable_model(worker):
    report = check(small.model([node("Relu", ["nowhere"], ["y"], "lost")]), build=True, worker=worker)
    assert (report.verdict, report.exit_code) == ("not a usable model", 2)
    assert "is not a valid ONNX model: Nodes in a graph must be topologically sorted" in report.summary
    assert_schema(report)


@builds
def test_what_onnx_runtime_takes_is_tensorrts_to_refuse(worker):
    model = small.determinant()
    model.graph.name = ""
    report = check(model, worker=worker)
    assert (report.verdict, report.exit_code) == ("not convertible", 1)
    assert told(report, "onnx.checker: ").severity == "warning"
    assert "Det" in report.summary


# No TensorRT, and the command


def test_without_tensorrt_there_is_no_verdict():
    report = check(small.relu(), worker=Without(None, warm_up=WorkerDied("SIGSEGV")))
    assert (report.verdict, report.exit_code) == ("not judged: TensorRT cannot be used here", 2)
    assert "doctor" in report.summary
    assert_schema(report)


def command(*arguments, **more) -> subprocess.CompletedProcess:
    call = [sys.executable, "-m", "helpers", "check", *map(str, arguments)]
    return subprocess.run(call, capture_output=True, text=True, cwd=REPOSITORY, timeout=60, **more)


@builds
def test_the_command_takes_shapes(tmp_path):
    onnx.save(baked_batch(), tmp_path / "m.onnx")
    done = command(tmp_path / "m.onnx", "--shapes", "x=1x4x2x2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["shapes"] == {"x": [[1, 4, 2, 2]] * 3}
    assert command(tmp_path / "m.onnx", "--shapes", "x=2x4x2x2").returncode == 3
    onnx.save(positions(), tmp_path / "n.onnx")
    assert command(tmp_path / "n.onnx", "--build").returncode == 3
    assert command(tmp_path / "n.onnx", "--values", "n=1/16/64").returncode == 0
    for wrong in (["--shapes", "x=1x4"], ["--shapes", "z=1"], ["--shapes", "x"], ["--values", "x=1"]):
        done = command(tmp_path / "m.onnx", *wrong)
        assert done.returncode == 2, wrong
        assert "tensorrt-workbook check: error: " in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


@builds
def test_fail_on(tmp_path):
    onnx.save(unsorted(), tmp_path / "m.onnx")
    for severity, status in (("error", 0), ("warning", 1), ("note", 1)):
        assert command(tmp_path / "m.onnx", "--fail-on", severity).returncode == status
    assert command("nothing.onnx", "--fail-on", "note").returncode == 2


def test_judged_for_another_release():
    for release in ("8.6", "rtx-1.7"):
        report = check(LENET, release=release)
        assert report.judged_for
        assert report.summary
        assert_schema(report)
    with pytest.raises(ValueError, match="release '7' is not known"):
        check(LENET, release="7")
    for more in ({"build": True}, {"shapes": {"image": (1, 1, 28, 28)}}):
        with pytest.raises(ValueError, match="nothing can be built for another release"):
            check(LENET, release="8.6", **more)
    report = check(LENET, release="8.6", timeout=0.0001)
    assert (report.verdict, report.exit_code) == ("undecided", 3)
    assert check(b"<html>", release="8.6").exit_code == 2


def test_judging_for_another_release_imports_no_tensorrt(worker):
    """As where there is none: also not in the worker."""
    asked = Without(worker, warm_up=AssertionError, parse=AssertionError)
    assert check(LENET, release="8.6", worker=asked).judged_for
    assert asked.calls == ["facts", "kinds"]
    code = (
        "import sys; sys.modules['tensorrt'] = sys.modules['tensorrt_rtx'] = None;"
        "import helpers.commands.check.model_facts, helpers.commands.check.kinds, helpers.commands.check.releases"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, timeout=60)
    assert done.stderr == ""


def test_help_lists_the_exit_status():
    text = command("--help").stdout
    for words in (
        "exit status:",
        "0  convertible",
        "1  not convertible",
        "2  not a usable",
        "3  undecided",
        "--values",
    ):
        assert words in text


def test_where_types_are_not_binding_a_quantized_model_may_be_built_in_int8(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(trial, "has", lambda capability: capability == "weak_typing")
    monkeypatch.setattr(trial, "_build", lambda model, options: asked.append(options.flags) or {"message": None})
    graph = onnx.parser.parse_graph(
        "g (float[4] x) => (float[4] y) <float s = {0.1}, int8 z = {0}> "
        "{ q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }"
    )
    quantized = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    plain = onnx.helper.make_model(onnx.parser.parse_graph("g (float[4] x) => (float[4] y) { y = Relu(x) }"))
    onnx.save(quantized, tmp_path / "q.onnx")
    for model in (quantized.SerializeToString(), str(tmp_path / "q.onnx"), plain.SerializeToString()):
        trial.build(model)
    assert asked == [("INT8",), ("INT8",), ()]
