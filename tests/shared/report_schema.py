"""Says whether the JSON of a check's report is what its published schema promises."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from helpers.commands.check.report import EXIT_CODES, Report

SCHEMA = json.loads((Path(__file__).parents[2] / "data" / "check_report.schema.json").read_text(encoding="utf-8"))
_VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def assert_schema(report: Report) -> None:
    data = json.loads(report.to_json())
    _VALIDATOR.validate(data)
    assert data.keys() == SCHEMA["properties"].keys()
    assert EXIT_CODES[data["verdict"]] == data["exit_code"]
    assert data["verdict"] != "convertible" or "error" not in {p["severity"] for p in data["problems"]}
