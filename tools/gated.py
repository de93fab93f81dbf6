"""The gated cells of a chapter, those of its exercises with their solutions too, and how their recordings stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.dependencies import Cell, changed_since, dependencies, read_code_cells
from helpers.recordings import SIMILAR, Recording, load_recordings, recordings_path, similarity, source_hash, split_gate

_STUB = re.compile(r"^# Exercise (\d\d)\.(\d+):", re.MULTILINE)


class Ambiguous(ValueError):
    """Two gated cells have the same source: their recordings could not be told apart."""


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
        lines = [line.strip() for line in self.source.splitlines() if line.strip() and line[0] not in "#%"]
        what = f"code cell {self.index + 1}, {(lines or ['empty'])[0]!r}"
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


@dataclass(frozen=True)
class Status:
    """How one gated cell stands: "recorded", "changed" (what it depended on), "other version" or "missing"."""

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
            now = dependencies(gated.cells, gated.index, root)
            changed = tuple(changed_since(recording.depends, now, gated.cells))
            result.append(Status(gated, "changed" if changed else "recorded", recording, changed))
    return result


def match(cells: Sequence[Gated], recordings: Iterable[Recording]) -> dict[tuple, Recording]:
    """Which recording belongs to which cell, by the cell's key; for an edited cell, that of its earlier version.

    What is in none of them belongs to a cell that no longer exists.
    """
    spare = {(recording.hash, recording.after): recording for recording in recordings}
    result = {gated.key: spare.pop(gated.key) for gated in cells if gated.key in spare}
    for gated in cells:
        if gated.key not in result and spare:
            ratio, key = max((similarity(gated.source, r.source), key) for key, r in spare.items())
            if ratio >= SIMILAR:
                result[gated.key] = spare.pop(key)
    return result
