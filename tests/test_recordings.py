"""The files of recordings, and what a recorded cell is found to depend on."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.dependencies import Cell, changed_since, code_hash, dependencies, python_source, read_code_cells
from helpers.recordings import (
    Recording,
    RecordingError,
    difference,
    find_recording,
    load_recordings,
    recordings_path,
    save_recordings,
    similar_recording,
    similarity,
    source_hash,
    split_gate,
)

ROOT = Path(__file__).resolve().parents[1]
RECORDING = Recording(
    source="%%needs gpu\nrun(plan)",
    needs=["gpu"],
    device="NVIDIA H100 80GB HBM3",
    compute_capability="9.0",
    flavour="tensorrt",
    version="8.6.1",
    date="2025-11-23",
    depends={"helpers/runner.py": "0123456789abcdef"},
    outputs=[
        {"output_type": "stream", "name": "stdout", "text": "one\ntwo µs\n"},
        {"output_type": "display_data", "data": {"image/png": "AAAA\n", "text/html": "<b>\n</b>"}, "metadata": {}},
        {"output_type": "execute_result", "data": {"text/plain": "1"}, "metadata": {"image/png": {"width": 9}}},
    ],
)


class TestTheGate:
    @pytest.mark.parametrize(
        ("source", "names", "body"),
        [
            ("%%needs gpu\nx", ["gpu"], "# %%needs gpu\nx"),
            ("%%needs gpu  pycuda # why\nx", ["gpu", "pycuda"], "# %%needs gpu  pycuda # why\nx"),
            ("%%needs gpu, pycuda\nx", ["gpu", "pycuda"], "# %%needs gpu, pycuda\nx"),
            ("\n# NBVAL_SKIP\n\n%%needs gpu\nx", ["gpu"], "\n# NBVAL_SKIP\n\n# %%needs gpu\nx"),
            ("%%needs gpu\n\n%%time\nx", ["gpu"], "%%time\nx"),
            ("%%needs\nx", [], "# %%needs\nx"),
            ("%%needs gpu", ["gpu"], "# %%needs gpu"),
        ],
    )
    def test_is_found(self, source, names, body):
        assert split_gate(source) == (names, body)

    @pytest.mark.parametrize(
        "source", ["", "x", "x = 1\n%%needs gpu", "%%needs?", "%%needsgpu", "'''\n%%needs gpu\n'''"]
    )
    def test_is_not_there(self, source):
        assert split_gate(source) is None


class TestTheHash:
    @pytest.mark.parametrize("same", ["x = 1\ny", "x = 1  \r\ny\r\n", "\n\nx = 1\ny\n\n"])
    def test_ignores_what_does_not_matter(self, same):
        assert source_hash(same) == source_hash("x = 1\ny")

    @pytest.mark.parametrize("other", ["x = 1\n y", "x = 1\n\ny", "x = 1\ny # z", "x = 2\ny"])
    def test_notices_every_change(self, other):
        assert source_hash(other) != source_hash("x = 1\ny")


class TestTheFile:
    def test_keeps_everything(self, tmp_path):
        path = tmp_path / "data" / "recordings" / "07_execution.json"
        recordings = [RECORDING, replace(RECORDING, source="%%needs gpu\nb", after="0" * 64, compute_capability=None)]
        save_recordings(path, recordings)
        assert load_recordings(path) == recordings
        assert [p.name for p in path.parent.iterdir()] == [path.name]

    def test_is_made_for_diffs(self, tmp_path):
        save_recordings(tmp_path / "x.json", [RECORDING])
        text = (tmp_path / "x.json").read_text(encoding="utf-8")
        assert "two µs" in text
        assert text.endswith("}\n")
        assert '    "one\\n",\n' in text  # a line of output is a line of the file
        cell = json.loads(text)["cells"][0]
        assert list(cell) == sorted(cell)
        save_recordings(tmp_path / "x.json", load_recordings(tmp_path / "x.json"))
        assert (tmp_path / "x.json").read_text(encoding="utf-8") == text

    def test_without_recordings_there_is_no_file(self, tmp_path):
        save_recordings(tmp_path / "x.json", [RECORDING])
        save_recordings(tmp_path / "x.json", [])
        assert list(tmp_path.iterdir()) == []
        assert load_recordings(tmp_path / "x.json") == []
        save_recordings(tmp_path / "x.json", [])

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{", "x.json is not valid JSON"),
            ("<<<<<<< HEAD\n{}", "x.json is not valid JSON"),
            ("[]", "x.json is not a file of recordings"),
            ("{}", "x.json is not a file of recordings"),
            ('{"format": 2, "cells": {}}', "x.json is not a file of recordings"),
            ('{"format": 99, "cells": []}', "x.json has format 99, this program reads format 2"),
            ('{"format": 1, "cells": []}', "x.json has format 1, this program reads format 2"),
            ('{"format": [], "cells": []}', r"x.json has format \[\], this program reads format 2"),
            ('{"format": 2, "cells": [[]]}', "x.json, recording 1: "),
            ('{"format": 2, "cells": [{"source": "x"}]}', "x.json, recording 1: .* missing .* 'needs'"),
            ("[" * 100_000, "x.json is not valid JSON"),
            ('{"format": 2, "cells": [{"outputs": ' + "[" * 700 + "]" * 700 + "}]}", "x.json, recording 1: "),
        ],
    )
    def test_a_bad_one_is_named(self, tmp_path, content, message):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(RecordingError, match=message):
            load_recordings(tmp_path / "x.json")

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            *(({name: None}, f"{name} is of the type NoneType") for name in ("source", "needs", "device", "flavour")),
            *(({name: None}, f"{name} is of the type NoneType") for name in ("version", "date", "depends", "outputs")),
            *(({name: []}, f"{name} is of the type list") for name in ("flavour", "compute_capability", "after")),
            ({"digest": 5}, "digest is of the type int"),
            ({"needs": [5]}, "needs and depends is of the type int"),
            ({"depends": {"x": []}}, "needs and depends is of the type list"),
            ({"source": "'\\ud800'"}, None),  # a backslash and a number, which is text like any other
            ({"device": "\ud800"}, "surrogates not allowed"),
            ({"more": 1}, "unexpected keyword argument 'more'"),
            ({"outputs": [5]}, "an output is of the type int"),
            ({"outputs": [{}]}, "no outputs of the type None"),
            ({"outputs": [{"output_type": []}]}, r"no outputs of the type \[\]"),
            ({"outputs": [{"output_type": "error", "ename": "ValueError"}]}, "no outputs of the type 'error'"),
            (
                {"outputs": [{"output_type": "stream", "name": "stdout"}]},
                "the text of a stream is of the type NoneType",
            ),
            ({"outputs": [{"output_type": "stream", "name": "stdout", "text": 5}]}, "a stream is of the type int"),
            ({"outputs": [{"output_type": "stream", "name": [], "text": ""}]}, r"there is no stream \[\]"),
            ({"outputs": [{"output_type": "display_data"}]}, "data is of the type NoneType"),
            ({"outputs": [{"output_type": "display_data", "data": []}]}, "data is of the type list"),
            ({"outputs": [{"output_type": "display_data", "data": {}, "metadata": 5}]}, "metadata is of the type int"),
            (
                {"outputs": [{"output_type": "display_data", "data": {"text/html": {}}}]},
                "text/html is of the type dict",
            ),
            ({"outputs": [{"output_type": "display_data", "data": {"image/png": "'>"}}]}, "image/png is not in base64"),
            ({"outputs": [{"output_type": "execute_result", "data": {"text/html": "<b>" * 20_001}}]}, "20,000 tags"),
        ],
    )
    def test_what_cannot_be_shown_is_refused(self, tmp_path, wrong, message):
        path = tmp_path / "x.json"
        changed_file(path, wrong)
        message = message or "was changed after it was made"
        with pytest.raises(
            RecordingError, match=rf"x\.json.* recording.*{message}.*; restore it, or delete it and run"
        ):
            load_recordings(path)

    def test_the_one_that_cannot_be_shown_is_named_by_its_number(self, tmp_path):
        path = tmp_path / "x.json"
        save_recordings(path, [RECORDING, RECORDING, RECORDING])
        document = json.loads(path.read_text(encoding="utf-8"))
        document["cells"][1]["date"] = None
        path.write_text(json.dumps(document), encoding="utf-8")
        with pytest.raises(RecordingError, match="recording 2: date is of the type NoneType"):
            load_recordings(path)

    @pytest.mark.parametrize("kind", ["application/javascript", "text/markdown", "text/latex", "image/svg+xml", "x"])
    def test_types_that_are_not_shown_are_refused_when_read_and_when_written(self, tmp_path, kind):
        path = tmp_path / "x.json"
        outputs = [{"output_type": "display_data", "data": {"text/plain": "x", kind: "alert(1)"}, "metadata": {}}]
        message = f"is of the type {re.escape(kind)}, but only text/plain, text/html, image/png are shown"
        with pytest.raises(RecordingError, match=rf"begins with 'run\(plan\)' cannot be kept: .*{message}"):
            save_recordings(path, [replace(RECORDING, outputs=outputs)])
        assert not path.exists()
        changed_file(path, {"outputs": outputs})
        with pytest.raises(RecordingError, match=rf"x\.json, recording 1: .*{message}"):
            load_recordings(path)

    @pytest.mark.parametrize(
        "changed",
        [
            {"source": "%%needs gpu\nrun(plans)"},
            {"needs": []},
            {"device": "NVIDIA H200"},
            {"compute_capability": "9.1"},
            {"flavour": "tensorrt_rtx"},
            {"version": "8.6.2"},
            {"date": "2025-11-24"},
            {"depends": {}},
            {"outputs": []},
            {"after": "0" * 64},
            {"digest": ""},
            {"digest": "0" * 64},
        ],
        ids=lambda changed: "-".join(changed),
    )
    def test_one_that_was_changed_is_refused(self, tmp_path, changed):
        changed_file(tmp_path / "x.json", changed)
        message = r"x\.json: the recording of the cell that begins with 'run\(plans?\)' was changed after it was made"
        with pytest.raises(RecordingError, match=message):
            load_recordings(tmp_path / "x.json")

    def test_another_layout_of_the_file_is_no_change(self, tmp_path):
        path = tmp_path / "x.json"
        save_recordings(path, [RECORDING])
        path.write_bytes(json.dumps(json.loads(path.read_bytes()), indent=None).replace("}, {", "},\r\n{").encode())
        assert load_recordings(path) == [RECORDING]

    @pytest.mark.parametrize("kind", ["folder", "pipe", "circle of links"])
    def test_what_is_no_file_is_named(self, tmp_path, kind):
        path = tmp_path / "x.json"
        if kind == "folder":
            path.mkdir()
        elif kind == "circle of links":
            path.symlink_to(path.name)
        elif hasattr(os, "mkfifo"):
            os.mkfifo(path)
        else:
            pytest.skip("there are no named pipes here")
        with pytest.raises(RecordingError, match=r"x\.json cannot be read: "):
            load_recordings(path)

    def test_a_file_without_end_is_named(self, tmp_path):
        with open(tmp_path / "x.json", "wb") as file:
            file.truncate(1 << 40)
        with pytest.raises(RecordingError, match=r"x\.json is larger than 16 MiB"):
            load_recordings(tmp_path / "x.json")


def changed_file(path, change):
    """A file with one recording, of which fields were changed after it was made."""
    save_recordings(path, [RECORDING])
    document = json.loads(path.read_text(encoding="utf-8"))
    document["cells"][0] |= change
    path.write_text(json.dumps(document), encoding="utf-8")


class TestSearching:
    @pytest.fixture
    def root(self, tmp_path):
        other = replace(RECORDING, source="%%needs gpu\ncompletely('different', 5)")
        save_recordings(recordings_path("06_a", tmp_path), [other])
        save_recordings(recordings_path("07_b", tmp_path), [RECORDING])
        return tmp_path

    def test_by_source(self, root):
        assert find_recording("\n%%needs gpu \r\nrun(plan)\n", root) == ("07_b", RECORDING)
        assert find_recording("%%needs gpu\nrun(plans)", root) is None

    def test_by_likeness(self, root):
        assert similar_recording("%%needs gpu\nrun(plan, 2)", root) == ("07_b", RECORDING)
        assert similar_recording("nothing of the sort, but a text of its own", root) is None
        assert similar_recording("x", root / "nowhere") is None

    def test_the_check_of_an_exercise_depends_on_the_answer_above(self, root):
        stub, solution = (replace(RECORDING, after=after, date=after) for after in ("stub", "solution"))
        save_recordings(recordings_path("07_b", root), [stub, solution])
        expected = (
            ([], "stub"),
            (["stub", "x"], "stub"),
            (["solution"], "solution"),
            (["stub", "solution", "x"], "solution"),
        )
        for shown, date in expected:
            assert find_recording(RECORDING.source, root, shown)[1].date == date
        assert find_recording(RECORDING.source, root, ["solution", "stub"])[1].date == "stub"

    def test_one_that_was_changed_is_refused_and_the_others_are_found(self, root):
        other = replace(RECORDING, source="%%needs gpu\nsomething.quite_different()")
        path = recordings_path("07_b", root)
        save_recordings(path, [RECORDING, other])
        path.write_text(path.read_text(encoding="utf-8").replace("one\\n", "won\\n", 1), encoding="utf-8")
        for search, source in ((find_recording, RECORDING.source), (similar_recording, RECORDING.source + " # mine")):
            with pytest.raises(RecordingError, match=r"07_b\.json: .*'run\(plan\)' was changed after it was made"):
                search(source, root)
            assert search(other.source, root) == ("07_b", other)

    @pytest.mark.parametrize("damage", ["{", '{"format": 1, "cells": []}', '{"format": 2, "cells": [5]}'])
    def test_a_bad_file_is_told_of_only_where_nothing_is_found(self, root, damage):
        recordings_path("00_bad", root).write_text(damage)
        assert find_recording(RECORDING.source, root) == ("07_b", RECORDING)
        assert similar_recording(RECORDING.source, root) == ("07_b", RECORDING)
        with pytest.raises(RecordingError, match=r"00_bad\.json"):
            find_recording("%%needs gpu\nrun(plans)", root)

    def test_likeness_counts_what_comes_often_too(self):
        long = "\n".join(f"x{n} = {n}" for n in range(100))
        assert similarity(long, long + "\ny") > 0.99

    def test_the_workbooks_own_are_searched_unless_another_folder_is_named(self):
        first, *_ = load_recordings(recordings_path("07_execution"))
        assert find_recording(first.source) == ("07_execution", first)

    def test_the_difference_is_short(self):
        lines = difference("a\nb\nc\nd\ne\nf", "a\nb\nc\nd\ne\ng").splitlines()
        assert lines == ["--- recorded cell", "+++ this cell", "@@ -5,2 +5,2 @@", " e", "-f", "+g"]


SOURCE = '''"""What it is."""
import os  # first

class A:
    """A class."""
    x = """not a docstring"""

    def f(self):  # of A
        """Does µ."""; return "#5", 'é'  # done
'''


class TestTheHashOfCode:
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("What it is", "What it was\n\nand why"),
            ("  # first", ""),
            ("# of A", "# a method of A"),
            ("\n\nclass", "\n\n\n# here\nclass"),
            ("Does µ.", "Does more."),
            ("\n", "\r\n"),
            ("# done", "# é done"),
        ],
    )
    def test_ignores(self, old, new):
        assert old in SOURCE
        assert code_hash(SOURCE.replace(old, new)) == code_hash(SOURCE)

    @pytest.mark.parametrize(("old", "new"), [("#5", "#6"), ("not a", "no"), ("f(self)", "g(self)"), ("é'", "e'")])
    def test_notices(self, old, new):
        assert old in SOURCE
        assert code_hash(SOURCE.replace(old, new)) != code_hash(SOURCE)

    @pytest.mark.parametrize("release", ["3.10", "3.11", "3.12", "3.13", "3.14"])
    def test_is_the_same_on_every_python(self, release):
        """And so is what is found to depend on what, but for IPython's translation of magics."""
        code = (
            "import sys; sys.path.insert(0, '.'); from pathlib import Path; import helpers.dependencies as d\n"
            "for path in sorted(Path('helpers').glob('*.py')): print(path.name, d.code_hash(path.read_text('utf-8')))\n"
            "d.python_source = lambda source: source\n"
            "cells = [d.Cell(s, s) for s in ['a = 1', 'def f(x):\\n  return [a for b in x]', 'f(2)']]\n"
            "print(d.dependencies(cells, 2))"
        )
        other = shutil.which(f"python{release}")
        runs = [
            subprocess.run([p, "-c", code], cwd=ROOT, capture_output=True, text=True)
            for p in (sys.executable, other or "false")
        ]
        if runs[1].returncode and not runs[1].stdout:
            pytest.skip(f"there is no Python {release} here")
        assert runs[0].returncode == 0, runs[0].stderr
        assert runs[0].stdout == runs[1].stdout


class TestDependencies:
    @pytest.fixture
    def root(self, tmp_path):
        files = {
            "helpers/__init__.py": "",
            "helpers/low.py": "FILE = 'table.bin'\n",
            "helpers/high.py": "def f():\n    from .low import FILE\n    return FILE\n",
            "helpers/other.py": "from . import high\nimport helpers.low\n",
            "data/table.bin": "1",
            "data/digits.npz": "2",
        }
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)
        return tmp_path

    def of(self, root, *sources):
        """The dependencies of the last cell; cells are called a, b, c, ..."""
        cells = [Cell(chr(ord("a") + i), source) for i, source in enumerate(sources)]
        return set(dependencies(cells, len(cells) - 1, root))

    @pytest.mark.parametrize(
        ("sources", "expected"),
        [
            (["x = 1", "y = 2", "x"], "a"),
            (["x = 1", "y = x", "y"], "a b"),
            (["x = 1", "x = 2", "x"], "b"),  # what is bound anew no longer depends on the old
            (["x = 1", "x = 2", "if y:\n    x = 3", "x"], "b c"),  # unless in one branch only
            (["y = 0", "x = 2", "if y:\n    x = 3", "x"], "a b c"),
            (["x = []", "x.append(1)", "x"], "a b"),
            (["x = []", "x[0] = 1", "x"], "a b"),
            (["x = A()", "x.y.z = 1", "x"], "a b"),
            (["x = 1", "x += 1", "x"], "a b"),
            (["x = []", "fill(x)", "x"], "a b"),
            (["x = []", "print(x)", "y = len(x) + x[0] + x.y", "x"], "a"),
            (["x = []", "import m\ny = m.sum(x)", "x"], "a"),
            (["n = net()", "layer = n.add(1)", "layer.name = 'x'", "n"], "a b c"),  # a layer belongs to its network
            (["n = net()", "import m\np = m.Parser(n)", "assert p.parse(b'')", "n"], "a b c"),
            (["import m\nm.random.seed(0)", "m.random.random()"], "a"),
            (["import matplotlib.pyplot as plt", "plt.plot(1)", "plt.plot(2)"], ""),
            (["def f():\n    return g()", "def g():\n    return 1", "f()"], "a b"),  # below, but before the call
            (["x = 0", "def f():\n    x.append(1)", "f()", "x"], "a b c"),
            (["x = 0", "def f(x):\n    y = x\n    return y", "f(1)"], "b"),
            (["x = 0\ny = 1", "y"], "a"),
            (["x = 0", "[x for x in range(3)]"], ""),
            (["x = 0", "for x in range(3):\n    print(x)"], ""),
            (["x = 0", "with open('f') as x:\n    print(x)"], ""),
            (["x = 0", "%time y = x", "y"], "a b"),
            (["x = 0", "%%time\ny = x", "%%time\ny"], "a b"),
            (["x = 0", "%%needs gpu\ny = x", "%%needs gpu\ny"], "a b"),
            (["x = 0", "class A:\n    z = x\n    def f(self):\n        return self.z", "A()"], "a b"),
            (["open('work/lenet.plan', 'wb')", "x = 'other.plan'", "open(W / 'lenet.plan')"], "a"),
            (["this is no Python", "x = 1", "x"], "b"),
            (["async def f():\n    return 1", "y = await f()", "y"], "a b"),
            (["f = lambda: x", "x = 1", "f()"], "a b"),
            (["x: int = 1", "(y := x)", "print(f'{y}')"], "a b"),
        ],
    )
    def test_cells(self, root, sources, expected):
        assert self.of(root, *sources) == {f"cell {name}" for name in expected.split()}

    @pytest.mark.parametrize(
        ("sources", "expected"),
        [
            (["from helpers.low import FILE", "FILE"], "low"),
            (["from helpers.low import FILE", "5"], ""),
            (["from helpers import low, high", "low"], "low"),
            (["from helpers.high import f", "f()"], "low high"),
            (["import helpers.other", "helpers.other"], "low high other"),
            (["from helpers.high import f", "from helpers.low import FILE", "x = f()", "x"], "low high"),
            (["def g():\n    from helpers.low import FILE", "g()"], "low"),
            (["5", "from helpers.low import FILE\nFILE"], "low"),
            (["from helpers.missing import x", "x"], ""),
        ],
    )
    def test_helpers_and_through_them_data(self, root, sources, expected):
        found = {name for name in self.of(root, *sources) if not name.startswith("cell")}
        data = {"data/table.bin"} if "low" in expected else set()
        assert found == {f"helpers/{name}.py" for name in expected.split()} | data

    def test_data(self, root):
        assert self.of(root, "D = Path('../data')", "open(D / 'digits.npz')") == {"cell a", "data/digits.npz"}
        assert self.of(root, "open('../data/digits.npz')") == {"data/digits.npz"}
        assert self.of(root, "print('about digits.npz and others')") == set()

    def test_reading_the_same_data_makes_cells_no_kin(self, root):
        assert self.of(root, "print('digits.npz')", "open('digits.npz')") == {"data/digits.npz"}

    def test_only_what_counts_of_a_cell_is_hashed(self, root):
        def hash_of(first):
            return dependencies([Cell("a", first), Cell("b", "x")], 1, root)

        assert hash_of("x = 1\ny = 2") == hash_of("y = 3\n\nx = 1  # one\nimport os")
        assert hash_of("x = 1") != hash_of("x = 2")

    def test_changes_are_named(self, root):
        cells = [Cell("a", "# why\nx = 1\ny = 2"), Cell("b", "x")]
        then = {"cell a": "0", "cell z": "1", "data/digits.npz": "2", "helpers/low.py": "3", "helpers/high.py": "4"}
        now = {"cell a": "9", "data/digits.npz": "9", "helpers/high.py": "4", "helpers/new.py": "5"}
        assert changed_since(then, now, cells) == [
            "data/digits.npz",
            "helpers/low.py",
            "helpers/new.py",
            "the cell that begins with 'x = 1'",
            "a cell that is gone",
        ]
        assert changed_since(then, dict(then)) == []


def test_the_workbooks_own_cells_can_all_be_read():
    for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        for cell in read_code_cells(path):
            compile(python_source(cell.source), path.name, "exec", flags=0x2000)
