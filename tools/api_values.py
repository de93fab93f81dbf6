"""What tools/api_use.py knows of values, functions and classes while it reads code."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from tools.api_sources import Source

# A value is a set of what it may be, each as a tuple: ("module",), ("class", "Builder"), ("inst", "Builder"),
# ("method", "Builder", "reset"), ("plain", "int"), ("seq", value), ("tuple", values), ("function", Function),
# ("ourclass", Ours), ("our", Ours), ("bound", Function, Ours), ("helpers", "builder"). The empty set: unknown.
Value = frozenset
UNKNOWN: Value = frozenset()


@dataclass(frozen=True)
class Problem:
    where: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.where}:{self.line}: {self.text}"


@dataclass(eq=False)
class Function:
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    source: Source
    releases: frozenset[str]
    owner: Ours | None = None
    given: dict[str, Value | None] = field(default_factory=dict)  # what calls gave for parameters in the last round
    giving: dict[str, Value | None] = field(default_factory=dict)  # and what they give in this one
    result: Value = UNKNOWN
    returned: list[Value] = field(default_factory=list)


@dataclass(eq=False)
class Ours:
    """A class of our own: the TensorRT classes that it derives from, its methods and the attributes of ``self``."""

    bases: list[str]
    parents: list[Ours]
    members: dict[str, Value | None] = field(default_factory=dict)  # as known from the last round
    defining: dict[str, Value | None] = field(default_factory=dict)  # and from this one


class Scope:
    def __init__(self, outer: Scope | None = None):
        self.outer, self.now, self.ever = outer, {}, {}
        self.conditions: dict[str, tuple[frozenset[str], frozenset[str]]] = {}  # v2 = hasattr(engine, "...")

    def set(self, name: str, value: Value) -> None:
        self.now[name] = value
        self.conditions.pop(name, None)
        note(self.ever, name, value)

    def get(self, name: str) -> Value:
        if name in self.now:
            return self.now[name]
        scope = self.outer
        while scope is not None:
            if name in scope.ever:
                return scope.ever[name] or UNKNOWN
            scope = scope.outer
        return UNKNOWN


def one(*parts) -> Value:
    return frozenset([parts])


def merge(a: Value | None, b: Value | None) -> Value | None:
    """What may be either; None, for good, once there was something unknown among it."""
    if a is None or b is None or not a or not b:
        return None
    return a | b


def note(values: dict[str, Value | None], name: str, value: Value) -> None:
    """One more thing that ``name`` may be. ``None`` at first, as in ``self.context = None``, does not count."""
    nothing = one("plain", "None")
    if values.get(name, nothing) == nothing:
        values[name] = value
    elif value != nothing:
        values[name] = merge(values[name], value)
