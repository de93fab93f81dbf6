"""Reads scripts and notebooks for ``port``, which lists what TensorRT no longer has in them (chapter 12).

Each finding has its line, the release in which the name went and what to write today. Nothing is changed and nothing is
run. Names that are made at run time (getattr) stay unseen. Standard library only.

Any file may be given: what cannot be read in a moment is refused in one line (UnreadableSource).
"""

from __future__ import annotations

import ast
import codecs
import contextlib
import dataclasses
import io
import itertools
import json
import re
import tokenize
import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from ...atomic import open_regular
from .outdated import Finding, Program

LARGEST_FILE = 16 << 20  # bytes; of a notebook, most are outputs
LARGEST_CODE = 1 << 19  # characters: some seconds and 500 MB at worst, and more than people write
LONGEST_LINE = 100_000  # characters; an f-string takes Python the square of its length
# Python needs the square of these too, in memory and in time: import a.a.a…, and a letter under a heap of accents.
_LONG_NAME = re.compile(r"\b(?:[^\W\d]\w*[\s\\]*\.[\s\\]*){100}")
_MOST_ACCENTS = 100
_SLOW_CODECS = ("idna", "punycode")  # their time grows with the square of the size, and no script is written in them
_TOO_DEEP = (RecursionError, MemoryError, SystemError)  # with which Python says it, depending on its release
_PYTHON_2 = re.compile(
    r"^\s*(print\s+[^\s(=.,)]|print\s*>>|exec\s+[\"']|raise\s+\w+\s*,|except\s+[\w.]+\s*,\s*\w+\s*:)"
)
_OTHER_LANGUAGE = re.compile(
    r"\s*%%(bash|sh|html|javascript|js|latex|markdown|script|svg|writefile|cmd|perl|ruby|file)\b"
)
# At the beginning of a statement, without its indent, where Python never has any of this.
_MAGIC = re.compile(r"[%!?]|[\w.]+\s*\?|[\w., ]+=\s*[%!]")
_TIMED = re.compile(r"(?:[\w., ]+=\s*)?%time(?:it)?\s+(?:-\w+(?:\s+\d+)?\s+)*")
# What opens and closes something in a line of code, and in a string the end of it.
_CODE = re.compile(r"#.*|\"\"\"|\'\'\'|[\"'()\[\]{}]|\\$")
_STRING = {quote: re.compile(rf"\\.|\\$|{quote}") for quote in ('"""', "'''", '"', "'")}


class UnreadableSource(ValueError):
    """A file that is not Python 3, or too much of it; the message names file and line and says what to do."""


def port(path: str | Path) -> list[Finding]:
    """Returns all outdated calls of a script (.py) or notebook (.ipynb), from top to bottom.

    Raises OSError for a file that cannot be opened. Raises UnreadableSource for one that is no Python 3 or no notebook,
    is no regular file, or has more than 16 MB, or more than half a million characters of code.
    """
    path = Path(path)
    if path.suffix != ".ipynb":
        return port_source(read_source(path), str(path))
    trees, guarded = {}, set()
    for number, source in _code_cells(path):
        if not _OTHER_LANGUAGE.match(source):
            trees[number] = _parse(without_magics(source), f"{path}, cell {number}")
            if source.lstrip().startswith("%%needs"):  # helpers.workbook.needs: runs only where it can
                guarded.add(number)
    return [
        dataclasses.replace(finding, cell=number, guarded=finding.guarded or number in guarded)
        for number, found in _findings(trees, str(path)).items()
        for finding in found
    ]


def port_source(source: str, name: str = "<source>") -> list[Finding]:
    """Returns all outdated calls of the text of a script. Raises UnreadableSource, which calls it ``name``.

    >>> [(finding.line, finding.name, finding.when) for finding in port_source("engine.num_bindings")]
    [(1, 'ICudaEngine.num_bindings', '10.0.0')]
    """
    return _findings({0: _parse(source, name)}, name)[0]


def read_source(path: Path) -> str:
    """Returns the text of a script, in the encoding that it declares. Raises OSError and UnreadableSource."""
    content = _read(path)
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        if codecs.lookup(encoding).name in _SLOW_CODECS:
            raise LookupError(f"{encoding} is for names on the net")
        with _quietly():
            return io.TextIOWrapper(io.BytesIO(content), encoding).read()
    except (SyntaxError, UnicodeError, LookupError) as error:  # LookupError: hex and others that make no text
        raise UnreadableSource(f"{path}: not a text in the encoding that it declares ({error})") from None


def without_magics(source: str) -> str:
    """Returns a notebook's cell as Python: without magics and shell lines, but with what ``%time`` runs.

    Lines keep their numbers. A line is taken for one only where a statement begins: ``% a`` may also go on with an
    expression from the line above, or stand in a string.

    >>> without_magics("%time x = 1\\n!ls\\ny = 2  # enough?")
    'x = 1\\npass\\ny = 2  # enough?'
    """
    lines = re.sub(r"\A(\s*)%%[^\n]*", r"\1", source).split("\n")
    quote, depth, goes_on, magic = "", 0, False, None  # magic: the indent of one, until its last line
    for at, line in enumerate(lines):
        if magic is None and not (quote or depth or goes_on):
            code = line.lstrip()
            indent = line[: len(line) - len(code)]
            if timed := _TIMED.match(code):
                code = code[timed.end() :]
                lines[at] = line = indent + code
            magic = indent if _MAGIC.match(code) else None
        if magic is None:
            quote, depth, goes_on = _open(line, quote, depth)
        else:
            lines[at] = f"{magic}pass"
            magic = magic if line.endswith("\\") else None
    return "\n".join(lines)


def _open(line: str, quote: str, depth: int) -> tuple[str, int, bool]:
    """Follows a line, before which the string that ``quote`` began is open ("" for none), and ``depth`` brackets.

    Returns both for the end of the line, and whether a backslash continues it."""
    at, goes_on = 0, False
    while found := (_STRING[quote] if quote else _CODE).search(line, at):
        at, text = found.end(), found[0]
        if quote:
            quote = "" if text == quote else quote
        elif text in _STRING:
            quote = text
        else:
            depth = max(0, depth + (text in "([{") - (text in ")]}"))
        goes_on = text == "\\"
    return quote if goes_on or len(quote) == 3 else "", depth, goes_on


def _read(path: Path) -> bytes:
    """Reads the content of a regular file. Raises OSError and UnreadableSource."""
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST_FILE + 1)
    except (ValueError, MemoryError) as error:  # ValueError: a name with a null byte in it
        raise UnreadableSource(f"{path}: {error or 'too large for the memory'}") from None
    if content is None or len(content) > LARGEST_FILE:  # None: a file of the system that has nothing to say yet
        raise UnreadableSource(f"{path}: larger than {LARGEST_FILE >> 20} MB")
    return content


def _code_cells(path: Path) -> list[tuple[int, str]]:
    """Reads a notebook's code cells, each with its number, from 1. Raises OSError and UnreadableSource."""
    content = _read(path)
    try:
        cells = enumerate(json.loads(content.decode("utf-8"))["cells"], 1)
        found = [(number, "".join(cell["source"])) for number, cell in cells if cell["cell_type"] == "code"]
    except (ValueError, LookupError, TypeError, *_TOO_DEEP) as error:
        raise UnreadableSource(f"{path}: not a notebook of format 4 ({type(error).__name__}: {error})") from None
    _limit("\n".join(source for _, source in found), str(path))
    return found


def _limit(source: str, name: str) -> None:
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


def _findings(trees: Mapping[int, ast.AST], name: str) -> dict[int, list[Finding]]:
    try:
        program = Program(list(trees.values()))
        return {number: program.findings(tree) for number, tree in trees.items()}
    except _TOO_DEEP:
        raise UnreadableSource(f"{name}: its expressions are nested too deeply to be followed") from None


def _parse(source: str, name: str) -> ast.AST:
    _limit(source, name)
    try:
        with _quietly():
            return ast.parse(source, name)
    except _TOO_DEEP:
        raise UnreadableSource(f"{name}: its expressions are nested too deeply to be read") from None
    except (SyntaxError, ValueError) as error:
        old = [number for number, line in enumerate(source.splitlines(), 1) if _PYTHON_2.match(line)]
        if old:
            hint = "convert it first, for example with 2to3 (in Python up to 3.12)"
            raise UnreadableSource(f"{name}, line {old[0]}: this is Python 2; {hint}") from None
        line = getattr(error, "lineno", None) or 1
        raise UnreadableSource(f"{name}, line {line}: not Python 3 ({getattr(error, 'msg', error)})") from None


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Silences Python's warnings about what others wrote, such as an invalid escape sequence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def counts(finding: Finding) -> bool:
    """Says whether a finding counts as outdated: not if it is advice, or guarded by a test of the version or name."""
    return finding.level != "advice" and not finding.guarded
