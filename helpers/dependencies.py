"""What a recorded cell depended on: earlier cells of its chapter, helpers and data files, each with a hash.

Chapter 00 tells of cells that need a GPU. ``make record`` keeps these hashes with each recording; ``helpers.needs``
compares them when it shows one, and says what has changed since. Needs IPython.

>>> code_hash("x = 1  # one") == code_hash("x = 1")
True
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import re
import tokenize
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .names import Statement, read_statements
from .recordings import ROOT, split_gate

_FILE_NAME = re.compile(r"[\w.-]*\w\.[A-Za-z]\w{1,7}")  # cells that name the same file may share it


@dataclass(frozen=True)
class Cell:
    """A code cell: its ``id`` in the notebook and its ``source``."""

    id: str
    source: str


def read_code_cells(path: Path) -> list[Cell]:
    """The code cells of a notebook, in order."""
    notebook = json.loads(Path(path).read_text(encoding="utf-8"))
    cells = enumerate(notebook["cells"])
    return [Cell(c.get("id", str(i)), "".join(c["source"])) for i, c in cells if c["cell_type"] == "code"]


def python_source(source: str) -> str:
    """The Python code of a cell, its magics translated as IPython does; ``%%needs`` and ``%%time`` count as absent."""
    from IPython.core.inputtransformer2 import TransformerManager

    gate = split_gate(source)
    body = gate[1] if gate else source
    body = re.sub(r"\A\s*%%(time|timeit|capture|prun)\b.*\n?", "", body)
    body = re.sub(r"^%time(it)?\s+(-\w+\s*\d*\s+)*", "", body, flags=re.MULTILINE)
    return "" if body.lstrip().startswith("%%") else TransformerManager().transform_cell(body)


def dependencies(cells: Sequence[Cell], index: int, root: Path = ROOT) -> dict[str, str]:
    """What ``cells[index]`` depends on: ``cell <id>``, ``helpers/<name>.py`` and ``data/<name>`` with hashes.

    Of earlier cells only the statements count that its names lead back to; of code, comments, docstrings and blank
    lines do not. Data files are those whose names stand as strings in the cells or helpers concerned.
    """
    read = read_statements(python_source(cell.source) for cell in cells[: index + 1])
    numbered = [(number, statement) for number, cell in enumerate(read) for statement in cell]
    data = {path.name: path for path in sorted((root / "data").glob("*")) if path.is_file()}
    needed = _closure([statement for _, statement in numbered], len(read[index]), data)
    used = [numbered[position] for position in sorted(needed)]

    result = {}
    for number in sorted({number for number, _ in used} - {index}):
        # Imports count through the modules that they lead to, not through their wording.
        texts = [statement.text for n, statement in used if n == number and not statement.modules]
        if texts:
            result[f"cell {cells[number].id}"] = code_hash("\n".join(texts))
    strings = {string for _, statement in used for string in statement.strings}
    for path in _helper_closure({module for _, statement in used for module in statement.modules}, root):
        text = path.read_text(encoding="utf-8")
        result[path.relative_to(root).as_posix()] = code_hash(text)
        strings |= _strings(text)
    for name in sorted(_file_names(strings) & data.keys()):
        result[f"data/{name}"] = _digest(data[name].read_bytes())
    return result


def changed_since(recorded: dict[str, str], now: dict[str, str], cells: Iterable[Cell] = ()) -> list[str]:
    """Names, for a reader, of what differs: helpers and data by path, cells by their first line of code."""
    sources = {f"cell {cell.id}": cell.source for cell in cells}
    keys = sorted(key for key in recorded.keys() | now.keys() if recorded.get(key) != now.get(key))
    result = [key for key in keys if not key.startswith("cell ")]
    for key in keys:
        if key.startswith("cell "):
            lines = [line for line in sources.get(key, "").splitlines() if line.strip() and line[0] not in "#%"]
            result.append(f"the cell that begins with {lines[0].strip()!r}" if lines else "a cell that is gone")
    return list(dict.fromkeys(result))


def code_hash(source: str) -> str:
    """A hash that comments, docstrings and blank lines do not change, the same on every release of Python."""
    source = source.replace("\r\n", "\n")
    texts = source.split("\n")
    lines = [text.encode() for text in texts]
    cut: list[tuple[int, int, int]] = []  # line, from byte, to byte
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and type(first.value.value) is str:
                assert first.end_lineno is not None
                assert first.end_col_offset is not None
                for line in range(first.lineno - 1, first.end_lineno):
                    start = first.col_offset if line == first.lineno - 1 else 0
                    end = first.end_col_offset if line == first.end_lineno - 1 else len(lines[line])
                    cut.append((line, start, end))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line = token.start[0] - 1
            cut.append((line, len(texts[line][: token.start[1]].encode()), len(lines[line])))
    for line, start, end in sorted(cut, reverse=True):
        lines[line] = lines[line][:start] + lines[line][end:]
    return _digest(b"\n".join(line.rstrip() for line in lines if line.strip()))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _file_names(strings: Iterable[str]) -> set[str]:
    names = {re.split(r"[/\\]", string)[-1] for string in strings}
    return {name for name in names if _FILE_NAME.fullmatch(name)}


def _closure(statements: Sequence[Statement], last: int, data: Iterable[str]) -> set[int]:
    """The positions of all statements that the ``last`` ones build on, these included. Files of ``data`` are fixed."""
    needed = set(range(len(statements) - last, len(statements)))
    always: set[str] = set()  # read by functions whenever they are called: no assignment settles them
    files: set[str] = set()
    while True:
        before = len(needed), len(always), len(files)
        wanted = set(always)
        for position in reversed(range(len(statements))):
            statement = statements[position]
            names = _file_names(statement.strings).difference(data)
            if position in needed or (statement.binds | statement.changes) & wanted or names & files:
                needed.add(position)
                wanted = (wanted - statement.certain) | statement.reads | always
                always |= statement.later
                files |= names
        if before == (len(needed), len(always), len(files)):
            return needed


def _helper_closure(modules: Iterable[str], root: Path) -> list[Path]:
    """The files of the helpers among ``modules``, and of those that they import in turn."""
    todo = [module.split(".")[1] for module in modules if module.startswith("helpers.")]
    found: dict[str, Path] = {}
    while todo:
        name = todo.pop()
        path = root / "helpers" / f"{name}.py"
        if name in found or not path.is_file():
            continue
        found[name] = path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.level == 1 or node.module == "helpers"):
                direct = node.module if node.level == 1 else None
                todo += [direct.split(".")[0]] if direct else [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("helpers."):
                todo.append(node.module.split(".")[1])
            elif isinstance(node, ast.Import):
                todo += [alias.name.split(".")[1] for alias in node.names if alias.name.startswith("helpers.")]
    return [found[name] for name in sorted(found)]


def _strings(source: str) -> set[str]:
    nodes = ast.walk(ast.parse(source))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
