"""A small workbook of its own: helpers copied, one capability more ("gizmo"), notebooks written by the test."""

import shutil
from pathlib import Path

import nbformat
import pytest

from tools.checks.canonical import dumps
from tools.record.execute import execute

ROOT = Path(__file__).resolve().parents[2]
SETUP = "%load_ext helpers.workbook.needs"
# There where the environment variable GIZMO is set: tests switch it on to record and off to replay.
GIZMO = """

CAPABILITIES["gizmo"] = Capability(lambda: bool(os.environ.get("GIZMO")), "turn", "a gizmo <in the drawer>")
CAPABILITIES["widget"] = Capability(lambda: False, "fidget", "a widget")
"""


class Workbook:
    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        self.root, self.monkeypatch = root, monkeypatch
        shutil.copytree(ROOT / "helpers", root / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
        with open(root / "helpers" / "trt.py", "a") as file:
            file.write(GIZMO)
        (root / "helpers" / "gear.py").write_text('"""Gears."""\n\nTEETH = 12\n')
        (root / "notebooks").mkdir()
        (root / "data").mkdir()
        monkeypatch.setenv("PYTHONPATH", str(root))
        monkeypatch.delenv("GIZMO", raising=False)

    def write(self, chapter: str, *cells: str) -> Path:
        """Writes a notebook; a cell that begins with "md:" is Markdown."""
        v4 = nbformat.v4
        made = [
            v4.new_markdown_cell(c[3:].strip(), id=f"cell-{n}")
            if c.startswith("md:")
            else v4.new_code_cell(c, id=f"cell-{n}")
            for n, c in enumerate(cells)
        ]
        path = self.root / "notebooks" / f"{chapter}.ipynb"
        path.write_text(dumps(v4.new_notebook(cells=made)), encoding="utf-8")
        return path

    def gizmo(self, there: bool) -> None:
        if there:
            self.monkeypatch.setenv("GIZMO", "1")
        else:
            self.monkeypatch.delenv("GIZMO", raising=False)

    def run(self, chapter: str) -> list[list[dict]]:
        """The outputs of each code cell, from a real kernel."""
        path = self.root / "notebooks" / f"{chapter}.ipynb"
        ran, self.machine = execute(nbformat.read(path, 4), path.parent, timeout=60)
        return [cell.outputs for cell in ran.cells if cell.cell_type == "code"]


@pytest.fixture
def book(tmp_path, monkeypatch):
    return Workbook(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def shared_book(tmp_path_factory):
    """For tests that look at one and the same run."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Workbook(tmp_path_factory.mktemp("workbook"), monkeypatch)


def text(outputs: list[dict]) -> str:
    """All that one reads of outputs, as plain text."""
    return "".join(o["text"] if o["output_type"] == "stream" else o["data"].get("text/plain", "") for o in outputs)
