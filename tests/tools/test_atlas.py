"""tools/atlas.py: the stored atlas is what the installed TensorRT does, and a new run leaves other columns alone."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from helpers.commands.check import check_worker
from helpers.commands.check.atlas import ATLAS, LETTERS, read_atlas
from helpers.trt import has
from helpers.worker import WorkerDied, WorkerTimeout
from tests.shared.pretend_gpu import PretendedCuda, PretendedEngine
from tools import atlas as tool
from tools import atlas_trial
from tools.atlas_cases import Case, cases, in_turn

ROOT = Path(__file__).resolve().parents[2]
SOME = {"Relu", "Reshape", "ReduceSum", "NonMaxSuppression", "AffineGrid", "StringConcat", "Mod"}


@pytest.fixture(scope="module")
def stored():
    return json.loads(ATLAS.read_text())


@pytest.fixture(scope="module")
def made():
    """The cases of a few operators, by operator."""
    found = {}
    for case in cases({"ReduceMax", "LayerNormalization", "ScatterND", "GridSample", "Gather", "Cast", "Split",
                       "QuantizeLinear"}):  # fmt: skip
        found.setdefault(case.operator, []).append(case)
    return found


def test_every_operator_of_the_test_models_is_there_with_an_outcome_for_each_case(stored):
    from onnx.backend.test import __file__ as package

    graphs = [onnx.load(path).graph for path in (Path(package).parent / "data" / "node").glob("*/model.onnx")]
    expected = {graph.node[0].op_type for graph in graphs if len(graph.node) == 1 and not graph.node[0].domain}
    assert len(expected) > 150
    for run, about in stored["runs"].items():
        found = {name: row[run]["uses"] for name, row in stored["operators"].items() if run in row}
        assert found.keys() == expected - set(about.get("not measured", ()))
        letters = Counter("".join("".join(uses.values()) for uses in found.values()))
        assert set(letters) <= set(LETTERS.values())
        assert letters.total() == about["cases"]


def test_the_operators_take_turns():
    order = in_turn(
        Case(f"{name}{i}", name, "", None, {}, None) for name in "AB" for i in range(3 if name == "A" else 1)
    )
    assert [case.name for case in order] == ["A0", "B0", "A1", "A2"]


def test_runs_say_how_they_were_made(stored):
    assert stored["runs"]
    for about in stored["runs"].values():
        assert set(about) - {"not measured"} == {"date", "device", "onnx", "cases", "compared"}


def uses_of(found, opset=None):
    return {case.use for case in found if opset in (None, case.opset)}


def test_cases_in_the_opsets_of_real_models(made):
    """Axes are an input from opset 18 on, and an attribute before: the one and the other is another use."""
    newest, old = uses_of(made["ReduceMax"], 18), uses_of(made["ReduceMax"], 11)
    assert {"FLOAT", "FLOAT axes:input"} <= newest
    assert {"FLOAT", "FLOAT axes:attribute"} <= old
    assert not any("input" in use for use in old)
    assert {"FLOAT mode=linear", "FLOAT padding_mode=border"} <= uses_of(made["GridSample"])
    assert "FLOAT mode=nearest" in uses_of(made["GridSample"], 17)
    assert any(" 5-D" in use for use in uses_of(made["GridSample"]))
    assert {"FLOAT num_outputs", "FLOAT split:input", "FLOAT"} <= uses_of(made["Split"])


def test_cases_of_models_for_inference(made):
    assert {"FLOAT", "FLOAT Mean:output InvStdDev:output"} <= uses_of(made["LayerNormalization"])
    one = next(case for case in made["LayerNormalization"] if case.use == "FLOAT")
    assert len(one.model.graph.output) == len(one.expected) == 1


def test_cases_of_the_types_that_models_have(made):
    assert {"FLOAT", "FLOAT16", "BFLOAT16", "INT32", "INT64", "BOOL"} <= uses_of(made["Gather"])
    assert {"FLOAT reduction=max", "FLOAT16 reduction=max"} <= uses_of(made["ScatterND"])
    assert {"FLOAT to=INT64", "INT64 to=FLOAT", "BOOL to=FLOAT", "INT32 to=INT64"} <= uses_of(made["Cast"])
    quantized = uses_of(made["QuantizeLinear"])
    assert {"FLOAT to=INT8", "FLOAT16 to=INT8", "FLOAT to=UINT8", "FLOAT to=UINT8 zero_point"} <= quantized
    half = next(case for case in made["GridSample"] if case.use == "FLOAT16")
    assert {array.dtype for array in half.inputs.values()} == {np.dtype(np.float16)}  # the grid, too


def test_every_case_is_well_formed_and_has_what_it_should_compute(made):
    for case in (case for found in made.values() for case in found):
        for model in case.variants():
            onnx.checker.check_model(onnx.load_from_string(model))
    assert sum(case.expected is None for found in made.values() for case in found) < 5


class Says:
    """A worker of which each call says the next of these, or raises it."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)

    def call(self, function, *arguments, timeout):
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return {"outcome": outcome, "reason": f"is {outcome}", "compared": outcome == "wrong", "broken": False}


@pytest.mark.parametrize(
    ("says", "outcome"),
    [
        (["built"], "built"),
        (["refused", "built"], "constant"),
        (["wrong", "built"], "constant"),
        (["wrong", "refused", "refused"], "wrong"),
        (["parsed", "refused", "refused"], "parsed"),
        (["refused", "refused", "parsed"], "parsed"),
        ([WorkerDied("SIGSEGV")], "crashed"),
        (["refused", WorkerDied("SIGSEGV")], "crashed"),
        ([WorkerTimeout("120 s")], None),
    ],
)
def test_the_best_of_a_cases_variants_counts(made, says, outcome):
    case = next(case for case in made["ReduceMax"] if case.use == "FLOAT axes:input")
    case = Case(case.name, case.operator, case.use, case.model, case.inputs, case.expected)
    worker = Says(*says)
    assert tool.judge(worker, case)[0] == outcome
    assert len(worker.outcomes) in (0, 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, ""),
        ({"plus": 1.001}, ""),  # TF32
        ({"plus": 1.1}, "another plus"),
        ({"double": np.nan}, "another double"),
    ],
)
def test_outputs_are_compared_with_those_of_onnx(change, says, monkeypatch):
    monkeypatch.setattr("helpers.runner.load_engine", lambda engine, trusted: engine)
    x = np.linspace(-3, 3, 8, dtype=np.float32).reshape(2, 4)
    wanted = {"double": 2 * x, "plus": x + 1}
    wanted = {name: array * np.float32(change.get(name, 1)) for name, array in wanted.items()}
    inputs = {"x": x, "shift": np.ones_like(x), "unused": x}  # a plan may have lost an input
    assert says in (found := atlas_trial.differs(PretendedEngine(), inputs, wanted, PretendedCuda()))
    assert bool(found) == bool(says)


def test_outputs_of_another_shape_differ(monkeypatch):
    monkeypatch.setattr("helpers.runner.load_engine", lambda engine, trusted: engine)
    x = np.zeros((2, 4), np.float32)
    says = atlas_trial.differs(PretendedEngine(), {"x": x, "shift": x}, {"double": x[:1]}, PretendedCuda())
    assert says == "computes double of shape (2, 4), not (1, 4)"


def test_what_is_nobodys_everyday_value_is_not_compared():
    one = {"x": np.ones(2, np.float32)}
    assert atlas_trial.comparable(one, one)
    for strange in (np.float32([np.nan]), np.float32([np.inf]), np.int64([2**40]), np.array(["text"], object)):
        assert not atlas_trial.comparable({"x": strange}, one)
        assert not atlas_trial.comparable(one, {"y": strange})


@pytest.mark.skipif(not has("build"), reason="this TensorRT cannot build here")
def test_measured_again_it_says_the_same(stored, tmp_path):
    with check_worker() as worker:
        name = worker.call("helpers.commands.check.trial:warm_up", timeout=worker.start_timeout)["tensorrt"]
    if name not in stored["runs"]:
        pytest.skip(f"the atlas has no column for {name}")
    command = [sys.executable, "tools/atlas.py", "--workers", "1", "--out", str(tmp_path / "atlas.json")]
    for operator in SOME:
        command += ["--operator", operator]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    again = json.loads((tmp_path / "atlas.json").read_text())
    assert set(again["operators"]) == SOME
    for operator in SOME:
        new, old = again["operators"][operator][name], stored["operators"][operator][name]
        # A run that was stopped by --seconds has the first cases of each operator.
        assert all(new["uses"][use].startswith(letters) for use, letters in old["uses"].items())


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("m: refused\n  node '' (Det): false\n  TRT007: do something else", "false"),
        ("m: refused\n node 'number 0': Assertion failed: a  == b", "a == b"),
        ("model: Assertion failed: no such type\nCUDA: cudaError 35", "no such type"),
        ("node 'x' (MaxPool): only 2-D\n\n", "only 2-D"),
        ("computes another y", "computes another y"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_reason_is_tensorrts_last_line(said, reason):
    assert tool._short(said) == reason


def test_a_new_run_leaves_other_columns_alone():
    old = {
        "runs": {"A": {"date": "then", "cases": 3}},
        "operators": {"Relu": {"A": {"uses": {"FLOAT": "b"}}}, "Old": {"A": {"uses": {"FLOAT": "rr"}}}},
    }
    found = {"Relu": {"INT8": "r", "FLOAT": "br"}, "New": {"FLOAT": "c"}}
    reasons = {"Relu": Counter({"why": 2, "rare": 1}), "New": Counter()}
    new = tool.merge(old, "B", {"date": "now"}, found, reasons)
    assert new["runs"] == {"A": {"date": "then", "cases": 3}, "B": {"date": "now", "cases": 4}}
    uses = {"FLOAT": "br", "INT8": "r"}
    assert new["operators"]["Relu"] == {"A": {"uses": {"FLOAT": "b"}}, "B": {"uses": uses, "reason": "why"}}
    assert new["operators"]["Old"] == {"A": {"uses": {"FLOAT": "rr"}}}
    assert new["operators"]["New"] == {"B": {"uses": {"FLOAT": "c"}}}
    assert json.loads(tool.dumps(new)) == new
    again = tool.merge(new, "B", {"date": "later"}, {"New": {"FLOAT": "bb"}}, {"New": Counter()})
    assert again["runs"]["B"] == {"date": "later", "cases": 5}  # of one operator: the others keep what they have


def test_columns_of_the_older_format_are_not_mixed_in(tmp_path):
    (tmp_path / "atlas.json").write_text(
        json.dumps(
            {"runs": {"A": {"cases": 2}}, "operators": {"Relu": {"A": {"built": 2}}, "Det": {"A": {"refused": 2}}}}
        )
    )
    assert read_atlas(tmp_path / "atlas.json") == {"runs": {}, "operators": {}}


def test_the_atlas_as_stored_is_as_the_tool_writes_it(stored):
    assert tool.dumps(stored) == ATLAS.read_text()
    assert read_atlas()["runs"].keys() == stored["runs"].keys()
