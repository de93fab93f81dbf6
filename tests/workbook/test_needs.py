"""%%needs in real kernels: a cell runs where its capability is there, and shows its recording where it is not."""

import base64
import dataclasses
import json
import struct
import sys
import zlib
from functools import partial
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from notebook_fixtures import ROOT, SETUP, text

from helpers.trt import CAPABILITIES, Capability
from helpers.workbook import edits, needs
from helpers.workbook.edits import edited
from helpers.workbook.needs import MARK, harmless_html
from helpers.workbook.recordings import (
    CodeCell,
    Recording,
    RecordingError,
    load_recordings,
    recordings_path,
    save_recordings,
    short_hash,
    source_hash,
)
from tools.record.execute import Failed
from tools.record.record import record

PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n"
    + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
            (b"IDAT", zlib.compress(b"\0\0")),
            (b"IEND", b""),
        )
    )
).decode()

CELLS = {
    "setup": SETUP,
    "data": "import base64, sys\nfrom helpers.gear import TEETH\nteeth = TEETH",
    "text": "%%needs gizmo\nprint('turning', teeth)\nturned = True\nprint('creaks', file=sys.stderr)\nteeth * 2",
    "picture": f"""# a comment may stand before it
%%needs gizmo
from IPython.display import HTML, Image, display
display(HTML("<table><tr><td>brass</td></tr></table>"), metadata={{"isolated": False}})
display(Image(base64.b64decode("{PNG}"), format="png", width=9), metadata={{"text": ["of no use"]}})
print("and a picture")""",
    "silent": "%%needs gizmo\ndef turn():\n    return turned",
    "depends on it": "%%needs gizmo widget\nprint('never')",
    "plain": "print('plain')",
}


@pytest.fixture(scope="module")
def runs(shared_book):
    """What each cell gave where there is a gizmo, and where there is none, by the names above."""
    shared_book.write("01_gears", *CELLS.values())
    shared_book.gizmo(True)
    record("01_gears", shared_book.root)
    with_it = shared_book.run("01_gears")
    shared_book.gizmo(False)
    without = shared_book.run("01_gears")
    return dict(zip(CELLS, with_it, strict=True)), dict(zip(CELLS, without, strict=True))


class TestWithTheCapability:
    def test_the_cell_runs_as_if_the_magic_were_not_there(self, runs):
        outputs = runs[0]["text"]
        kinds = [(o["output_type"], o.get("name")) for o in outputs]
        assert kinds == [("stream", "stdout"), ("stream", "stderr"), ("execute_result", None)]
        assert text(outputs) == "turning 12\ncreaks\n24"

    def test_line_numbers_stay(self, book):
        book.gizmo(True)
        book.write("x", SETUP, "# one\n\n%%needs gizmo\nimport inspect\nprint(inspect.currentframe().f_lineno)")
        assert text(book.run("x")[1]) == "5\n"

    def test_await_and_other_cell_magics_work(self, book):
        book.gizmo(True)
        awaiting = "%%needs gizmo\nimport asyncio\nprint(await asyncio.sleep(0, 'slept'))"
        book.write("x", SETUP, awaiting, "%%needs gizmo\n%%writefile note.txt\nhello")
        assert text(book.run("x")[1]) == "slept\n"
        assert (book.root / "notebooks" / "note.txt").read_text() == "hello\n"

    def test_an_exception_is_the_cells_own_and_stops_the_run(self, book):
        book.gizmo(True)
        book.write("x", SETUP, "%%needs gizmo\n1 / 0", "open('reached', 'w')")
        with pytest.raises(Failed, match=r"code cell 2 \(%%needs gizmo\): raised ZeroDivisionError: division by zero"):
            book.run("x")
        assert not (book.root / "notebooks" / "reached").exists()


class TestWithoutTheCapability:
    def test_the_banner_says_where_and_when(self, runs, shared_book):
        banner, *_ = runs[1]["text"]  # the first in this kernel
        recording, *_ = load_recordings(recordings_path("01_gears", shared_book.root))
        html = banner["data"]["text/html"]
        for word in (recording.version, recording.date, "<code>gizmo</code> (a gizmo &lt;in the drawer&gt;)"):
            assert word in html
        assert ("a machine without a GPU" if recording.device == "no GPU" else recording.device) in html
        assert 'role="note"' in html
        assert "color:" not in html  # the text keeps the theme's
        assert "gizmo (a gizmo <in the drawer>), which is missing here" in banner["data"]["text/plain"]
        assert "<p>" not in banner["data"]["text/plain"]
        assert "Later cells like this one say so in one line" in banner["data"]["text/plain"]

    def test_later_banners_are_one_short_line(self, runs, shared_book):
        banner, *_ = runs[1]["picture"]
        recording, *_ = load_recordings(recordings_path("01_gears", shared_book.root))
        name = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}.get(recording.flavour, recording.flavour)
        said = f"{recording.device}, {name} {recording.version}, {recording.date}"
        assert banner["data"]["text/plain"] == f"Recorded output. {said}"
        html = banner["data"]["text/html"]
        assert f'<p style="margin:0"><strong>Recorded output.</strong> {said}</p>' in html
        assert '<div role="note" aria-label="Recorded output"' in html

    def test_a_cell_that_printed_nothing_shows_nothing(self, runs, shared_book):
        assert [runs[i]["silent"] for i in (0, 1)] == [[], []]
        recordings = load_recordings(recordings_path("01_gears", shared_book.root))
        assert [r.outputs for r in recordings if "def turn" in r.source] == [[]]

    def test_text_comes_back_to_its_streams_and_the_result_too(self, runs):
        _, *outputs = runs[1]["text"]
        assert [(o.get("name"), text([o])) for o in outputs] == [
            ("stdout", "turning 12\n"),
            ("stderr", "creaks\n"),
            (None, "24"),
        ]

    def test_html_and_pictures_come_back_in_order(self, runs):
        live, (_, *shown) = runs[0]["picture"], runs[1]["picture"]
        table = "<table><tbody><tr><td>brass</td></tr></tbody></table>"
        assert shown[0]["data"] == {**live[0]["data"], "text/html": table}
        assert shown[1]["data"] == live[1]["data"]
        assert shown[1]["data"]["image/png"].strip() == PNG
        assert text(shown[2:]) == "and a picture\n"

    def test_of_their_metadata_only_sizes_are_kept(self, runs, shared_book):
        recordings = load_recordings(recordings_path("01_gears", shared_book.root))
        for outputs in (recordings[1].outputs, runs[1]["picture"][1:]):
            assert [o["metadata"] for o in outputs[:2]] == [{}, {"image/png": {"width": 9}}]

    def test_nothing_of_the_cell_has_run(self, book):
        book.write("x", SETUP, "%%needs gizmo\nturned = 1", "print('turned' in globals())")
        assert text(book.run("x")[2]) == "False\n"

    def test_without_any_recording_it_says_so_and_goes_on(self, runs):
        (banner,) = runs[1]["depends on it"]
        assert "There is no recording of it" in text([banner])
        assert "gizmo" in text([banner])
        assert "widget (a widget), which are missing here" in text([banner])
        assert text(runs[1]["plain"]) == "plain\n"

    def test_where_only_some_are_missing_only_those_are_named(self, runs):
        (banner,) = runs[0]["depends on it"]
        assert "This cell needs widget (a widget), which is missing here" in text([banner])

    def test_all_it_shows_is_marked_as_shown(self, runs):
        assert all(MARK in runs[1][name][0]["metadata"] for name in ("text", "picture", "depends on it"))
        assert not any(MARK in o.get("metadata", {}) for name in ("text", "picture") for o in runs[0][name])


class TestInAKernelThatSendsNoIds:
    @pytest.fixture
    def book(self, book):
        self.gated = "%%needs gizmo\nprint(TEETH, size)"
        self.cells = [SETUP, "from helpers.gear import TEETH", "# how large\nsize = 3", "other = 4", self.gated]
        book.write("01_gears", *self.cells)
        book.gizmo(True)
        assert record("01_gears", book.root) == (1, 0)
        book.gizmo(False)
        return book

    def test_an_edit_above_is_named_in_one_line(self, book):
        book.write("01_gears", *self.cells[:2], "# larger\nsize = 5", "mine = 1", *self.cells[3:])
        banner, output = book.run("01_gears")[-1]
        line = "This shows the original: above, you have changed the cell that begins with size = 5."
        assert banner["data"]["text/plain"].splitlines()[1:] == [line]
        assert "with <code>size = 5</code>.</p>" in banner["data"]["text/html"]
        assert text([output]) == "12 3\n"

    def test_nothing_is_said_of_helpers_and_data_and_added_cells(self, book):
        (book.root / "helpers" / "gear.py").write_text("TEETH = 13\n")
        (book.root / "data" / "more.txt").write_text("13")
        book.write("01_gears", *self.cells[:3], "mine = 1\nprint(mine)", *self.cells[3:], "print(mine)")
        banner, output = book.run("01_gears")[-2]
        assert "original" not in text([banner])
        assert text([output]) == "12 3\n"

    def test_an_edited_cell_shows_what_differs_and_how_to_get_back(self, book):
        edited = self.gated.replace("size", "size + 1")
        book.write("01_gears", *self.cells[:-1], edited)
        (banner,) = book.run("01_gears")[-1]
        plain, html = text([banner]), banner["data"]["text/html"]
        assert "belongs to another version of this cell" in plain
        assert "Undo your change, or copy the recorded cell back" in plain
        assert "-print(TEETH, size)" in plain
        assert "+print(TEETH, size + 1)" in plain
        assert html.count("<details>") == 2
        assert self.gated in html

    def test_a_damaged_file_of_recordings_is_no_obstacle(self, book):
        recordings_path("01_gears", book.root).write_text("{")
        (banner,) = book.run("01_gears")[-1]
        assert "01_gears.json is not valid JSON" in text([banner])

    def test_it_can_be_run_twice_in_one_kernel(self, book):
        book.write("01_gears", *self.cells, *self.cells)
        outputs = book.run("01_gears")
        assert text(outputs[4]) == text(outputs[9])
        assert "Later cells like this one" in text(outputs[9]), "the banner that explains stays where it is"
        assert text(outputs[9]).endswith("12 3\n")

    def test_the_second_run_may_be_the_edited_one(self, book):
        book.write("01_gears", *self.cells, *self.cells[:2], "# how large\nsize = 5", *self.cells[3:], *self.cells)
        outputs = book.run("01_gears")
        told = ["you have changed" in text(outputs[i]) for i in (4, 9, 14)]
        assert told == [False, True, False]


def chapter(*sources):
    """The cells c0, c1, ... as they are noted."""
    return [CodeCell(f"c{n}", short_hash(source), "Exercise" in source) for n, source in enumerate(sources)]


LONG = "".join(f"line{n} = {n}\n" for n in range(9))
GIVEN = ["setup", "x = 1", LONG, "# Exercise 01.1: x", "z = 3", "gated"]


class TestEdited:
    @pytest.mark.parametrize(
        ("ran", "found"),
        [
            ([("c0", "setup"), ("c1", "x = 1")], []),
            ([("c1", "x = 2")], ["x = 2"]),
            ([("c4", "z = 4"), ("c1", "x = 2")], ["x = 2", "z = 4"]),  # in the order of the chapter
            ([("c1", "x = 2"), ("c1", "x = 1  ")], []),  # back again
            ([("c1", "x = 2"), ("c1", "x = 3")], ["x = 3"]),
            ([("c1", "x = 1"), ("new", "x = 2")], []),
            ([("c1", "x = 1"), (None, "x = 2")], []),  # a console of the same kernel
            ([("c3", "# Exercise 01.1: x\nsolved")], []),
            ([("c5", "gated, but edited"), ("c6", "below")], []),
            ([("c0", "")], [""]),
            ([], []),
        ],
    )
    def test_by_ids(self, ran, found):
        assert edited(chapter(*GIVEN), "c5", ran) == found

    @pytest.mark.parametrize("exercise", ["# Exercise 01.1: x", "# Exercise 01.1: x\nsolved", None])
    @pytest.mark.parametrize(
        ("first", "then", "found"),
        [
            ([], [], []),
            ([], ["x = 2"], ["x = 2"]),
            (["setup"], ["x = 1", LONG], []),
            (["setup"], ["x = 2", LONG], ["x = 2"]),
            (["load"], ["x = 1"], ["load"]),
            (["setup"], ["x = 1", "mine", "mine too", LONG], []),
            (["setup"], ["x = 2", LONG, "mine"], ["x = 2"]),
            (["setup", "x = 1", LONG], [LONG + "y = 2"], [LONG + "y = 2"]),  # a part that is edited and run again
            (["setup", "x = 1", LONG], ["mine", LONG + "y = 2", "x = 1", LONG], []),  # and back
            (["setup", "x = 2", LONG], ["x = 1"], []),
            (["setup", "x = 2", LONG], ["setup", "x = 1", LONG], []),  # all again
            (["setup", "x = 1", LONG], ["setup", "x = 2", LONG], ["x = 2"]),
            (["setup", "x = 1", LONG], ["setup", "mine", LONG], []),
        ],
    )
    def test_by_order(self, first, then, found, exercise):
        ran = [*first, *then, *filter(None, [exercise]), "z = 3"]
        given = chapter(*GIVEN)
        assert edited(given, "c5", [(None, source) for source in ran]) == found
        # Ids of another notebook are no help, and none of one cell only.
        assert edited(given, "c5", [(f"vscode:{n}", source) for n, source in enumerate(ran)]) == found

    def test_by_order_up_to_the_place(self):
        ran = ["setup", "x = 1", LONG, "# Exercise 01.1: x", "z = 4"]
        assert edited(chapter(*GIVEN), "c5", [(None, source) for source in ran]) == ["z = 4"]

    def test_foreign_ids_tell_that_a_cell_is_run_again(self):
        ran = [("v0", "setup"), ("v1", "x = 1"), ("v2", LONG), ("v1", "something_else()")]
        assert edited(chapter(*GIVEN), "c5", ran) == ["something_else()"]
        assert edited(chapter(*GIVEN), "c5", [*ran, ("v1", "x = 1")]) == []

    def test_two_cells_may_be_the_same(self):
        given = chapter("a", "same", "b", "same", "c", "gated")
        ran = ["a", "same", "b", "same", "mine", "c"]
        assert edited(given, "c5", [(None, source) for source in ran]) == []

    def test_where_the_place_is_unknown_nothing_is_said(self):
        assert edited(chapter(*GIVEN), "c9", [("c1", "x = 2")]) == []


class TestInAShellThatSendsIds:
    """As JupyterLab does: ipykernel hands the id of a cell on to IPython."""

    @pytest.fixture
    def run(self, replay, tmp_path, monkeypatch):
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        self.shell = shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
        monkeypatch.setattr(edits, "ran", [])
        monkeypatch.setitem(CAPABILITIES, "gizmo", Capability(lambda: False, "turn", "a gizmo"))
        self.sources = ["%load_ext helpers.workbook.needs", "def f():\n    return 1", "# Exercise 07.1: x\nx = 0"]
        outputs = [{"output_type": "stream", "name": "stdout", "text": "12\n"}]
        self.sources.append(SOURCE.replace("gpu", "gizmo"))
        recordings = [dataclasses.replace(RECORDING, source=self.sources[3], outputs=outputs, cell="c3")]
        save_recordings(recordings_path("07_gears", tmp_path), recordings, chapter(*self.sources))
        self.published = replay.published

        def run(number, source=None):
            """Runs a cell of the chapter in its place, as it is or edited; returns the words of its banner."""
            self.published.clear()
            shell.run_cell(source or self.sources[number], cell_id=f"c{number}")
            return "".join(data["text/plain"] for data, _ in self.published)

        run(0)
        yield run
        shell.run_line_magic("unload_ext", "helpers.workbook.needs")

    LINE = "\nThis shows the original: above, you have changed the cell that begins with "

    def test_an_edit_is_named_until_it_is_undone(self, run):
        run(0), run(1), run(2)
        assert "original" not in run(3)
        run(1, "def f():\n    return 2")
        assert run(3).endswith(self.LINE + "def f():.")
        run(1)
        assert "original" not in run(3)

    def test_the_cell_that_loads_the_extension_is_watched_too(self, run):
        assert edits.ran == [("c0", "%load_ext helpers.workbook.needs")]

    def test_several_edits_are_counted(self, run):
        run(1, "def g():\n    return 2")
        run(0, "load = 2")
        assert run(3).endswith(self.LINE + "load = 2, and 1 more.")
        run(0, "# load = 1")
        assert run(3).endswith("you have changed a cell, which is empty now, and 1 more.")

    def test_an_edit_that_raises_counts_and_one_that_cannot_run_does_not(self, run, capsys):
        run(1, "def f(:")
        assert "original" not in run(3)
        run(1, "1 / 0")
        assert run(3).endswith(self.LINE + "1 / 0.")

    def test_exercises_and_cells_of_the_readers_own_say_nothing(self, run):
        run(2, "# Exercise 07.1: x\nx = 5")
        self.shell.run_cell("def f():\n    return 3", cell_id="mine")
        assert "original" not in run(3)

    def test_loading_again_notes_each_cell_once_and_forgets_none(self, run):
        run(1, "def f():\n    return 2")
        before = len(edits.ran)
        self.shell.run_line_magic("unload_ext", "helpers.workbook.needs")
        run(0, "x = 1")
        assert len(edits.ran) == before
        self.shell.run_line_magic("load_ext", "helpers.workbook.needs")
        assert run(3).endswith(self.LINE + "def f():.")
        assert len(edits.ran) == before + 1


MARKUP = "<img src=x onerror=alert(1)>"
SOURCE = "%%needs gpu\nprint('gears')"
RECORDING = Recording(
    source=SOURCE,
    needs=["gpu"],
    device="a GPU",
    compute_capability="9.0",
    flavour="tensorrt",
    version="8.6.1",
    date="2025-11-23",
    cell="a1",
    cells="",
    helpers="",
    outputs=[{"output_type": "stream", "name": "stdout", "text": ""}],
)


@pytest.fixture
def replay(tmp_path, monkeypatch):
    """Replays a cell without a kernel, after its recordings were saved; returns what was published."""
    published = []
    monkeypatch.setattr("IPython.display.publish_display_data", lambda *what: published.append(what))
    monkeypatch.setattr(needs, "ROOT", tmp_path)
    for search in (needs.find_recording, needs.similar_recording):
        monkeypatch.setattr(needs, search.__name__, partial(search, root=tmp_path))
    monkeypatch.setattr(needs, "_shown", [])
    monkeypatch.setattr(needs, "_explained", [])

    def replay(*recordings, source=SOURCE):
        if recordings:
            save_recordings(recordings_path("07_gears", tmp_path), recordings)
        published.clear()
        needs.replay(source, ["gpu"])
        return list(published)

    replay.published = published
    return replay


class TestMarkup:
    """What a banner says comes out of files, and is text."""

    def assert_escaped(self, data):
        assert "<img" not in data["text/html"]
        assert "&lt;img src=x onerror=alert(1)&gt;" in data["text/html"]
        assert MARKUP in data["text/plain"]

    @pytest.mark.parametrize("field", ["device", "compute_capability", "flavour", "version", "date"])
    def test_in_a_recording(self, replay, field):
        marked = dataclasses.replace(RECORDING, **{field: MARKUP})
        ((data, _),) = replay(marked)
        self.assert_escaped(data)
        ((data, _),) = replay(marked, source=SOURCE + "  # mine")
        self.assert_escaped(data)

    @pytest.mark.parametrize("field", ["device", "flavour", "version", "date"])
    def test_in_a_short_banner(self, replay, monkeypatch, field):
        monkeypatch.setattr(needs, "_explained", ["another"])
        ((data, _),) = replay(dataclasses.replace(RECORDING, **{field: MARKUP}))
        self.assert_escaped(data)

    def test_in_what_the_reader_changed(self, replay, tmp_path, monkeypatch):
        replay(RECORDING)
        save_recordings(
            recordings_path("07_gears", tmp_path), [RECORDING], [CodeCell("a0", "0" * 16), CodeCell("a1", "0" * 16)]
        )
        monkeypatch.setattr(edits, "ran", [("a0", MARKUP)])
        ((data, _),) = replay()
        self.assert_escaped(data)

    def test_in_its_source(self, replay):
        ((data, _),) = replay(dataclasses.replace(RECORDING, source=SOURCE + MARKUP))
        self.assert_escaped(data)

    def test_in_the_cell(self, replay):
        ((data, _),) = replay(RECORDING, source=SOURCE + MARKUP)
        self.assert_escaped(data)

    def test_in_the_name_of_a_chapter(self, replay, monkeypatch):
        monkeypatch.setattr(needs, "similar_recording", lambda *_: (MARKUP, RECORDING))
        ((data, _),) = replay()
        self.assert_escaped(data)

    def test_in_an_error(self, replay, monkeypatch):
        def find_recording(source, shown):
            raise RecordingError(MARKUP)

        monkeypatch.setattr(needs, "find_recording", find_recording)
        ((data, _),) = replay()
        self.assert_escaped(data)

    def test_the_plain_text_moves_no_cursor(self, replay):
        ((data, _),) = replay(dataclasses.replace(RECORDING, device="\x1b]0;title\x07a GPU\x1b[2J"))
        assert "\x1b" not in data["text/plain"]
        assert "showed on a GPU (" in data["text/plain"]


class TestAnExercise:
    """What it says must not be the solution."""

    STUB = '%%needs gpu\n# Exercise 07.4: names.\ndef names(engine):\n    ...\n\n\ncheck("07.4", names)'
    SOLVED = STUB.replace("...", "return [the, right, answer]")

    @pytest.mark.parametrize(
        "mine",
        [
            STUB.replace("...", "return [the, right]"),
            "%%needs gpu\nsolve()\ncheck('07.4', names)",
            "%%needs gpu\n# Exercise 07.4: names.",
        ],
    )
    def test_an_answer_gets_one_line(self, replay, mine):
        recordings = [dataclasses.replace(RECORDING, source=source) for source in (self.STUB, self.SOLVED)]
        ((data, _),) = replay(*recordings, source=mine)
        need = "This cell needs gpu (an NVIDIA GPU that this TensorRT supports), which is missing here."
        assert data["text/plain"].startswith(f"Not run. {need} It belongs to an exercise: ")
        assert "answer]" not in data["text/html"]
        assert "<details>" not in data["text/html"]
        assert "\n" not in data["text/plain"]

    def test_a_copy_without_its_heading_is_shown_no_solution_either(self, replay):
        mine = "%%needs gpu\ndef names(engine):\n    return [the, right]"
        ((data, _),) = replay(
            *(dataclasses.replace(RECORDING, source=s) for s in (self.STUB, self.SOLVED)), source=mine
        )
        assert "There is no recording of it" in data["text/plain"]
        assert "answer]" not in data["text/html"]

    def test_the_stub_of_the_workbook_edited(self, monkeypatch, replay):
        monkeypatch.undo()
        published = []
        monkeypatch.setattr("IPython.display.publish_display_data", lambda *what: published.append(what))
        stub = next(r.source for r in load_recordings(recordings_path("07_execution")) if "Exercise 07.4" in r.source)
        needs.replay(
            stub.replace("...", "names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]"), ["gpu"]
        )
        ((data, _),) = published
        assert "It belongs to an exercise" in data["text/plain"]
        assert "get_tensor_mode" not in data["text/html"]


def display_data(**data):
    kinds = {"html": "text/html", "plain": "text/plain", "png": "image/png"}
    return {"output_type": "display_data", "data": {kinds[k]: v for k, v in data.items()}, "metadata": {}}


class TestWhatIsPublished:
    def shown(self, replay, *outputs):
        _, *shown = replay(dataclasses.replace(RECORDING, outputs=list(outputs)))
        return shown

    @pytest.mark.parametrize(
        ("html", "clean"),
        [
            ("<script>alert(1)</script>5", "5"),
            ("<b onclick='alert(1)' id='main' class='jp-Cell'>5</b>", "<b>5</b>"),
            ("<img src=x onerror=alert(1)>", "<img>"),
            ("<img src='https://example.com/x.png' alt='x'>", '<img alt="x">'),
            ("<img src='//example.com/x.png'>", "<img>"),
            ("<img src='data:image/svg+xml;base64,AAAA'>", "<img>"),
            ("<img src='data:image/png;base64,AA,x'>", "<img>"),
            ("<img src='data:image/png;base64,AA==' width='9'>", None),
            ("<img srcset='x.png 1x'>", "<img>"),
            ("<a href='javascript:alert(1)'>x</a><a href='https://example.com'>y</a>", "xy"),
            ("<svg><script>alert(1)</script><image href='x.png'/></svg>", ""),
            ("<iframe src='https://example.com'></iframe><object data='x'></object><embed src='x'>", ""),
            ("<form action='https://example.com'><input name='x'><button>x</button></form>", "x"),
            ("<link rel='stylesheet' href='x.css'><base href='https://example.com'><meta http-equiv='refresh'>", ""),
            ("<style>@import 'https://example.com/x.css'; body {display: none}</style>5", "5"),
            ("<div style='position:fixed;top:0;z-index:9'>x</div>", "<div>x</div>"),
            ("<div style='background:url(https://example.com/x.png)'>x</div>", "<div>x</div>"),
            ("<div style='background:u\\72l(x.png)'>x</div>", "<div>x</div>"),
            ("<div style='background:/**/url(x.png); color:#111'>x</div>", '<div style=" color:#111">x</div>'),
            ("<div style='background:image-set(&quot;x.png&quot; 1x)'>x</div>", "<div>x</div>"),
            ("<div style='background-image:none'>x</div>", "<div>x</div>"),
            ("<div role='alert' class='alert jp-Cell'>x</div>", '<div class="alert">x</div>'),
            ("<table background='x.png'><tbody><tr><td background='x.png'>5</td></tr></tbody></table>",
             "<table><tbody><tr><td>5</td></tr></tbody></table>"),
            ("<!-- x --><p>a &lt;b&gt; &amp; c</p>", "<p>a &lt;b&gt; &amp; c</p>"),
            ("<details><summary>more</summary><pre><code>x &lt; 5</code></pre></details>", None),
        ],
    )  # fmt: skip
    def test_html_has_nothing_that_runs_loads_or_covers(self, replay, html, clean):
        ((data, _),) = self.shown(replay, display_data(html=html, plain="x"))
        expected = html.replace("'", '"') if clean is None else clean
        assert data == {"text/html": expected, "text/plain": "x"}

    def test_all_recordings_of_the_workbook_look_as_they_did(self):
        """With the style sheet of pandas, which is the only one."""
        count = 0
        for path in (ROOT / "data" / "recordings").iterdir():
            for recording in load_recordings(path):
                for output in recording.outputs:
                    html = output.get("data", {}).get("text/html")
                    if html is not None:
                        assert visible(harmless_html(html)) == visible(html), path.name
                        count += 1
        assert count >= 40

    def test_where_nh3_is_missing_html_is_not_shown(self, replay, monkeypatch):
        monkeypatch.setitem(sys.modules, "nh3", None)
        shown = self.shown(replay, display_data(html="<b>5</b>", plain="5"), display_data(html="<b>5</b>"))
        assert [data for data, _ in shown] == [
            {"text/plain": "5"},
            {"text/plain": "[HTML, which is not shown where nh3 is missing]"},
        ]

    def test_a_picture_keeps_its_size_and_no_other_metadata(self, replay):
        size = {"width": 9, "height": 5, "unconfined": True}
        output = display_data(png=PNG) | {"metadata": {"image/png": size, "needs": {}, "isolated": True}}
        assert self.shown(replay, output) == [({"image/png": PNG}, {"image/png": {"width": 9, "height": 5}})]
        for size in ({"width": "9"}, {"width": True}, {"height": [5]}, 5, None):
            output["metadata"] = {"image/png": size}
            assert self.shown(replay, output) == [({"image/png": PNG}, {})]

    @pytest.mark.parametrize(
        ("printed", "shown"),
        [
            ("\x1b[1;31mred\x1b[0m\tµ\r\n", "\x1b[1;31mred\x1b[0m\tµ\r\n"),
            ("a\x1b]0;title\x07b\x1b]8;;https://example.com\x1b\\c\x1b]8;;\x1b\\d", "abcd"),
            ("a\x1bPq#0\x1b\\b\x1b_x\x1b\\c\x1b]0;no end", "abc"),
            ("a\x1b[2J\x1b[5;5Hb\x1b[?25lc\x1b[6nd\x1b[>4;2me", "abcde"),
            ("a\x1bcb\x1b\x1b[31mc\x1b", "ab[31mc"),
            ("a\x00\x07\x08\x0c\x7fb\x9b2Jc\x9d0;x\x9c", "ab2Jc0;x"),
        ],
    )
    def test_text_may_be_coloured_and_does_nothing_else_to_a_terminal(self, replay, capsys, printed, shown):
        streams = [{"output_type": "stream", "name": name, "text": printed} for name in ("stdout", "stderr")]
        ((data, _),) = self.shown(replay, *streams, display_data(plain=printed))
        assert data == {"text/plain": shown}
        assert tuple(capsys.readouterr()) == (shown, shown)

    def test_a_recording_that_was_changed_is_not_shown_and_the_others_are(self, replay, tmp_path):
        other = dataclasses.replace(RECORDING, source="%%needs gpu\nanother = 'cell'")
        path = recordings_path("07_gears", tmp_path)
        replay(dataclasses.replace(RECORDING, outputs=[display_data(plain="12 gears")]), other)
        path.write_text(path.read_text().replace("12 gears", "13 gears"))
        ((data, mark),) = replay()
        assert "Not run. This cell needs gpu" in data["text/plain"]
        assert (
            "07_gears.json: the recording of the cell that begins with \"print('gears')\" was changed"
            in data["text/plain"]
        )
        assert mark == {MARK: {"recording": None}}
        ((data, _),) = replay(source=other.source)
        assert "Recorded output." in data["text/plain"]


def visible(html):
    """What one sees of HTML: its style sheets, and its texts and tags with their attributes, in order."""
    seen = []

    def start(tag, attributes):
        given = dict(attributes)
        for name in ("valign", "scoped"):  # a style sheet overrules the one, and browsers do not know the other
            given.pop(name, None)
        seen.append((tag, given | {"style": plain(given.get("style", ""))}))

    def plain(style):
        return "".join(style.split()).replace(";}", "}").rstrip(";")

    parser = HTMLParser()
    parser.handle_starttag = start
    parser.handle_endtag = lambda tag: seen.append(f"/{tag}")
    parser.handle_data = lambda data: seen.append(plain(data) if "{" in data else " ".join(data.split()))
    parser.handle_comment = parser.handle_decl = parser.handle_pi = seen.append
    parser.feed(html)
    parser.close()
    # pandas' style sheet stands inside a div, and ours before it.
    sheets = [item for item in seen if isinstance(item, str) and item.startswith(".dataframe")]
    return sheets, [item for item in seen if item and item not in sheets and "style" not in (item[0], item[1:])]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%%needs gizzmo", r"%%needs: unknown capability gizzmo. .*there are: gpu, build, "),
        ("%%needs gizmo, flux", r"%%needs: unknown capability flux\."),
        ("%%needs", r"%%needs: no capability is named. Write for example %%needs gpu; there are: gpu"),
    ],
)
def test_mistakes_in_the_magic_are_explained_and_stop_the_run(book, line, message):
    book.write("x", SETUP, f"{line}\nopen('ran', 'w')")
    with pytest.raises(Failed, match=message):
        book.run("x")
    assert not (book.root / "notebooks" / "ran").exists()


def test_help_unloading_and_reloading(book):
    book.write(
        "x",
        SETUP,
        "%%needs?",
        "%reload_ext helpers.workbook.needs\nprint(str(get_ipython().input_transformers_cleanup).count('_transform '))",
        "get_ipython().run_cell_magic('needs', 'gizmo', 'print(1)')",
        "%unload_ext helpers.workbook.needs\nprint(get_ipython().find_cell_magic('needs'))",
    )
    _, helped, reloaded, called, unloaded = book.run("x")
    assert helped == []  # the help goes to the pager, and is no output
    assert text(reloaded) == "1\n"
    assert "This cell needs gizmo" in text(called)
    assert text(unloaded) == "None\n"


class TestTheTransformer:
    @pytest.fixture(autouse=True)
    def capabilities(self, monkeypatch):
        monkeypatch.setitem(CAPABILITIES, "there", Capability(lambda: True, "be", "nothing"))
        monkeypatch.setitem(CAPABILITIES, "gone", Capability(lambda: False, "go", "a lot"))

    def transform(self, source):
        return "".join(needs._transform(source.splitlines(keepends=True)))

    @pytest.mark.parametrize(
        "source", ["print(1)\n", "", "x = '''\n%%needs gone\n'''\n", "%%needs?\n", "%%needsgone\n"]
    )
    def test_other_cells_stay_as_they_are(self, source):
        assert self.transform(source) == source

    def test_the_line_becomes_a_comment(self):
        assert self.transform("%%needs there\nx = 1\n") == "# %%needs there\nx = 1\n"

    def test_the_source_arrives_whole(self):
        source = "%%needs there gone\nx = '''a\\n\"\"\"'''\n"
        replayed = []
        names = {"__import__": lambda name, fromlist: type("module", (), {"replay": lambda *a: replayed.append(a)})}
        exec(self.transform(source), {"__builtins__": names})
        assert replayed == [(source, ["gone"])]

    def test_it_changes_nothing_when_asked_again(self):
        before = list(needs._shown)
        assert self.transform(self.transform("%%needs there\nx = 1\n")) == self.transform("%%needs there\nx = 1\n")
        assert needs._shown == before

    def test_a_console_waits_for_the_end_of_the_cell(self):
        from IPython.core.inputtransformer2 import TransformerManager

        manager = TransformerManager()
        manager.cleanup_transforms.append(needs._transform)
        assert manager.check_complete("%%needs gone")[0] == "incomplete"
        for rest in ("\nx = 1", "\nx = 1\n", "\nx = 1\n\n"):
            assert manager.check_complete(f"%%needs gone{rest}") == manager.check_complete(f"%%time{rest}")


def test_the_probe_tells_the_kernels_own_machine_and_what_it_replayed(book):
    book.write("x", SETUP, "%%needs gizmo\n1")
    book.run("x")
    assert book.machine["replayed"] == [source_hash("%%needs gizmo\n1")]
    assert {"gizmo", "widget"} <= set(book.machine["missing"])
    book.gizmo(True)
    book.run("x")
    assert "gizmo" not in book.machine["missing"]
    assert book.machine["replayed"] == []
    assert json.dumps(book.machine)


@pytest.mark.parametrize("others", [0, 1])
def test_the_probe_names_the_first_gpu(monkeypatch, others):
    found = [SimpleNamespace(name="a GPU", compute_capability=(9, 0)), SimpleNamespace(name="another")][: others + 1]
    monkeypatch.setattr(needs, "gpus", lambda: found)
    assert needs.probe()["device"] == "a GPU"
    assert needs.probe()["compute_capability"] == "9.0"
