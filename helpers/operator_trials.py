"""A verdict for every operator of a model: from the whole model where it went well, else from its nodes tried alone
(chapter 08). Standard library only.

>>> WORST_FIRST[0], WORST_FIRST[-1]
('crashes TensorRT', 'builds')
"""

from __future__ import annotations

from collections.abc import Callable

from .atlas import known_verdicts
from .report import (
    BUILDS,
    CRASHES,
    DOES_NOT_BUILD,
    GOOD,
    NEEDS_CONSTANT,
    NOT_SUPPORTED,
    NOT_TRIED,
    PARSED,
    Operator,
    Report,
)

NODES = 3  # of each operator that are tried alone; those that the parser blamed come first
WORST_FIRST = (CRASHES, NOT_SUPPORTED, NEEDS_CONSTANT, DOES_NOT_BUILD, NOT_TRIED, PARSED, BUILDS)
_TRY_NODE = f"{__package__}.trial:try_node"


def judge_operators(
    report: Report,
    facts: dict,
    path: str,
    attempt: Callable,
    stage: str,
    message: str | None,
    node_errors: list[list[str]],
) -> None:
    """Sets ``verdict``, ``reason`` and ``elsewhere`` of each operator of the report.

    ``stage`` says how far the whole model was to go, "parsed" or "built", ``message`` why it did not get there (None:
    it did), ``node_errors`` which nodes the parser blamed. ``attempt`` calls a function in the worker.
    """
    for operator in report.operators:
        if not operator.domain:
            known = known_verdicts(operator.type)
            operator.elsewhere = {name: verdict for name, verdict in known.items() if name != report.tensorrt}
        if message is None:
            operator.verdict = BUILDS if report.built else PARSED
            continue
        blamed = [error for error in node_errors if _operator_of(error, facts["nodes"]) == operator.type]
        if node_errors and not blamed and all(kind for _, kind, _ in node_errors):
            operator.verdict = PARSED  # a parser that names operators has named every one that it cannot take
            continue
        for index in _nodes_to_try(operator, facts["nodes"], blamed):
            verdict, reason = _try(path, index, attempt, and_build=stage == "built")
            if WORST_FIRST.index(verdict) < WORST_FIRST.index(operator.verdict) or operator.verdict == NOT_TRIED:
                operator.verdict, operator.reason = verdict, reason
        if blamed and operator.verdict in (*GOOD, NOT_TRIED):
            # Alone it would do: it is what surrounds it here that TensorRT cannot take.
            needs = "constant" in blamed[0][2]
            operator.verdict, operator.reason = NEEDS_CONSTANT if needs else NOT_SUPPORTED, blamed[0][2]
    if message is None and stage == "parsed" and report.built is None:
        _warn_of_known(report)


def _operator_of(error: list[str], nodes: list[list[str]]) -> str:
    """The operator that an error of the parser names, or that it means by "number 5", as 8.6 does."""
    node, operator, _ = error
    number = node.removeprefix("number ")
    if not operator and number.isdigit() and int(number) < len(nodes):
        return nodes[int(number)][2]
    return operator


def _nodes_to_try(operator: Operator, nodes: list[list[str]], blamed: list[list[str]]) -> list[int]:
    same = [i for i, (_, domain, kind) in enumerate(nodes) if (domain, kind) == (operator.domain, operator.type)]
    names = {error[0] for error in blamed if error[0]}
    return sorted(same, key=lambda i: nodes[i][0] not in names)[:NODES]


def _try(path: str, index: int, attempt: Callable, and_build: bool) -> tuple[str, str]:
    parsed, failure = attempt(_TRY_NODE, path, index)
    if failure:
        return CRASHES, failure
    if not parsed["made"]:
        return NOT_TRIED, ""
    if parsed["message"] and and_build:
        return PARSED, ""  # in the model it was parsed, probably with inputs that TensorRT found to be constant
    if parsed["message"]:
        constant, failure = attempt(_TRY_NODE, path, index, constant=True)
        would_do = not failure and constant["made"] and not constant["message"]
        reason = parsed["errors"][0][2] if parsed["errors"] else parsed["message"]
        return NEEDS_CONSTANT if would_do else NOT_SUPPORTED, reason
    if and_build:
        built, failure = attempt(_TRY_NODE, path, index, and_build=True)
        if failure:
            return CRASHES, failure
        if built["message"]:
            return DOES_NOT_BUILD, built["message"]
        return BUILDS, ""
    return PARSED, ""


def _warn_of_known(report: Report) -> None:
    for operator in report.operators:
        known = known_verdicts(operator.type).get(report.tensorrt) if not operator.domain else None
        if known == DOES_NOT_BUILD:
            report.add(
                "warning",
                f"parses, but {report.tensorrt} built none of the atlas' models with this operator",
                "check again with --build (build=True)",
                operator.type,
            )
