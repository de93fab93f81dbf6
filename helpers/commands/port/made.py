"""What a program makes that outdated names stand in: texts, command lines, plans with plugins (chapter 12).

Standard library only.

>>> tree = ast.parse("command = ['trtexec', '--fp16']")
>>> Made([tree], Receivers([tree])).is_command(tree.body[0].targets[0])
True
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Sequence

from .commands import command, names_trtexec
from .receivers import Receivers

_PLUGIN = re.compile(r"\w+_TRT")
_LITERALS = (ast.Dict, ast.List, ast.Tuple, ast.Set)
_MOST = 20  # strings that one name may be
_VIEWS = ("items", "keys")


class Made:
    """Of one program. ``trees`` are its parts, ``things`` knows their names."""

    def __init__(self, trees: Sequence[ast.AST], things: Receivers):
        self._things = things
        self._values: dict[tuple, list[ast.expr]] = {}  # what names are given: literals, and what loops go through
        self._commands: set[tuple] = set()  # names for command lines of trtexec
        registers = plugins = False
        for node in (node for tree in trees for node in ast.walk(tree)):
            match node:
                case ast.Assign(targets=[target], value=value):
                    self._note(target, value)
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    self._note(target, value)
                case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                    self._note(target.elts[0] if isinstance(target, ast.Tuple) and target.elts else target, value)
                case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name):
                    registers |= name == "init_libnvinfer_plugins"
                    plugins |= name in ("OnnxParser", "get_plugin_registry")
                case ast.Constant(value=str(text)):
                    plugins |= len(text) < 100 and bool(_PLUGIN.fullmatch(text))
        self.may_have_plugins = plugins and not registers

    def _note(self, target: ast.expr, value: ast.expr) -> None:
        key = self._things.key(target)
        if key is None:
            return
        if isinstance(value, (*_LITERALS, ast.Name, ast.Call)):
            self._values.setdefault(key, []).append(value)
        if names_trtexec(command(value, lambda node: False)):
            self._commands.add(key)

    def is_command(self, node: ast.AST) -> bool:
        """Says whether a variable holds a command line of trtexec."""
        return bool(self._commands) and self._things.key(node) in self._commands

    def texts(self, node: ast.expr) -> list[tuple[str, int]]:
        """Returns the strings that an expression may be, with their lines: a literal, or what a loop takes from one."""
        parts = [node] if isinstance(node, ast.Constant) else self._members(node)
        found = ((part.value, part.lineno) for part in itertools.islice(parts, _MOST) if isinstance(part, ast.Constant))
        return [(text, line) for text, line in found if isinstance(text, str)]

    def _members(self, node: ast.expr, depth: int = 3) -> Iterator[ast.expr | None]:
        """Yields what the literals hold that a name goes through: the keys of a dict, the first of each tuple."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _VIEWS:
            node = node.func.value
        match node:
            case ast.Dict(keys=keys):
                yield from keys
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                yield from (part.elts[0] if isinstance(part, ast.Tuple) and part.elts else part for part in parts)
            case ast.Name() if depth:
                for value in self._values.get(self._things.key(node) or (), ()):
                    yield from self._members(value, depth - 1)
