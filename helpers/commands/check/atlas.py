"""What is known of an operator with other releases of TensorRT: the operator atlas in data/ (chapter 08).

>>> known_verdicts("NoSuchOperator")
{}
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

from .report import BUILDS, CRASHES, DOES_NOT_BUILD, NEEDS_CONSTANT, NOT_SUPPORTED

ATLAS = Path(__file__).parents[3] / "data" / "atlas.json"
OUTCOMES = (
    "built",
    "constant",
    "parsed",
    "refused",
    "crashed",
)  # of a case; constant: only with constant inputs


@functools.lru_cache(maxsize=1)
def read_atlas(path: Path = ATLAS) -> dict:
    """The atlas: ``runs`` says how each release was measured, ``operators`` how many cases of an operator did what.

    Empty where there is no such file. Raises ValueError for one that is damaged.
    """
    if not path.is_file():
        return {"runs": {}, "operators": {}}
    return json.loads(path.read_text(encoding="utf-8"))


def known_verdicts(operator: str) -> dict[str, str]:
    """What each measured release makes of an ONNX operator: {"TensorRT 8.6.1": "builds in 3 of 12 cases", …}."""
    return {release: _verdict(counts) for release, counts in read_atlas()["operators"].get(operator, {}).items()}


def _verdict(counts: dict) -> str:
    built, constant, parsed, _, crashed = (counts.get(outcome, 0) for outcome in OUTCOMES)
    cases = sum(counts.get(outcome, 0) for outcome in OUTCOMES)
    if built:
        part = "" if built + constant == cases else f" in {built + constant} of {cases} cases"
        return f"{BUILDS}{part}, {constant} with constant inputs" if constant else BUILDS + part
    if constant:
        return NEEDS_CONSTANT if constant == cases else f"{NEEDS_CONSTANT}; {constant} of {cases} cases"
    if crashed:
        return CRASHES
    return DOES_NOT_BUILD if parsed else NOT_SUPPORTED
