"""tools/bench: how it measures, and that the benchmark in data/bench.json is whole. The rest of it needs a GPU."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from helpers.trt import has
from helpers.workbook.recordings import ROOT
from tools.bench import prepare, report
from tools.bench.timing import in_turns, one_at_a_time, summary

HERE = ("by hand", "by hand, CUDA graph", "Runner", "Runner, views", "Runner, out", "Runner, no graphs")
HERE += ("Runner, one by one", "Runner.map, 2 streams", "Runner.map, 3 streams", "allocate per call")
PYTORCH = ("PyTorch eager", "PyTorch CUDA graph")


@pytest.fixture(scope="module")
def result():
    return json.loads((ROOT / "data" / "bench.json").read_text())


def test_methods_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) or 2.0 for name in "ab"}
    assert one_at_a_time(calls, rounds=2, count=3)["a"]["runs"] == 6
    assert "".join(order) == "aaabbbaaabbb"
    order.clear()
    times = in_turns(calls, rounds=3, seconds=0, most=10)
    assert times.keys() == {"a", "b"}
    assert times["a"]["runs"] == 9
    assert "".join(order[-9:]) == "bbbaaabbb"


def test_the_summary_tells_the_spread_of_the_rounds():
    assert summary([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 100.0]]) == {
        "median": 5.0,
        "low": 2.0,
        "high": 8.0,
        "p99": 92.64,
        "runs": 9,
    }


def test_every_case_has_every_method(result):
    rows = Counter((row["network"], row["precision"], row["batch"], row["method"]) for row in result["rows"])
    expected = {
        (case.network, case.precision, case.batch, method)
        for case in prepare.cases()
        for method in (*HERE, *PYTORCH, *(["ONNX Runtime, CPU"] if case.precision == "float32" else []))
    }
    assert expected <= rows.keys()
    assert set(rows.values()) == {1}


def test_every_row_was_right_before_it_was_timed(result):
    for row in result["rows"]:
        assert row["error"] < {"float32": 5e-3, "float16": 2e-2}[row["precision"]]
        for times in filter(None, (row["host"], row["gpu"])):
            assert 0 < times["low"] <= times["median"] <= times["high"]


def test_every_goal_can_be_looked_up(result):
    found = report.ratios(result)
    assert all(ratio is not None and ratio > 0 for _, ratio in found)
    missing = report.ratios({**result, "rows": []})
    assert [ratio for _, ratio in missing] == [None] * len(found)


@pytest.mark.skipif(has("gpu", "pycuda", "cuda_bindings"), reason="it would begin")
def test_without_a_gpu_it_says_so_in_one_line(tmp_path):
    done = subprocess.run([sys.executable, "-m", "tools.bench", tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("The benchmark cannot run here: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_it_says_where_it_comes_from(result):
    assert {"gpu", "cpu", "compute capability"} <= result["machine"].keys()
    assert {"TensorRT", "Python", "PyTorch", "Polygraphy"} <= result["versions"].keys()
    assert result["date"]
