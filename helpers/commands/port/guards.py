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

_LEAVING = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_CAPABILITY = ("has", "require", "missing")  # helpers.trt


class Guards:
    """The tests of a program. ``trees`` are its parts, ``things`` knows what is around a node."""

    def __init__(self, trees: Sequence[ast.AST], things: Receivers):
        self._things = things
        nodes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Assign))
        given = [(_last(target), node.value) for node in nodes for target in node.targets if _last(target)]
        self._versions = {name for name, value in given if _says(value, "__version__")}
        self._said: dict[str, bool] = {}  # names, of variables or attributes, for what a test said: see _new
        for name, value in given:
            if (new := self._new(value)) is not None:
                self._said[name] = new
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
        if isinstance(node, ast.BoolOp):
            return any(map(_asks, ast.walk(node))), ()
        blocks = [block for field in ("body", "orelse") if isinstance(block := getattr(node, field, None), list)]
        old = {statement for block in blocks for statement in self._behind(block)}
        if isinstance(node, ast.Try):
            return any(handler.type and _says(handler.type, "AttributeError") for handler in node.handlers), old
        if not isinstance(node, (ast.If, ast.IfExp)):
            return False, old
        new = self._new(node.test)
        side = node.body if new is False else node.orelse
        old.update(() if new is None else side if isinstance(side, list) else [side])
        return any(map(_asks, ast.walk(node.test))), old

    def _behind(self, block: Sequence[ast.AST]) -> Sequence[ast.AST]:
        """Returns the statements of a block that newer versions do not reach: ``if new: return …`` stands before."""
        for number, statement in enumerate(block):
            if isinstance(statement, ast.If) and (new := self._new(statement.test)) is not None:
                side = statement.body if new else statement.orelse
                if side and isinstance(side[-1], _LEAVING):
                    return block[number + 1 :]
        return ()

    def _new(self, test: ast.AST) -> bool | None:
        """Returns True for a test that only older versions fail, False for one that only they pass, None for others."""
        match test:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                new = self._new(operand)
                return None if new is None else not new
            case ast.BoolOp(op=op, values=values):
                new = isinstance(op, ast.Or)
                return new if new in map(self._new, values) else None
            case ast.Name() | ast.Attribute():
                return self._said.get(_last(test))
            case ast.Call(func=ast.Name(id="hasattr"), args=[_, ast.Constant(value=str(name))]):
                return not all(entry.gone for entry in found) if (found := find(name)) else None
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                if self._of_version(left):
                    return isinstance(op, (ast.Gt, ast.GtE))
                return isinstance(op, (ast.Lt, ast.LtE)) if self._of_version(right) else None
        return None

    def _of_version(self, node: ast.AST) -> bool:
        """Says whether a version is in an expression, or a name for one."""
        return _says(node, "__version__") or any(_last(part) in self._versions for part in ast.walk(node))


def _last(node: ast.AST) -> str:
    """Returns the name of a variable or an attribute, "" of all else."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


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
