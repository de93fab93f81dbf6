"""What the JSON of a check's report consists of: keys, types and the words of its verdicts."""

from __future__ import annotations

import json

from helpers.commands.check.report import EXIT_CODES, Report

SCHEMA = {
    "model": str, "verdict": str, "summary": str, "tensorrt": str, "ir_version": int | None, "producer": str,
    "opsets": dict, "inputs": list, "outputs": list, "profile": dict, "shapes": dict, "values": dict, "guessed": bool,
    "operators": list, "problems": list, "weights": dict, "external": list, "layers": int | None, "built": bool | None,
    "plan_bytes": int | None, "seconds": float, "exit_code": int,
}  # fmt: skip
SCHEMA_OF = {
    "inputs": {"name": str, "type": str, "shape": list | None},
    "outputs": {"name": str, "type": str, "shape": list | None},
    "operators": {"domain": str, "type": str, "opset": int, "count": int, "verdict": str, "reason": str,
                  "elsewhere": dict},
    "problems": {"severity": str, "what": str, "todo": str, "where": str, "cause": str, "advice": str, "chapter": str},
    "external": {"name": str, "bytes": int, "found": bool},
}  # fmt: skip
OPERATOR_VERDICTS = {
    "builds", "parsed", "parses, does not build", "needs a constant input", "not supported", "crashes TensorRT",
    "not tried",
}  # fmt: skip


def assert_schema(report: Report) -> None:
    data = json.loads(report.to_json())
    assert data.keys() == SCHEMA.keys()
    for key, kind in SCHEMA.items():
        assert isinstance(data[key], kind), key
    for key, columns in SCHEMA_OF.items():
        for row in data[key]:
            assert row.keys() == columns.keys()
            for name, kind in columns.items():
                assert isinstance(row[name], kind), (key, name)
    assert EXIT_CODES[data["verdict"]] == data["exit_code"]
    assert {operator["verdict"] for operator in data["operators"]} <= OPERATOR_VERDICTS
    assert {p["severity"] for p in data["problems"]} <= {"error", "warning", "note"}
    assert data["verdict"] != "convertible" or "error" not in {p["severity"] for p in data["problems"]}
    assert data["summary"]
