"""Knows every TensorRT name of C++ and Python from 8.6 to 11.4, RTX and older headers, and what replaces it.

Behind the commands ``whatis`` and ``port`` (chapter 12). Reads data/names.json (distilled from modules and headers)
and data/replacements.json (by hand); copied elsewhere, it looks for both beside itself. Standard library only.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

RELEASES = ("8.6", "10.13", "10.16", "11.4", "RTX 1.7")  # those whose modules were imported and read
LATEST = set(RELEASES[-2:])  # what neither of these has is gone
_OWNERS = ("class", "enum")  # the kinds that have members
_OLD_PARSERS = ("nvcaffeparser1::", "nvuffparser::")
_HERE = Path(__file__).resolve().parent
_DATA = _HERE.parents[1] / "data"  # beside the package


@dataclass(frozen=True)
class Name:
    """One name. ``lived`` and the values of ``cpp`` are (came, deprecated, gone), each "" where that is not known."""

    name: str  # as Python has it, without the module; C++'s where Python never had it
    kind: str
    releases: tuple[str, ...]  # those of RELEASES whose Python module has it
    lived: tuple[str, str, str]
    cpp: dict[str, tuple[str, str, str]]
    use: str = ""  # what to write today
    advice: str = ""
    code: tuple[str, ...] = ()  # the same thing today
    works: str = ""  # where that code works; "" from 8.6 to 11 and in RTX
    evidence: str = ""  # for what the two sources of names.json do not show

    @property
    def member(self) -> str:
        """The name without its class or module."""
        return re.split(r"\.|::", self.name)[-1]

    @property
    def owner(self) -> str:
        """The class, "" for a class or function of the module."""
        return self.name.rpartition("::" if "::" in self.name else ".")[0]

    @property
    def gone(self) -> bool:
        """True where neither TensorRT 11.4 nor RTX has it."""
        if self.kind == "C++ only":
            return all(lived[2] for lived in self.cpp.values())
        return LATEST.isdisjoint(self.releases)

    @property
    def went(self) -> str:
        """The release in which the name went from Python (else from C++), as exactly as is known; "" if it did not."""
        if not self.gone:
            return ""
        exact = self.lived[2] or next((lived[2] for lived in self.cpp.values() if lived[2]), "")
        if exact:
            return f"{exact[2:]} or before" if exact.startswith("<=") else exact
        if not self.releases:
            return "8.6 or before"
        return f"{RELEASES[RELEASES.index(self.releases[-1]) + 1]} (still in {self.releases[-1]})"


@cache
def names() -> dict[str, Name]:
    """Returns all names, by name. Raises FileNotFoundError, which says what to copy, where the data is missing."""
    known = read_data("names.json")["names"]
    groups = read_data("replacements.json")["groups"]
    of_name = {name: (group, use) for group in groups for name, use in group["names"].items()}
    modules = [name for group in groups for name in group.get("modules", ())]
    classes = {cpp: name for name, entry in known.items() if entry["kind"] in _OWNERS for cpp in entry.get("c++", ())}
    alive = {name for name, entry in known.items() if not LATEST.isdisjoint(entry["in"]) or _lives(entry)}
    result = {}
    for name in [*known, *modules]:
        entry = known.get(name, {"kind": "module", "in": []})
        owner = name.rpartition("::" if "::" in name else ".")[0]
        owner = classes.get(owner, owner)
        told = name if name in of_name or owner in alive else owner  # else what is said of a class that is gone
        group, use = of_name.get(told, ({}, ""))
        went = group.get("went", "") if entry["kind"] == "module" else ""
        result[name] = Name(
            name,
            entry["kind"],
            tuple(entry["in"]),
            tuple(entry.get("python", ("", "", went))),
            {spelling: tuple(lived) for spelling, lived in entry.get("c++", {}).items()},
            use,
            group.get("advice", ""),
            tuple(line.replace("{use}", use) for line in group.get("code", ())),
            group.get("works", ""),
            group.get("evidence", ""),
        )
    return result


def _lives(entry: dict) -> bool:
    """Says whether a name that C++ alone has is in the newest headers."""
    return entry["kind"] == "C++ only" and not all(lived[2] for lived in entry["c++"].values())


def read_data(file: str) -> dict:
    """Returns what a JSON file of data/ holds. Raises FileNotFoundError, which says what to copy, where it lacks."""
    for folder in (_DATA, _HERE):
        if (folder / file).exists():
            return json.loads((folder / file).read_text(encoding="utf-8"))
    raise FileNotFoundError(f"{file} is needed: copy it from data/ of the TensorRT Workbook into {_DATA}")


def find(text: str) -> list[Name]:
    """Returns the names that ``text`` may mean: any spelling of C++ or Python, with or without class, module, brackets.

    ``config`` in ``config.max_workspace_size`` is the name of a variable, so other classes than IBuilderConfig are not
    left out; a class's name leaves them out. First comes what is written exactly so, then the class that a variable is
    called after, then what is gone: old code is why people ask. The parsers of Caffe and UFF come last. Of a module
    that is gone, the module is the answer. Empty if there is none.

    >>> [name.name for name in find("BuilderFlag::kFP16")]
    ['BuilderFlag.FP16']
    """
    parts = _parts(text)
    found = _index().get(".".join(parts[-2:])) if parts else None
    if found is None and len(parts) > 1 and (module := _module(text)):
        return [module]
    if found is None and parts and not (len(parts) > 1 and re.search(r"::|\b[A-Z]\w*\.", text)):
        found = _index().get(parts[-1])
    exact = re.sub(r"^(trt|tensorrt\w*)\.|\(.*", "", text.strip())

    def rank(name: Name) -> tuple[bool, ...]:
        named = len(parts) > 1 and parts[-2] in name.owner.lower()
        return name.name != exact, not named, not name.gone, name.name.startswith(_OLD_PARSERS)

    return sorted((names()[name] for name in found or ()), key=rank)


def _module(text: str) -> Name | None:
    """Returns the module, gone today, in which a name stood: that of ``trt.lite.Engine`` or ``uff.from_tensorflow``."""
    first, *rest = text.strip().split(".")
    inside = f"tensorrt.{rest[0]}" if first in ("trt", "tensorrt") and rest else first
    entry = names().get(inside)
    return entry if entry and entry.kind == "module" else None


def close(text: str, count: int = 6) -> list[str]:
    """Returns up to ``count`` names that look like ``text``, best first: for typing errors."""
    parts = _parts(text)
    keys = difflib.get_close_matches(".".join(parts[-2:]), _index(), count, 0.75) if parts else []
    if parts:
        keys += difflib.get_close_matches(parts[-1], _index(), count, 0.75)
    return list(dict.fromkeys(name for key in keys for name in _index()[key]))[:count]


def _parts(text: str) -> list[str]:
    """Splits a name, without module, underscores, capitals and k: nvinfer1::BuilderFlag::kFP16 -> builderflag, fp16."""
    text = re.sub(r"\(.*|[\s;]", "", text)
    parts = [part for part in re.split(r"\.|::|->", text) if part]
    if len(parts) > 1 and re.fullmatch(r"trt|tensorrt\w*|nv\w+", parts[0]):
        parts = parts if f"tensorrt.{parts[-1]}" in names() else parts[1:]
    return [re.sub(r"^k(?=[A-Z])", "", part).replace("_", "").lower() or part for part in parts]


@cache
def _index() -> dict[str, tuple[str, ...]]:
    """Maps every way to say a name to the names."""
    found: dict[str, dict[str, None]] = {}
    classes = {name: [name, *entry.cpp] for name, entry in names().items() if entry.kind in _OWNERS}
    for entry in names().values():
        spellings: Iterable[str] = [entry.name, *entry.cpp]
        members = {_parts(spelling)[-1] for spelling in spellings}
        owners = {_parts(owner)[-1] for owner in classes.get(entry.owner, [entry.owner]) if owner}
        owners |= {part for spelling in spellings for part in _parts(spelling)[-2:-1]}
        for key in [*members, *(f"{owner}.{member}" for owner in owners for member in members)]:
            found.setdefault(key, {})[entry.name] = None
    return {key: tuple(names) for key, names in found.items()}
