"""Says what to do about what a check found: by what the graph alone tells, else by TensorRT's message (chapter 08).

Standard library only.

>>> report = Report("m.onnx", tensorrt="TensorRT 10.13.3")
>>> report.add("error", "TensorRT's parser refuses it: antialias == 0", where="Resize 'shrink'")
>>> advise(report, [{"advice": "TRT028", "nodes": ["Resize 'shrink'"], "operators": ["Resize"], "always": False}], [])
>>> report.problems[0].advice
'TRT028'
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...advice import Advice, advice_for, by_id
from .findings import some, where_of
from .report import BUILDS, GOOD, NOT_TRIED, Operator, Problem, Report

OTHERWISE = Advice(
    "",
    "",
    "Try another opset (torch.onnx.export(..., opset_version=17 or later)); fold constants (polygraphy surgeon "
    "sanitize MODEL.onnx --fold-constants -o FOLDED.onnx, or onnxsim); write it with other operators in PyTorch and "
    "export again; or cut the model there and run the rest elsewhere.",
    "08_will_it_convert",
)
# Advice about crashes, limits, files and values: such a message has nothing to do with what a node is.
BY_MESSAGE = ("TRT001", "TRT002", "TRT003", "TRT004", "TRT005", "TRT010", "TRT012", "TRT013")
# Advice for an operator as such: where another release builds it, that is worth a sentence.
OF_OPERATORS = ("", "TRT006", "TRT007", "TRT011", "TRT038")
# What a kind is called in a warning of its own: always, or where the model was not built.
ALWAYS = {
    "TRT034": "axes of this input share a name, so TensorRT takes only shapes where they are equal",
    "TRT039": "reshapes to constant sizes, so only one size of a dynamic axis fits",
}
UNBUILT = {
    "TRT030": "this If comes from squeeze, and its branches differ in rank: it may not build",
    "TRT031": "the branches of this If differ, or have an If in them: it may not build",
}
# What TensorRT for RTX takes, and the full TensorRT from some version on: a note, where this one took it.
NOTES = {
    "TRT036": ("5-D GridSample: of the full TensorRT, only 11.2 and later take it", (11, 2)),
    "TRT037": ("a reduction whose axes are an input: TensorRT 8.6 does not read them", (9, 0)),
}
_NAME = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


def advise(report: Report, kinds: Sequence[dict], parser_errors: Sequence[dict]) -> None:
    """Completes the errors of a report that have no ``todo``, and adds the warnings that the graph alone gives.

    ``kinds``: as ``kinds.kinds`` gives them. ``parser_errors``: as ``trial.parse`` does; empty where it parses. A kind
    of the node itself explains its error, or else a kind of its operator, or else TensorRT's message.
    """
    book = _Book(report, kinds, parser_errors)
    for place, problem in enumerate(report.problems):
        if problem.severity == "error" and not problem.todo:
            report.problems[place] = book.advised(problem)
    refused = [problem for problem in report.problems if problem.severity == "error"]
    for warning in book.refused_alone(refused) if refused else ():
        report.add(*warning)
    told = {word for problem in report.problems for word in (problem.advice, problem.where)}
    for kind in kinds:
        id, where = kind["advice"], some(kind["nodes"])
        if id in told or where in told:
            continue
        if kind["always"] or (id in UNBUILT and not report.built):
            report.add("warning", (ALWAYS | UNBUILT)[id], where=where, advice=id)
            told |= {id, where}
        elif id in NOTES and book.takes(id):
            report.add("note", NOTES[id][0], where=where, advice=id)


class _Book:
    """Looks up the kinds by node and by operator."""

    def __init__(self, report: Report, kinds: Sequence[dict], parser_errors: Sequence[dict]):
        self.release = report.judged_for or report.tensorrt
        self.kinds = [kind for kind in kinds if not self.takes(kind["advice"])]
        self.operators = {operator.type: operator for operator in report.operators}
        self.rows = {where_of(row): row for row in parser_errors}
        self.by_node: dict[str, dict] = {}
        self.by_operator: dict[str, dict] = {}
        for kind in self.kinds:
            for node in kind["nodes"]:
                self.by_node.setdefault(node, kind)
            for operator in kind["operators"]:
                self.by_operator.setdefault(operator, kind)

    def takes(self, id: str) -> bool:
        """Says whether this TensorRT takes a kind that others do not."""
        version = tuple(map(int, re.findall(r"\d+", self.release)))
        return id in NOTES and ("rtx" in self.release.lower() or version >= NOTES[id][1])

    def advised(self, problem: Problem) -> Problem:
        """Returns an error with cause, cure and chapter, and with its node where the graph knows it."""
        by_message = advice_for(problem.what)
        where = problem.where or some(self._suspects(by_message))
        operator = self.rows[where]["kind"] if where in self.rows else where.partition(" ")[0].rstrip(",")
        kind = self._kind(where, operator)
        if kind and where == operator and len(kind["nodes"]) == 1:
            (where,) = kind["nodes"]
        if kind and not (by_message and by_message.id in BY_MESSAGE):
            advice = by_id(kind["advice"])
        else:
            advice = by_message or OTHERWISE
        cause, cure = self._elsewhere(advice, operator)
        return replace(problem, where=where, cause=cause, todo=cure, advice=advice.id, chapter=advice.chapter)

    def _kind(self, where: str, operator: str) -> dict | None:
        nodes = [where, *(f"{operator} {name}" for name in _NAME.findall(where))]
        if where.startswith(f"{operator}, node "):
            nodes += [f"{operator}, {node}" for node in re.findall(r"node \d+", where)]
        found = next((self.by_node[node] for node in nodes if node in self.by_node), None)
        return found if found or len(nodes) > 1 else self.by_operator.get(operator)

    def _suspects(self, by_message: Advice | None) -> list[str]:
        """Names what a message is about that names nothing itself: the nodes of its kind, or the operators that were
        refused alone."""
        for kind in self.kinds:
            if by_message and kind["advice"] == by_message.id:
                return kind["nodes"]
        bad = [operator for operator in self.operators.values() if _is_bad(operator)]
        return [node for operator in bad for node in operator.nodes or [operator.type]]

    def _elsewhere(self, advice: Advice, operator: str) -> tuple[str, str]:
        """Returns cause and cure, with the other releases that build an operator which this one has not."""
        known = self.operators.get(operator)
        if known is None or known.expected == BUILDS:  # so it is not the operator that this one refuses
            return advice.cause, advice.cure
        releases = [name for name, verdict in known.elsewhere.items() if verdict == BUILDS]
        if advice.id not in OF_OPERATORS or not releases:
            return advice.cause, advice.cure
        others = f"{' and '.join(releases)} {'builds' if len(releases) == 1 else 'build'} {operator}"
        return f"{advice.cause} {others}.".strip(), f"{advice.cure} {others}: take that where there is a GPU."

    def refused_alone(self, errors: Sequence[Problem]) -> Iterator[tuple[str, str, str, str, str]]:
        """Yields a warning, as ``Report.add`` takes it, for each operator that was refused alone and is in no error."""
        blamed = {problem.where.partition(" ")[0].rstrip(",") for problem in errors}
        for operator in self.operators.values():
            if not _is_bad(operator) or operator.type in blamed or not operator.reason:
                continue
            kind = self._kind(some(operator.nodes) or operator.type, operator.type)
            known = by_id(kind["advice"]) if kind else advice_for(operator.reason)
            where = some(operator.nodes or (kind["nodes"] if kind else [operator.type]))
            what = f"alone, it is refused too ({operator.verdict}): {operator.reason}"
            yield "warning", what, (known or OTHERWISE).cure, where, known.id if known else ""


def _is_bad(operator: Operator) -> bool:
    return operator.verdict not in (*GOOD, NOT_TRIED)
