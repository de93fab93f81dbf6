"""Parses what is Python 3 in a source, around lines that are not, within limits of time and memory (chapter 12).

Standard library only.

>>> tree, complaint = parse("print 'Python 2'\\nx = 1", "old.py")
>>> ast.unparse(tree.body[-1])
'x = 1'
"""

from __future__ import annotations

import ast
import contextlib
import itertools
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence

from .finding import Finding

LARGEST_CODE = 1 << 19  # characters: some seconds and 500 MB at worst, and more than people write
LONGEST_LINE = 100_000  # characters; an f-string takes Python the square of its length
# Python needs the square of these too, in memory and in time: import a.a.a…, and a letter under a heap of accents.
_LONG_NAME = re.compile(r"\b(?:[^\W\d]\w*[\s\\]*\.[\s\\]*){100}")
_MOST_ACCENTS = 100
TOO_DEEP = (RecursionError, MemoryError, SystemError)  # with which Python says it, depending on its release
_PYTHON_2 = re.compile(
    r"^\s*(print\s+[^\s(=.,)]|print\s*>>|exec\s+[\"']|raise\s+\w+\s*,|except\s+[\w.]+\s*,\s*\w+\s*:)"
)
_TRIES, _PARSED = 50, 1 << 21  # how often a source is parsed without another line, and how many characters in all
# What stands for a line that cannot be read, so that what is indented below it still can.
_OPENS = re.compile(r"(?:async\s+)?(def|class|if|elif|else|for|while|with|try|except|finally)\b.*:\s*(?:#.*)?$")
_STANDS_IN = {"def": "def _()", "class": "class _", "elif": "elif _", "except": "except _"}
_STANDS_IN |= {word: word for word in ("else", "try", "finally")}
_SHOWN = 10  # lines that are named


class UnreadableSource(ValueError):
    """A file that is not Python 3, or too much of it; the message names file and line and says what to do.

    ``findings``: what is outdated in the rest of it, where the rest could be read.
    """

    def __init__(self, message: str, findings: Sequence[Finding] = ()):
        super().__init__(message)
        self.findings = list(findings)


def parse(source: str, name: str) -> tuple[ast.AST, str]:
    """Returns the syntax tree of a source, and what to say of lines that could not be read, "" if all could.

    Such lines are left out of the tree. Raises UnreadableSource, which calls the source ``name``, for more than can be
    read in a moment, and where too many lines would have to be left out.
    """
    limit(source, name)
    lines, left_out, said = source.split("\n"), [], ""
    for _ in range(max(1, min(_TRIES, _PARSED // (len(source) + 1)))):
        try:
            with quietly():
                tree = ast.parse("\n".join(lines), name)
        except TOO_DEEP:
            raise UnreadableSource(f"{name}: its expressions are nested too deeply to be read") from None
        except SyntaxError as error:
            said = said or _complaint(error, lines, name)
            left_out += _leave_out(lines, error)
        except ValueError as error:
            raise UnreadableSource(f"{name}: not Python 3 ({error})") from None
        else:
            return tree, said and f"{said}; the rest was read, without {_named(left_out)}"
    raise UnreadableSource(said)


def limit(source: str, name: str) -> None:
    """Raises UnreadableSource where Python itself would read for minutes, or take gigabytes."""
    if len(source) > LARGEST_CODE:
        what = f"{len(source):,} characters of code, more than the {LARGEST_CODE:,} that are read"
    elif max(map(len, source.split("\n"))) > LONGEST_LINE:
        what = f"a line of more than the {LONGEST_LINE:,} characters that are read"
    elif _LONG_NAME.search(source):
        what = "a name of more than 100 parts"
    elif not source.isascii() and _accents(source) > _MOST_ACCENTS:
        what = f"more than {_MOST_ACCENTS} accents in a row"
    else:
        return
    raise UnreadableSource(f"{name}: {what}")


def _accents(text: str) -> int:
    """Counts the most combining characters in a row."""
    runs = itertools.groupby(text, key=lambda letter: unicodedata.combining(letter) > 0)
    return max((sum(1 for _ in run) for combining, run in runs if combining), default=0)


def _complaint(error: SyntaxError, lines: Sequence[str], name: str) -> str:
    old = next((number for number, line in enumerate(lines, 1) if _PYTHON_2.match(line)), None)
    if old:
        return f"{name}, line {old}: this is Python 2; convert it first, for example with 2to3 (in Python up to 3.12)"
    return f"{name}, line {error.lineno or 1}: not Python 3 ({error.msg})"


def _leave_out(lines: list[str], error: SyntaxError) -> list[int]:
    """Puts something that can be read in the place of lines that cannot, and returns their numbers."""
    if isinstance(error, TabError):  # Python 2 took a tab for up to eight spaces
        lines[:] = [line.expandtabs(8) for line in lines]
        return [error.lineno or 1]
    old = [number for number, line in enumerate(lines, 1) if _PYTHON_2.match(line)]
    number = min(max(error.lineno or 1, 1), len(lines))
    if empty := re.search(r"expected an indented block after .* on line (\d+)", error.msg):
        number = int(empty[1])
        lines[number - 1] = _indent(lines[number - 1]) + "pass"
        return [number]
    for at in old or [number]:
        lines[at - 1] = _stand_in(lines[at - 1])
    before = next((at for at in range(number - 2, -1, -1) if lines[at].strip()), None)
    if error.msg == "unexpected indent" and before is not None and lines[before].strip() == "pass":
        lines[before] = _indent(lines[before]) + "if _:"  # its head could not be read
    elif error.msg == "unexpected indent" or error.msg.startswith("unindent"):
        lines[number - 1] = ""
    return old or [number]


def _stand_in(line: str) -> str:
    code = line.strip()
    if code in ("pass", ""):  # it has been left out already, and does no better
        return ""
    opens = _OPENS.match(code)
    return _indent(line) + (f"{_STANDS_IN.get(opens[1], 'if _')}:" if opens else "pass")


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _named(numbers: Sequence[int]) -> str:
    """Names lines: "line 3", "lines 3, 4"."""
    found = sorted(set(numbers))
    shown = ", ".join(map(str, found[:_SHOWN])) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
    return f"line{'s' * (len(found) > 1)} {shown}"


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silences Python's warnings about what others wrote, such as an invalid escape sequence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
