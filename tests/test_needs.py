"""%%needs in real kernels: a cell runs where its capability is there, and shows its recording where it is not."""

import base64
import json
import struct
import zlib

import pytest
from notebook_fixtures import SETUP, text

from helpers import needs
from helpers.needs import MARK
from helpers.recordings import load_recordings, recordings_path
from helpers.trt import CAPABILITIES
from tools.execute import Failed
from tools.record import record

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
display(Image(base64.b64decode("{PNG}"), format="png"))
print("and a picture")""",
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
        banner, *_ = runs[1]["text"]
        recording, *_ = load_recordings(recordings_path("01_gears", shared_book.root))
        html = banner["data"]["text/html"]
        for word in (recording.version, recording.date, "<code>gizmo</code> (a gizmo &lt;in the drawer&gt;)"):
            assert word in html
        assert ("a machine without a GPU" if recording.device == "no GPU" else recording.device) in html
        assert 'role="note"' in html
        assert "color:" not in html  # the text keeps the theme's
        assert "gizmo (a gizmo <in the drawer>), which is missing here" in banner["data"]["text/plain"]
        assert "<p>" not in banner["data"]["text/plain"]

    def test_text_comes_back_to_its_streams_and_the_result_too(self, runs):
        _, *outputs = runs[1]["text"]
        assert [(o.get("name"), text([o])) for o in outputs] == [
            ("stdout", "turning 12\n"),
            ("stderr", "creaks\n"),
            (None, "24"),
        ]

    def test_html_and_pictures_come_back_in_order_and_unchanged(self, runs):
        live, (_, *shown) = runs[0]["picture"], runs[1]["picture"]
        assert [o["data"] for o in shown[:2]] == [o["data"] for o in live[:2]]
        assert shown[0]["metadata"] == {"isolated": False}
        assert shown[1]["data"]["image/png"].strip() == PNG
        assert text(shown[2:]) == "and a picture\n"

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


class TestWhatHasChanged:
    @pytest.fixture
    def book(self, book):
        (book.root / "data" / "teeth.txt").write_text("12")
        self.gated = "%%needs gizmo\nprint(open('../data/teeth.txt').read(), size, TEETH)"
        self.cells = [SETUP, "from helpers.gear import TEETH", "size = 3", "other = 4", self.gated]
        book.write("01_gears", *self.cells)
        book.gizmo(True)
        assert record("01_gears", book.root) == (1, 0)
        book.gizmo(False)
        return book

    def test_changes_are_named(self, book):
        (book.root / "data" / "teeth.txt").write_text("13")
        (book.root / "helpers" / "gear.py").write_text("TEETH = 13\n")
        book.write("01_gears", *self.cells[:2], "size = 5", *self.cells[3:])
        banner, output = book.run("01_gears")[-1]
        changed = "Changed since then, so that it might show something else today: 3 files or cells:\n"
        assert f"{changed}data/teeth.txt\nhelpers/gear.py\nthe cell that begins with 'size = 5'" in text([banner])
        assert "<details><summary>Changed since then" in banner["data"]["text/html"]
        assert text([output]) == "12 3 12\n"

    def test_a_single_change_is_named_at_once(self, book):
        (book.root / "data" / "teeth.txt").write_text("13")
        banner, _ = book.run("01_gears")[-1]
        assert "something else today: data/teeth.txt." in text([banner])

    def test_what_does_not_matter_is_not_mentioned(self, book):
        (book.root / "helpers" / "gear.py").write_text('"""Gears, all of them."""\n\n\nTEETH = 12  # teeth\n')
        book.write("01_gears", *self.cells[:2], "# a comment\nsize = 3", "other = 77", self.gated)
        assert "Changed" not in text(book.run("01_gears")[-1])

    def test_an_edited_cell_shows_what_differs_and_how_to_get_back(self, book):
        edited = self.gated.replace("size", "size + 1")
        book.write("01_gears", *self.cells[:-1], edited)
        (banner,) = book.run("01_gears")[-1]
        plain, html = text([banner]), banner["data"]["text/html"]
        assert "belongs to another version of this cell" in plain
        assert "Undo your change, or copy the recorded cell back" in plain
        assert "-print(open('../data/teeth.txt').read(), size, TEETH)" in plain
        assert "+print(open('../data/teeth.txt').read(), size + 1, TEETH)" in plain
        assert html.count("<details>") == 2
        assert self.gated.replace("'", "&#x27;") in html

    def test_a_damaged_file_of_recordings_is_no_obstacle(self, book):
        recordings_path("01_gears", book.root).write_text("{")
        (banner,) = book.run("01_gears")[-1]
        assert "01_gears.json is not valid JSON" in text([banner])

    def test_it_can_be_run_twice_in_one_kernel(self, book):
        book.write("01_gears", *self.cells, *self.cells)
        outputs = book.run("01_gears")
        assert text(outputs[4]) == text(outputs[9])
        assert text(outputs[9]).endswith("12 3 12\n")


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
        "%reload_ext helpers.needs\nprint(str(get_ipython().input_transformers_cleanup).count('_transform '))",
        "get_ipython().run_cell_magic('needs', 'gizmo', 'print(1)')",
        "%unload_ext helpers.needs\nprint(get_ipython().find_cell_magic('needs'))",
    )
    _, helped, reloaded, called, unloaded = book.run("x")
    assert helped == []  # the help goes to the pager, and is no output
    assert text(reloaded) == "1\n"
    assert "This cell needs gizmo" in text(called)
    assert text(unloaded) == "None\n"


class TestTheTransformer:
    @pytest.fixture(autouse=True)
    def capabilities(self, monkeypatch):
        monkeypatch.setitem(CAPABILITIES, "there", (lambda: True, "be", "nothing"))
        monkeypatch.setitem(CAPABILITIES, "gone", (lambda: False, "go", "a lot"))

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
        assert self.transform(self.transform("%%needs there\nx = 1\n")) == self.transform("%%needs there\nx = 1\n")
        assert needs._shown == []

    def test_a_console_waits_for_the_end_of_the_cell(self):
        from IPython.core.inputtransformer2 import TransformerManager

        manager = TransformerManager()
        manager.cleanup_transforms.append(needs._transform)
        assert manager.check_complete("%%needs gone")[0] == "incomplete"
        for rest in ("\nx = 1", "\nx = 1\n", "\nx = 1\n\n"):
            assert manager.check_complete(f"%%needs gone{rest}") == manager.check_complete(f"%%time{rest}")


def test_the_probe_tells_the_kernels_own_machine(book):
    book.write("x", SETUP)
    book.run("x")
    assert {"gizmo", "widget"} <= set(book.machine["missing"])
    book.gizmo(True)
    book.run("x")
    assert "gizmo" not in book.machine["missing"]
    assert json.dumps(book.machine)
