"""Knows the names around TensorRT that old tutorials use: standard plugins, trtexec and its flags, PyCUDA.

Behind the command ``whatis`` (chapter 12). Reads data/names.json (plugins), data/trtexec.json (flags) and the part
``others`` of data/replacements.json (by hand). Standard library only.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache

from .api_names import read_data

PLUGIN, FLAG = "standard plugin", "flag of trtexec"


@dataclass(frozen=True)
class Other:
    """One name. ``lived``: the releases of TensorRT in which it (came, was deprecated, went), "" where not known."""

    name: str
    kind: str
    lived: tuple[str, str, str] = ("", "", "")
    use: str = ""  # what to write today
    advice: str = ""
    code: tuple[str, ...] = ()

    @property
    def gone(self) -> bool:
        """True where the newest release that was read no longer has it."""
        return bool(self.lived[2])


@cache
def others() -> dict[str, Other]:
    """Returns all names, by name. Raises FileNotFoundError, which says what to copy, where the data is missing."""
    lived = {name: (came, "", gone) for name, (came, gone) in read_data("names.json")["plugins"].items()}
    found = {name: Other(name, PLUGIN, span) for name, span in lived.items()}
    for group in read_data("replacements.json")["others"]:
        for name, use in group["names"].items():
            code = tuple(line.replace("{use}", use).replace("{name}", name) for line in group.get("code", ()))
            found[name] = Other(name, group["kind"], lived.get(name, ("", "", "")), use, group["advice"], code)
    for name, flag in read_data("trtexec.json")["flags"].items():
        found[name] = Other(name, FLAG, (flag["came"], flag["deprecated"], flag["gone"]), flag["use"])
    return found


def find_other(text: str) -> list[Other]:
    """Returns the names that ``text`` may mean, with or without dashes, module, class, value and brackets.

    >>> [(other.name, other.lived[2]) for other in find_other("--workspace=4096")]
    [('--workspace', '10.0.0')]
    """
    parts = _parts(text)
    found = _index().get(".".join(parts[-2:]), ()) or _index().get(parts[-1], ()) if parts else ()
    return [others()[name] for name in found]


def close_other(text: str, count: int = 6) -> list[str]:
    """Returns up to ``count`` names that look like ``text``, best first: for typing errors."""
    keys = difflib.get_close_matches(_parts(text)[-1], _index(), count, 0.75) if _parts(text) else []
    return list(dict.fromkeys(name for key in keys for name in _index()[key]))[:count]


def _parts(text: str) -> list[str]:
    """Splits a name, without dashes, underscores and capitals: ``cuda.Context.push()`` -> cuda, context, push."""
    text = re.sub(r"^\s*-*|[=(:].*|\s", "", text)
    return [part for part in re.sub(r"[-_]", "", text).lower().split(".") if part]


@cache
def _index() -> dict[str, tuple[str, ...]]:
    """Maps every way to say a name to the names."""
    found: dict[str, dict[str, None]] = {}
    for name in others():
        parts = _parts(name)
        for key in {parts[-1], ".".join(parts[-2:])}:
            found.setdefault(key, {})[name] = None
    return {key: tuple(names) for key, names in found.items()}
