"""What TensorRT's Python modules have, release by release: the reader of data/api.json, which distil_api.py makes.

Types of values are texts such as ``int``, ``str`` or ``list[int]``, or names of TensorRT's classes.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).parents[1] / "data" / "api.json"
NUMBERS = {"int", "float", "bool"}


@dataclass(frozen=True)
class Parameter:
    name: str
    type: str
    optional: bool


@dataclass(frozen=True)
class Member:
    """``kind``: method, static, read-only, read-write, write-only, value (of an enum), attribute, class or callback."""

    kind: str
    overloads: tuple[tuple[Parameter, ...] | None, ...] = ()  # None where the parameters are not known
    result: str = ""

    @property
    def callable(self) -> bool:
        return self.kind in ("method", "static")


class Api:
    def __init__(self, path: Path = DATA):
        data = json.loads(path.read_text(encoding="utf-8"))
        self.releases: frozenset[str] = frozenset(data["releases"])
        self.order: list[str] = data["releases"]
        self._module = {name: self._spread(text) for name, text in data["module"].items()}
        self._classes = {
            name: {member: self._spread(text) for member, text in members.items()}
            for name, members in data["classes"].items()
        }
        self._bases: dict[str, set[str]] = {}
        for name, members in self._classes.items():
            bases = {base for text in members["(class)"].values() for base in re.findall(r"[\w.]+", text.split("(")[1])}
            self._bases[name] = bases & self._classes.keys()

    def _spread(self, text: str | Mapping[str, str]) -> dict[str, str]:
        if isinstance(text, str):
            return dict.fromkeys(self.order, text)
        return {release: variant for releases, variant in text.items() for release in releases.split(", ")}

    def is_class(self, name: str) -> bool:
        return name in self._classes

    def is_enum(self, name: str) -> bool:
        return any(text.startswith("enum") for text in self._classes[name]["(class)"].values())

    def is_a(self, name: str, base: str) -> bool:
        return name == base or any(self.is_a(parent, base) for parent in self._bases.get(name, ()))

    def module_member(self, name: str) -> dict[str, Member]:
        """What ``trt.<name>`` is, in the releases that have it; a class is a member of kind "class"."""
        if name in self._classes:
            return {release: Member("class", (), name) for release in self._classes[name]["(class)"]}
        return {release: _member(text) for release, text in self._module.get(name, {}).items()}

    @functools.cache  # noqa: B019  there is one Api per process
    def member(self, owner: str, name: str) -> dict[str, Member]:
        """What ``owner.<name>`` is, in the releases that have it; inherited members count."""
        nested = f"{owner}.{name}"
        if nested in self._classes:
            return {release: Member("class", (), nested) for release in self._classes[nested]["(class)"]}
        found = {release: _member(text) for release, text in self._classes[owner].get(name, {}).items()}
        for base in self._bases[owner]:
            for release, member in self.member(base, name).items():
                if release in self._classes[owner]["(class)"]:
                    found.setdefault(release, member)
                    if found[release].kind == "class" and not found[release].result:
                        found[release] = member
        for release, member in found.items():
            if member.kind == "value":
                found[release] = Member("value", (), owner)
            elif member.kind == "attribute":  # an enum's value that its outer class has too
                enums = [c for c in self._classes if self.is_a(owner, c.split(".")[0]) and name in self._classes[c]]
                found[release] = Member("attribute", (), next((c for c in enums if "." in c), ""))
        return found

    def member_or_derived(self, owner: str, name: str) -> dict[str, Member]:
        """The same for an object that may be of a derived class: ``get_layer`` gives any layer as an ILayer."""
        found = self.member(owner, name)
        if found:
            return found
        derived = [self.member(c, name) for c in self._classes if c != owner and self.is_a(c, owner)]
        releases = {release for members in derived for release in members}
        result = {}
        for release in releases:
            several = {members[release] for members in derived if release in members}
            result[release] = several.pop() if len(several) == 1 else Member("read-write")
        return result

    @functools.cached_property
    def by_name(self) -> dict[str, set[str]]:
        """For names with an underscore the releases in which a class or the module has something so named.

        Nothing of the kind is likely to mean something else than TensorRT.
        """
        result: dict[str, set[str]] = {}
        for members in [self._module, *self._classes.values()]:
            for name, variants in members.items():
                if "_" in name.strip("_"):
                    result.setdefault(name, set()).update(variants)
        return result

    def accepts(self, type_: str, value: str) -> bool:
        """False where a parameter of ``type_`` certainly refuses a value of the type ``value``."""
        options = [option.strip() for option in re.split(r"\|", re.sub(r"^Optional\[(.*)\]$", r"\1 | None", type_))]
        return any(self._accepts_one(option, value) for option in options)

    def _accepts_one(self, type_: str, value: str) -> bool:
        ours = self.is_class(type_)
        if value == "None" or not type_ or type_ in ("object", "Any", "handle"):
            return True
        if value == "str":
            return type_ == "str" or not (ours or type_ in NUMBERS or type_.startswith("list["))
        if value in NUMBERS:
            return type_ != "str" and not ours and not type_.startswith(("list[", "tuple["))
        if value == "sequence":
            return type_ not in NUMBERS | {"str"} and not (ours and self.is_enum(type_))
        if self.is_class(value):
            if type_ in NUMBERS:
                return self.is_enum(value)  # pybind11 takes what has __index__
            return type_ != "str" and (not ours or self.is_a(value, type_) or self.is_a(type_, value))
        return True

    def refuses(self, member: Member, positional: list[str], named: Mapping[str, str], open_ended: bool) -> str:
        """Why a call with values of these types ("" for unknown ones) fails; "" where it may not. ``open_ended``: there
        are further arguments, * or **."""
        reasons = [self._refuses(overload, positional, named, open_ended) for overload in member.overloads]
        return "" if not reasons or not all(reasons) else reasons[-1]

    def _refuses(self, parameters, positional, named, open_ended) -> str:
        if parameters is None:
            return ""
        if len(positional) > len(parameters):
            return f"takes {len(parameters)} arguments, not {len(positional)}"
        given = {parameter.name: value for parameter, value in zip(parameters, positional, strict=False)}
        known = {parameter.name: parameter for parameter in parameters}
        for name, value in named.items():
            if name not in known or re.fullmatch(r"arg\d+", name):
                names = ", ".join(known) or "none"
                return f"has no keyword {name!r}; it has {names}"
            if name in given:
                return f"gets {name!r} twice"
            given[name] = value
        for parameter in parameters:
            if parameter.name not in given and not parameter.optional and not open_ended:
                return f"lacks the argument {parameter.name!r}"
        for name, value in given.items():
            if value and not self.accepts(known[name].type, value):
                return f"takes {known[name].type} as {name!r}, not {value}"
        return ""


@functools.cache
def _member(text: str) -> Member:
    kind, _, rest = text.partition(" ")
    if kind in ("method", "static"):
        overloads = [overload for overload in rest.split(" | (") if overload]
        parsed = [_overload(overload if overload.startswith("(") else f"({overload}") for overload in overloads]
        results = list(dict.fromkeys(result for _, result in parsed))
        return Member(kind, tuple(parameters for parameters, _ in parsed), results[0] if len(results) == 1 else "")
    if kind == "constant":
        return Member(kind, (), rest)
    return Member(kind, (), rest.removeprefix("-> ") if kind.startswith("read") else "")


def _overload(text: str) -> tuple[tuple[Parameter, ...] | None, str]:
    inside, _, result = text.rpartition(") -> ") if ") -> " in text else (text.rstrip(")"), "", "")
    parameters = []
    for part in _split(inside[1:]):
        if part.startswith("*"):
            return None, result
        name, _, rest = part.partition(":")
        type_, equals, _ = rest.partition("=")
        parameters.append(Parameter(name.partition("=")[0].strip(), type_.strip(), bool(equals) or "=" in name))
    return tuple(parameters), result.strip()


def _split(text: str) -> Iterable[str]:
    """At commas outside of brackets."""
    depth, part = 0, ""
    for character in text:
        depth += (character in "[(<") - (character in "])>")
        if character == "," and depth == 0:
            yield part.strip()
            part = ""
        else:
            part += character
    if part.strip():
        yield part.strip()
