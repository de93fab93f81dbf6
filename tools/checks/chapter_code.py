"""The code of notebooks and exercises as modules that mypy can check: tools/check_types.py does.

A chapter's cells, with the solutions of its exercises, are one module. What people need not write is put in: type hints
for parameters with usual names, and conditions in a form that mypy knows. Lines keep their numbers within a cell.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable
from pathlib import Path

from helpers.workbook.recordings import split_gate
from tools.record.gated import python_source, read_code_cells, solution

ROOT = Path(__file__).resolve().parents[2]
HEAD = "# mypy: allow-redefinition\nfrom helpers.trt import has as _has, trt as _trt\n"
# What parameters without type hints usually are.
CONVENTIONS = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "net": "INetworkDefinition",
    "network": "INetworkDefinition",
}
_NAMED_CONDITION = re.compile(r"^ *(\w+) = ((?:not )?has(?:attr)?\([^()]*\))", re.MULTILINE)
_OWNER = rf"(?:trt\.(?=[A-Z])|(?=(?:{'|'.join(CONVENTIONS)})\b))(\w+)"
_HASATTR = re.compile(rf"\bhasattr\({_OWNER}, ['\"](\w+)['\"]\)")
_REFUSALS = {"AttributeError", "TypeError", "Exception"}


class Cell:
    """One piece of code: its place, what mypy reads of it, what it ``needs``, and in which lines a refusal is meant.

    ``attributes`` has the lines and names of all attributes, unless the code asks for anything before it uses it.
    """

    def __init__(self, place: str, source: str):
        gate = split_gate(source)
        self.place, self.code, self.needs = place, _code(source), set(gate[0] if gate else ())
        nodes = list(ast.walk(ast.parse(self.code)))
        self.forgiven: set[int] = set()
        for node in nodes:  # try: trt.OnnxParser(logger, network) except TypeError as error: print(error)
            if isinstance(node, ast.Try) and any(_names(handler.type) & _REFUSALS for handler in node.handlers):
                self.forgiven.update(range(node.lineno, (node.body[-1].end_lineno or 0) + 1))
        asks = re.search(r"\b(_?has|hasattr|require)\(", self.code)
        attributes = [] if asks else [node for node in nodes if isinstance(node, ast.Attribute)]
        self.attributes = [(node.lineno, node.attr) for node in attributes if node.lineno not in self.forgiven]


class Module:
    """Cells that share their names: ``text`` is the module's."""

    def __init__(self, name: str, cells: Iterable[Cell]):
        self.name, self.cells = name, list(cells)
        self.text = HEAD + "".join(cell.code for cell in self.cells)
        self._lines = [(cell, line) for cell in self.cells for line in range(1, cell.code.count("\n") + 1)]

    def find(self, line: int) -> tuple[Cell, int]:
        """The cell to which a line of the module belongs, and the number of the line there."""
        return self._lines[line - 1 - HEAD.count("\n")]


@functools.cache
def modules(root: Path = ROOT) -> list[Module]:
    """The notebooks, each with the solutions of its exercises, and what checks the exercises."""
    result = []
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        cells = []
        for number, cell in enumerate(read_code_cells(path), 1):
            place = f"notebooks/{path.name}, code cell {number}"
            cells += [Cell(place, cell.source), Cell(f"{place}, solved", solution(cell.source, root) or "")]
        result.append(Module(f"notebook_{path.name[:2]}", cells))
    for path in sorted((root / "notebooks" / "exercises").glob("*.py")):
        cell = Cell(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
        result.append(Module(f"exercises_{path.stem}", [cell]))
    return result


def _code(source: str) -> str:
    written = re.match(r"\s*%%writefile\s+\S+\.py\n", source)
    code = _with_hints(source[written.end() :] if written else python_source(source))
    # An answer of None that is meant: after the assertion mypy would take all that follows for unreachable.
    code = re.sub(r"^( *)assert (?=.* is None\b)", r"\1_ = ", code, flags=re.MULTILINE)
    for name, condition in _NAMED_CONDITION.findall(code):
        before, definition, after = code.partition(f"{name} = {condition}")
        code = before + definition + re.sub(rf"\b{name}\b", f"({condition})", after)
    # Of hasattr mypy neither learns that a class lacks something, nor of a class what its objects have.
    return _HASATTR.sub(lambda found: f'_has("{CONVENTIONS.get(found[1], found[1])}.{found[2]}")', code)


def _with_hints(code: str) -> str:
    """The code with types for what is named as CONVENTIONS says: parameters used as such, and results of calls."""
    lines, hints = code.encode().splitlines(), []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef):
            text = ast.unparse(node)
            for p in node.args.args:
                if p.arg in CONVENTIONS and not p.annotation and re.search(rf"\b{p.arg}\.|\blen\({p.arg}\)", text):
                    hints.append((p, f": _trt.{CONVENTIONS[p.arg]}"))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            names = [name for target in node.targets for name in _names(target) if name in CONVENTIONS]
            hints += [(node, f"; assert isinstance({name}, _trt.{CONVENTIONS[name]})") for name in names]
    for node, hint in sorted(hints, key=lambda found: -found[0].end_col_offset):
        line, end = lines[node.end_lineno - 1], node.end_col_offset
        lines[node.end_lineno - 1] = line[:end] + hint.encode() + line[end:]
    return b"\n".join([*lines, b""]).decode()


def _names(expression: ast.expr | None) -> set[str]:
    return {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)} if expression else _REFUSALS
