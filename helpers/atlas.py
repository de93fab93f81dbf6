"""What is known of an operator with other releases of TensorRT: the operator atlas in data/ (chapter 08)."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from .report import BUILDS, DOES_NOT_BUILD, NEEDS_CONSTANT, NOT_SUPPORTED, PARSED

ATLAS = Path(__file__).parents[1] / "data" / "atlas.json"


@functools.lru_cache(maxsize=1)
def read_atlas(path: Path = ATLAS) -> dict:
    """The atlas: ``runs`` says how each release was measured, ``operators`` how many cases of an operator did what.

    Empty where there is no such file. Raises ValueError for one that is damaged.
    """
    if not path.is_file():
        return {"runs": {}, "operators": {}}
    return json.loads(path.read_text(encoding="utf-8"))


def known_verdicts(operator: str) -> dict[str, str]:
    """What each measured release makes of an ONNX operator: {"TensorRT 8.6.1": "parsed in 3 of 12 cases", …}."""
    return {release: _verdict(counts) for release, counts in read_atlas()["operators"].get(operator, {}).items()}


def _verdict(counts: dict[str, int]) -> str:
    cases, parsed, built = counts["cases"], counts["parsed"], counts.get("built")
    constant = counts.get("constant", 0)  # more cases that parse once all inputs but the first are constants
    if not parsed:
        return NEEDS_CONSTANT if constant else NOT_SUPPORTED
    if built == 0:
        return DOES_NOT_BUILD
    best = parsed if built is None else built
    verdict = PARSED if built is None else BUILDS
    return verdict if best == cases else f"{verdict} in {best} of {cases} cases"
