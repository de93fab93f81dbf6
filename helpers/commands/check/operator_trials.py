"""Judges every operator of a model: by the whole model where it went well, else by its nodes alone (chapter 08).

Standard library only.

>>> WORST_FIRST[0], WORST_FIRST[-1]
('crashes TensorRT', 'builds')
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .atlas import read_atlas
from .releases import known_in, uses_in
from .report import (
    BUILDS,
    CRASHES,
    DOES_NOT_BUILD,
    GOOD,
    NEEDS_CONSTANT,
    NODES,
    NOT_SUPPORTED,
    NOT_TRIED,
    PARSED,
    Operator,
    Report,
)

OPERATORS = 40  # that are tried alone; those that the parser blamed come first
PLACES = 6  # nodes of each that are tried: one of each use, and some more
WORST_FIRST = (CRASHES, NOT_SUPPORTED, NEEDS_CONSTANT, DOES_NOT_BUILD, PARSED, BUILDS)
_TRY_NODE = f"{__package__}.node_trial:try_node"


def recall_operators(report: Report, facts: dict) -> None:
    """Sets ``expected`` and ``elsewhere`` of each operator: what this release and others make of it as it is used."""
    for operator, row in zip(report.operators, facts["operators"], strict=True):
        for release in read_atlas()["runs"]:
            text = known_in(release, operator.domain, operator.type, uses_in(row)).text
            if release == report.tensorrt:
                operator.expected = text
            else:
                operator.elsewhere[release] = text


def judge_operators(
    report: Report, facts: dict, path: str, attempt: Callable, stage: str, message: str | None, errors: list[dict]
) -> None:
    """Sets ``verdict``, ``reason`` and ``nodes`` of each operator of the report.

    ``stage`` says how far the whole model was to go, "parsed" or "built", ``message`` why it did not get there (None:
    it did), ``errors`` what the parser blamed, as ``trial.parse`` gives it. ``attempt`` calls a function in
    the worker; what it raises passes through, and then the verdicts are those so far.

    A parser may stop at the first node that it cannot take, so what it did not blame is tried alone.
    """
    blamed: dict[str, list[dict]] = {}
    for error in errors:
        blamed.setdefault(error["kind"], []).append(error)
    first, others = [], []  # to try, with the places of their nodes
    for operator, row in zip(report.operators, facts["operators"], strict=True):
        if message is None:
            operator.verdict = BUILDS if report.built else PARSED
        elif operator.type in blamed:
            # Alone it may do: then it is what surrounds it here that TensorRT cannot take.
            text = blamed[operator.type][0]["text"]
            operator.verdict, operator.reason = NEEDS_CONSTANT if "constant" in text else NOT_SUPPORTED, text
            places = [place for error in blamed[operator.type] for place in error["places"]]
            first.append((operator, list(dict.fromkeys(places + row[4]))[: max(NODES, len(row[4]))]))
        else:
            operator.verdict = PARSED if stage == "built" else NOT_TRIED
            others.append((operator, row[4]))
    suspects = first + others
    for operator, places in suspects[:OPERATORS]:
        for fault in _judge(operator, places[:PLACES], path, attempt, and_build=stage == "built"):
            todo = "show it to those who made this check, with the model"
            report.add("note", f"a trial of it alone {fault}", todo, operator.type)
    if len(suspects) > OPERATORS:
        what = f"{OPERATORS} kinds of operators were tried alone, and {len(suspects) - OPERATORS:,} more were not"
        report.add("note", what, "mend what was found, and check again")
    if message is None and stage == "parsed" and report.built is None:
        _warn_of_known(report)


def _judge(operator: Operator, places: list[int], path: str, attempt: Callable, and_build: bool) -> list[str]:
    """Tries nodes of the operator alone. The worst outcome counts; a good one says nothing against the parser.

    Returns what went wrong in this check itself: nobody is accused of that.
    """
    outcomes = [_try(path, place, attempt, and_build) for place in places]
    found = [outcome for outcome in outcomes if outcome.verdict != NOT_TRIED]
    if found:
        worst = min(found, key=lambda outcome: WORST_FIRST.index(outcome.verdict))
        if worst.verdict not in GOOD or operator.verdict in (*GOOD, NOT_TRIED):
            operator.verdict, operator.reason = worst.verdict, worst.reason
        bad = [outcome.node for outcome in found if outcome.verdict not in GOOD and outcome.node]
        operator.nodes = bad[:NODES]
    return list(
        dict.fromkeys(outcome.reason for outcome in outcomes if outcome.verdict == NOT_TRIED and outcome.reason)
    )


class _Outcome(NamedTuple):
    """What became of a node that was tried alone, and its name."""

    verdict: str
    reason: str = ""
    node: str = ""


def _try(path: str, place: int, attempt: Callable, and_build: bool) -> _Outcome:
    parsed, failure = attempt(_TRY_NODE, path, place)
    if failure:
        return _died(failure)
    if not parsed["made"]:
        return _Outcome(NOT_TRIED)
    node = parsed.get("node", "")
    if parsed["message"] and and_build:
        return _Outcome(PARSED)  # in the model it was parsed, probably with inputs that TensorRT found to be constant
    if parsed["message"]:
        constant, failure = attempt(_TRY_NODE, path, place, constant=True)
        would_do = not failure and constant["made"] and not constant["message"]
        if would_do and not constant.get("computed", True):
            return _Outcome(PARSED)  # TensorRT computes these inputs itself, from shapes and constants
        reason = parsed["errors"][0]["text"] if parsed["errors"] else parsed["message"]
        return _Outcome(NEEDS_CONSTANT if would_do else NOT_SUPPORTED, reason, node)
    if and_build:
        built, failure = attempt(_TRY_NODE, path, place, and_build=True)
        if failure:
            return _died(failure, node)
        if not built["made"]:
            return _Outcome(PARSED)
        return _Outcome(DOES_NOT_BUILD, built["message"], node) if built["message"] else _Outcome(BUILDS)
    return _Outcome(PARSED)


def _died(failure: str, node: str = "") -> _Outcome:
    """Tells a crash of TensorRT from a fault of the trial itself."""
    return _Outcome(CRASHES if failure.startswith(CRASHES) else NOT_TRIED, failure, node)


def _warn_of_known(report: Report) -> None:
    for operator in report.operators:
        if operator.expected == DOES_NOT_BUILD:
            what = f"parses, but {report.tensorrt} built none of the atlas' models with this operator"
            report.add("warning", what, "check again with --build (build=True)", operator.type)
