"""Finds trtexec's outdated flags in command lines: strings, lists of arguments, lines of a shell (chapter 12).

A command line is put together from the pieces that stand in the code; what is only known at run time is left out.
Standard library only.

>>> [finding.name for finding in in_shell("trtexec --onnx=m.onnx --workspace=64", 1)]
['trtexec --workspace']
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence

from ..trtexec_flags import flags
from .finding import Finding

_PROGRAM = re.compile(r"(?<![A-Za-z])trtexec(?![A-Za-z])", re.IGNORECASE)
_END = re.compile(r"(?<!\\)\n|;|&&|\|")  # of a command in a shell
_FLAG = re.compile(r"(?<![\w-])--[A-Za-z]\w*")
_TEXTS = (ast.Constant, ast.JoinedStr, ast.FormattedValue, ast.BinOp, ast.List, ast.Tuple, ast.Starred, ast.IfExp)
_GROWING = ("append", "extend", "insert")
Known = Callable[[ast.AST], bool]  # says whether a variable holds a command line of trtexec


def in_shell(text: str, line: int) -> list[Finding]:
    """Returns what is outdated in lines of a shell, of which the first has the number ``line``."""
    lines = text.split("\n")
    return [_finding(flag, line + _first(flag, lines)) for flag in _outdated(text)]


def in_code(node: ast.AST, parent: ast.AST | None, known: Known, lines: Sequence[str]) -> list[Finding]:
    """Returns what is outdated in a command line that ``node`` makes or makes longer.

    Nothing if ``node`` is a part of a larger one. ``lines``: those of the program, in which the flags are looked for.
    """
    match node:
        case ast.AugAssign() if known(node.target):
            text = f"trtexec {command(node.value, known)}"
        case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in _GROWING and known(value):
            text = " ".join(["trtexec", *(command(part, known) for part in node.args)])
        case ast.Call() if _names_it(node.func):
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            text = " ".join(["trtexec", *(command(part, known) for part in given)])
        case _ if isinstance(node, _TEXTS) and not isinstance(parent, _TEXTS):
            text = command(node, known)
        case _:
            return []
    first, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", None)
    read = isinstance(parent, ast.Expr)  # a docstring
    return [_finding(flag, first + _first(flag, lines[first - 1 : last]), read) for flag in _outdated(text)]


def command(node: ast.AST, known: Known) -> str:
    """Returns the text that an expression makes, as far as it stands there, with spaces for the rest."""
    text, rest = [], [node]  # rest: what is still to be read, the next one last; expressions may be nested deeply
    while rest:
        match rest.pop():
            case ast.Constant(value=str(part)):
                text.append(part)
            case ast.JoinedStr(values=parts):
                rest += reversed(parts)
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                rest += (part for item in reversed(parts) for part in (item, ast.Constant(" ")))
            case ast.FormattedValue(value=value) | ast.Starred(value=value):
                rest.append(value)
            case ast.BinOp(left=left, right=right) | ast.IfExp(body=left, orelse=right):
                rest += (right, left)
            case ast.Call(func=ast.Attribute(attr="format", value=value)):
                rest.append(value)
            case ast.Call(func=func, args=args):
                text.append(" trtexec " if any(map(_names_it, [*args, func])) else " ")
            case other:
                text.append(" trtexec " if _names_it(other) or known(other) else " ")
    return "".join(text)


def names_trtexec(text: str) -> bool:
    """Says whether a text has a command of trtexec in it."""
    return bool(_PROGRAM.search(text))


def _names_it(node: ast.AST) -> bool:
    """Says whether a name, an attribute or a string names trtexec: ``TRTEXEC``, ``self.trtexec_path``."""
    said = (getattr(node, field, None) for field in ("id", "attr", "value"))
    return any(isinstance(name, str) and "trtexec" in name.lower() and "\n" not in name for name in said)


def _outdated(text: str) -> list[str]:
    """Returns the flags that trtexec no longer has, or calls deprecated, in lines of a shell; each once."""
    if not names_trtexec(text):
        return []
    commands = ((part, _PROGRAM.search(part)) for part in _END.split(text))
    given = {flag: None for part, found in commands if found for flag in _FLAG.findall(part, found.end())}
    return [flag for flag in given if (entry := flags().get(flag)) and (entry.gone or entry.deprecated)]


def _first(flag: str, lines: Sequence[str]) -> int:
    """Returns the place of the first line that has the flag in it, 0 if none has."""
    said = re.compile(rf"{flag}\b")
    return next((number for number, line in enumerate(lines) if said.search(line)), 0)


def _finding(flag: str, line: int, read: bool = False) -> Finding:
    entry = flags()[flag]
    if entry.gone and not read:
        return Finding(line, f"trtexec {flag}", "gone", entry.gone, entry.use, "trtexec stops at a flag that it lacks.")
    advice = "" if entry.gone else "trtexec still takes what is deprecated, and warns."
    return Finding(line, f"trtexec {flag}", "advice", "", entry.use, advice)
