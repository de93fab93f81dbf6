"""tools/atlas.py: the stored atlas is what the installed TensorRT does, and a new run leaves other columns alone."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from helpers.commands.check import check_worker
from helpers.commands.check.atlas import ATLAS, read_atlas
from helpers.trt import has
from tools import atlas as tool

ROOT = Path(__file__).resolve().parents[2]
SOME = {"Relu", "Reshape", "ReduceSum", "NonMaxSuppression", "AffineGrid", "StringConcat", "Mod"}


@pytest.fixture(scope="module")
def stored():
    return json.loads(ATLAS.read_text())


def test_every_operator_of_the_test_models_is_there_with_an_outcome_for_each_case(stored):
    expected = Counter(case.operator for case in tool.cases())
    assert len(expected) > 150
    for run, about in stored["runs"].items():
        found = {name: row[run] for name, row in stored["operators"].items() if run in row}
        measured = {name: sum(row.get(o, 0) for o in tool.OUTCOMES) for name, row in found.items()}
        assert sum(measured.values()) == about["cases"]
        if about["cases"] == expected.total():
            assert measured == expected
        else:  # stopped by --seconds, which takes the operators in turn
            assert measured.keys() == expected.keys()
            assert all(1 <= measured[name] <= expected[name] for name in expected)


def test_the_operators_take_turns():
    order = tool.in_turn(tool.Case(f"{name}{i}", name, ()) for name in "AB" for i in range(3 if name == "A" else 1))
    assert [case.name for case in order] == ["A0", "B0", "A1", "A2"]


def test_runs_say_how_they_were_made(stored):
    assert stored["runs"]
    for about in stored["runs"].values():
        assert set(about) == {"date", "device", "onnx", "cases"}


@pytest.mark.skipif(not has("build"), reason="this TensorRT cannot build here")
def test_measured_again_it_says_the_same(stored, tmp_path):
    with check_worker() as worker:
        name = worker.call("helpers.commands.check.trial:warm_up", timeout=worker.start_timeout)["tensorrt"]
    if name not in stored["runs"]:
        pytest.skip(f"the atlas has no column for {name}")
    if stored["runs"][name]["cases"] < sum(1 for _ in tool.cases()):
        pytest.skip("only some of the cases were measured with this TensorRT")
    command = [sys.executable, "tools/atlas.py", "--workers", "1", "--out", str(tmp_path / "atlas.json")]
    for operator in SOME:
        command += ["--operator", operator]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    again = json.loads((tmp_path / "atlas.json").read_text())
    assert set(again["operators"]) == SOME
    for operator in SOME:
        assert again["operators"][operator][name] == stored["operators"][operator][name]


def test_a_new_run_leaves_other_columns_alone():
    old = {"runs": {"A": {"date": "then"}}, "operators": {"Relu": {"A": {"built": 1}}, "Old": {"A": {"refused": 2}}}}
    counts = {"Relu": Counter(built=1, refused=2), "New": Counter(constant=1)}
    reasons = {"Relu": Counter({"why": 2, "rare": 1}), "New": Counter()}
    new = tool.merge(old, "B", {"date": "now"}, counts, reasons)
    assert new["runs"] == {"A": {"date": "then"}, "B": {"date": "now"}}
    assert new["operators"]["Relu"] == {"A": {"built": 1}, "B": {"built": 1, "refused": 2, "reason": "why"}}
    assert new["operators"]["Old"] == {"A": {"refused": 2}}
    assert new["operators"]["New"] == {"B": {"constant": 1}}
    assert json.loads(tool.dumps(new)) == new


def test_the_atlas_as_stored_is_as_the_tool_writes_it(stored):
    assert tool.dumps(stored) == ATLAS.read_text()
    assert read_atlas()["runs"].keys() == stored["runs"].keys()
