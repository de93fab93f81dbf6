"""The code that tools/api_use.py reads: helpers, chapters as they are and as solved, and the checks of exercises."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from helpers.dependencies import python_source, read_code_cells
from helpers.recordings import split_gate
from tools.gated import solution

ROOT = Path(__file__).parents[1]


@dataclass(eq=False)
class Source:
    """Code that shares its names: one file, or all cells of a chapter. ``module`` is the name of a helper, or ""."""

    name: str
    module: str = ""
    parts: list[tuple[ast.Module, tuple[str, ...]]] = field(default_factory=list)  # code, and what it needs

    def add(self, code: str, cell: str = "", needs: tuple[str, ...] = ()) -> Source:
        tree = ast.parse(code)
        for node in ast.walk(tree):
            node.place = f"{self.name}, {cell}" if cell else self.name
        self.parts.append((tree, needs))
        return self


def sources(root: Path = ROOT) -> Iterator[Source]:
    for path in sorted((root / "helpers").glob("*.py")):
        yield Source(f"helpers/{path.name}", path.stem).add(path.read_text(encoding="utf-8"))
    for path in sorted((root / "notebooks" / "exercises").glob("*.py")):
        yield Source(f"notebooks/exercises/{path.name}").add(path.read_text(encoding="utf-8"))
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        cells = read_code_cells(path)
        for solved in (False, True):
            chapter = Source(f"notebooks/{path.name}")
            for number, cell in enumerate(cells, 1):
                answer = solution(cell.source, root) if solved else None
                source, label = answer or cell.source, f"code cell {number}{' (solved)' if answer else ''}"
                written = re.match(r"\s*%%writefile\s+\S+\.py\n", source)
                if written:
                    yield Source(f"notebooks/{path.name}, code cell {number}").add(source[written.end() :])
                    continue
                gate = split_gate(source)
                chapter.add(python_source(source), label, tuple(gate[0]) if gate else ())
            yield chapter
