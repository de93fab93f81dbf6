"""The code cells of a chapter, those that are gated, exercises with their solutions too, and how recordings stand."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.commands.copy import closure, helpers
from helpers.workbook.recordings import (
    EXERCISE,
    SIMILAR,
    CodeCell,
    Recording,
    first_line,
    load_recordings,
    recordings_path,
    short_hash,
    similarity,
    source_hash,
    split_gate,
)

_STUB = re.compile(r"^# Exercise (\d\d)\.(\d+):", re.MULTILINE)


class Ambiguous(ValueError):
    """Two gated cells have the same source: their recordings could not be told apart."""


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


@dataclass(frozen=True)
class Gated:
    """One gated cell: ``cells[index]`` of ``cells``, which are the chapter's code cells as they are, or as solved."""

    index: int
    cells: tuple[Cell, ...]
    needs: tuple[str, ...]
    after: str | None  # for the check of a gated exercise: the hash of the answer above it
    solved: bool

    @property
    def source(self) -> str:
        return self.cells[self.index].source

    @property
    def key(self) -> tuple[str, str | None]:
        return source_hash(self.source), self.after

    def __str__(self) -> str:
        what = f"code cell {self.index + 1}, {first_line(self.source) or 'empty'!r}"
        return f"{what} (solution)" if self.solved else what


def gated_cells(cells: Iterable[Cell], root: Path) -> list[Gated]:
    """All that is to be recorded of a chapter, in the order of its cells. Raises Ambiguous.

    An exercise whose stub is gated is run twice: as it is, and with its solution.
    """
    cells = tuple(cells)
    result: dict[tuple, Gated] = {}
    for variant in (cells, _solve(cells, root)):
        for index, cell in enumerate(variant):
            gate = split_gate(cell.source)
            if gate is None:
                continue
            above = variant[index - 1].source if index else ""
            after = source_hash(above) if split_gate(above) and _STUB.search(above) else None
            gated = Gated(index, variant, tuple(gate[0]), after, variant is not cells)
            if gated.key not in result:
                result[gated.key] = gated
            elif result[gated.key].index != index:
                raise Ambiguous(f"{gated} is the same as code cell {result[gated.key].index + 1}; change one of them")
    return sorted(result.values(), key=lambda gated: (gated.index, gated.solved))


def _solve(cells: tuple[Cell, ...], root: Path) -> tuple[Cell, ...]:
    """The cells with the solutions in place of the gated stubs of exercises."""
    solutions = [solution(cell.source, root) if split_gate(cell.source) else None for cell in cells]
    if not any(solutions):
        return cells
    return tuple(Cell(c.id, new) if new else c for c, new in zip(cells, solutions, strict=True))


def solution(source: str, root: Path) -> str | None:
    """The solution that belongs into the place of this cell; None unless it is the stub of an exercise that has one."""
    stub = _STUB.search(source)
    path = root / "notebooks" / "solutions" / ("{}_{}.py".format(*stub.groups()) if stub else "none")
    return path.read_text(encoding="utf-8").strip("\n") if path.is_file() else None


def code_cells(cells: Iterable[Cell]) -> list[CodeCell]:
    """What a file of recordings keeps of a chapter's code cells."""
    return [CodeCell(cell.id, short_hash(cell.source), bool(EXERCISE.search(cell.source))) for cell in cells]


def made_from(gated: Gated, root: Path) -> dict[str, str]:
    """Hashes of what a recording depends on: ``cells``, those above it, and ``helpers``, with the data that is read.

    It is coarse, since chapters are recorded as a whole: comments count, and so do cells that the recorded one does not
    use. Exercises do not count.
    """
    sources = [cell.source for cell in gated.cells[: gated.index + 1]]
    above = [cell.hash for cell in code_cells(gated.cells[: gated.index]) if not cell.exercise]
    known = helpers(root / "helpers")
    imported = {name for source in sources for name in _imports(source) if name in known}
    modules = closure(imported, root / "helpers")
    data = {name for module in modules for name in known[module].data}
    data |= {path.name for path in (root / "data").glob("*.*") if any(path.name in source for source in sources)}
    files = [f"helpers/{known[name].path}" for name in modules] + [f"data/{name}" for name in sorted(data)]
    hashes = [f"{name} {_file_hash(root / name, (root / name).stat().st_mtime_ns)}" for name in files]
    return {"cells": short_hash("\n".join(above)), "helpers": short_hash("\n".join(hashes))}


@functools.cache  # every gated cell asks anew
def _imports(source: str) -> set[str]:
    """What a cell may import of helpers: names of modules and, if it cannot be told, of what they define."""
    try:
        nodes = list(ast.walk(ast.parse(python_source(source))))
    except SyntaxError:
        return set()
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [f"{n.module}.{alias.name}" for n in nodes if isinstance(n, ast.ImportFrom) for alias in n.names]
    parts = [name.split(".")[1:] for name in names if name.startswith("helpers.")]
    return {".".join(part[:length]) for part in parts for length in range(1, len(part) + 1)}


@functools.cache
def _file_hash(path: Path, changed: int) -> str:
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()  # Git may change line ends


@dataclass(frozen=True)
class Status:
    """How one gated cell stands: "recorded", "older", "other version" or "missing".

    Of an older one, ``changed`` names what it was made from: "cells", "helpers" or both.
    """

    cell: Gated
    state: str
    recording: Recording | None
    changed: tuple[str, ...] = ()


def chapter_status(chapter: str, root: Path) -> list[Status]:
    """The status of every gated cell of a chapter, in order. Raises Ambiguous and RecordingError."""
    cells = gated_cells(read_code_cells(root / "notebooks" / f"{chapter}.ipynb"), root)
    kept = match(cells, load_recordings(recordings_path(chapter, root)))
    result = []
    for gated in cells:
        recording = kept.get(gated.key)
        if recording is None or recording.hash != gated.key[0]:
            result.append(Status(gated, "other version" if recording else "missing", recording))
        else:
            now = made_from(gated, root)
            changed = tuple(what for what, digest in now.items() if getattr(recording, what) != digest)
            result.append(Status(gated, "older" if changed else "recorded", recording, changed))
    return result


def match(cells: Sequence[Gated], recordings: Iterable[Recording]) -> dict[tuple, Recording]:
    """Which recording belongs to which cell, by the cell's key; for an edited cell, that of its earlier version.

    What is in none of them belongs to a cell that no longer exists.
    """
    spare = {(recording.hash, recording.after): recording for recording in recordings}
    result = {gated.key: spare.pop(gated.key) for gated in cells if gated.key in spare}
    for gated in cells:
        if gated.key not in result and spare:
            ratios = {key: similarity(gated.source, recording.source) for key, recording in spare.items()}
            closest = max(ratios, key=ratios.__getitem__)
            if ratios[closest] >= SIMILAR:
                result[gated.key] = spare.pop(closest)
    return result
