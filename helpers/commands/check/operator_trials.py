"""Judges every operator of a model: by the whole model where it went well, else by its nodes alone (chapter 08).

Standard library only.

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
    NODES,
    NOT_SUPPORTED,
    NOT_TRIED,
    PARSED,
    Operator,
    Report,
)

OPERATORS = 40  # that are tried alone; those that the parser blamed come first
WORST_FIRST = (CRASHES, NOT_SUPPORTED, NEEDS_CONSTANT, DOES_NOT_BUILD, PARSED, BUILDS)
_TRY_NODE = f"{__package__}.node_trial:try_node"


def recall_operators(report: Report) -> None:
    """Sets ``elsewhere`` of each operator of the report, from the atlas."""
    for operator in report.operators:
        if not operator.domain:
            known = known_verdicts(operator.type)
            operator.elsewhere = {name: verdict for name, verdict in known.items() if name != report.tensorrt}


def judge_operators(
    report: Report, facts: dict, path: str, attempt: Callable, stage: str, message: str | None, errors: list[dict]
) -> None:
    """Sets ``verdict`` and ``reason`` of each operator of the report.

    ``stage`` says how far the whole model was to go, "parsed" or "built", ``message`` why it did not get there (None:
    it did), ``errors`` what the parser blamed, as ``trial.parse`` gives it. ``attempt`` calls a function in
    the worker; what it raises passes through, and then the verdicts are those so far.
    """
    blamed: dict[str, list[dict]] = {}
    for error in errors:
        blamed.setdefault(error["kind"], []).append(error)
    names_all = bool(errors) and all(error["operator"] for error in errors)
    first, others = [], []  # to try, with the places of their nodes
    for operator, row in zip(report.operators, facts["operators"], strict=True):
        if message is None:
            operator.verdict = BUILDS if report.built else PARSED
        elif operator.type in blamed:
            # Alone it may do: then it is what surrounds it here that TensorRT cannot take.
            text = blamed[operator.type][0]["text"]
            operator.verdict, operator.reason = NEEDS_CONSTANT if "constant" in text else NOT_SUPPORTED, text
            places = [place for error in blamed[operator.type] for place in error["places"]]
            first.append((operator, list(dict.fromkeys(places + row[4]))))
        elif names_all:
            operator.verdict = PARSED  # a parser that names operators has named every one that it cannot take
        else:
            operator.verdict = PARSED if stage == "built" else NOT_TRIED
            others.append((operator, row[4]))
    suspects = first + others
    for operator, places in suspects[:OPERATORS]:
        _judge(operator, places, path, attempt, and_build=stage == "built")
    if len(suspects) > OPERATORS:
        what = f"{OPERATORS} kinds of operators were tried alone, and {len(suspects) - OPERATORS:,} more were not"
        report.add("note", what, "mend what was found, and check again")
    if message is None and stage == "parsed" and report.built is None:
        _warn_of_known(report)


def _judge(operator: Operator, places: list[int], path: str, attempt: Callable, and_build: bool) -> None:
    """Tries nodes of the operator alone. The worst outcome counts; a good one says nothing against the parser."""
    found = []
    for place in places[:NODES]:
        verdict, reason = _try(path, place, attempt, and_build)
        if verdict != NOT_TRIED:
            found.append((verdict, reason))
    if found:
        verdict, reason = min(found, key=lambda pair: WORST_FIRST.index(pair[0]))
        if verdict not in GOOD or operator.verdict in (*GOOD, NOT_TRIED):
            operator.verdict, operator.reason = verdict, reason


def _try(path: str, place: int, attempt: Callable, and_build: bool) -> tuple[str, str]:
    parsed, failure = attempt(_TRY_NODE, path, place)
    if failure:
        return CRASHES, failure
    if not parsed["made"]:
        return NOT_TRIED, ""
    if parsed["message"] and and_build:
        return PARSED, ""  # in the model it was parsed, probably with inputs that TensorRT found to be constant
    if parsed["message"]:
        constant, failure = attempt(_TRY_NODE, path, place, constant=True)
        would_do = not failure and constant["made"] and not constant["message"]
        reason = parsed["errors"][0]["text"] if parsed["errors"] else parsed["message"]
        return NEEDS_CONSTANT if would_do else NOT_SUPPORTED, reason
    if and_build:
        built, failure = attempt(_TRY_NODE, path, place, and_build=True)
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
            what = f"parses, but {report.tensorrt} built none of the atlas' models with this operator"
            report.add("warning", what, "check again with --build (build=True)", operator.type)
