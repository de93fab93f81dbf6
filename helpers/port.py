"""What in my script or notebook does TensorRT no longer have? ``python -m helpers port FILE``; chapter 12.

A report with line numbers, the release in which each name went and what to write today; nothing is changed and nothing
is run. It reads what is written: names made at run time (getattr) stay unseen. Needs rich for the terminal.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import tokenize
from collections.abc import Mapping, Sequence
from pathlib import Path

from .outdated import Finding, Program

_PYTHON_2 = re.compile(
    r"^\s*(print\s+[^\s(=.,)]|print\s*>>|exec\s+[\"']|raise\s+\w+\s*,|except\s+[\w.]+\s*,\s*\w+\s*:)"
)
_OTHER_LANGUAGE = re.compile(
    r"\s*%%(bash|sh|html|javascript|js|latex|markdown|script|svg|writefile|cmd|perl|ruby|file)\b"
)
_MAGIC = re.compile(r"\s*([%!?]|[\w.]+\s*\?|[\w., ]+=\s*[%!])")
_TIMED = re.compile(r"(\s*)(?:[\w., ]+=\s*)?%time(?:it)?\s+(?:-\w+(?:\s+\d+)?\s+)*(.*)", re.DOTALL)


class UnreadableSource(ValueError):
    """A file that is not Python 3; the message names file and line and says what to do."""


def port(path: str | Path) -> list[Finding]:
    """All outdated calls of a script (.py) or notebook (.ipynb), from top to bottom.

    Raises FileNotFoundError, and UnreadableSource where the file is no Python 3 (for a notebook: no notebook).
    """
    path = Path(path)
    if path.suffix != ".ipynb":
        return port_source(read_source(path), str(path))
    trees, guarded = {}, set()
    for number, source in _code_cells(path):
        if not _OTHER_LANGUAGE.match(source):
            trees[number] = _parse(without_magics(source), f"{path}, cell {number}")
            if source.lstrip().startswith("%%needs"):  # helpers.needs: runs only where it can
                guarded.add(number)
    return [
        dataclasses.replace(finding, cell=number, guarded=finding.guarded or number in guarded)
        for number, found in _findings(trees, str(path)).items()
        for finding in found
    ]


def port_source(source: str, name: str = "<source>") -> list[Finding]:
    """All outdated calls of the text of a script. Raises UnreadableSource, which calls it ``name``.

    >>> [(finding.line, finding.name, finding.when) for finding in port_source("engine.num_bindings")]
    [(1, 'ICudaEngine.num_bindings', '10.0.0')]
    """
    return _findings({0: _parse(source, name)}, name)[0]


def read_source(path: Path) -> str:
    """The text of a script, in the encoding that it declares. Raises FileNotFoundError and UnreadableSource."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UnreadableSource(f"{path}: not a text in the encoding that it declares ({error})") from None


def without_magics(source: str) -> str:
    """A notebook's cell as Python: without magics and shell lines, but with what ``%time`` runs.

    Lines keep their numbers. Only where Python stumbles is a line taken for one: ``% a`` may also go on with an
    expression from the line above.

    >>> without_magics("%time x = 1\\n!ls\\ny = 2  # enough?")
    'x = 1\\npass\\ny = 2  # enough?'
    """
    lines = re.sub(r"\A(\s*)%%[^\n]*", r"\1", source).split("\n")
    while True:
        try:
            ast.parse("\n".join(lines))
        except SyntaxError as error:
            at = (error.lineno or 0) - 1
            if not 0 <= at < len(lines) or not _MAGIC.match(lines[at]):
                break
            timed = _TIMED.match(lines[at])
            if timed:
                lines[at] = timed[1] + timed[2]
                continue
            goes_on, indent = True, lines[at][: -len(lines[at].lstrip())]
            while goes_on and at < len(lines):
                goes_on, lines[at] = lines[at].endswith("\\"), indent + "pass"
                at += 1
        except (ValueError, RecursionError, MemoryError):  # which _parse will explain
            break
        else:
            break
    return "\n".join(lines)


def _code_cells(path: Path) -> list[tuple[int, str]]:
    """The sources of a notebook's code cells, each with the number of its cell. Raises UnreadableSource."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [(n, "".join(cell["source"])) for n, cell in enumerate(cells, 1) if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableSource(f"{path}: not a notebook of format 4 ({error!r})") from None


def _findings(trees: Mapping[int, ast.AST], name: str) -> dict[int, list[Finding]]:
    try:
        program = Program(list(trees.values()))
        return {number: program.findings(tree) for number, tree in trees.items()}
    except RecursionError:
        raise UnreadableSource(f"{name}: its expressions are nested too deeply to be followed") from None


def _parse(source: str, name: str) -> ast.AST:
    try:
        return ast.parse(source, name)
    except (RecursionError, MemoryError):
        raise UnreadableSource(f"{name}: its expressions are nested too deeply to be read") from None
    except (SyntaxError, ValueError) as error:
        old = [number for number, line in enumerate(source.splitlines(), 1) if _PYTHON_2.match(line)]
        if old:
            hint = "convert it first, for example with 2to3 (in Python up to 3.12)"
            raise UnreadableSource(f"{name}, line {old[0]}: this is Python 2; {hint}") from None
        line = getattr(error, "lineno", None) or 1
        raise UnreadableSource(f"{name}, line {line}: not Python 3 ({getattr(error, 'msg', error)})") from None


def main(files: Sequence[str], as_json: bool = False) -> int:
    """Prints a report on each file. Returns 0 if nothing is outdated, 1 if something is, 2 if a file cannot be read.

    What is guarded by a test of the version, and mere advice, is shown but does not count.
    """
    import sys

    reports, errors = {}, []
    for file in files:
        try:
            reports[file] = port(file)
        except (OSError, UnreadableSource) as error:
            errors.append(str(error))
    if as_json:
        print(json.dumps({file: [vars(finding) for finding in found] for file, found in reports.items()}, indent=1))
    else:
        for file, found in reports.items():
            _print(file, found)
    for message in errors:
        print(message, file=sys.stderr)
    return 2 if errors else int(any(counts(finding) for found in reports.values() for finding in found))


def counts(finding: Finding) -> bool:
    """False for what still works or is guarded."""
    return finding.level != "advice" and not finding.guarded


def _print(file: str, found: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console, number = Console(highlight=False), sum(map(counts, found))
    console.print(Text(f"{file}: {number or 'nothing'} outdated", "bold"))
    for finding in found:
        line = f"cell {finding.cell}, line {finding.line}" if finding.cell else f"line {finding.line}"
        when = f"{'gone in' if finding.level == 'gone' else 'since'} {finding.when}" if finding.when else "advice"
        note = "; behind a test of the version or name" if finding.guarded else ""
        console.print(
            Text.assemble((f"{line}: ", "dim"), (finding.name, "" if counts(finding) else "dim"), f": {when}{note}")
        )
        console.print(Padding(Text(f"→ {finding.use}", "cyan"), (0, 0, 0, 4)))
    for advice in dict.fromkeys(finding.advice for finding in found if finding.advice):
        console.print(Text(f"• {advice}"))
    if found:
        console.print(Text("More on a name: python -m helpers whatis NAME", "dim"))
