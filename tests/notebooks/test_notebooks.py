"""The static checks, on every chapter, and on bad notebooks that each of them must refuse; how nbval runs chapters.

nbval itself collects notebooks/*.ipynb (pyproject.toml); conftest.py adds the second pass.
"""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from notebook_fixtures import SETUP

from helpers.trt import CAPABILITIES, Capability
from helpers.workbook.recordings import load_code_cells, load_recordings, recordings_path, save_recordings
from tools.checks import cells as check_cells
from tools.checks import prose as check_prose
from tools.checks.canonical import dumps
from tools.record.gated import gated_cells, read_code_cells
from tools.record.record import record

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
CHECKS = {check.__name__: check for check in check_cells.CHECKS + check_prose.CHECKS}

pytest_plugins = ["pytester"]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter(chapter, check):
    problems = CHECKS[check](chapter)
    assert not problems, "\n".join(problems)


def test_every_recording_belongs_to_a_cell():
    """That every cell has its recording is a check of each chapter, above; make record removes what is left over."""
    for path in sorted((ROOT / "data" / "recordings").iterdir()):
        cells = gated_cells(read_code_cells(ROOT / "notebooks" / f"{path.stem}.ipynb"), ROOT)
        keys = [(recording.hash, recording.after) for recording in load_recordings(path)]
        assert set(keys) <= {cell.key for cell in cells}, f"{path.name}: python -m tools.record {path.stem}"
        assert len(set(keys)) == len(keys), path.name


def good(book):
    """A chapter that passes every check, with a recording; bad ones below are this one with something spoilt."""
    return book.write("01_gears", *CELLS)


CELLS = [
    "md:# 01 · Gears\n\nSee [below](#How-they-turn), [this](01_gears.ipynb#01-·-Gears) and <https://example.com>.",
    SETUP,
    "teeth = 12\nprint(teeth)",
    'md:## How they turn\n\n<img src="wheel.png" alt="a wheel">\n\n`# no heading` and `<img>`\n\n```\n# nor this\n```',
    "%%needs gizmo\nturned = teeth * 2\nturned",
    "%%needs gizmo\nprint(turned)",
    "md:### In detail\n\n<details><summary>C++</summary>\n\n" + "word " * 200 + "\n\n</details>",
    "def later():\n    return below\n\n\nbelow = 1\nlater()",
    "md:## Recap\n\n" + "word " * 200,
    "teeth",
]


@pytest.fixture(scope="module")
def good_chapter(shared_book):
    good(shared_book)
    (shared_book.root / "notebooks" / "wheel.png").write_bytes(b"")
    shared_book.gizmo(True)
    record("01_gears", shared_book.root)
    shared_book.gizmo(False)
    record("01_gears", shared_book.root, notebooks=True)
    return shared_book.root


@pytest.fixture
def chapter(good_chapter, tmp_path, monkeypatch):
    monkeypatch.setitem(CAPABILITIES, "gizmo", Capability(lambda: False, "turn", "a gizmo"))
    monkeypatch.setitem(CAPABILITIES, "widget", Capability(lambda: False, "fidget", "a widget"))
    shutil.copytree(good_chapter, tmp_path / "copy")
    return tmp_path / "copy" / "notebooks" / "01_gears.ipynb"


@pytest.fixture
def spoil(chapter):
    """Replaces the source of cells, by their position; returns the chapter."""

    def spoil(outputs=None, **sources):
        notebook = nbformat.read(chapter, 4)
        for position, source in sources.items():
            notebook.cells[int(position[1:])].source = source
        for position, output in (outputs or {}).items():
            notebook.cells[position].outputs = [nbformat.v4.new_output(**output)]
        chapter.write_text(dumps(notebook), encoding="utf-8")
        return chapter

    return spoil


def problems(chapter) -> dict[str, str]:
    return {name: "\n".join(found) for name, check in CHECKS.items() if (found := check(chapter))}


def test_a_good_chapter_passes_every_check(chapter):
    assert problems(chapter) == {}


LONG = "\n".join(f"x{n} = {n}" for n in range(16))
BAD = [
    ("valid", {"c2": "this is no Python"}, "code cell 2 is not Python"),
    ("setup_first", {"c1": "import os"}, "the first code cell has no line %load_ext helpers.workbook.needs"),
    ("setup_first", {"c4": "%%needs gizzmo\n1"}, "code cell 3 needs 'gizzmo', which helpers/trt.py does not know"),
    ("setup_first", {"c4": "%%needs\n1"}, "code cell 3: %%needs names no capability"),
    ("setup_first", {"c4": "%%time\n%%needs gizmo\nx"}, "code cell 3: %%needs has to be the first line"),
    ("recorded", {"c4": "%%needs gizmo\nturned = teeth * 3\nturned"}, "its recording is other version"),
    ("recorded", {"c9": "%%needs gizmo\nimport a_thing_of_another_kind"}, "its recording is missing"),
    ("recorded", {"c2": "teeth = 13\nprint(teeth)"}, "code cells are not as they are noted with the recordings"),
    ("recorded", {"c5": CELLS[4]}, "is the same as code cell 3; change one of them"),
    (
        "names",
        {"c9": "print(turned)"},
        "code cell 6 uses 'turned', which is only defined in code cell 3: that one needs gizmo",
    ),
    ("names", {"c9": "def f():\n    return turned"}, "code cell 6 uses 'turned'"),
    ("names", {"c2": "def f():\n    return turned\nteeth = 1"}, "code cell 2 uses 'turned'"),
    ("names", {"c9": "turned += 1"}, "code cell 6 uses 'turned'"),
    (
        "names",
        {"c4": "%%needs gizmo widget\nturned = 1"},
        "code cell 4 uses 'turned', .* code cell 3: that one needs widget",
    ),
    ("names", {"c9": "turned = turned + 1"}, "code cell 6 uses 'turned'"),
    ("names", {"c9": "turned[0] = 1"}, "code cell 6 uses 'turned'"),
    ("names", {"c9": "[turned for _ in range(3)]"}, "code cell 6 uses 'turned'"),
    ("names", {"c9": "class A:\n    def f(self):\n        return turned"}, "code cell 6 uses 'turned'"),
    ("names", {"c9": "with open('f') as turned:\n    turned.read()"}, None),
    ("names", {"c9": "def f(turned):\n    return turned"}, None),
    ("names", {"c9": "import os as turned\nturned"}, None),
    ("names", {"c4": "%%needs gizmo\nimport os as turned"}, None),
    ("code_lengths", {"c9": LONG}, "code cell 6 has 16 lines of code, more than 15"),
    ("private", {"c9": "open('/home/ada/x')"}, "cell 10 contains .*/home/ada"),
    ("private", {"c0": "# T\n\nsee ../shared/x"}, "cell 1 contains ../shared/x"),
    ("headings", {"c0": "no heading"}, "there has to be one H1"),
    ("headings", {"c6": "# Another"}, "there has to be one H1"),
    ("headings", {"c6": "#### Deep"}, "heading 'Deep' skips a level: 4 after 2"),
    ("headings", {"c6": "<h4>Deep</h4>"}, "heading 'Deep' skips a level: 4 after 2"),
    ("prose_lengths", {"c6": "word " * 131}, "131 words stand before code cell 5, more than 130"),
    ("figures", {"c3": '## How they turn\n\n<img src="wheel.png">'}, "cell 4 has a picture without"),
    ("figures", {"c3": '## How they turn\n\n<img src="wheel.png" alt=" ">'}, "cell 4 has a picture without"),
    ("figures", {"c3": "## How they turn\n\n![](wheel.png)"}, "cell 4 has a picture without"),
    ("links", {"c6": "[x](02_none.ipynb)"}, "link to '02_none.ipynb': there is no such file"),
    ("links", {"c6": "[x](#Nowhere)"}, "link to '#Nowhere': there is no such heading"),
    ("links", {"c6": '<a href="none.png">x</a>'}, "link to 'none.png': there is no such file"),
]


@pytest.mark.parametrize(("check", "sources", "message"), BAD)
def test_a_bad_chapter_is_refused(spoil, check, sources, message):
    path = spoil(**sources)
    if message is None:
        assert check not in problems(path)
    else:
        assert re.search(message, problems(path).get(check, ""))


HTML = {"output_type": "display_data"}


@pytest.mark.parametrize(
    ("check", "output", "message"),
    [
        ("outputs", {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}, "code cell 6 has an error"),
        ("private", {"output_type": "stream", "text": "in /tmp/x"}, "cell 10 contains /tmp/x"),
        ("figures", {**HTML, "data": {"text/html": "<img src='data:,'>"}}, "cell 10 has a picture without"),
        ("figures", {**HTML, "data": {"image/png": "AAAA"}}, "cell 10 stores a bare picture"),
    ],
)
def test_a_bad_output_is_refused(spoil, check, output, message):
    assert message in problems(spoil(outputs={9: output})).get(check, "")


def test_a_chapter_without_outputs_is_refused(chapter, book):
    chapter.write_text(good(book).read_text())
    assert "no outputs are stored" in problems(chapter)["outputs"]


def test_outputs_of_an_earlier_recording_are_refused(chapter):
    path = recordings_path("01_gears", chapter.parents[1])
    earlier = [replace(recording, date="2001-01-01") for recording in load_recordings(path)]
    save_recordings(path, earlier, load_code_cells(path))
    assert "code cell 3 shows an earlier recording: run make record" in problems(chapter)["outputs"]


def test_a_banner_of_an_empty_recording_is_refused(chapter):
    path = recordings_path("01_gears", chapter.parents[1])
    empty = [replace(recording, outputs=[]) for recording in load_recordings(path)]
    save_recordings(path, empty, load_code_cells(path))
    assert "code cell 3 shows an earlier recording: run make record" in problems(chapter)["outputs"]


def test_a_notebook_as_an_editor_saves_it_is_refused(chapter):
    notebook = nbformat.read(chapter, 4)
    notebook.cells[1].metadata["scrolled"] = True
    chapter.write_text(nbformat.writes(notebook))
    assert "tools.checks.canonical --fix" in problems(chapter)["canonical"]


def test_an_invalid_notebook_is_refused(chapter):
    chapter.write_text(chapter.read_text().replace('"cell_type": "markdown"', '"cell_type": "prose"', 1))
    assert "prose" in "\n".join(CHECKS["valid"](chapter))


class TestTheSecondPass:
    """conftest.py, in a small project of its own."""

    SOLVED = "# Exercise 01.1: say\nword = 'right'"
    OPTIONS = ("--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider")

    @pytest.fixture
    def project(self, pytester, monkeypatch):
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        for folder in ("tools", "helpers"):
            shutil.copytree(ROOT / folder, pytester.path / folder, ignore=shutil.ignore_patterns("__pycache__"))
        pytester.makeconftest((ROOT / "conftest.py").read_text())
        (pytester.path / "notebooks" / "solutions").mkdir(parents=True)
        (pytester.path / "notebooks" / "solutions" / "01_1.py").write_text(self.SOLVED)

        def run(*sources):
            cells = [nbformat.v4.new_code_cell(source) for source in sources]
            nbformat.write(nbformat.v4.new_notebook(cells=cells), pytester.path / "notebooks" / "01_gears.ipynb")
            return pytester.runpytest_subprocess(*self.OPTIONS, "notebooks", "-v")

        return run

    def test_a_cell_that_cannot_be_run_twice_is_found(self, project):
        result = project("x = globals().get('x', 0) + 1\nassert x == 1")
        result.assert_outcomes(passed=2, failed=2)
        result.stdout.fnmatch_lines(["*::Cell 0 PASSED*", "*::strict from here PASSED*", "*::Cell 0 again FAILED*"])

    def test_a_cell_that_cannot_be_run_twice_in_a_row_is_found(self, project):
        result = project("x = 1", "x += 1\nassert x == 2")
        result.assert_outcomes(passed=6, failed=1)
        result.stdout.fnmatch_lines(["*::Cell 1 again PASSED*", "*::Cell 1 at once FAILED*"])

    def test_exercises_are_solved_in_it_and_checked_strictly(self, project):
        stub = "# Exercise 01.1: say\nword = ..."
        checking = "import os\nassert word == ('right' if 'WORKBOOK_STRICT' in os.environ else ...)"
        project(stub, checking).assert_outcomes(passed=7)

    def test_the_readers_progress_is_left_alone(self, project):
        result = project("import os\nassert 'workbook-state-' in os.environ['WORKBOOK_STATE']")
        result.assert_outcomes(passed=4)
