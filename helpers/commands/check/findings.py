"""Judges what ONNX tells about a model: what is wrong with it, and what to do about that (chapter 08).

Standard library only.

>>> report = Report("model.onnx")
>>> _judge_weights(report, {"weights": {"nan": 3}, "suspicious": {"nan": ["fc.weight"]}, "more": {}})
>>> report.problems[0].where
'fc.weight'
"""

from __future__ import annotations

import re

from .report import MOST, Operator, Report, Tensor
from .shapes import propose_profile

BESIDE = "export with external_data=False, or copy the file beside the model"
# What onnx.checker refuses because it is older than the model, or does not know a plugin: TensorRT may know better.
# Only how its message begins is its own: what follows may be a name out of the model.
IGNORANCE = r"No Op registered for |Your model ir_version \d+ is higher|No opset import |Unrecognized attribute: "
COMPLAINTS = {"topologically sorted": "TRT042", "Field 'shape' of": "TRT043"}  # what it complains of -> advice
LISTS = {"inputs": "inputs", "outputs": "outputs", "opsets": "opsets", "operators": "kinds of operators",
         "external": "files of external data", "no_outputs": "nodes without an output",
         "zero_divisions": "divisions by zero"}  # fmt: skip
# Of weights: how bad it is, what it is, and what to do.
WEIGHTS = {
    "nan": ("warning", "NaN weights", "look for the step in training or in the conversion that made them; every output "
            "that they reach is NaN"),
    "inf": ("warning", "infinite weights", "replace -inf in masks by a large finite number, such as -1e4 for FP16"),
    "fp16_overflow": ("warning", "weights beyond 65504, which become infinite in FP16", "keep that layer in FP32 or "
                      "BF16, or rescale"),
    "fp16_subnormal": ("note", "weights below 2**-14, which lose precision in FP16", "nothing for FP32; for FP16 "
                       "compare the outputs, as in chapter 10"),
}  # fmt: skip


def judge_facts(report: Report, facts: dict, narrow_int64: bool) -> bool:
    """Fills the report with the ``facts`` of ``model_facts``. Returns False if the file is damaged, or lacks data.

    What else onnx.checker says against it is for :func:`judge_complaint`, once TensorRT has seen the model.

    ``narrow_int64``: whether this TensorRT makes INT32 of INT64.
    """
    report.ir_version, report.producer, report.opsets = facts["ir_version"], facts["producer"], facts["opsets"]
    report.inputs = [Tensor(**tensor) for tensor in facts["inputs"]]
    report.outputs = [Tensor(**tensor) for tensor in facts["outputs"]]
    report.profile = propose_profile({tensor.name: tensor.shape for tensor in report.inputs})
    report.weights = facts["weights"]
    report.external = [
        {"name": file["name"], "bytes": file["bytes"], "found": file["wrong"] in ("", "short")}
        for file in facts["external"]
    ]
    report.operators = [Operator(*row[:4]) for row in facts["operators"]]
    valid = _judge_external(report, facts["external"])
    valid = _judge_checker(report, facts) and valid
    _judge_graph(report, facts)
    _judge_types(report, facts, narrow_int64)
    _judge_weights(report, facts)
    left_out = [f"{facts['more'][name]:,} {called}" for name, called in LISTS.items() if name in facts["more"]]
    if left_out:
        what = f"of each list, this report has the first {MOST:,}: {', '.join(left_out)} are left out"
        report.add("note", what, "see that the export traced what you meant: few models have so many")
    return valid


def _judge_external(report: Report, files: list[dict]) -> bool:
    wrong = [file for file in files if file["wrong"]]
    for file in wrong:
        tensor, name = f"tensor {file['tensor']!r}", file["name"]
        what, todo = {
            "outside": (
                f"external data of {tensor} lies outside the model's folder: {name!r}",
                f"{BESIDE}; paths with .., absolute paths and links that lead elsewhere are refused",
            ),
            "missing": (f"external data is missing: {tensor} is in {name!r}", BESIDE),
            "special": (f"external data of {tensor} is in {name!r}, which is no regular file", BESIDE),
            "short": (
                f"external data is cut short: {tensor} is not within the {file['bytes']:,} bytes of {name!r}",
                "copy the file again, or repeat the export",
            ),
        }[file["wrong"]]
        report.add("error", what, todo, name)
    return not wrong


def _judge_checker(report: Report, facts: dict) -> bool:
    complaint = facts["checker"]
    if complaint and re.match(IGNORANCE, complaint):
        todo = "nothing if it is a plugin of yours, or newer than this onnx; else see its name, domain and opset"
        report.add("warning", f"onnx.checker does not know all of it: {complaint}", todo)
    if facts["misfits"]:
        report.add("error", facts["misfits"][0], "the file is damaged: repeat the export, or the copy")
        return False
    if facts["inference"] and not complaint_of(facts):
        todo = "look at that node: declared and real shapes or types differ; export again, or mend the graph"
        report.add("warning", f"shape inference: {facts['inference']}", todo)
    return True


def complaint_of(facts: dict) -> str:
    """Returns what onnx.checker has against the model, save for what it does not know; "" for nothing."""
    complaint = facts["checker"] or ""
    return "" if re.match(IGNORANCE, complaint) else complaint


def judge_complaint(report: Report, complaint: str, usable: bool) -> None:
    """Adds what onnx.checker has against the model: a warning if TensorRT or ONNX Runtime takes it all the same."""
    if usable:
        id = next((id for words, id in COMPLAINTS.items() if words in complaint), "TRT044")
        report.add("warning", f"onnx.checker: {complaint}", advice=id)
    else:
        todo = "repeat the export with a current PyTorch and opset, or mend the graph with onnx-graphsurgeon"
        report.add("error", complaint, todo)


def _judge_graph(report: Report, facts: dict) -> None:
    if not facts["nodes"]:
        report.add("error", "the graph is empty: it has no node", "see that the export traced the model, not a stub")
    if not facts["outputs"]:
        report.add("error", "the graph has no output", "name the outputs in the export")
    for node in facts["no_outputs"]:
        what = "this node has no output: TensorRT's parser crashes on such a node (SIGSEGV)"
        report.add("error", what, "remove the node, e.g. with onnx-graphsurgeon: graph.cleanup()", node)
    for node, both in facts["zero_divisions"]:
        what = "divides an integer by a constant that is zero"
        if both:
            what += ": TensorRT computes that while it builds, and crashes (SIGFPE)"
        todo = "mend the constant; often a stride or a size that became 0"
        report.add("error" if both else "warning", what, todo, node)
    for tensor in report.inputs:
        if tensor.shape is None and tensor.type not in ("sequence_type", "optional_type"):
            what = "the rank of this input is not known, so no profile can be proposed"
            todo = "export with an example input, or write the shape into the graph"
            report.add("warning", what, todo, f"input {tensor.name!r}")


def _judge_types(report: Report, facts: dict, narrow_int64: bool) -> None:
    if facts["doubles"]:
        what = "double precision (DOUBLE) silently becomes FLOAT in TensorRT"
        todo = "export model.float(), and feed float32: then what you compare with is what runs"
        report.add("warning", what, todo, some(facts["doubles"], facts["more"].get("doubles", 0)))
    if narrow_int64 and facts["int64"]:
        todo = "nothing for shapes and indices below 2**31; else use TensorRT 10 or later"
        where = some(facts["int64"], facts["more"].get("int64", 0))
        report.add("warning", "INT64 silently becomes INT32 before TensorRT 10", todo, where)


def _judge_weights(report: Report, facts: dict) -> None:
    for kind, (severity, what, todo) in WEIGHTS.items():
        if names := facts["suspicious"].get(kind):
            where = some(names, facts["more"].get(kind, 0))
            report.add(severity, f"{facts['weights'][kind]:,} {what}", todo, where)


def where_of(row: dict) -> str:
    """Names the nodes of an error of the parser, which is a dict as ``trial.parse`` gives it.

    >>> where_of({"operator": "Resize", "kind": "Resize", "names": ["node 7", "node 9"], "count": 2})
    'Resize, node 7, node 9'
    """
    operator = row["operator"] or row["kind"]
    names = some(row["names"], row["count"] - len(row["names"]))
    return f"{operator}{',' * names.startswith('node ')} {names}".strip(", ")


def some(names: list[str], more: int = 0) -> str:
    """Joins the first three names, and says how many more there are; ``more`` of them are not in the list."""
    more += max(0, len(names) - 3)
    return ", ".join(names[:3]) + (f" and {more:,} more" if more else "")
