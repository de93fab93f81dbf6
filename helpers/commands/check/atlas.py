"""Reads the operator atlas in data/: what each measured release makes of an ONNX operator (chapter 08).

Standard library only.

>>> known_verdicts("NoSuchOperator")
{}
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

from .report import BUILDS, CRASHES, DOES_NOT_BUILD, NEEDS_CONSTANT, NOT_SUPPORTED

ATLAS = Path(__file__).parents[3] / "data" / "atlas.json"
# Of a case, the best first. "constant": it builds once the inputs after the first are constants.
OUTCOMES = ("built", "constant", "parsed", "refused", "crashed")


@functools.lru_cache(maxsize=1)
def read_atlas(path: Path = ATLAS) -> dict:
    """Reads the atlas: ``runs`` says how each release was measured, ``operators`` how many cases of each did what.

    Both are empty where there is no such file. Raises ValueError for one that is damaged.
    """
    if not path.is_file():
        return {"runs": {}, "operators": {}}
    return json.loads(path.read_text(encoding="utf-8"))


def release_name(key: str) -> str:
    """Names a release for a reader: "TensorRT for RTX 1.7.1" for the atlas' "TensorRT-RTX 1.7.1"."""
    return key.replace("TensorRT-RTX", "TensorRT for RTX")


def known_verdicts(operator: str) -> dict[str, str]:
    """Returns each release's verdict on an ONNX operator: {"TensorRT 8.6.1": "builds in 3 of 12 cases", …}."""
    columns = read_atlas()["operators"].get(operator, {})
    return {release_name(key): _verdict(counts) for key, counts in columns.items()}


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
