"""Reads the operator atlas in data/: what each measured release makes of an ONNX operator (chapter 08).

A *use* is a line of features, as ``uses.use_of`` gives it. Standard library only.

>>> known_verdicts("NoSuchOperator")
{}
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .report import BUILDS, CRASHES, DOES_NOT_BUILD, NEEDS_CONSTANT, NOT_SUPPORTED
from .uses import in_words, is_inference

ATLAS = Path(__file__).parents[3] / "data" / "atlas.json"
# Of a case, by the letters of the file. "constant": it builds once inputs are constants. "wrong": it builds, and
# computes something else than ONNX says.
LETTERS = {"built": "b", "constant": "c", "wrong": "w", "parsed": "p", "refused": "r", "crashed": "x"}
OUTCOMES = tuple(LETTERS)
BEST_FIRST = OUTCOMES
MOST = 6  # features that are named
UNKNOWN, PROBABLE = "unknown", "probably builds"
ELSE = "something else"  # in these two
WRONG, DOUBTFUL = f"computes {ELSE}", f"may compute {ELSE}"
_BAD = {"w": WRONG, "c": NEEDS_CONSTANT, "x": CRASHES, "p": DOES_NOT_BUILD, "r": NOT_SUPPORTED}
_WITH_GRAPHS = ("If", "Loop", "Scan")  # their cases are about what is in the inner graphs
_USUAL = frozenset(("FLOAT", "FLOAT16", "INT32", "INT64", "BOOL"))
# Every release takes a Constant of these, as it does an initializer; a case in the atlas makes an output of it.
_STORED = _USUAL | {"DOUBLE", "INT8", "UINT8"}


class Known(NamedTuple):
    """What the atlas knows of a release: ``good`` is None where it does not know, ``text`` says it to a reader."""

    good: bool | None
    text: str


@functools.lru_cache(maxsize=1)
def read_atlas(path: Path = ATLAS) -> dict:
    """Reads the atlas: ``runs`` says how each release was measured, ``operators`` what became of each use of each.

    Both are empty where there is no such file. Columns without uses, as older files have them, are left out. Raises
    ValueError for a file that is damaged.
    """
    if not path.is_file():
        return {"runs": {}, "operators": {}}
    atlas = json.loads(path.read_text(encoding="utf-8"))
    rows = {
        operator: {release: column for release, column in row.items() if "uses" in column}
        for operator, row in atlas["operators"].items()
    }
    measured = {release for row in rows.values() for release in row}
    runs = {release: about for release, about in atlas["runs"].items() if release in measured}
    return {"runs": runs, "operators": {operator: row for operator, row in rows.items() if row}}


def outcomes(column: Mapping) -> Counter:
    """Counts the outcomes of an operator's cases in a release: those of its usual type, FLOAT where it takes that, that
    a model for inference may have. ``column``: as ``read_atlas()["operators"]["Relu"]["TensorRT 8.6.1"]``."""
    uses = {use: letters for use, letters in column["uses"].items() if is_inference(use)} or column["uses"]
    usual = {use: letters for use, letters in uses.items() if use.split()[0] == "FLOAT"} or uses
    names = {letter: outcome for outcome, letter in LETTERS.items()}
    return Counter(names[letter] for letters in usual.values() for letter in letters)


def known_verdicts(operator: str, uses: Sequence[tuple[str, bool]] | None = None) -> dict[str, str]:
    """Returns each measured release's verdict on an ONNX operator: {"TensorRT 8.6.1": "not with INT64", …}.

    ``uses``: those of a model, as :func:`known` takes them. None: all that a model for inference may have.
    """
    return {release: known(operator, release, uses).text for release in read_atlas()["operators"].get(operator, {})}


def known(operator: str, release: str, uses: Sequence[tuple[str, bool]] | None = None) -> Known:
    """Says what the atlas knows of a release and an operator, as a model uses it.

    ``uses``: pairs of a use, and whether all inputs after the first are constants of the model. None: all uses that a
    model for inference may have.
    """
    column = read_atlas()["operators"].get(operator, {}).get(release)
    if column is None:
        return Known(None, UNKNOWN)
    if operator == "Constant" and uses and _STORED.issuperset(use for use, _ in uses):
        return Known(True, BUILDS)
    measured = {use: letters for use, letters in column["uses"].items() if is_inference(use)} or column["uses"]
    if operator in _WITH_GRAPHS:
        return Known(None, UNKNOWN)
    if not any(set(letters) & set("bc") for letters in measured.values()):
        return Known(False, _worst(measured.values()))
    if uses is None:
        return _summary(measured)
    found = [_of_use(column["uses"], _as_float(column["uses"], use), constant) for use, constant in uses]
    bad = list(dict.fromkeys(one.text for one in found if one.good is False))
    unknown = list(dict.fromkeys(one.text for one in found if one.good is None))
    if bad:
        return Known(False, "; ".join(_joined(bad)))
    if unknown:
        wrong = [text for text in unknown if text.startswith(WRONG)]
        worst = next((text for text in (DOUBTFUL, UNKNOWN, PROBABLE) if text in unknown), "")
        return Known(None, "; ".join(_joined(wrong)) or worst)
    return Known(True, BUILDS) if found else Known(None, UNKNOWN)


def _as_float(measured: Mapping[str, str], use: str) -> str:
    """Returns the use in FLOAT where it was not measured in DOUBLE: that is what TensorRT makes of it."""
    return "FLOAT" + use.removeprefix("DOUBLE") if use.startswith("DOUBLE") and use not in measured else use


def _of_use(measured: Mapping[str, str], use: str, constant: bool) -> Known:
    """Judges one use by the cases of the same use; else by its features, one by one."""
    good = set("bc" if constant else "b")
    features = [feature for feature in use.split() if "?" not in feature]
    letters, alike = "" if "?" in use else measured.get(use, ""), _alike(measured, use.split()[1:])
    if letters and set(letters) <= good:
        return Known(True, BUILDS)
    if "w" in letters or (not letters and " " in use and "w" in "".join(alike)):
        if not _mostly_wrong(alike):
            return Known(None, DOUBTFUL)
        found = _accused(_culprit(measured, features, good) or use.split()[1:] or features, True)
        right = any(set(row) & good and "w" in row for row in alike)  # so it depends on something else
        return Known(None, found.text) if right else found
    if letters:
        if set(letters) & good:
            return Known(None, UNKNOWN)
        if set(letters) == {"c"}:
            return Known(False, NEEDS_CONSTANT)
        if any(set(row) & good and set(row) - good for row in alike):  # it depends on something else
            return Known(None, UNKNOWN)
        suspects = [feature for feature in features if not _letters_with(measured, feature) & good]
        return _accused(_culprit(measured, features, good) or suspects or features[1:] or features, False)
    guilty = _culprit(measured, features, good)
    if guilty:
        return _accused(guilty, _letters_with(measured, guilty[0]) == {"w"})
    return Known(None, PROBABLE if all(_letters_with(measured, f) & good for f in features) else UNKNOWN)


def _alike(measured: Mapping[str, str], features: Sequence[str]) -> list[str]:
    """Returns the letters of each use that has these features besides its type."""
    return [row for other, row in measured.items() if other.split()[1:] == list(features)]


def _mostly_wrong(rows: Iterable[str]) -> bool:
    """Returns whether at least half of what builds computes something else, of the types of which some case does."""
    built = [letter for row in rows if "w" in row for letter in row if letter in "bcw"]
    return bool(built) and 2 * built.count("w") >= len(built)


def _culprit(measured: Mapping[str, str], features: Sequence[str], good: set[str]) -> list[str]:
    """Returns the features that are to blame: no case with one does well, and in some case nothing else can be it."""
    well = good | {"c"}

    def fine(feature: str) -> bool:
        return bool(_letters_with(measured, feature) & well)

    suspects = [feature for feature in features if _letters_with(measured, feature) and not fine(feature)]
    cases = [use.split() for use in measured]
    return [f for f in suspects if any(f in case and all(map(fine, set(case) - {f})) for case in cases)]


def _letters_with(measured: Mapping[str, str], feature: str) -> set[str]:
    return {letter for use, letters in measured.items() if feature in use.split() for letter in letters}


def _accused(features: Sequence[str], wrong: bool) -> Known:
    words = " and ".join(in_words(feature) for feature in features)
    return Known(False, f"{WRONG} with {words}" if wrong else f"not with {words}")


def _joined(texts: Sequence[str]) -> list[str]:
    """Joins "not with A" and "not with B" to "not with A, B"; what computes something else, too."""
    joined, others = [], list(texts)
    for begin in ("not with ", f"{WRONG} with "):
        ends = [text.removeprefix(begin) for text in texts if text.startswith(begin)]
        more = f" and {len(ends) - MOST} more" if len(ends) > MOST else ""
        joined += [begin + ", ".join(ends[:MOST]) + more] if ends else []
        others = [text for text in others if not text.startswith(begin)]
    return joined + others


def _summary(measured: Mapping[str, str]) -> Known:
    """Judges all uses of the usual types together."""
    usual = {use: letters for use, letters in measured.items() if use.split()[0] in _USUAL} or measured
    letters = set("".join(usual.values()))
    if letters <= set("bc"):
        return Known(True, f"{BUILDS}, with constant inputs" if "c" in letters else BUILDS)
    features = list(dict.fromkeys(feature for use in usual for feature in use.split()))
    guilty = _culprit(usual, features, set("b"))
    texts = [_accused([feature], _letters_with(usual, feature) == {"w"}).text for feature in guilty]
    for rest in dict.fromkeys(tuple(use.split()[1:]) for use in usual):
        if rest and not set(rest) & set(guilty) and _mostly_wrong(_alike(usual, rest)):
            texts.append(_accused(rest, True).text)
    return Known(None, f"{BUILDS}, {'; '.join(_joined(texts))}" if texts else f"{BUILDS} in part")


def _worst(found: Iterable[str]) -> str:
    letters = set("".join(found))
    return next(_BAD[letter] for letter in "xwpr" if letter in letters)
