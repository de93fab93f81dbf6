"""helpers/commands/check/judge.py: every model gets the right verdict, and no model harms the process that asks."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test.data as onnx_data
import pytest
import small_models as small
from measured import rtx_17
from report_schema import assert_schema

from helpers.builder import build_plan
from helpers.commands.check import check, check_worker
from helpers.commands.check.operator_trials import OPERATORS
from helpers.commands.check.report import MOST, MOST_ROWS, Operator, Problem, Report, Tensor
from helpers.commands.check.shapes import propose_profile
from helpers.model_files import first_look
from helpers.onnx_parser import parse_onnx
from helpers.trt import FLAVOUR, has
from helpers.worker import WorkerDied, WorkerMemory, WorkerRaised, WorkerTimeout

REPOSITORY = Path(__file__).parents[2]
LENET = REPOSITORY / "data" / "lenet.onnx"
OLD_SCRIPT = REPOSITORY / "tests" / "commands" / "old_scripts" / "onnx_to_engine_7.py"
LIGHT = Path(next(iter(onnx_data.__path__))) / "light"

pytestmark = pytest.mark.skipif(not has("build"), reason="needs a TensorRT that builds here")


def verdicts(report: Report) -> dict[str, str]:
    return {operator.type: operator.verdict for operator in report.operators}


def problem(report: Report, words: str):
    found = [p for p in report.problems if words in f"{p.where}: {p.what}"]
    assert found, f"no problem with {words!r} among {report.problems}"
    assert found[0].todo
    return found[0]


def command(*arguments, cwd=REPOSITORY) -> subprocess.CompletedProcess:
    call = [sys.executable, "-m", "helpers", "check", *map(str, arguments)]
    return subprocess.run(call, capture_output=True, text=True, cwd=cwd, timeout=60)


# Good models


def test_lenet_converts(worker):
    report = check(LENET, build=True, worker=worker)
    assert (report.verdict, report.exit_code, report.convertible) == ("convertible", 0, True)
    assert set(verdicts(report).values()) == {"builds"}
    assert {(o.type, o.opset, o.count) for o in report.operators} >= {("Conv", 11, 2), ("Gemm", 13, 3)}
    assert report.ir_version == 8
    assert report.opsets == {"": 17}
    assert (report.inputs[0].name, report.inputs[0].type) == ("image", "FLOAT")
    assert report.inputs[0].shape == ["batch", 1, 28, 28]
    assert report.outputs[0].shape == ["batch", 10]
    assert report.layers > 10
    assert report.built
    assert report.plan_bytes > 100_000
    assert not [p for p in report.problems if p.severity != "note"]
    assert "parses and builds" in report.summary


def test_the_proposed_profile_builds(worker):
    report = check(LENET, worker=worker)
    assert report.profile == {"image": ((1, 1, 28, 28), (8, 1, 28, 28), (32, 1, 28, 28))}
    assert set(verdicts(report).values()) == {"parsed"}
    assert report.built is None
    assert build_plan(parse_onnx(LENET), profiles=[report.profile])
    assert check(small.network(), build=True, worker=worker).built


def test_profile_proposals():
    shapes = {"tokens": ["batch", "sequence"], "mask": ["batch", "sequence"], "n": [3], "scalar": [], "any": None}
    profile = propose_profile(shapes)
    assert profile == {"tokens": ((1, 1), (8, 128), (32, 512)), "mask": ((1, 1), (8, 128), (32, 512))}
    assert propose_profile({"x": ["?", 3, "?", "?"]})["x"][1] == (8, 3, 224, 224)
    for low, best, high in propose_profile({"x": ["a", "b", "?", 7, "time"]}).values():
        assert all(a <= b <= c for a, b, c in zip(low, best, high, strict=True))


@pytest.mark.parametrize("path", sorted(LIGHT.glob("*.onnx")), ids=lambda path: path.stem)
def test_light_models_of_onnx(path, worker):
    build = "densenet" not in path.stem and "inception_v2" not in path.stem  # those two take long to build
    report = check(path, build=build, worker=worker)
    model = onnx.load(path)
    assert report.verdict == "convertible", report.summary
    assert report.built is (True if build else None)
    assert set(verdicts(report).values()) == {"builds" if build else "parsed"}
    assert sum(operator.count for operator in report.operators) == len(model.graph.node)
    initialized = {tensor.name for tensor in model.graph.initializer}
    assert [t.name for t in report.inputs] == [v.name for v in model.graph.input if v.name not in initialized]
    assert not [p for p in report.problems if p.severity == "error"]


def test_models_in_memory(worker):
    for model in (LENET.read_bytes(), bytearray(LENET.read_bytes()), onnx.load(LENET)):
        report = check(model, worker=worker)
        assert report.verdict == "convertible"
        assert report.model == "the model in memory"
    with pytest.raises(TypeError, match="give a path, bytes or an onnx.ModelProto"):
        check(7)


def test_a_small_model_takes_at_most_three_seconds():
    command("--build", LENET)  # the libraries come from the disk once
    times = []
    for _ in range(3):
        start = time.perf_counter()
        assert command("--build", LENET).returncode == 0
        times.append(time.perf_counter() - start)
    assert min(times) <= 3


# Models that TensorRT will not take


@rtx_17
def test_killers_of_the_builder(worker):
    for operator in ("Div", "Mod"):
        report = check(small.division_by_zero(operator), build=True, worker=worker)
        assert (report.verdict, report.exit_code) == ("not convertible", 1)
        assert problem(report, "crashes TensorRT (SIGFPE) while building").advice == "TRT001"
        assert verdicts(report) == {operator: "crashes TensorRT", "Cast": "builds", "Add": "builds"}
    assert check(LENET, worker=worker).convertible


def test_division_by_zero_is_found_without_building(worker):
    for operator in ("Div", "Mod"):
        report = check(small.division_by_zero(operator), worker=worker)
        assert report.exit_code == 1
        assert f"{operator}, node 0" in problem(report, "divides an integer by a constant that is zero").where
    inputs = [small.value("n", small.INT64, [1])]
    nodes = [small.node("Div", ["n", "zero"], ["y"])]
    model = small.model(nodes, inputs, [small.value("y", small.INT64, [1])], [small.constant("zero", [0])])
    assert problem(check(model, worker=worker), "divides an integer").severity == "warning"


@rtx_17
def test_killer_of_the_parser(worker):
    starts = worker.starts
    report = check(small.node_without_outputs(), worker=worker)
    assert (report.verdict, report.exit_code) == ("not convertible", 1)
    problem(report, "Foo, node 0: this node has no output")
    problem(report, "crashes TensorRT (SIGSEGV) while parsing")
    assert verdicts(report) == {"Foo": "crashes TensorRT", "Relu": "parsed"}
    assert check(LENET, worker=worker).convertible
    assert worker.starts == starts + 4  # the model and the node alone were tried once more


@rtx_17
def test_killer_of_the_parser_that_onnx_checker_lets_pass(worker):
    report = check(small.too_many_dimensions(), worker=worker)
    assert (report.verdict, report.exit_code) == ("not convertible", 1)
    problem(report, "crashes TensorRT (SIGSEGV) while parsing")
    assert verdicts(report) == {"Reshape": "crashes TensorRT"}
    assert check(small.too_many_dimensions(9), worker=worker).exit_code == 1  # refused, as it should be
    assert check(LENET, worker=worker).convertible


@rtx_17
def test_error_recorder_that_kills_its_process(worker):
    with pytest.raises(WorkerDied, match="SIG"):
        worker.call("worker_calls:recorder_before_parser", str(LENET))
    assert check(LENET, worker=worker).convertible


def test_node_without_outputs_that_onnx_knows(worker):
    report = check(small.node_without_outputs("Relu", ""), worker=worker)
    assert (report.verdict, report.exit_code) == ("not a usable model", 2)
    problem(report, "output size 0 not in range")


def test_unsupported_operator(worker):
    report = check(small.determinant(), build=True, worker=worker)
    assert report.exit_code == 1
    assert verdicts(report) == {"Det": "not supported"}
    assert "onnx-graphsurgeon" in problem(report, "Det").todo


def test_many_nodes_of_one_kind_are_one_problem(worker):
    nodes = [small.node("Foo", ["x"], [f"y{i}"], f"foo{i}", domain="ours") for i in range(50)]
    outputs = [small.value(f"y{i}", small.FLOAT, [1, 4]) for i in range(50)]
    report = check(small.model(nodes, outputs=outputs, domains=[small.OURS]), worker=worker)
    assert report.exit_code == 1
    assert verdicts(report) == {"Foo": "not supported"}
    if FLAVOUR == "tensorrt_rtx":  # its parser names them all
        assert problem(report, "Foo").where == "Foo 'foo0', 'foo1', 'foo2' and 47 more"
    many = Report("m", problems=[Problem("error", f"problem {i}", "") for i in range(30)])
    assert "problem 19" in str(many)
    assert "problem 20" not in str(many)
    assert "10 more" in str(many)
    assert "problem 29" in many.to_html()


@pytest.mark.parametrize("domain", ["", "ours"])
def test_unknown_operator_is_tensorrts_to_refuse(worker, domain):
    report = check(small.unknown_operator(domain), worker=worker)
    assert report.exit_code == 1
    assert verdicts(report) == {"Foo": "not supported", "Relu": "not tried"}  # nobody knows the type of its input
    assert "plugin" in problem(report, "Foo").todo


def test_input_that_must_be_constant(worker):
    report = check(small.dynamic_axes(), worker=worker)
    assert report.exit_code == 1
    assert verdicts(report) == {"ReduceSum": "needs a constant input"}
    assert "Fold constants" in problem(report, "ReduceSum").todo


@rtx_17
def test_parses_but_does_not_build(worker):
    assert check(small.non_max_suppression(), worker=worker).convertible  # as far as the parser can tell
    report = check(small.non_max_suppression(), build=True, worker=worker)
    assert report.exit_code == 1
    assert report.built is False
    assert verdicts(report) == {"NonMaxSuppression": "parses, does not build"}
    assert problem(report, "no runners that implement it").advice == "TRT038"


def test_shape_input_is_told_of_without_a_build(worker):
    report = check(small.dynamic_reshape(), worker=worker)
    assert report.convertible
    assert report.built is None
    assert "set_shape_input" in problem(report, "uses the values of this input as a shape").todo


@rtx_17
def test_types_that_tensorrt_lacks(worker):
    report = check(small.strings(), worker=worker)
    assert report.exit_code == 1
    assert "strings" in problem(report, "convertDtype").cause
    report = check(small.mixed_types(), worker=worker)
    assert report.exit_code == 1
    assert "Cast" in problem(report, "Add").todo


def test_types_that_change(worker):
    report = check(small.double_precision(), worker=worker)
    assert report.convertible
    assert problem(report, "DOUBLE").where == "x, y"
    assert problem(report, "DOUBLE").severity == "warning"


def test_int64_is_named_where_it_is_narrowed():
    from helpers.commands.check.findings import judge_facts
    from helpers.commands.check.model_facts import facts

    model = REPOSITORY / "data" / "lenet.onnx"
    found = facts(str(model))
    assert found["int64"]
    for narrow in (True, False):
        report = Report("lenet")
        assert judge_facts(report, found, narrow_int64=narrow)
        assert any("INT64 silently becomes INT32" in p.what for p in report.problems) is narrow


def test_empty_graph(worker):
    report = check(small.model([], outputs=[]), worker=worker)
    assert report.exit_code == 1
    problem(report, "the graph is empty")
    problem(report, "the graph has no output")


def test_newer_than_onnx(worker):
    report = check(small.relu(ir=99), worker=worker)
    assert problem(report, "ir_version 99").severity == "warning"
    assert report.layers == 1


def test_suspicious_weights(worker):
    values = [np.nan, np.inf, 70_000, 1e-6]
    report = check(small.weights(values), worker=worker)
    counts = {name: report.weights[name] for name in ("values", "nan", "inf", "fp16_overflow", "fp16_subnormal")}
    assert counts == {"values": 4, "nan": 1, "inf": 1, "fp16_overflow": 1, "fp16_subnormal": 1}
    for words in ("1 NaN", "1 infinite", "beyond 65504", "below 2**-14"):
        assert problem(report, words).where == "w"
    unnamed = small.model(
        [small.node("Constant", [], [n], value=small.constant("", [np.inf], np.float32)) for n in "yz"]
    )
    assert problem(check(unnamed, worker=worker), "2 infinite").where == "a constant"
    fine = check(small.weights([0.0, 1.0, -65504, 2.0**-14]), worker=worker)
    assert not fine.problems
    half = small.weights([1, 2, 3, 6e-8], np.float16)  # a subnormal, but it was FP16 all along
    assert "fp16_subnormal" not in {k for k, v in check(half, worker=worker).weights.items() if v}


def test_constants_that_do_not_fit_their_shape(worker):
    """Shape inference would take memory for 2**31 values, where there are eight bytes."""
    for dims in ([2**31], [2**62], [0], [-1]):
        model = small.division_by_zero("Div")
        model.graph.initializer[0].dims[:] = dims
        report = check(model, memory=1 << 30, worker=worker)
        assert report.exit_code == 2, report.summary
        assert re.search(r"constant 'a'|tensor name: a", report.summary)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int8", "uint8", "int32", "bool", "bfloat16", "float8_e4m3fn"])
def test_weights_of_every_type_are_counted(worker, dtype):
    import ml_dtypes

    kind = getattr(ml_dtypes, dtype, None) or np.dtype(dtype)
    report = check(small.weights([0, 1, 1, 0], kind), worker=worker)
    assert report.weights["values"] == 4
    assert report.weights["nan"] == 0


# External data


def test_external_data(worker, tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(small.external("weights.bin"), path)
    report = check(path, worker=worker)
    assert (report.exit_code, report.external) == (2, [{"name": "weights.bin", "bytes": 0, "found": False}])
    assert "external_data=False" in problem(report, "external data is missing: tensor 'w' is in 'weights.bin'").todo
    np.array([np.nan] + [1] * 15, np.float32).tofile(tmp_path / "weights.bin")
    report = check(path, build=True, worker=worker)
    assert (report.exit_code, report.external) == (0, [{"name": "weights.bin", "bytes": 64, "found": True}])
    assert report.weights["nan"] == 1
    onnx.save(small.external("weights.bin", length=128), path)
    problem(check(path, worker=worker), "cut short")


def test_external_data_outside_the_folder_is_refused(worker, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    np.ones(16, np.float32).tofile(tmp_path / "weights.bin")
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    for location in ("../weights.bin", str(tmp_path / "weights.bin"), "link.bin", "a/../../weights.bin"):
        (folder / "model.onnx").write_bytes(small.external(location).SerializeToString())
        report = check(folder / "model.onnx", worker=worker)
        assert report.exit_code == 2
        problem(report, "outside the model's folder")
        assert report.weights["values"] == 0  # it was not read


@pytest.mark.parametrize("place", small.external_everywhere(""))
def test_wherever_a_tensor_stands_its_data_is_in_the_folder(place, worker, tmp_path):
    """test_model_facts.py has more of these."""
    folder = tmp_path / "model"
    folder.mkdir()
    np.ones(4, np.float32).tofile(tmp_path / "secret.bin")
    np.ones(4, np.float32).tofile(folder / "weights.bin")
    (folder / "left-out").symlink_to("../secret.bin")
    (folder / "model.onnx").write_bytes(small.external_everywhere("left-out")[place].SerializeToString())
    report = check(folder / "model.onnx", build=True, worker=worker)
    assert (report.verdict, report.exit_code) == ("not a usable model", 2)
    assert "outside the model's folder: 'left-out'" in report.summary


def test_external_data_is_a_regular_file(worker, tmp_path):
    (tmp_path / "folder").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    for location in ("pipe", "folder") if hasattr(os, "mkfifo") else ("folder",):
        (tmp_path / "model.onnx").write_bytes(small.external(location).SerializeToString())
        report = check(tmp_path / "model.onnx", worker=worker)
        assert report.exit_code == 2
        problem(report, f"'{location}', which is no regular file")
    (tmp_path / "model.onnx").write_bytes(small.external("a" * 5000).SerializeToString())
    report = check(tmp_path / "model.onnx", worker=worker)
    assert report.exit_code == 2
    problem(report, "external data is missing")


@pytest.mark.parametrize("words", ["No Op registered for Foo", "No opset import for", "is higher than the checker's"])
def test_names_in_a_model_do_not_excuse_it(words, worker):
    """onnx.checker's complaint holds names out of the model; only what it begins with is its own."""
    model = small.relu()
    model.graph.node[0].input[0] = words
    report = check(model, worker=worker)
    assert report.exit_code == 2
    assert "topologically sorted" in problem(report, words).what


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_external_data_is_in_memory_at_most_once(tmp_path):
    rows, columns = 16_384, 8_192
    size = rows * columns * 4
    assert size >= 500 << 20
    if shutil.disk_usage(tmp_path).free < 3 * size:
        pytest.skip("needs 1.5 GB on the disk")
    piece = np.random.default_rng(0).normal(size=columns * 256).astype(np.float32)
    piece[7] = np.inf
    with open(tmp_path / "weights.bin", "wb") as file:
        for _ in range(rows // 256):
            piece.tofile(file)
    try:
        onnx.save(small.external("weights.bin", (rows, columns)), tmp_path / "model.onnx")
        with check_worker() as worker:
            worker.call("helpers.commands.check.trial:warm_up")
            before = _most_memory(worker.pid)
            facts = worker.call("helpers.commands.check.model_facts:facts", str(tmp_path / "model.onnx"))
            looked = _most_memory(worker.pid) - before
            report = check(tmp_path / "model.onnx", worker=worker)
            checked = _most_memory(worker.pid) - before
            greedy = check(tmp_path / "model.onnx", build=True, memory=300 << 20, worker=worker)
    finally:
        (tmp_path / "weights.bin").unlink()
    print(f"looking: {looked >> 20} MiB, parsing: {checked >> 20} MiB, of {size >> 20} MiB")
    assert facts["weights"]["values"] == rows * columns
    assert report.convertible, report.summary
    assert report.weights["inf"] == rows // 256
    assert looked < 100 << 20
    assert checked < 1.3 * size
    assert (greedy.verdict, greedy.exit_code) == ("undecided", 3)
    stopped = "the memory limit of 0.315 GB was reached while TensorRT was building the model"
    assert "--memory" in problem(greedy, stopped).todo
    assert greedy.summary.endswith(f"was not judged to the end: {stopped}")
    assert (greedy.layers, verdicts(greedy)) == (report.layers, {"MatMul": "parsed"})  # found before


def _most_memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


# Limits


class Scripted:
    """A worker of which some calls end as the test says, by the function's name; all of them are written down."""

    def __init__(self, worker, **ends):
        self.worker, self.ends, self.calls = worker, ends, []

    def call(self, function, *arguments, timeout, memory, **named):
        name = function.rpartition(":")[2]
        self.calls.append((name, timeout, memory))
        end = self.ends.get(name)
        if end:
            end = end.pop(0)
            if isinstance(end, Exception):
                raise end
            return end
        return self.worker.call(function, *arguments, timeout=timeout, memory=memory, **named)


def test_what_dies_is_tried_once_more(worker):
    for function in ("facts", "parse", "build_as_proposed"):
        report = check(LENET, build=True, worker=Scripted(worker, **{function: [WorkerDied("SIGKILL")]}))
        assert report.built, f"{function}: {report.summary}"
    for function, said in (("parse", "while parsing"), ("build_as_proposed", "while building")):
        others = {name: [WorkerDied("SIGKILL")] * 20 for name in ("build_with", "build_folded")}
        scripted = Scripted(worker, **{**others, function: [WorkerDied("SIGKILL")] * 2})
        report = check(LENET, build=True, worker=scripted)
        assert report.verdict == "not convertible"
        problem(report, f"crashes TensorRT (SIGKILL) {said}")
    report = check(LENET, worker=Scripted(worker, facts=[WorkerDied("SIGKILL")] * 2))
    assert report.summary == f"{LENET} crashes onnx (SIGKILL) while it is read"


@pytest.mark.parametrize(
    ("limit", "words"),
    [(WorkerTimeout("late"), "the time limit of 50 s"), (WorkerMemory("large"), "the memory limit of 7.5 GB")],
    ids=["time", "memory"],
)
@pytest.mark.parametrize(
    ("function", "step", "operators"),
    [
        ("warm_up", "TensorRT was being loaded", {}),
        ("facts", "the model was being read", {}),
        ("parse", "TensorRT was parsing the model", {"Relu": "not tried"}),
        ("build_as_proposed", "TensorRT was building the model", {"Relu": "parsed"}),
    ],
)
def test_limits_are_called_limits_and_keep_what_was_found(worker, function, step, operators, limit, words):
    scripted = Scripted(worker, **{function: [limit]})
    report = check(small.relu(), build=True, timeout=50, memory=7_500_000_000, worker=scripted)
    assert (report.verdict, report.exit_code) == ("undecided", 3)
    said = f"{words} was reached while {step}"
    assert report.summary == f"the model in memory was not judged to the end: {said}"
    assert [(p.severity, p.what) for p in report.problems] == [("warning", said)]
    assert ("--timeout" if "time" in words else "--memory") in report.problems[0].todo
    assert verdicts(report) == operators
    assert report.inputs if operators else not report.inputs
    assert_schema(report)


@pytest.mark.parametrize("function", ["parse", "build_as_proposed"])
def test_a_fault_of_the_check_itself_is_no_verdict_on_the_model(worker, function):
    scripted = Scripted(worker, **{function: [WorkerRaised("TypeError", "ours")]})
    report = check(small.relu(), build=True, worker=scripted)
    assert (report.verdict, report.exit_code) == ("undecided", 3)
    assert "the check itself fails in Python (TypeError: ours)" in report.summary
    assert [p.severity for p in report.problems] == ["warning"]
    assert_schema(report)


def test_a_limit_during_the_trials_is_no_fault_of_the_operators(worker):
    scripted = Scripted(worker, try_node=[WorkerTimeout("late")])
    report = check(small.determinant(), worker=scripted)
    assert report.exit_code == 1
    assert "Det" in report.summary
    assert report.summary.endswith("(the time limit of 120 s was reached while its operators were tried alone)")
    assert problem(report, "tried alone").severity == "note"
    assert verdicts(report) == {"Det": "not supported"}  # as the parser said
    report = check(
        small.relu(), worker=Scripted(worker, parse=[WorkerDied("SIGSEGV")] * 2, try_node=[WorkerMemory("")])
    )
    assert verdicts(report) == {"Relu": "not tried"}


def test_one_limit_holds_for_all_steps_together(worker, monkeypatch):
    held = iter(range(10**9, 10**12, 10**9))  # this process grows by a gigabyte between two looks
    monkeypatch.setattr("helpers.commands.check.judge.resident_memory", lambda pid: next(held))
    ends = {"warm_up": [{"tensorrt": "TensorRT", "int64": True}], "parse": [{**PARSED, "layers": 1}]}
    scripted = Scripted(worker, build_as_proposed=[{"plan_bytes": 1, "message": None}], **ends)
    report = check(small.relu(), build=True, timeout=30, memory=20 * 10**9, worker=scripted)
    assert report.built
    names, times, memories = zip(*scripted.calls, strict=True)
    assert names == ("warm_up", "facts", "kinds", "parse", "build_as_proposed")
    assert memories == tuple(range(19 * 10**9, 14 * 10**9, -(10**9)))
    assert 30 > times[0] > times[1] > times[2] > times[3] > times[4]
    scripted = Scripted(worker, warm_up=ends["warm_up"] or [{"tensorrt": "TensorRT", "int64": True}])
    assert check(small.relu(), memory=None, worker=scripted).convertible
    assert {memory for _, _, memory in scripted.calls} == {None}


PARSED = {"layers": 0, "errors": [], "message": None, "shape_inputs": [], "more": 0}


def test_not_every_operator_is_tried_alone(worker):
    nodes = [small.node(f"Foo{i}", ["x"], [f"y{i}"], domain="ours") for i in range(OPERATORS + 60)]
    nodes.append(small.node("Relu", ["x"], ["y"]))
    refused = {**PARSED, "message": "no", "more": 7}
    scripted = Scripted(worker, parse=[refused], try_node=[{"made": False}] * 1000)
    report = check(small.model(nodes, domains=[small.OURS]), worker=scripted)
    assert [name for name, *_ in scripted.calls].count("try_node") == OPERATORS
    problem(report, f"{OPERATORS} kinds of operators were tried alone, and 61 more were not")
    problem(report, "7 things more")
    # The one that the parser blames is tried first, at the place that it blames.
    blamed = {"operator": "", "kind": "Foo90", "text": "why", "names": [], "count": 0, "places": [90]}
    crash = [WorkerDied("SIGSEGV")] * 2
    scripted = Scripted(worker, parse=[{**refused, "errors": [blamed]}], try_node=[*crash, *[{"made": False}] * 1000])
    report = check(small.model(nodes, domains=[small.OURS]), worker=scripted)
    assert {kind for kind, verdict in verdicts(report).items() if verdict == "crashes TensorRT"} == {"Foo90"}


def test_a_check_stops_at_the_time_limit():
    start = time.monotonic()
    report = check(LENET, build=True, timeout=0.0001)
    assert time.monotonic() - start < 20
    assert (report.verdict, report.exit_code) == ("undecided", 3)
    assert report.summary.endswith("the time limit of 0.0001 s was reached while TensorRT was being loaded")


def test_a_build_that_never_ends_is_stopped(worker):
    """Not forever, but half a minute: 20,000 layers in a chain."""
    names = ["x", *(f"t{i}" for i in range(19_999)), "y"]
    nodes = [small.node("Relu" if i % 2 else "Sigmoid", [names[i]], [names[i + 1]]) for i in range(20_000)]
    worker.call("helpers.commands.check.trial:warm_up")
    start = time.monotonic()
    report = check(small.model(nodes), build=True, timeout=6, worker=worker)
    assert time.monotonic() - start < 30
    assert (report.verdict, report.exit_code) == ("undecided", 3)
    assert "--timeout" in problem(report, "the time limit of 6 s was reached while TensorRT was building").todo
    assert verdicts(report) == {"Relu": "parsed", "Sigmoid": "parsed"}


@rtx_17
def test_many_crashes_end_at_the_time_limit(worker):
    """600 bytes with 30 operators, of which each kills the parser: a minute of trials, if nothing stopped them."""
    nodes = [small.node(f"Foo{i}", ["x"], [], domain="ours") for i in range(30)]
    start = time.monotonic()
    report = check(
        small.model([*nodes, small.node("Relu", ["x"], ["y"])], domains=[small.OURS]), timeout=3, worker=worker
    )
    assert time.monotonic() - start < 20
    assert report.exit_code == 1
    assert "the time limit of 3 s was reached" in report.summary


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_shape_inference_takes_no_memory_for_values_that_nobody_has(worker):
    """It makes an object for each value of a vector, if it is allowed to: 16 GB for each of these."""
    vectors = [small.value(name, small.FLOAT, [1 << 28]) for name in "xy"]
    by_input = small.model([small.node("Add", ["x", "x"], ["y"])], vectors[:1], vectors[1:])
    weight = small.in_file("weights.bin", [1 << 28])
    by_weight = small.model(
        [small.node("Add", ["w", "w"], ["z"]), small.node("Relu", ["x"], ["y"])], constants=[weight]
    )
    for model in (by_input, by_weight):
        report = check(model, memory=1 << 30, worker=worker)
        assert "memory limit" not in report.summary
        assert report.convertible or "external data is missing" in report.summary, report.summary


# What is no model


NOT_MODELS = {
    "empty.onnx": (b"", "is empty"),
    "text.onnx": (b"hello, I am a model\n" * 40, "is a text file"),
    "page.onnx": (b"\n<!DOCTYPE html><html>404</html>", "is HTML"),
    "lfs.onnx": (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "git lfs pull"),
    "zip.onnx": (b"PK\x03\x04" + b"\0" * 60, "PyTorch"),
    "pickle.onnx": (b"\x80\x02}q\0.", "PyTorch"),
    "plan.onnx": (b"vtrt" + b"\1" * 60, "plan"),
    "plan8.onnx": (b"ftrt" + b"\1" * 60, "plan"),
    "gzip.onnx": (gzip.compress(b"x"), "gzip"),
    "zeros.onnx": (bytes(1000), "only zeros"),
    "weights.onnx": ((40).to_bytes(8, "little") + b'{"w":{}}' + b" " * 60, "safetensors"),
    "lite.onnx": (b"\x1c\0\0\0TFL3" + b"\0" * 20, "TensorFlow Lite"),
    "noise.onnx": (bytes(np.random.default_rng(0).integers(0, 256, 2000, np.uint8)), "is not an ONNX model"),
    "version.onnx": (b"\x08\x08", "is not an ONNX model"),
    "tensor.onnx": (small.constant("x", [1, 2]).SerializeToString(), "is not an ONNX model"),
}


@pytest.mark.parametrize("name", NOT_MODELS)
def test_no_model(name, worker, tmp_path):
    content, words = NOT_MODELS[name]
    (tmp_path / name).write_bytes(content)
    for source in (tmp_path / name, content):
        report = check(source, worker=worker)
        assert (report.verdict, report.exit_code) == ("not a usable model", 2)
        assert words in report.summary
        assert "\n" not in report.summary


def test_cut_short(worker):
    content = LENET.read_bytes()
    for length in (10, 1000, len(content) // 2, len(content) - 1):
        report = check(content[:length], worker=worker)
        assert report.exit_code == 2, report.summary
        assert report.summary


def test_larger_than_any_onnx_file(worker, tmp_path):
    path = tmp_path / "large.onnx"
    path.write_bytes(LENET.read_bytes())
    os.truncate(path, (1 << 31) - 1)  # zeros that take no room
    first_look(path)
    os.truncate(path, 1 << 31)
    report = check(path, worker=worker)
    assert (report.verdict, report.exit_code) == ("not a usable model", 2)
    assert "is larger than 2 GB, and no ONNX file can be" in report.summary
    assert "external_data=True" in report.summary

    class TooLarge:
        def SerializeToString(self):
            raise ValueError("exceeds maximum protobuf size of 2GB")

    assert "larger than 2 GB" in check(TooLarge(), worker=worker).summary


def test_no_room_for_a_model_in_memory(worker, tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match=r"folder for temporary files \(TMPDIR\): No space left") as error:
            check(LENET.read_bytes(), worker=worker)
    assert error.value.errno == errno.ENOSPC
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OSError, match="TMPDIR"):
        check(LENET.read_bytes(), worker=worker)


def test_no_file(worker, tmp_path):
    assert "there is no file" in check(tmp_path / "nothing.onnx", worker=worker).summary
    assert check(tmp_path, worker=worker).summary.startswith(f"{tmp_path} is a folder")
    assert check("null\0byte.onnx", worker=worker).exit_code == 2
    assert check("x" * 5000, worker=worker).exit_code == 2
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.onnx")
        assert check(tmp_path / "pipe.onnx", worker=worker).summary.endswith("is not a file: name an .onnx file")
    assert "is not UTF-8" in check("caf\udce9.onnx", worker=worker).summary
    (tmp_path / "secret.onnx").write_bytes(LENET.read_bytes())
    (tmp_path / "secret.onnx").chmod(0)
    if not os.access(tmp_path / "secret.onnx", os.R_OK):
        assert "cannot be read (Permission denied)" in check(tmp_path / "secret.onnx", worker=worker).summary


# What the report says, and what is left behind


def test_schema_of_reports(worker, tmp_path):
    good = [LENET, small.network(), small.weights([np.nan] * 4), small.dynamic_reshape()]
    bad = [small.determinant(), small.dynamic_axes(), small.model([], outputs=[]), b"", "no file", small.strings()]
    for model in [*good, *bad]:
        report = check(model, build=True, worker=worker)
        assert_schema(report)
        assert report.verdict in str(report)
        assert report.verdict in report.to_html()
        assert report._repr_html_() == report.to_html()


HOSTILE = '<script>alert(1)</script>\x1b[2J[red]&"'


def test_hostile_names_reach_neither_terminal_nor_page(worker):
    model = small.model([small.node("Foo", ["x"], ["y"], HOSTILE, domain="ours")], domains=[small.OURS])
    model.graph.input[0].name = model.graph.node[0].input[0] = HOSTILE
    model.producer_name = HOSTILE
    report = check(model, worker=worker)
    assert "<script>" not in report.to_html()
    for text in (str(report), report.to_html()):
        assert "\x1b" not in text
    assert "[red]" in str(report)
    assert report.inputs[0].name == HOSTILE


def test_every_field_of_a_report_is_escaped():
    """Alone, so that no other field hides what one of them lets through."""
    tensor, problem = Tensor("x", "FLOAT", [1]), Problem("error", "what", "todo", "where")
    operator = Operator("ours", "Foo", 1, 1, "builds", "", {"TensorRT 9": "builds"})
    hostile = [
        {"model": HOSTILE}, {"verdict": HOSTILE}, {"summary": HOSTILE}, {"tensorrt": HOSTILE}, {"producer": HOSTILE},
        {"opsets": {HOSTILE: 1}}, {"external": [{"name": HOSTILE, "bytes": 1, "found": True}]},
        *({"inputs": [replace(tensor, **{name: HOSTILE})]} for name in ("name", "type")),
        {"inputs": [replace(tensor, shape=[HOSTILE])]}, {"outputs": [replace(tensor, name=HOSTILE)]},
        {"inputs": [tensor], "profile": {"x": ([HOSTILE],)}},
        *({"problems": [replace(problem, **{name: HOSTILE})]} for name in ("severity", "what", "todo", "where")),
        *({"operators": [replace(operator, **{name: HOSTILE})]} for name in ("domain", "type", "verdict")),
        *({"operators": [replace(operator, elsewhere=e)]} for e in ({HOSTILE: "builds"}, {"TensorRT 9": HOSTILE})),
    ]  # fmt: skip
    for fields in hostile:
        report = Report(**{"model": "m", "ir_version": 8, **fields})
        page, text = report.to_html(), str(report)
        assert "\x1b" not in page + text, fields
        assert "<script>" not in page, fields
        assert fields.keys() == {"model"} or "&lt;script&gt;alert(1)&lt;/script&gt;" in page, fields
        assert fields.keys() == {"model"} or "[red]" in text.replace("\n", ""), fields


def test_reports_of_many_things_are_short():
    many = 3 * MOST_ROWS
    tensors = [Tensor(f"x{i}", "FLOAT", ["a" * 300] * 100) for i in range(many)]
    operators = [Operator("ours", f"Foo{i}", 1, 1) for i in range(many)]
    report = Report("m", ir_version=8, opsets={f"d{i}": 1 for i in range(many)}, inputs=tensors, operators=operators)
    for i in range(many):
        report.add("error", f"problem {i}", "")
    for page in (report.to_html(), str(report)):
        assert len(page) < 200_000
        assert page.count(f"… and {many - MOST_ROWS} more; the JSON has them") >= 2  # inputs, operators
        assert "x99" in page
        assert "x100" not in page
    assert report.to_html().count("<li>") == MOST_ROWS + 1
    assert len(report.to_dict()["inputs"]) == many


def test_a_problem_is_added_once(monkeypatch):
    compared = []
    monkeypatch.setattr(Problem, "__eq__", lambda one, other: compared.append(1) or one.what == other.what)
    report = Report("m", problems=[Problem("error", "0", "")])
    for i in [*range(500), *range(500)]:
        report.add("error", str(i), "")
    assert [problem.what for problem in report.problems] == [str(i) for i in range(500)]
    assert len(compared) < 2000  # not each with all others


def test_what_is_left_out_is_said(worker):
    outputs = [small.value(f"y{i}", small.FLOAT, [1, 4]) for i in range(MOST + 50)]
    nodes = [small.node("Relu", ["x"], [output.name]) for output in outputs]
    report = check(small.model(nodes, outputs=outputs), worker=worker)
    assert (report.convertible, len(report.outputs)) == (True, MOST)
    assert problem(report, "the first 1,000: 50 outputs are left out").severity == "note"
    model = small.weights([1, 2])
    model.graph.initializer.extend(small.constant(f"n{i}", [np.nan], np.float32) for i in range(MOST + 50))
    report = check(model, worker=worker)
    assert problem(report, f"{MOST + 50:,} NaN weights").where == f"n0, n1, n2 and {MOST + 47:,} more"


def test_command(tmp_path):
    model = tmp_path / "det.onnx"
    onnx.save(small.determinant(), model)
    page = tmp_path / "page.html"
    done = command(model, "--html", page)
    assert done.returncode == 1
    assert "not supported" in done.stdout
    assert "not convertible" in page.read_text()
    done = command("--json", LENET)
    assert done.returncode == 0
    assert json.loads(done.stdout)["verdict"] == "convertible"
    done = command("nothing.onnx")
    assert done.returncode == 2
    assert done.stdout == "not a usable model: there is no file nothing.onnx\n"
    assert done.stderr == ""


@pytest.mark.parametrize("limit", ["--timeout", "--memory"])
@pytest.mark.parametrize("value", ["no", "nan", "inf", "0", "-5"])
def test_limits_are_positive_numbers(limit, value):
    done = command(LENET, f"{limit}={value}")
    assert done.returncode == 2
    assert limit in done.stderr
    assert "Traceback" not in done.stderr


def test_a_report_overwrites_no_model(tmp_path):
    model = tmp_path / "mine.onnx"
    model.write_bytes(LENET.read_bytes())
    done = command(model, "--html", model)
    assert done.returncode == 2
    assert "it would be lost" in done.stderr
    assert model.read_bytes() == LENET.read_bytes()


def test_a_page_that_cannot_be_written_does_not_cost_the_report(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    done = command(LENET, "--html", tmp_path / "file" / "page.html")
    assert done.returncode == 2
    assert "convertible" in done.stdout
    assert done.stderr.startswith("the report could not be written: ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="a pipe of a shell")
def test_a_pipe_that_closes_early_does_not_cost_the_page(tmp_path):
    page = tmp_path / "page.html"
    run = f"{sys.executable} -m helpers check {LENET} --html {page} | true"
    subprocess.run(["bash", "-c", run], capture_output=True, cwd=REPOSITORY, timeout=60)
    assert "convertible" in page.read_text()


@pytest.mark.parametrize(
    "arguments", [["check", LENET], ["port", OLD_SCRIPT], ["copy", "--list"], ["doctor"], ["whatis", "no_such_name"]]
)
def test_every_command_prints_where_there_is_no_unicode(arguments):
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    run = [sys.executable, "-m", "helpers", *arguments]
    done = subprocess.run(run, capture_output=True, env=environment, cwd=REPOSITORY, timeout=120)
    assert b"Traceback" not in done.stderr
    assert done.stdout


@pytest.mark.skipif(os.name != "posix", reason="a pipe of a shell")
def test_a_pipe_that_closes_early_is_no_error():
    run = f"{sys.executable} -m helpers port --json {OLD_SCRIPT} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", run], capture_output=True, text=True, cwd=REPOSITORY, timeout=60)
    assert done.stderr == ""
    assert done.stdout.strip() in ("141", "1")  # 1: it was quicker than the pipe's end


def test_the_command_imports_neither_onnx_nor_tensorrt():
    code = (
        "import sys; from helpers.commands import main; main(['check', 'data/lenet.onnx', '--json']);"
        f"print({{'onnx', 'numpy', {FLAVOUR!r}}} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, timeout=60)
    assert done.stderr.strip() == "set()"


def _contents(folder: Path) -> dict[str, tuple]:
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_nothing_is_written_beside_the_model(tmp_path):
    np.ones(16, np.float32).tofile(tmp_path / "weights.bin")
    models = {"good": small.external("weights.bin"), "div": small.division_by_zero("Div"), "lenet": onnx.load(LENET)}
    models["parser"] = small.node_without_outputs()
    for name, model in models.items():
        (tmp_path / f"{name}.onnx").write_bytes(model.SerializeToString())
    before = _contents(tmp_path)
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        # The current folder is the model's: a core file, too, would fall there.
        codes = {name: command(f"{name}.onnx", "--build", cwd=tmp_path).returncode for name in models}
    finally:
        tmp_path.chmod(stat.S_IRWXU)
    assert codes == {"good": 0, "div": 1, "lenet": 0, "parser": 1}
    assert _contents(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == len(models) + 1


def test_builds_of_a_check_are_not_trusted(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path))
    assert check(LENET, build=True).built
    assert not list(tmp_path.iterdir())
