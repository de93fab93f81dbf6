"""helpers/commands/check/report.py and layout.py: a report reads well on a terminal of 80 columns, and as data."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from html.parser import HTMLParser

import jsonschema
import numpy as np
import pytest
import small_models as small
from report_schema import SCHEMA, assert_schema
from rich.console import Console

from helpers.advice import by_id
from helpers.commands import main
from helpers.commands.check import check, check_worker
from helpers.commands.check import report as report_module
from helpers.commands.check.layout import paragraph, table
from helpers.commands.check.report import EXIT_CODES, Operator, Problem, Report, Tensor
from helpers.commands.check.wording import NOTEBOOKS, notebooks_from
from helpers.trt import has

LONG = "/model/encoder/layers.0/attention/self/query/MatMul_output_0_with_a_name_of_more_than_eighty_characters"


def full(**more) -> Report:
    """A report that has something of everything."""
    elsewhere = {"TensorRT 8.6.1": "builds", "TensorRT 10.13.3": "not with INT64, BOOL"}
    report = Report(
        "models/recognizer.onnx", "not convertible", "TensorRT for RTX 1.7.1 will not take models/recognizer.onnx: "
        "Resize 'shrink': Resize has antialias=1, which TensorRT does not have.", "TensorRT for RTX 1.7.1", 8,
        "pytorch 2.13.0+cpu", {"": 17, "com.microsoft": 1},
        [Tensor("image", "FLOAT", ["p2o.DynamicDimension.0", 3, "?", "p2o.DynamicDimension.1"]),
         Tensor(LONG, "FLOAT", [1])],
        [Tensor("scores", "FLOAT", ["p2o.DynamicDimension.2", 6625])],
        {"image": ((1, 3, 48, 64), (1, 3, 48, 320), (8, 3, 48, 640))},
        operators=[
            Operator("", "Resize", 18, 12, "needs a constant input", "antialias", elsewhere),
            Operator("com.microsoft", "DecoderMaskedMultiHeadAttention", 1, 1, "not tried"),
        ],
        weights={"tensors": 420, "values": 2_690_407, "bytes": 10_760_000, "fp16_subnormal": 70_343},
        external=[{"name": "recognizer.onnx.data", "bytes": 10, "found": True}], layers=1202, **more,
    )  # fmt: skip
    report.add("error", "TensorRT's parser refuses it:\n(antialias == 0)", where="Resize 'shrink'", advice="TRT028")
    report.add("warning", f"{LONG} is in the way", "rename it")
    return report


def printed(report: Report, width: int) -> list[str]:
    console = Console(width=width, no_color=True, highlight=False, legacy_windows=False, force_terminal=False)
    with console.capture() as captured:
        report.print(console)
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_name_is_broken_and_no_line_is_longer_than_it_must(width):
    report = full()
    lines = printed(report, width)
    for line in lines:
        assert len(line) <= width or LONG in line or "com.microsoft.DecoderMasked" in line, line
    text = "\n".join(lines)
    names = [LONG, "com.microsoft.DecoderMaskedMultiHeadAttention", "needs a constant input", "(1, 3, 48, 320)"]
    names += ["(p2o.DynamicDimension.0, 3, ?, p2o.DynamicDimension.1)", "notebooks/08_will_it_convert.ipynb"]
    for name in names:
        assert name in text
    assert not any(line != line.rstrip() for line in lines)


def test_a_problem_says_id_cause_cure_and_chapter():
    lines = printed(full(), 80)
    start = lines.index("error: Resize 'shrink': TensorRT's parser refuses it:")
    assert lines[start + 1] == "  (antialias == 0)"
    known = by_id("TRT028")
    assert lines[start + 2].startswith(f"  TRT028: {known.cause[:30]}")
    assert f"  → {known.cure}"[:80] in " ".join(lines[start + 3 :])
    assert "  chapter 08, notebooks/08_will_it_convert.ipynb" in lines
    assert lines[lines.index("warning:") + 1] == f"  {LONG}"
    assert "  → rename it" in lines


def test_what_is_too_wide_for_its_row_goes_below_it():
    lines = list(table(["operator", "verdict"], [["Relu", "builds"], ["Add", "x" * 70 + " y"]], 70))
    assert lines == ["operator  verdict", "Relu      builds", "Add       " + "x" * 70, "          y"]
    rows = [["Relu", "builds", "a b c d e f g h i"], ["Add", "no", "a"]]
    assert list(table(["operator", "here", "elsewhere"], rows, 30)) == [
        "operator  here    elsewhere", "Relu      builds", "    elsewhere: a b c d e f g h", "    i",
        "Add       no      a",
    ]  # fmt: skip
    assert list(table(["operator", "here", "elsewhere"], rows[1:], 20)) == [
        "operator  here", "Add       no", "    elsewhere: a",
    ]  # fmt: skip


def test_a_long_cell_moves_no_other_row():
    rows = [
        ["input", "x", "FLOAT", "(a, b)"],
        ["input", "y", "FLOAT", "(" + "long_name, " * 6 + "z)"],
        ["input", LONG, "INT64", "(a)"],
    ]
    assert list(table(["", "name", "type", "shape"], rows, 80)) == [
        "       name  type   shape",
        "input  x     FLOAT  (a, b)",
        "input  y     FLOAT",
        "    shape: (" + "long_name, " * 6 + "z)",
        f"input  {LONG}",
        "    type: INT64; shape: (a)",
    ]


def test_columns_of_chinese_names_stand_below_each_other():
    lines = list(table(["name", "type"], [["输入", "FLOAT"], ["x", "INT64"]], 80))
    assert lines == ["name  type", "输入  FLOAT", "x     INT64"]


def test_a_paragraph_keeps_shapes_whole():
    assert paragraph("", "shapes (1, 3, 48, 64) and (8, 3, 48, 640)", 24) == [
        "shapes (1, 3, 48, 64)",
        "  and (8, 3, 48, 640)",
    ]
    assert paragraph("  → ", "a b", 5, "    ") == ["  → a", "    b"]
    assert paragraph("", "", 80) == [""]


def test_what_was_built_is_given_or_guessed():
    ranges = {"image": ((1, 3, 48, 64),) * 3}
    report = full(shapes=ranges, values={"size": ((1, 2), (1, 2), (1, 2))}, given=["size"])
    report.inputs.append(Tensor("size", "INT64", [2]))
    text = "\n".join(printed(report, 80))
    assert "built with (min, opt, max):" in text
    assert "(1, 3, 48, 64), guessed" in text
    assert "the values (1, 2), given" in text
    assert "proposed" not in text
    report.given.append("image")
    assert "(1, 3, 48, 64), given" in str(report)


def test_other_releases_have_a_legend():
    text = " ".join(printed(full(), 80))
    assert "TensorRT 8.6.1 and TensorRT 10.13.3: measured by the operator atlas" in text
    assert "atlas" not in str(Report("m", ir_version=8, operators=[Operator("", "Relu", 14, 1)]))


class Links(HTMLParser):
    def __init__(self, page: str):
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found += [dict(attributes)["href"]] if tag == "a" else []


def test_a_page_links_the_chapter(tmp_path):
    report = full()
    assert Links(report.to_html()).found == ["08_will_it_convert.ipynb"]  # as a notebook of the workbook shows it
    assert (NOTEBOOKS / "08_will_it_convert.ipynb").is_file()
    assert Links(report.to_html("../notebooks/")).found == ["../notebooks/08_will_it_convert.ipynb"]
    page = report.to_html(None)
    assert Links(page).found == []
    assert "chapter 08, notebooks/08_will_it_convert.ipynb" in page
    assert "TRT028" in page
    assert notebooks_from(str(NOTEBOOKS.parent / "data" / "page.html")) == "../notebooks/"
    assert notebooks_from(str(tmp_path / "page.html")) is None


def test_an_id_brings_cause_cure_and_chapter():
    report = Report("m")
    report.add("error", "no", advice="TRT028")
    report.add("error", "no", "do that", advice="TRT028")
    known = by_id("TRT028")
    assert report.problems == [
        Problem("error", "no", known.cure, "", known.cause, "TRT028", known.chapter),
        Problem("error", "no", "do that", "", known.cause, "TRT028", known.chapter),
    ]
    with pytest.raises(KeyError):
        report.add("error", "no", advice="TRT999")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("it fails", "it fails"),
        ("TensorRT's parser refuses it: Invalid Node - bias\ninput has type Int32", "input has type Int32"),
        ("TensorRT's parser refuses it: false\nwhy", "why"),
        ("TensorRT's parser refuses it: false", "TensorRT's parser refuses it: false"),
        ("", ""),
    ],
)
def test_the_reason_is_the_line_that_says_why(what, reason):
    assert Problem("error", what, "").reason == reason
    assert Problem("error", what, "", cause="Because.").reason == "Because."


def test_how_tensorrt_died_is_said_as_it_is():
    problem = Problem("error", "crashes TensorRT (SIGSEGV) while parsing", "", cause="The model kills TensorRT.")
    assert problem.reason == "crashes TensorRT (SIGSEGV) while parsing"


# The schema of the JSON


def test_the_schema_is_one_and_names_every_field():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["properties"]) == {field.name for field in fields(Report)} | {"schema", "exit_code"}
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"])
    parts = {"tensor": Tensor, "operator": Operator, "problem": Problem}
    for name, kind in parts.items():
        assert list(SCHEMA["$defs"][name]["properties"]) == [field.name for field in fields(kind)]
    assert set(SCHEMA["properties"]["verdict"]["enum"]) == set(EXIT_CODES)
    names = ("BUILDS", "PARSED", "DOES_NOT_BUILD", "NEEDS_CONSTANT", "NOT_SUPPORTED", "CRASHES", "NOT_TRIED")
    verdicts = {getattr(report_module, name) for name in names}
    assert verdicts <= set(SCHEMA["$defs"]["operator"]["properties"]["verdict"]["enum"])


@pytest.mark.parametrize("verdict", EXIT_CODES)
def test_reports_of_every_verdict_fit_the_schema(verdict):
    report = full(shapes={"image": ((1, 3, 48, 64),) * 3}, built=True, plan_bytes=1, judged_for="TensorRT 8.6")
    report.verdict = verdict
    if verdict == "convertible":
        report.problems = report.problems[1:]
    assert_schema(report)


def test_what_does_not_fit_the_schema_is_found():
    good = json.loads(full().to_json())
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert validator.is_valid(good)
    assert validator.is_valid(good | {"another": 1})  # which a later version may add
    for key, wrong in {"verdict": "fine", "schema": 2, "summary": "", "inputs": [{}], "exit_code": 4}.items():
        assert not validator.is_valid(good | {key: wrong}), key
    assert not validator.is_valid({key: value for key, value in good.items() if key != "schema"})
    problem = asdict(full().problems[0]) | {"advice": "28"}
    assert not validator.is_valid(good | {"problems": [problem]})


@pytest.mark.skipif(not has("build"), reason="needs a TensorRT that builds here")
def test_real_reports_fit_the_schema():
    models = [
        small.relu(),
        small.determinant(),
        small.dynamic_reshape(),
        small.weights([np.nan] * 4),
        b"<html>",
        "none",
    ]
    with check_worker() as worker:
        found = [check(made, build=True, worker=worker) for made in models]
    for report in found:
        assert_schema(report)
    assert len({report.verdict for report in found}) >= 3


def test_the_command_prints_the_schema(capsys):
    with pytest.raises(SystemExit) as end:
        main(["check", "--schema"])
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA


def test_the_summary_says_once_which_release_builds_the_operator(monkeypatch):
    from helpers.commands.check import summary

    monkeypatch.setattr(summary, "elsewhere_line", lambda report: "TensorRT 8.6.1 builds NonZero")
    report = Report("m.onnx", tensorrt="TensorRT for RTX 1.7.1")
    report.add("error", "refused. TensorRT 8.6.1 builds NonZero.", "")
    assert summary.summary(report, "", "").count("8.6.1 builds NonZero") == 1
    report.problems[:] = []
    report.add("error", "refused", "")
    assert summary.summary(report, "", "").count("8.6.1 builds NonZero") == 1
