"""Every chapter twice in a row in one kernel: as shipped, then with all solutions swapped in under strict mode."""

import copy
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
SOLUTIONS = {path.stem.replace("_", "."): path.read_text() for path in (NOTEBOOKS / "solutions").glob("*.py")}
STRICT = "import os\nos.environ['WORKBOOK_STRICT'] = '1'"


def solved(cell):
    """The cell, with the solution in place of the stub if it is one."""
    cell = copy.deepcopy(cell)
    number = re.search(r"^# Exercise (\d\d\.\d):", cell.source, re.MULTILINE)
    if number:
        cell.source = SOLUTIONS[number.group(1)]
    return cell


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), ids=lambda path: path.stem)
def test_run_all_twice_the_second_time_solved(path, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path))
    notebook = nbformat.read(path, 4)
    strict = nbformat.v4.new_code_cell(STRICT)
    again = [solved(cell) for cell in notebook.cells]
    notebook.cells = [cell for cell in [*notebook.cells, strict, *again] if cell.cell_type == "code"]
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.outputs = f"cell-{number}", []
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": NOTEBOOKS}}).execute()
    assert all(output.output_type != "error" for cell in notebook.cells for output in cell.outputs)
