"""What the code cells of every chapter must be, checked without running them. Each check lists the problems it finds.

tests/test_notebooks.py applies CHECKS to each chapter; check_prose.py has those for everything that is read.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterator
from pathlib import Path

import nbformat

from helpers.trt import CAPABILITIES
from helpers.workbook.needs import MARK, recording_mark
from helpers.workbook.recordings import load_code_cells, recordings_path, split_gate
from tools.checks.canonical import is_canonical, private_paths
from tools.record.gated import Ambiguous, Status, chapter_status, code_cells, python_source, read_code_cells

CODE_LINES = 15  # blank lines, comments, docstrings, imports and magics do not count


def _read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, 4)


def _code(path: Path) -> list[tuple[int, nbformat.NotebookNode]]:
    return list(enumerate((cell for cell in _read(path).cells if cell.cell_type == "code"), 1))


def valid(path: Path) -> list[str]:
    """The file follows nbformat's schema, and all code is Python."""
    problems = []
    try:
        nbformat.validate(_read(path))
    except nbformat.ValidationError as error:
        problems.append(str(error).splitlines()[0])
    for number, cell in _code(path):
        try:
            compile(python_source(cell.source), f"code cell {number}", "exec", flags=0x2000)  # top-level await
        except SyntaxError as error:
            problems.append(f"code cell {number} is not Python: {error}")
    return problems


def canonical(path: Path) -> list[str]:
    return (
        []
        if is_canonical(path)
        else [f"python -m tools.checks.canonical --fix {path.name} brings it into its one form"]
    )


def setup_first(path: Path) -> list[str]:
    """The first code cell loads what reads %%needs, which stands nowhere but atop a cell and knows its words."""
    cells = _code(path)
    problems = []
    if not cells or "%load_ext helpers.workbook.needs" not in cells[0][1].source.splitlines():
        problems.append("the first code cell has no line %load_ext helpers.workbook.needs")
    for number, cell in cells:
        gate = split_gate(cell.source)
        for name in gate[0] if gate else []:
            if name not in CAPABILITIES:
                problems.append(f"code cell {number} needs {name!r}, which helpers/trt.py does not know")
        if gate and not gate[0]:
            problems.append(f"code cell {number}: %%needs names no capability")
        if len(re.findall(r"^\s*%%needs", cell.source, re.MULTILINE)) > bool(gate):
            problems.append(f"code cell {number}: %%needs has to be the first line")
    return problems


def recorded(path: Path) -> list[str]:
    """Every gated cell has a recording of exactly its source, and all code cells are noted; see make record."""
    root = path.parents[1]
    try:
        states = chapter_status(path.stem, root)
    except Ambiguous as error:
        return [str(error)]
    problems = [f"{s.cell}: its recording is {s.state}" for s in states if s.state in ("missing", "other version")]
    noted = load_code_cells(recordings_path(path.stem, root))
    if noted and noted != code_cells(read_code_cells(path)):  # readers would be told that they have changed something
        problems.append("code cells are not as they are noted with the recordings: run make record")
    return problems


def names(path: Path) -> list[str]:
    """No cell uses a name that only cells with further needs define."""
    sources = [cell.source for cell in read_code_cells(path)]
    needs = [frozenset((split_gate(source) or ([], ""))[0]) for source in sources]
    cells = [_statements(python_source(source)) for source in sources]
    binders: dict[str, list[int]] = {}
    for index, statements in enumerate(cells):
        for name in {name for _, _, binds in statements for name in binds}:
            binders.setdefault(name, []).append(index)
    problems = []
    for index, statements in enumerate(cells):
        bound: set[str] = set()
        for reads, later, binds in statements:
            # What a function reads may also be defined below it.
            places = [(name, index) for name in reads - bound]
            places += [(name, len(cells)) for name in later - bound]
            bound |= binds
            for name, before in sorted(places):
                found = [i for i in binders.get(name, []) if i < before]
                if found and not any(needs[i] <= needs[index] for i in found):
                    missing = " ".join(sorted(needs[found[0]] - needs[index]))
                    problems.append(
                        f"code cell {index + 1} uses {name!r}, which is only defined in code cell "
                        f"{found[0] + 1}: that one needs {missing}"
                    )
    return list(dict.fromkeys(problems))


def _statements(source: str) -> list[tuple[set[str], set[str], set[str]]]:
    """Of each statement, the names that it reads, those that what it defines reads later, and those that it binds."""
    try:
        nodes = ast.parse(source).body
    except SyntaxError:
        return []  # `valid` tells of it
    result = []
    for node in nodes:
        table = symtable.symtable(ast.unparse(node), "cell", "exec")
        binds = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
        reads = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
        if isinstance(node, ast.AugAssign):
            reads |= {name.id for name in ast.walk(node.target) if isinstance(name, ast.Name)}
        elif not isinstance(node, ast.Assign):  # x = x + 1 reads x first, with ... as x binds it first
            reads -= binds
        result.append((reads, set(_read_inside(table)), binds))
    return result


def _read_inside(table: symtable.SymbolTable) -> Iterator[str]:
    """The global names that functions and classes inside read."""
    for child in table.get_children():
        yield from (s.get_name() for s in child.get_symbols() if s.is_global() and s.is_referenced())
        yield from _read_inside(child)


def code_lengths(path: Path) -> list[str]:
    """Code cells are short."""
    problems = []
    for number, cell in _code(path):
        source = python_source(cell.source)
        lines = {n for n, line in enumerate(source.splitlines(), 1) if line.strip() and line.lstrip()[0] != "#"}
        try:
            tree = ast.parse(source)
        except SyntaxError:
            continue  # `valid` tells of it
        for node in ast.walk(tree):
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if text or isinstance(node, ast.Import | ast.ImportFrom) or _is_magic(node):
                lines -= set(range(node.lineno, node.end_lineno + 1))
        if len(lines) > CODE_LINES:
            problems.append(f"code cell {number} has {len(lines)} lines of code, more than {CODE_LINES}: split it")
    return problems


def _is_magic(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith("get_ipython().run_")


def private(path: Path) -> list[str]:
    """Nothing tells about the machine on which it was written or run."""
    problems = []
    for number, cell in enumerate(_read(path).cells, 1):
        found = private_paths([{"text": cell.source}]) if cell.cell_type == "code" else []
        found += re.findall(r"\.\./shared\S*|/work/\S*|/home/\S*|/root/\S*", cell.source)
        found += private_paths(cell.get("outputs", []))
        if found:
            problems.append(f"cell {number} contains {', '.join(sorted(set(found)))}")
    return problems


def outputs(path: Path) -> list[str]:
    """Outputs are stored, none is an error, and what gated cells show is what is recorded."""
    cells = _code(path)
    problems = []
    if not any(cell.outputs for _, cell in cells):
        problems.append("no outputs are stored: run make record")
    for number, cell in cells:
        if any(output.output_type == "error" for output in cell.outputs):
            problems.append(f"code cell {number} has an error among its outputs")
    exact = [s for s in _states(path) if s.state in ("recorded", "older") and not s.cell.solved]
    recordings = {s.cell.index: s.recording for s in exact}
    for number, cell in cells:
        marks = [output.metadata[MARK] for output in cell.outputs if MARK in output.get("metadata", {})]
        recording = recordings.get(number - 1)  # `recorded` tells of cells that have none
        if recording and any(not recording.outputs or mark != recording_mark(recording) for mark in marks):
            problems.append(f"code cell {number} shows an earlier recording: run make record")
    return problems


def _states(path: Path) -> list[Status]:
    try:
        return chapter_status(path.stem, path.parents[1])
    except Ambiguous:
        return []  # `recorded` says so


CHECKS = [valid, canonical, setup_first, recorded, names, code_lengths, private, outputs]
