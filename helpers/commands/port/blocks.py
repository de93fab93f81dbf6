"""Knows which assignment of a name stands last above a place in a program (chapter 12). Standard library only.

>>> tree = ast.parse("a = 1\\na = 2\\nprint(a)")
>>> blocks = Blocks()
>>> blocks.add(tree)
>>> blocks.last("a", [tree.body[-1]]).value
2
"""

from __future__ import annotations

import ast
import bisect
from collections.abc import Iterable

_FIELDS = ("body", "orelse", "finalbody")  # of a node, that hold statements


class Blocks:
    """The blocks of a program, into which ``add`` puts those of a node."""

    def __init__(self) -> None:
        self._of: dict[ast.AST, tuple[ast.AST, str]] = {}  # statement -> its block: what is around it, and the field
        self._given: dict[tuple[ast.AST, str, str], list[tuple[int, ast.expr]]] = {}  # block, name -> lines and values

    def add(self, node: ast.AST) -> None:
        """Takes in the blocks of which ``node`` is the head."""
        for field in _FIELDS:
            statements = getattr(node, field, None)
            for statement in statements if isinstance(statements, list) else ():  # in a lambda, it is an expression
                self._of[statement] = node, field
                match statement:
                    case ast.Assign(targets=[ast.Name(id=name)], value=value):
                        self._given.setdefault((node, field, name), []).append((statement.lineno, value))

    def last(self, name: str, around: Iterable[ast.AST]) -> ast.expr | None:
        """Returns what a name was given last, above in the same block or one around it; None where that is not seen.

        ``around``: the nodes around the place that belong to its function, from the inside out.
        """
        for node in around:
            given = self._given.get((*self._of[node], name)) if node in self._of else None
            if given and (before := bisect.bisect_left(given, getattr(node, "lineno", 0), key=lambda pair: pair[0])):
                return given[before - 1][1]
        return None
