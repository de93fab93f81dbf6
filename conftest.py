"""Runs every chapter twice in one kernel: as it is, and again with the solutions of its exercises, checked strictly.

nbval turns the code cells into tests (see pyproject.toml). In the second pass each cell is run twice in a row. That it
succeeds shows that cells can be run again, at once and after all others, that every exercise can be solved, and that
nothing below an exercise depends on its being unsolved.
WORKBOOK_PASSES=1 leaves the second one out: on a GPU, where builds take long, that halves the time.
"""

import os
import tempfile
from itertools import groupby
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

from tools.record.gated import solution

ROOT = Path(__file__).resolve().parent
STRICT = "import os\nos.environ['WORKBOOK_STRICT'] = '1'"


def pytest_configure(config):
    # Solving exercises here is not the reader's progress.
    state = tempfile.TemporaryDirectory(prefix="workbook-state-")
    config.add_cleanup(state.cleanup)
    os.environ["WORKBOOK_STATE"] = state.name


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    result = []
    for parent, group in groupby(items, key=lambda item: item.parent):
        cells = list(group)
        result += cells
        if isinstance(parent, IPyNbFile) and os.environ.get("WORKBOOK_PASSES", "2") == "2":
            result.append(again(cells[0], "strict from here", STRICT))
            for item in cells:
                source = solution(item.cell.source, ROOT) or item.cell.source
                result += [again(item, f"{item.name} again", source), again(item, f"{item.name} at once", source)]
    items[:] = result


def again(item: IPyNbCell, name: str, source: str) -> IPyNbCell:
    cell = nbformat.from_dict({**item.cell, "source": source})
    return IPyNbCell.from_parent(item.parent, name=name, cell_num=item.cell_num, cell=cell, options=item.options)
