"""Judges a model for a TensorRT that is not here: by the operator atlas and what its API has (chapter 12).

``check --for 8.6`` asks it. Nothing is run, so nothing is certain: where the data do not say, the verdict is
"undecided". Standard library only: no TensorRT is needed, so it works on macOS, too.

>>> "8.6" in releases() and "rtx-1.7" in releases()
True
>>> release_of("10").name, release_of("10").rtx
('TensorRT 10', False)
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .advice import NOTES, advise
from .atlas import ELSE, UNKNOWN, WRONG, Known, known, read_atlas
from .findings import some
from .report import (
    BUILDS,
    CONVERTIBLE,
    CRASHES,
    DOES_NOT_BUILD,
    NEEDS_CONSTANT,
    NOT_CONVERTIBLE,
    NOT_SUPPORTED,
    NOT_TRIED,
    UNDECIDED,
    Report,
)

NAMES_FILE = Path(__file__).parents[3] / "data" / "names.json"
# The releases whose API was read, as data/names.json has them, and their versions.
READ = {"8.6": "8.6.1", "10.13": "10.13.3.9", "10.16": "10.16.1.11", "11.4": "11.4.0.106", "RTX 1.7": "1.7.1.116"}
# ONNX's name of a type, and TensorRT's where it is another. DOUBLE becomes FLOAT, and INT64 INT32 before 9.1.
TYPES = {"FLOAT16": "HALF", "BFLOAT16": "BF16", "FLOAT8E4M3FN": "FP8", "FLOAT4E2M1": "FP4", "FLOAT8E8M0": "E8M0"}
TAKEN = ("FLOAT", "INT32", "INT8", "UINT8", "BOOL", "INT4", *TYPES)
NEVER = ("STRING", "COMPLEX64", "COMPLEX128", "UINT16", "UINT32", "UINT64", "INT16", "FLOAT8E5M2", "FLOAT8E4M3FNUZ",
         "FLOAT8E5M2FNUZ")  # fmt: skip
NEVER_TAKEN = ("ai.onnx.ml", "ai.onnx.preview.training", "ai.onnx.training")  # domains
AXES = 8  # of a tensor
PLUGIN = "standard plugin"
# What only some releases take: the advice, and the first full TensorRT that does (NVIDIA/TensorRT#3890, #4619).
SINCE = {"TRT036": (11, 2)}
REFUSED = ("TRT029",)  # by every TensorRT, for a value of which the atlas has no cases (K of ITopKLayer: 3840 at most)


class Release(NamedTuple):
    """A release to judge for: its ``name`` for readers, its ``version`` as numbers, and whether it is TensorRT for RTX.

    "10" and "11" are judged as the newest of them whose API was read. ``column`` is its column in the atlas, "" where
    there is none, ``api`` its entry in data/names.json.
    """

    name: str
    version: tuple[int, ...]
    rtx: bool
    column: str
    api: str


def releases() -> list[str]:
    """Returns what :func:`release_of` takes: "8.6", "8.6.1", "10", "11", "rtx-1.7" and so on."""
    found: dict[str, None] = {}
    for short, full in READ.items():
        prefix = "rtx-" if short.startswith("RTX") else ""
        short = short.removeprefix("RTX ")
        if not prefix and not short.startswith("8"):
            found[short.partition(".")[0]] = None
        parts = full.split(".")
        found.update(dict.fromkeys(f"{prefix}{text}" for text in (short, ".".join(parts[:3]), full)))
    return list(found)


def release_of(text: str) -> Release:
    """Returns the release of a text such as "rtx-1.7" or "10". Raises ValueError for one that is not known."""
    if text not in releases():
        raise ValueError(f"release {text!r} is not known; there are {', '.join(releases())}")
    rtx, version = text.startswith("rtx-"), text.removeprefix("rtx-")
    name = f"TensorRT for RTX {version}" if rtx else f"TensorRT {version}"
    columns = [run for run in read_atlas()["runs"] if _same(run.rpartition(" ")[2], version) and ("RTX" in run) == rtx]
    entries = [key for key, full in READ.items() if _same(full, version) and key.startswith("RTX") == rtx]
    return Release(name, _numbers(READ[entries[-1]]), rtx, (columns or [""])[0], entries[-1])


def known_in(release: str, domain: str, operator: str, uses: Sequence[tuple[str, bool]] | None = None) -> Known:
    """Says what is known of an operator in a release, by the name of its column in the atlas: "TensorRT 8.6.1".

    ``uses``: as ``atlas.known`` takes them.
    """
    if operator in _data()["plugins"] and operator not in read_atlas()["operators"]:
        return Known(False, NOT_SUPPORTED) if "RTX" in release else Known(None, PLUGIN)
    if domain in NEVER_TAKEN:
        return Known(False, NOT_SUPPORTED)
    return Known(None, UNKNOWN) if domain else known(operator, release, uses)


def uses_in(row: list) -> list[tuple[str, bool]]:
    """Returns the uses in a row of the operators in ``model_facts.facts``."""
    return [(use, constant) for use, constant in row[5]] if len(row) > 5 else []


def elsewhere_line(report: Report) -> str:
    """Returns a clause for the summary of a model that was refused: what other releases make of the operators that this
    TensorRT refuses. "" where they do not take all of them, nothing is known, or it is not the operators that this one
    refuses.

    >>> from .report import Operator
    >>> operator = Operator("", "NonZero", 13, 1, NOT_SUPPORTED, elsewhere={"TensorRT 8.6.1": BUILDS})
    >>> elsewhere_line(Report("m.onnx", operators=[operator]))
    'TensorRT 8.6.1 builds NonZero'
    """
    good = (BUILDS, PLUGIN)
    refused = [operator for operator in report.operators if operator.verdict in (NOT_SUPPORTED, DOES_NOT_BUILD)]
    if not refused or any(operator.expected == BUILDS for operator in refused):
        return ""
    for release in read_atlas()["runs"]:
        verdicts = [operator.elsewhere.get(release) for operator in refused]
        if all(verdict in good for verdict in verdicts):
            names = ", ".join(operator.type for operator in refused[:3]) + (" …" if len(refused) > 3 else "")
            return f"{release} has {names} as a {PLUGIN}" if PLUGIN in verdicts else f"{release} builds {names}"
    return ""


def judge_for(report: Report, facts: dict, release: str, kinds: Sequence[dict]) -> None:
    """Fills verdict, summary, problems and the operators' verdicts of a report, for a release that is not here.

    ``facts``: as ``model_facts.facts`` gives them, ``release``: one of :func:`releases`, ``kinds``: as ``kinds.kinds``
    gives them. Raises ValueError for a release that is not known.
    """
    wanted = release_of(release)
    report.judged_for = wanted.name
    unsure = _judge_operators(report, facts, wanted, kinds)
    _judge_types(report, facts, wanted)
    _judge_kinds(report, kinds, wanted, unsure)
    if not _named(wanted, "BuilderFlag.FP16"):
        what = f"{wanted.name} builds with the types of the graph: it has no flag FP16 or INT8, and no calibration"
        todo = "put the types into the model: helpers.precision.to_fp16, or quantize for Q/DQ"
        report.add("note", what, todo, chapter="10_precision")
    doubtful = [operator.type for operator in report.operators if ELSE in operator.reason]
    if unmeasured := [operator for operator in unsure if operator not in doubtful]:
        they, them = ("these operators were", "them") if len(unmeasured) > 1 else ("this operator was", "it")
        what = f"unverified: {they} not measured with {wanted.name} as the model uses {them}"
        report.add("warning", what, "check it with that TensorRT itself, on a machine that has it", some(unmeasured))
    advise(report, kinds, [])
    errors = [problem for problem in report.problems if problem.severity == "error"]
    report.verdict = NOT_CONVERTIBLE if errors else UNDECIDED if unsure else CONVERTIBLE
    if errors:
        first = errors[0]
        where = f"{first.where}: " if first.where else ""
        reason = first.reason if first.advice else first.what
        line = f"{wanted.name} will not take {report.model}: {where}{reason.rstrip('.')}"
    elif unsure:
        line = f"{wanted.name} may take {report.model}: nothing is known against it, but {len(unsure)} of "
        line += f"{len(report.operators)} kinds of operators {'are' if len(unsure) > 1 else 'is'} unverified: "
        line += some(unsure)
    else:
        line = f"{wanted.name} takes every operator of {report.model} as it is used there"
    report.summary = f"{line} (by data, not tried)"


def _judge_operators(report: Report, facts: dict, wanted: Release, kinds: Sequence[dict]) -> list[str]:
    """Sets the operators' verdicts, and adds errors. Returns the operators of which nothing is known."""
    unsure = []
    for operator, row in zip(report.operators, facts["operators"], strict=True):
        uses = uses_in(row)
        found = known_in(wanted.column or wanted.name, operator.domain, operator.type, uses)
        bad = next((one for one in (NEEDS_CONSTANT, DOES_NOT_BUILD, CRASHES) if one in found.text), NOT_SUPPORTED)
        operator.verdict = {True: BUILDS, False: bad, None: NOT_TRIED}[found.good]
        operator.reason = "" if found.good else found.text
        for run in read_atlas()["runs"]:
            if run != wanted.column:
                operator.elsewhere[run] = known_in(run, operator.domain, operator.type, uses).text
        if found.good is None:
            unsure.append(operator.type)
        if found.good is None and ELSE in found.text:
            id = next((kind["advice"] for kind in kinds if operator.type in kind["operators"]), "")
            todo = "" if id else "compare its outputs there with those of ONNX Runtime, as chapter 10 does"
            report.add("warning", f"it builds, and {found.text}, by the operator atlas", todo, operator.type, id)
        elif found.good is False and found.text.startswith(WRONG):
            report.add("error", f"it builds, and {found.text}, by the operator atlas", where=operator.type)
        elif found.good is False:
            report.add("error", f"{found.text}, by the operator atlas", where=operator.type)
    return unsure


def _judge_types(report: Report, facts: dict, wanted: Release) -> None:
    """Adds an error for each type in the model that the release has not, and for tensors of too many axes."""
    used = {tensor.type: f"{tensor.name!r}" for tensor in (*report.inputs, *report.outputs)}
    for operator, row in zip(report.operators, facts["operators"], strict=True):
        for use, _ in uses_in(row):
            used.setdefault(use.split(" ")[0], operator.type)
    for tensor in (*report.inputs, *report.outputs):
        if len(tensor.shape or ()) > AXES:
            what = f"no TensorRT has tensors of more than {AXES} axes"
            report.add("error", what, "reshape it before the network, and leave out axes of 1", f"{tensor.name!r}")
    for kind, where in used.items():
        name = f"DataType.{TYPES.get(kind, kind)}"
        if kind in NEVER:
            report.add("error", f"no TensorRT has the type {kind}", where=where, advice="TRT008")
        elif kind in TAKEN and not _named(wanted, name):
            came = _data()["names"].get(name, {}).get("python", ("a later release",))[0]
            what = f"{wanted.name} has no {kind}: that came with {came}"
            report.add("error", what, "use another type, such as FLOAT16, or a later TensorRT", where)


def _judge_kinds(report: Report, kinds: Sequence[dict], wanted: Release, unsure: list[str]) -> None:
    """Tells what the graph alone shows, and the atlas does not say."""
    for kind in kinds:
        since, where = SINCE.get(kind["advice"]), some(kind["nodes"])
        if kind["advice"] in REFUSED:
            report.add("error", "no TensorRT takes it", where=where, advice=kind["advice"])
        elif wanted.column:
            continue
        elif since and wanted.version < since:
            what = f"only TensorRT {'.'.join(map(str, since))} and later take it, and TensorRT for RTX"
            report.add("error", what, where=where, advice=kind["advice"])
        elif kind["advice"] not in NOTES and not kind["always"] and set(kind["operators"]) & set(unsure):
            what = f"other releases of TensorRT do not take this; {wanted.name} was not measured"
            report.add("warning", what, where=where, advice=kind["advice"])


def _named(wanted: Release, name: str) -> bool:
    """Returns whether the API of the release has a name; of "10" and "11", that of the newest one that was read."""
    return wanted.api in _data()["names"].get(name, {"in": []})["in"]


def _same(full: str, version: str) -> bool:
    """Returns whether a full version is one of those that are meant by a version, which may be shorter or longer."""
    a, b = _numbers(full), _numbers(version)
    return a[: len(b)] == b[: len(a)]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


@functools.lru_cache(maxsize=1)
def _data() -> dict:
    """Reads data/names.json."""
    return json.loads(NAMES_FILE.read_text(encoding="utf-8"))
