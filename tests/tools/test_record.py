"""make record in real kernels: what it keeps, what it refuses, and what it leaves alone."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from notebook_fixtures import SETUP, text

from helpers.workbook.needs import MARK
from helpers.workbook.recordings import (
    CodeCell,
    load_code_cells,
    load_recordings,
    recordings_path,
    save_recordings,
    short_hash,
    source_hash,
)
from tools.checks.canonical import canonical, clean_outputs, dumps, is_canonical, private_paths, settle
from tools.record import record as tool
from tools.record.gated import chapter_status, gated_cells, match, python_source, read_code_cells
from tools.record.record import Refused, record

ROOT = Path(__file__).resolve().parents[2]
ONE, TWO = "%%needs gizmo\nprint('one')", "%%needs gizmo\nprint('two and more')"


def recordings(book):
    return load_recordings(recordings_path("01_gears", book.root))


def states(book):
    return [status.state for status in chapter_status("01_gears", book.root)]


def test_records_what_can_run_here_and_keeps_the_rest(book):
    book.write("01_gears", SETUP, ONE, "%%needs widget\nprint('elsewhere')", TWO)
    book.gizmo(True)
    assert record("01_gears", book.root) == (2, 0)
    assert [text(r.outputs) for r in recordings(book)] == ["one\n", "two and more\n"]
    assert states(book) == ["recorded", "missing", "recorded"]
    elsewhere = replace(recordings(book)[0], source="%%needs widget\nprint('elsewhere')", needs=["widget"])
    save_recordings(recordings_path("01_gears", book.root), [*recordings(book), elsewhere])
    assert record("01_gears", book.root) == (2, 1)
    assert [r.source.splitlines()[0] for r in recordings(book)] == ["%%needs gizmo", "%%needs widget", "%%needs gizmo"]
    before = recordings(book)
    book.gizmo(False)
    assert record("01_gears", book.root) == (0, 3)
    assert recordings(book) == before


def test_a_recording_that_was_changed_is_not_taken_over(book):
    book.write("01_gears", SETUP, ONE)
    book.gizmo(True)
    record("01_gears", book.root)
    book.gizmo(False)
    path = recordings_path("01_gears", book.root)
    path.write_text(path.read_text().replace(recordings(book)[0].date, "2001-01-01"))
    before = path.read_text()
    with pytest.raises(
        Refused, match=r"01_gears\.json: .* was changed after it was made; restore it, or delete it and"
    ):
        record("01_gears", book.root)
    assert path.read_text() == before


def test_says_which_machine_and_when(book):
    book.write("01_gears", SETUP, "x = 1", "%%needs gizmo\nx")
    book.gizmo(True)
    record("01_gears", book.root)
    (recording,) = recordings(book)
    book.run("01_gears")
    assert {"device": recording.device, "version": recording.version}.items() <= book.machine.items()
    assert recording.needs == ["gizmo"]
    assert len(recording.date) == 10
    assert recording.cell == "cell-2"
    assert "execution_count" not in recording.outputs[0]


def test_notes_all_code_cells_whether_it_records_or_not(book):
    above = [SETUP, "md:# Gears", ONE, "check = print", "# Exercise 01.1: count.\nx = ...", 'check("01.1", x)']
    path = recordings_path("01_gears", book.root)
    book.write("01_gears", *above, "x = 1")
    book.gizmo(True)
    record("01_gears", book.root)
    *noted, last = load_code_cells(path)
    assert noted[0] == CodeCell("cell-0", short_hash(SETUP))
    assert [cell.id for cell in noted if cell.exercise] == ["cell-4", "cell-5"]
    assert last == CodeCell("cell-6", short_hash("x = 1"))
    book.gizmo(False)
    book.write("01_gears", *above, "x = 2")
    assert record("01_gears", book.root) == (0, 1)
    assert load_code_cells(path) == [*noted, CodeCell("cell-6", short_hash("x = 2"))]


class TestWhatARecordingIsMadeFrom:
    CELLS = (SETUP, "from helpers.gear import TEETH\nimport helpers.gear", "# Exercise 01.1: count.\nx = 1", ONE)

    @pytest.fixture
    def book(self, book):
        (book.root / "helpers" / "wheel.py").write_text("from .gear import TEETH\n")
        (book.root / "helpers" / "axle.py").write_text("LENGTH = open('../data/axle.txt')\n")
        (book.root / "data" / "axle.txt").write_text("12")
        (book.root / "data" / "teeth.txt").write_text("12")
        book.write("01_gears", *self.CELLS)
        book.gizmo(True)
        record("01_gears", book.root)
        assert self.changed(book) == ()
        return book

    def changed(self, book):
        (status,) = chapter_status("01_gears", book.root)
        assert status.state == ("older" if status.changed else "recorded")
        return status.changed

    @pytest.mark.parametrize(
        ("number", "cell", "changed"),
        [
            (1, "from helpers.gear import TEETH\nimport helpers.gear\n1", ("cells",)),
            (2, "# Exercise 01.1: count.\nx = 2", ()),
            (1, "from helpers import gear\nimport helpers.axle", ("cells", "helpers")),
            (1, "from helpers.gear import TEETH\nopen('../data/teeth.txt')", ("cells", "helpers")),
            (1, "this is no Python", ("cells", "helpers")),
        ],
    )
    def test_cells_above(self, book, number, cell, changed):
        cells = list(self.CELLS)
        cells[number] = cell
        book.write("01_gears", *cells)
        assert self.changed(book) == changed

    def test_cells_below_do_not_matter(self, book):
        book.write("01_gears", *self.CELLS, "import helpers.axle")
        assert self.changed(book) == ()

    @pytest.mark.parametrize(("name", "changed"), [("gear", ("helpers",)), ("wheel", ()), ("axle", ())])
    def test_helpers(self, book, name, changed):
        path = book.root / "helpers" / f"{name}.py"
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))  # as Git may on Windows
        assert self.changed(book) == ()
        path.write_text(path.read_text() + "MORE = 1\n")
        assert self.changed(book) == changed

    @pytest.mark.parametrize(
        ("imported", "changed"),
        [
            ("from helpers.wheel import TEETH", ("gear.py",)),
            ("def f():\n    from helpers.axle import LENGTH", ("axle.txt",)),
            ("open('../data/teeth.txt')", ("teeth.txt",)),
        ],
    )
    def test_what_helpers_import_and_data(self, book, imported, changed):
        book.write("01_gears", SETUP, imported, ONE)
        record("01_gears", book.root)
        for path in (*(book.root / "data").glob("*.txt"), book.root / "helpers" / "gear.py"):
            before = path.read_text()
            path.write_text(before + "# more")
            assert self.changed(book) == (("helpers",) if path.name in changed else ()), path.name
            path.write_text(before)


def test_an_edited_cell_keeps_its_old_recording_until_it_is_recorded_again(book):
    book.write("01_gears", SETUP, ONE, TWO)
    book.gizmo(True)
    record("01_gears", book.root)
    book.write("01_gears", SETUP, TWO.replace("more", "less"))  # the first is gone, the second another
    book.gizmo(False)
    assert states(book) == ["other version"]
    assert record("01_gears", book.root) == (0, 1)
    assert [r.source for r in recordings(book)] == [TWO]
    book.gizmo(True)
    record("01_gears", book.root)
    assert states(book) == ["recorded"]
    assert len(recordings(book)) == 1


def test_two_recordings_of_one_source_are_equally_close_to_an_edited_cell(book):
    """As of an exercise's check, which is recorded below the stub and below the solution."""
    book.write("01_gears", SETUP, TWO)
    book.gizmo(True)
    record("01_gears", book.root)
    (one,) = recordings(book)
    book.write("01_gears", SETUP, TWO.replace("more", "less"))
    cells = gated_cells(read_code_cells(book.root / "notebooks" / "01_gears.ipynb"), book.root)
    assert list(match(cells, [one, replace(one, after="0" * 64)])) == [cells[0].key]


def test_a_chapter_without_gated_cells_has_no_file(book):
    book.write("01_gears", SETUP, ONE)
    book.gizmo(True)
    record("01_gears", book.root)
    book.write("01_gears", SETUP)
    record("01_gears", book.root)
    assert list((book.root / "data" / "recordings").iterdir()) == []


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (
            "print('x')\nraise ValueError('no gears')",
            r"01_gears: code cell 3 \(print\('x'\)\): raised ValueError: no gears",
        ),
        ("import time; time.sleep(60)", r"code cell 3 \(import time; time.sleep\(60\)\): took more than 2 s"),
        ("import os; os._exit(1)", r"code cell 3 .*: killed its kernel"),
        ("import os; print(os.getcwd())", r"code cell 3 printed a path of this machine: .*notebooks"),
        ("import sys; print(sys.executable)", r"code cell 3 printed a path of this machine: "),
        (ONE, r"code cell 3, \"print\('one'\)\" is the same as code cell 2; change one of them"),
        (
            "%%needs gizmo\nfrom IPython.display import Markdown\nMarkdown('x')",
            r"01_gears: the recording of the cell that begins with 'from IPython.* kept: .* text/markdown, but",
        ),
    ],
)
def test_refuses_a_chapter_and_leaves_everything_as_it_was(book, cell, message):
    path = book.write("01_gears", SETUP, ONE)
    book.gizmo(True)
    record("01_gears", book.root)
    path = book.write("01_gears", SETUP, ONE, cell)
    before = path.read_text(), recordings_path("01_gears", book.root).read_text()
    with pytest.raises(Refused, match=message):
        record("01_gears", book.root, timeout=2, notebooks=True)
    assert (path.read_text(), recordings_path("01_gears", book.root).read_text()) == before


def test_never_takes_a_shown_recording_for_a_run(book, monkeypatch):
    """Should the kernel claim to have the gizmo after the cell was replayed, or the other way round, it is refused."""
    book.write("01_gears", SETUP, ONE, "import os; os.environ['GIZMO'] = '1'")
    with pytest.raises(Refused, match="code cell 2, .* shows a recording although it could run"):
        record("01_gears", book.root)
    book.gizmo(True)
    book.write("01_gears", SETUP, ONE, "import os; del os.environ['GIZMO']")
    with pytest.raises(Refused, match="code cell 2, .* ran without what it needs"):
        record("01_gears", book.root)
    assert recordings(book) == []


def test_stores_the_notebooks_outputs_in_canonical_form(book):
    bar = "from tqdm import tqdm\nfor _ in tqdm([1, 2]): pass"
    path = book.write(
        "01_gears", "md:# Gears", SETUP, ONE, bar, "from tqdm.notebook import tqdm\nfor _ in tqdm([1]): pass\n5"
    )
    book.gizmo(True)
    record("01_gears", book.root)
    book.gizmo(False)
    record("01_gears", book.root, notebooks=True)
    assert is_canonical(path)
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    _, gated, bars, widget = (cell for cell in notebook.cells if cell.cell_type == "code")
    assert [cell.get("execution_count") for cell in notebook.cells] == [None, 1, 2, 3, 4]
    assert [cell.id for cell in notebook.cells] == [f"cell-{n}" for n in range(5)]
    assert MARK in gated.outputs[0].metadata
    assert text(gated.outputs[1:]) == "one\n"
    (stream,) = [output for output in bars.outputs if output.name == "stderr"]
    assert stream.text.startswith("100%|")
    assert stream.text.count("\n") == 1
    assert [output.output_type for output in widget.outputs] == ["execute_result"]
    record("01_gears", book.root, notebooks=True)
    again = nbformat.read(path, 4)
    assert [c.source for c in again.cells] == [c.source for c in notebook.cells]


class TestAGatedExercise:
    STUB = "%%needs gizmo\n# Exercise 01.1: count.\nanswer = ..."
    SOLUTION = "%%needs gizmo\n# Exercise 01.1: count.\nanswer = 5"
    CHECK = "%%needs gizmo\nprint('right' if answer == 5 else 'open')"

    @pytest.fixture
    def book(self, book):
        (book.root / "notebooks" / "solutions").mkdir()
        (book.root / "notebooks" / "solutions" / "01_1.py").write_text(self.SOLUTION + "\n")
        book.write("01_gears", SETUP, ONE, self.STUB, self.CHECK)
        book.gizmo(True)
        assert record("01_gears", book.root) == (5, 0)
        book.gizmo(False)
        return book

    def test_stub_and_solution_are_recorded(self, book):
        assert states(book) == ["recorded"] * 5
        assert [r.source for r in recordings(book)] == [ONE, self.STUB, self.SOLUTION, self.CHECK, self.CHECK]
        assert [r.after for r in recordings(book)[3:]] == [source_hash(self.STUB), source_hash(self.SOLUTION)]

    def test_the_check_shows_the_verdict_on_the_answer_above(self, book):
        cells = [SETUP, self.STUB, self.CHECK, self.SOLUTION, self.CHECK, self.CHECK, self.STUB, self.CHECK]
        book.write("01_gears", *cells)
        outputs = book.run("01_gears")
        assert [text(outputs[i][1:]) for i in (2, 4, 5, 7)] == ["open\n", "right\n", "right\n", "open\n"]

    def test_without_the_gizmo_all_are_kept(self, book):
        before = recordings(book)
        assert record("01_gears", book.root) == (0, 5)
        assert recordings(book) == before


class TestTheCommand:
    @pytest.fixture(autouse=True)
    def root(self, book, monkeypatch):
        monkeypatch.setattr(tool, "ROOT", book.root)
        self.book = book

    def test_records_all_chapters_and_reports_the_refused(self, capsys):
        self.book.write("01_gears", SETUP, ONE)
        self.book.write("02_wheels", SETUP, "1 / 0")
        orphan = recordings_path("09_gone", self.book.root)
        self.book.gizmo(True)
        record("01_gears", self.book.root)
        recordings_path("01_gears", self.book.root).rename(orphan)
        assert tool.main(["--no-notebooks"]) == 1
        out, err = capsys.readouterr()
        assert "01_gears: 1 recorded, 0 kept" in out
        assert "02_wheels: code cell 2 (1 / 0): raised ZeroDivisionError" in out
        assert "2/2" in err
        assert out.endswith("1 of 1 gated cells have an up-to-date recording\n")
        assert not orphan.exists()
        assert nbformat.read(self.book.root / "notebooks" / "01_gears.ipynb", 4).cells[1].outputs == []

    def test_status(self, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "200")
        self.book.write("01_gears", SETUP, "x = 'early'", ONE + "\nx", TWO)
        self.book.gizmo(True)
        record("01_gears", self.book.root)
        self.book.write(
            "01_gears", SETUP, "x = 'late'", ONE + "\nx", TWO + " # edited", "%%needs widget\nlater = 'new'"
        )
        assert tool.main(["--status", "01_gears.ipynb"]) == 0
        out = " ".join(capsys.readouterr().out.split())
        for words in ("older: cells", "other version", "missing", "widget"):
            assert words in out
        assert recordings(self.book)[0].date in out
        assert out.endswith("0 of 3 gated cells have an up-to-date recording")

    def test_note_runs_nothing(self):
        self.book.write("01_gears", SETUP, ONE, "x = 1")
        self.book.gizmo(True)
        record("01_gears", self.book.root)
        before = recordings(self.book)
        self.book.write("01_gears", SETUP, ONE, "raise SystemExit")
        assert tool.main(["--note"]) == 0
        assert recordings(self.book) == before
        noted = load_code_cells(recordings_path("01_gears", self.book.root))
        assert noted[-1] == CodeCell("cell-2", short_hash("raise SystemExit"))

    def test_what_is_missing_is_listed_after_a_run(self, capsys):
        self.book.write("01_gears", SETUP, ONE, "%%needs widget\nprint('elsewhere')")
        self.book.gizmo(True)
        assert tool.main(["--no-notebooks"]) == 0
        out = capsys.readouterr().out
        assert "missing" in out
        assert "code cell 2," not in out
        assert out.endswith("1 of 2 gated cells have an up-to-date recording\n")

    def test_what_cannot_be_read_is_named(self, capsys):
        self.book.write("01_gears", SETUP, ONE, ONE)
        assert tool.main(["--no-notebooks"]) == 1
        assert tool.main(["--status"]) == 0
        assert capsys.readouterr().out.count("is the same as code cell 2; change one of them") == 3

    def test_an_unknown_chapter(self, capsys):
        self.book.write("01_gears", SETUP)
        with pytest.raises(SystemExit):
            tool.main(["01_geers"])
        assert "no chapter 01_geers; there are 01_gears" in capsys.readouterr().err


def test_it_starts_as_a_script():
    run = subprocess.run([sys.executable, "-m", "tools.record", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "--no-notebooks" in run.stdout


def test_the_cells_of_the_workbook_can_be_read_and_the_gated_ones_told_apart():
    for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        cells = read_code_cells(path)
        gated_cells(cells, ROOT)
        for cell in cells:
            compile(python_source(cell.source), path.name, "exec", flags=0x2000)


class TestCanonical:
    def notebook(self, second="b", **output):
        v4 = nbformat.v4
        outputs = [v4.new_output(**output)] if output else []
        cell = v4.new_code_cell("x = 1  \n\n", id="a", outputs=outputs, execution_count=7 if output else None)
        cell.metadata = nbformat.from_dict({"tags": ["t"], "execution": {"iopub.status.busy": "now"}, "scrolled": True})
        book = v4.new_notebook(cells=[cell, v4.new_markdown_cell("# T")])
        book.cells[1].id = second
        book.metadata = nbformat.from_dict({"kernelspec": {"name": "mine"}, "widgets": {}})
        return book

    def test_what_differs_from_run_to_run_goes(self):
        made = canonical(self.notebook("a", output_type="execute_result", data={"text/plain": "1"}, execution_count=7))
        code, markdown = made.cells
        assert (code.source, code.execution_count, code.outputs[0].execution_count) == ("x = 1", 1, 1)
        assert code.metadata == {"tags": ["t"]}
        assert made.metadata.kernelspec.name == "python3"
        assert list(made.metadata) == ["kernelspec", "language_info"]
        assert made.nbformat_minor == 5
        assert code.id == "a"
        assert markdown.id not in ("a", "")

    def test_it_settles_at_once(self):
        text = dumps(self.notebook())
        assert dumps(nbformat.reads(text, 4)) == text
        assert text.endswith("}\n")
        assert not text.endswith("\n\n")
        assert '"execution_count": null' in text

    def test_the_command_finds_and_fixes(self, tmp_path):
        path = tmp_path / "x.ipynb"
        path.write_text(nbformat.writes(self.notebook()))
        command = [sys.executable, "-m", "tools.checks.canonical", str(path)]
        assert subprocess.run(command, capture_output=True).returncode == 1
        assert subprocess.run([*command, "--fix"], capture_output=True).returncode == 0
        assert is_canonical(path)
        assert subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("raw", "settled"),
    [
        ("plain\n", "plain\n"),
        ("two\r\nlines\r\n", "two\nlines\n"),
        ("  0%|  |\r 50%|# |\r100%|##|\n", "100%|##|\n"),
        ("before\n 0%|\r      \r", "before\n"),
        (" 0%|\r    \r", ""),
        ("outer 0\n\rinner 0\x1b[A\router 1\n\rinner 1\x1b[A\router 2\n\r       \r\x1b[A\n", "outer 2\n"),
        ("abcdef\rXY\n", "XYcdef\n"),
    ],
)
def test_progress_bars_settle(raw, settled):
    assert settle(raw) == settled


def test_streams_join_and_widgets_leave_their_text():
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": "a"},
        {"output_type": "stream", "name": "stdout", "text": "b\n"},
        {"output_type": "stream", "name": "stderr", "text": "c\n"},
        {"output_type": "display_data", "data": {**widget, "text/plain": "IntSlider(value=5)"}, "metadata": {}},
        {"output_type": "display_data", "data": {**widget, "text/plain": "  0%|          | 0/6"}, "metadata": {}},
        {"output_type": "display_data", "data": dict(widget), "metadata": {}},
    ]
    cleaned = clean_outputs(outputs)
    assert [o.get("text") or o["data"] for o in cleaned] == ["ab\n", "c\n", {"text/plain": "IntSlider(value=5)"}]
    assert outputs[0]["text"] == "a"


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        ("in /home/ada/x.py:", ["/home/ada/x.py:"]),
        ("'/tmp/tmpab/x'", ["/tmp/tmpab/x"]),
        ("C:\\Users\\ada", ["C:\\Users\\ada"]),
        ("see https://example.com/home/page and work/lenet.plan, a/tmp/b", []),
        ("saved in /srv/book/data", ["/srv/book"]),
    ],
)
def test_paths_of_the_machine_are_found(printed, found):
    assert private_paths([{"output_type": "stream", "text": printed}], Path("/srv/book")) == found
    assert private_paths([{"data": {"text/html": printed}}], Path("/srv/book")) == found
    assert private_paths([{"data": {"image/png": printed}}], Path("/srv/book")) == []
