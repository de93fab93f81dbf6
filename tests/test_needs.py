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

from helpers import needs
from helpers.needs import MARK, harmless_html
from helpers.recordings import Recording, RecordingError, load_recordings, recordings_path, save_recordings
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
display(Image(base64.b64decode("{PNG}"), format="png", width=9), metadata={{"text": ["of no use"]}})
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
    depends={},
    outputs=[],
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

    def replay(*recordings, source=SOURCE):
        if recordings:
            save_recordings(recordings_path("07_gears", tmp_path), recordings)
        published.clear()
        needs.replay(source, ["gpu"])
        return list(published)

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

    @pytest.mark.parametrize("more", [{}, {"data/other": "0"}])
    def test_in_what_it_depended_on(self, replay, tmp_path, more):
        (tmp_path / "notebooks").mkdir()
        cells = [{"cell_type": "code", "id": "a", "source": SOURCE}]
        (tmp_path / "notebooks" / "07_gears.ipynb").write_text(json.dumps({"cells": cells}))
        ((data, _),) = replay(dataclasses.replace(RECORDING, depends={MARKUP: "0", **more}))
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


@pytest.mark.parametrize("others", [0, 1])
def test_the_probe_names_the_first_gpu(monkeypatch, others):
    found = [SimpleNamespace(name="a GPU", compute_capability=(9, 0)), SimpleNamespace(name="another")][: others + 1]
    monkeypatch.setattr(needs, "gpus", lambda: found)
    assert needs.probe()["device"] == "a GPU"
    assert needs.probe()["compute_capability"] == "9.0"
