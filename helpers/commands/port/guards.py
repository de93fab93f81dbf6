"""Tells which code runs only behind a test of the version, ``hasattr`` or ``except AttributeError`` (chapter 12).

Standard library only.

>>> tree = ast.parse("if hasattr(engine, 'num_bindings'):\\n    engine.num_bindings")
>>> Guards([tree], Receivers([tree])).stand_around(tree.body[0].body[0])
True
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence

from ..api_names import find
from .receivers import Receivers

_CAPABILITY = ("has", "require", "missing")  # helpers.trt


class Guards:
    """The tests of a program. ``trees`` are its parts, ``things`` knows what is around a node."""

    def __init__(self, trees: Sequence[ast.AST], things: Receivers):
        self._things = things
        self._versions: dict[str, ast.AST] = {  # names for the version, or for what a test of it said
            target.id: node.value
            for tree in trees
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and _says(node.value, "__version__")
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self._tests: dict[ast.AST, tuple[bool, Collection[ast.AST]]] = {}

    def stand_around(self, node: ast.AST) -> bool:
        """Says whether ``node`` runs only after a test of a name, or on the old side of a test of the version."""
        for parent in self._things.parents(node):
            if parent not in self._tests:  # which may stand around thousands of nodes
                self._tests[parent] = self._test(parent)
            everything, old = self._tests[parent]
            if everything or node in old:
                return True
            node = parent
        return False

    def _test(self, node: ast.AST) -> tuple[bool, Collection[ast.AST]]:
        """Says whether all of the code in ``node`` is guarded by it, and else which of its parts are."""
        if isinstance(node, ast.Try):
            return any(handler.type and _says(handler.type, "AttributeError") for handler in node.handlers), ()
        if isinstance(node, ast.BoolOp):
            return any(map(_asks, ast.walk(node))), ()
        if not isinstance(node, (ast.If, ast.IfExp)):
            return False, ()
        new = self._new(node.test)
        side = node.body if new is False else node.orelse
        old = () if new is None else set(side) if isinstance(side, list) else {side}
        return any(map(_asks, ast.walk(node.test))), old

    def _new(self, test: ast.AST, follow: bool = True) -> bool | None:
        """Returns True for a test that newer versions pass, False for one that older ones pass, None for any other.

        ``follow``: whether a name may stand for the test that it was given; once, or ``a = not a`` would never end.
        """
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            new = self._new(test.operand, follow)
            return None if new is None else not new
        if follow and isinstance(test, ast.Name) and test.id in self._versions:
            return self._new(self._versions[test.id], follow=False)
        if not isinstance(test, ast.Compare):
            return None
        about = _says(test.left, "__version__") or any(
            isinstance(part, ast.Name) and part.id in self._versions for part in ast.walk(test.left)
        )
        return isinstance(test.ops[0], (ast.Gt, ast.GtE)) if about else None


def _asks(node: ast.AST) -> bool:
    """Says whether a call asks for a name of TensorRT or a capability: hasattr, or has of helpers.trt."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    if node.func.id == "hasattr":
        name = node.args[-1] if node.args else None
        return not isinstance(name, ast.Constant) or (isinstance(name.value, str) and bool(find(name.value)))
    return node.func.id in _CAPABILITY


def _says(node: ast.AST, text: str) -> bool:
    """Says whether a name or string in ``node`` holds ``text``. ast.dump fails with numbers of thousands of digits."""
    said = (getattr(part, field, None) for part in ast.walk(node) for field in ("id", "attr", "value"))
    return any(isinstance(name, str) and text in name for name in said)
