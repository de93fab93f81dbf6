"""make record, or python -m tools.record [CHAPTER ...]: runs chapters and keeps what their gated cells printed.

Recorded are the cells that begin with %%needs and that this machine can run; those that it cannot run keep what they
have. Without a GPU, the outputs are stored in the notebooks too. A chapter in which a cell raised is left alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import nbformat

from helpers.atomic import write_atomically
from helpers.device import gpus
from helpers.workbook.needs import describe
from helpers.workbook.recordings import (
    Recording,
    RecordingError,
    load_recordings,
    picture_size,
    recordings_path,
    save_recordings,
    source_hash,
)
from tools.checks.canonical import CHAPTERS, clean_outputs, dumps, private_paths
from tools.record.execute import Failed, execute
from tools.record.gated import (
    Ambiguous,
    Gated,
    chapter_status,
    code_cells,
    gated_cells,
    made_from,
    match,
    read_code_cells,
)

ROOT = Path(__file__).resolve().parents[2]


class Refused(RuntimeError):
    """A chapter is not recorded, and nothing was written; the message names the cell and says why."""


def record(
    chapter: str,
    root: Path,
    *,
    timeout: float = 300,
    notebooks: bool = False,
    on_cell: Callable[[], Any] = lambda: None,
) -> tuple[int, int]:
    """Runs one chapter and writes its recordings and, if asked to, its outputs: how many are new, how many were kept.

    Raises Refused where a cell raised or printed a path of this machine, and where two gated cells are the same.
    """
    path, recordings = root / "notebooks" / f"{chapter}.ipynb", recordings_path(chapter, root)
    notebook = nbformat.read(path, 4)
    try:
        all_cells = read_code_cells(path)
        cells = gated_cells(all_cells, root)
        kept = match(cells, load_recordings(recordings))
        executed, machine = execute(notebook, path.parent, timeout, on_cell)
        new = _recordings([cell for cell in cells if not cell.solved], executed, machine, root)
        solutions = [cell for cell in cells if cell.solved]
        if any(set(cell.needs).isdisjoint(machine["missing"]) for cell in solutions):
            solved, machine = execute(_with_sources(notebook, solutions[0]), path.parent, timeout)
            new |= _recordings(solutions, solved, machine, root)
        merged = kept | new
        in_order = [merged[cell.key] for cell in cells if cell.key in merged]
        save_recordings(recordings, in_order, code_cells(all_cells))
    except (Failed, Ambiguous, RecordingError) as error:
        raise Refused(f"{chapter}: {error}") from error
    if notebooks:
        write_atomically(path, dumps(executed).encode())
    return len(new), len(merged) - len(new)


def note(chapter: str, root: Path) -> None:
    """Notes the code cells of a chapter as they are, without running them. Raises RecordingError."""
    path = recordings_path(chapter, root)
    cells = code_cells(read_code_cells(root / "notebooks" / f"{chapter}.ipynb"))
    save_recordings(path, load_recordings(path), cells)


def _with_sources(notebook: nbformat.NotebookNode, cell: Gated) -> nbformat.NotebookNode:
    result = nbformat.from_dict(dict(notebook))
    sources = iter(cell.cells)
    result.cells = [{**c, "source": next(sources).source} if c.cell_type == "code" else c for c in notebook.cells]
    return nbformat.from_dict(result)


def _recordings(
    cells: list[Gated], executed: nbformat.NotebookNode, machine: dict[str, Any], root: Path
) -> dict[tuple, Recording]:
    """The recordings of those cells that really ran."""
    outputs = [clean_outputs(cell.outputs) for cell in executed.cells if cell.cell_type == "code"]
    for number, printed in enumerate(outputs, 1):
        if any(output["output_type"] == "error" for output in printed):
            raise Failed(f"code cell {number} has an error among its outputs")
        found = private_paths(printed, root, Path.home(), sys.prefix)
        if found:
            raise Failed(f"code cell {number} printed a path of this machine: {', '.join(found)}")
    result = {}
    for cell in cells:
        printed = outputs[cell.index]
        ran = set(cell.needs).isdisjoint(machine["missing"])
        shown = source_hash(cell.source) in machine["replayed"]
        if ran == shown:  # the kernel says that it can and that it did not, or the other way round: believe neither
            raise Failed(f"{cell} {'shows a recording although it could run' if ran else 'ran without what it needs'}")
        if ran:
            about = {key: machine[key] for key in ("device", "compute_capability", "flavour", "version")}
            result[cell.key] = Recording(
                source=cell.source.strip("\n"),
                needs=list(cell.needs),
                date=date.today().isoformat(),
                cell=cell.cells[cell.index].id,
                **made_from(cell, root),
                outputs=[_with_size_only(output) for output in printed],
                after=cell.after,
                **about,
            )
    return result


def _with_size_only(output: dict[str, Any]) -> dict[str, Any]:
    return {**output, "metadata": picture_size(output["metadata"])} if "metadata" in output else output


def show_status(chapters: list[str], root: Path, *, all_cells: bool) -> None:
    """Prints a table of gated cells and how their recordings stand: all of them, or those that are not in order."""
    from rich.console import Console
    from rich.table import Table

    table = Table("chapter", "cell", "needs", "state", "recorded on")
    total = late = 0
    for chapter in chapters:
        try:
            states = chapter_status(chapter, root)
        except (Ambiguous, RecordingError) as error:
            print(f"{chapter}: {error}")
            continue
        for status in states:
            total, late = total + 1, late + (status.state != "recorded")
            if all_cells or status.state != "recorded":
                state = status.state + (f": {', '.join(status.changed)}" if status.changed else "")
                origin = describe(status.recording) if status.recording else ""
                table.add_row(chapter, str(status.cell), " ".join(status.cell.needs), state, origin)
    if table.row_count:
        Console().print(table)
    print(f"{total - late} of {total} gated cells have an up-to-date recording")


def main(arguments: list[str] | None = None) -> int:
    from tqdm import tqdm

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="07_execution, for example; default: all")
    parser.add_argument("--status", action="store_true", help="run nothing, list the gated cells and their recordings")
    parser.add_argument("--note", action="store_true", help="run nothing, note all code cells, as after a new import")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for one cell (default: 300)")
    parser.add_argument(
        "--notebooks",
        action=argparse.BooleanOptionalAction,
        default=not gpus(),
        help="store outputs in the notebooks (default: where there is no GPU, as most readers have none)",
    )
    options = parser.parse_args(arguments)
    known = sorted(path.stem for path in (ROOT / "notebooks").glob(CHAPTERS))
    chapters = [Path(chapter).stem for chapter in options.chapters] or known
    unknown = sorted(set(chapters) - set(known))
    if unknown:
        parser.error(f"no chapter {', '.join(unknown)}; there are {', '.join(known)}")
    if options.status:
        show_status(chapters, ROOT, all_cells=True)
        return 0
    if options.note:
        for chapter in chapters:
            note(chapter, ROOT)
        return 0
    refused = 0
    for chapter in chapters:
        count = len(read_code_cells(ROOT / "notebooks" / f"{chapter}.ipynb"))
        with tqdm(total=count, desc=chapter, unit="cell") as bar:
            try:
                new, kept = record(
                    chapter, ROOT, timeout=options.timeout, notebooks=options.notebooks, on_cell=bar.update
                )
                message = f"{chapter}: {new} recorded, {kept} kept"
            except Refused as error:
                refused, message = refused + 1, f"{error}\n{chapter}: refused, nothing was written"
        print(message, flush=True)
    if not options.chapters:
        for path in (ROOT / "data" / "recordings").glob("*.json"):
            if path.stem not in known:
                save_recordings(path, [])
    show_status(chapters, ROOT, all_cells=False)
    return 1 if refused else 0
