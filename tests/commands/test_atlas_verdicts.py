"""check/atlas.py: counts of test cases as one verdict, and the verdicts of other releases in a report."""

from __future__ import annotations

import json

import pytest

from helpers.commands.check import atlas, operator_trials
from helpers.commands.check.report import Operator, Report
from helpers.commands.check.trial import KEYS
from helpers.trt import NAMES


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ({"built": 4}, "builds"),
        ({"built": 3, "refused": 5, "reason": "why"}, "builds in 3 of 8 cases"),
        ({"built": 3, "constant": 1}, "builds, 1 with constant inputs"),
        ({"built": 2, "constant": 1, "crashed": 1}, "builds in 3 of 4 cases, 1 with constant inputs"),
        ({"constant": 2, "reason": "why"}, "needs a constant input"),
        ({"constant": 2, "refused": 3}, "needs a constant input; 2 of 5 cases"),
        ({"parsed": 2, "refused": 3}, "parses, does not build"),
        ({"refused": 3}, "not supported"),
        ({"crashed": 1, "refused": 3}, "crashes TensorRT"),
    ],
)
def test_verdict_of_counts(counts, verdict):
    assert atlas._verdict(counts) == verdict


def test_no_atlas(tmp_path):
    assert atlas.read_atlas(tmp_path / "none.json") == {"runs": {}, "operators": {}}


def test_a_reader_meets_one_wording_for_tensorrt_for_rtx():
    assert atlas.known_verdicts("Relu").keys() == {atlas.release_name(key) for key in atlas.read_atlas()["runs"]}
    assert "RTX" not in "".join(atlas.known_verdicts("Relu")).replace("TensorRT for RTX", "")
    assert atlas.release_name(f"{KEYS['tensorrt_rtx']} 1") == f"{NAMES['tensorrt_rtx']} 1"


def test_elsewhere_in_a_report(tmp_path, monkeypatch):
    """An atlas of two releases: the installed one is not "elsewhere", but warns of what it never built."""
    content = {"runs": {}, "operators": {"Relu": {"here": {"parsed": 2}, "there": {"built": 2}}}}
    (tmp_path / "atlas.json").write_text(json.dumps(content))
    monkeypatch.setattr(atlas, "read_atlas", lambda: json.loads((tmp_path / "atlas.json").read_text()))
    report = Report("m", tensorrt="here", operators=[Operator("", "Relu", 14, 1), Operator("ours", "Relu", 1, 1)])
    operator_trials.recall_operators(report)
    rows = {"operators": [["", "Relu", 14, 1, [0]], ["ours", "Relu", 1, 1, [1]]]}
    operator_trials.judge_operators(report, rows, "m", None, "parsed", None, [])
    assert [operator.elsewhere for operator in report.operators] == [{"there": "builds"}, {}]
    assert [(p.where, p.severity) for p in report.problems] == [("Relu", "warning")]
