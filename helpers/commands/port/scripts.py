"""Reads scripts and notebooks for ``port``, which lists what TensorRT no longer has in them (chapter 12).

Each finding has its line, the release in which the name went and what to write today. Nothing is changed and nothing is
run. Names that are made at run time stay unseen. Standard library only.

Any file may be given: what cannot be read in a moment is refused in one line (UnreadableSource).
"""

from __future__ import annotations

import ast
import codecs
import dataclasses
import io
import json
import tokenize
from pathlib import Path

from ...atomic import open_regular
from .commands import in_shell
from .finding import Finding
from .magics import without_magics
from .outdated import Program
from .parsing import TOO_DEEP, UnreadableSource, limit, parse, quietly

LARGEST_FILE = 16 << 20  # bytes; of a notebook, most are outputs
_SLOW_CODECS = ("idna", "punycode")  # their time grows with the square of the size, and no script is written in them


@dataclasses.dataclass
class _Part:
    """A script, or a cell of a notebook; ``number``: the cell's, 0 for a script."""

    number: int
    source: str
    tree: ast.AST
    guarded: bool = False  # runs only where it can
    shell: dict[int, str] = dataclasses.field(default_factory=dict)  # what was no Python, by the number of the line


def port(path: str | Path) -> list[Finding]:
    """Returns all outdated calls of a script (.py) or notebook (.ipynb), from top to bottom.

    Raises OSError for a file that cannot be opened. Raises UnreadableSource for one that is no Python 3 or no notebook,
    is no regular file, or has more than 16 MB, or more than half a million characters of code. Where single lines are
    no Python 3, its ``findings`` are what is outdated in the others.
    """
    path = Path(path)
    if path.suffix != ".ipynb":
        return port_source(read_source(path), str(path))
    parts, complaints = [], []
    for number, cell in _code_cells(path):
        source, shell = without_magics(cell)
        try:
            tree, complaint = parse(source, f"{path}, cell {number}")
        except UnreadableSource as error:
            tree, complaint = ast.Module([], []), str(error)
        complaints += [complaint] if complaint else []
        guarded = cell.lstrip().startswith("%%needs")  # helpers.workbook.needs
        parts.append(_Part(number, source, tree, guarded, shell))
    return _answer(parts, complaints, str(path))


def port_source(source: str, name: str = "<source>") -> list[Finding]:
    """Returns all outdated calls of the text of a script. Raises UnreadableSource, which calls it ``name``.

    >>> [(finding.line, finding.name, finding.when) for finding in port_source("engine.num_bindings")]
    [(1, 'ICudaEngine.num_bindings', '10.0.0')]
    """
    tree, complaint = parse(source, name)
    return _answer([_Part(0, source, tree)], [complaint] if complaint else [], name)


def _answer(parts: list[_Part], complaints: list[str], name: str) -> list[Finding]:
    """Returns what is outdated; raises UnreadableSource with it where something was complained of."""
    try:
        program = Program([part.tree for part in parts])
        found = [
            dataclasses.replace(finding, cell=part.number, guarded=finding.guarded or part.guarded)
            for part in parts
            for finding in _of_part(program, part)
        ]
    except TOO_DEEP:
        raise UnreadableSource(f"{name}: its expressions are nested too deeply to be followed") from None
    if complaints:
        more = f"; and {len(complaints) - 1} more cells" if len(complaints) > 1 else ""
        raise UnreadableSource(f"{complaints[0]}{more}", found)
    return found


def _of_part(program: Program, part: _Part) -> list[Finding]:
    in_shells = (finding for line, text in part.shell.items() for finding in in_shell(text, line))
    return sorted([*program.findings(part.tree, part.source), *in_shells], key=lambda finding: finding.line)


def read_source(path: Path) -> str:
    """Returns the text of a script, in the encoding that it declares. Raises OSError and UnreadableSource."""
    content = _read(path)
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        if codecs.lookup(encoding).name in _SLOW_CODECS:
            raise LookupError(f"{encoding} is for names on the net")
        with quietly():
            return io.TextIOWrapper(io.BytesIO(content), encoding).read()
    except (SyntaxError, UnicodeError, LookupError) as error:  # LookupError: hex and others that make no text
        raise UnreadableSource(f"{path}: not a text in the encoding that it declares ({error})") from None


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
    except (ValueError, LookupError, TypeError, *TOO_DEEP) as error:
        raise UnreadableSource(f"{path}: not a notebook of format 4 ({type(error).__name__}: {error})") from None
    limit("\n".join(source for _, source in found), str(path))
    return found
