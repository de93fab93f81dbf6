"""The report on outdated scripts: finds what is marked in old scripts, and nothing in our own code."""

import json
import os
import re
import warnings
from pathlib import Path

import pytest

from helpers.commands import main
from helpers.commands.port import UnreadableSource, counts, port, port_source
from helpers.commands.port.scripts import LARGEST_CODE, LARGEST_FILE

ROOT = Path(__file__).resolve().parents[2]
OLD = sorted((ROOT / "tests" / "commands" / "old_scripts").glob("*.py"))
OWN = [
    *(ROOT / "helpers").glob("*.py"),
    *(ROOT / "tools").glob("*.py"),
    *(ROOT / "notebooks").glob("*.ipynb"),
]


def found(source):
    return [finding.name for finding in port_source(source)]


def only(source):
    (finding,) = port_source(source)
    return finding


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_exactly_what_is_marked_in_old_scripts_is_found(path):
    marked = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if mark := re.search(r"# port: (.*)", line):
            marked[number] = mark[1].split(", ")
    assert sum(map(len, marked.values())) > 20
    reported = {}
    for finding in port(path):
        if not finding.guarded:
            reported.setdefault(finding.line, []).append(finding.name)
    assert reported.keys() == marked.keys()
    for line, names in reported.items():
        assert len(names) == len(marked[line]), (line, names)
        assert all(any(mark in name for name in names) for mark in marked[line]), (line, names)


def test_what_is_behind_a_test_of_the_version_does_not_count():
    guarded = [
        finding.name for finding in port(ROOT / "tests/commands/old_scripts/lenet_by_hand_7.py") if finding.guarded
    ]
    assert guarded == ["IBuilderConfig.max_workspace_size", "ICudaEngine.num_bindings"]


@pytest.mark.parametrize(
    ("test", "old"),
    [
        ("trt.__version__[0] < '7'", "body"),
        ("int(trt.__version__.split('.')[0]) >= 10", "else"),
        ("not is_ten", "body"),
        ("is_ten", "else"),
        ("version < (10, 0)", "body"),
        ("verbose", None),
    ],
)
def test_only_the_old_side_of_a_version_test_is_guarded(test, old):
    source = f"""
import tensorrt as trt
version = tuple(map(int, trt.__version__.split(".")[:2]))
is_ten = int(trt.__version__.split(".")[0]) >= 10
if {test}:
    engine.num_bindings
else:
    engine.num_bindings
"""
    body, otherwise = port_source(source)
    assert (body.guarded, otherwise.guarded) == (old == "body", old == "else")
    one, two = port_source(source.split("if ")[0] + f"a = (engine.num_bindings if {test} else\n engine.num_bindings)")
    assert (one.guarded, two.guarded) == (old == "body", old == "else")


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_is_outdated_in_our_own_code(path):
    assert [finding for finding in port(path) if counts(finding)] == []


def test_every_finding_says_when_and_what_instead():
    for path in OLD:
        for finding in port(path):
            assert finding.use, finding
            assert finding.when or finding.level == "advice", finding
    assert only("engine.get_profile_shape(0, 1)").when == "10.0.1"
    assert "name first" in only("engine.get_profile_shape(0, 1)").advice
    assert only("import tensorrt as trt\ntrt.CaffeParser()").when == "10.13 (still in 8.6)"


@pytest.mark.parametrize(
    "source",
    [
        "import sqlite3\ncontext = sqlite3.connect('x')\ncontext.execute('select 1')",
        "from tensorflow.python.compiler.tensorrt import trt_convert as trt\ntrt.BuilderFlag.FP16",
        "import tensorrt as trt\nimport zmq\ncontext = zmq.Context()\nfor x in context.engine: pass",
        "import tensorrt as trt\ndef f(engine): return [name for name in engine], engine[0]",
        "import tensorrt as trt\nengine = [1, 2]\nfor part in engine: len(engine)",
        "import torch\nlayer = torch.nn.Conv2d(1, 1, 3)\nlayer.kernel_size, layer.stride, layer.precision",
        "import tensorrt as trt\nclass A:\n    def build_engine(self): pass\n    def b(self): self.build_engine()",
        "import tensorrt as trt\nbuilder = trt.Builder(trt.Logger())\nbuilder.create_network(1)",
        "import tensorrt as trt\nnet = trt.Builder(trt.Logger()).create_network(0)\nprint(net.get_input(0).dtype)",
        "import tensorrt as trt\ndef f(parser): parser.parse('x')",
        "args.max_workspace_size, self.fp16_mode, opt.int8_mode",
    ],
)
def test_what_only_looks_like_tensorrt_is_left_alone(source):
    assert found(source) == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from tensorrt import Builder as B, Logger\nB(Logger()).max_batch_size = 1", ["Builder.max_batch_size"]),
        ("import tensorrt as trt\nf = trt.BuilderFlag\nx = f.INT8", ["BuilderFlag.INT8"]),
        ("from helpers.trt import trt\ntrt.BuilderFlag.FP16", ["BuilderFlag.FP16"]),
        ("import tensorrt as trt\ndef f(c: trt.IExecutionContext): c.execute(1, [])", ["IExecutionContext.execute"]),
        (
            "import tensorrt as trt\ndef f(e): return len(e)\nf(trt.Runtime(None).deserialize_cuda_engine(b''))",
            ["len(engine)"],
        ),
        (
            "import tensorrt as trt\ndef f(e): return e['x']\nf(e=x.create_execution_context().engine)",
            ["engine[name]"],
        ),
        ("import tensorrt as trt\ndef f(n: trt.INetworkDefinition): n.add_rnn_v2", ["INetworkDefinition.add_rnn_v2"]),
        ("y.execute(batch_size=1, bindings=b)", ["IExecutionContext.execute"]),
        ("b.create_network(flags := 2)", []),
        ("import tensorrt as trt\ndef f(x): x.precision = trt.int8", ["ILayer.precision"]),
        ("import tensorrt as trt\ndef f(x): x.dtype = trt.DataType.HALF", ["ITensor.dtype ="]),
        ("import tensorrt as trt\nclass A:\n    def f(self): self.dtype = trt.int8", []),
        ("import importlib\ntrt = importlib.import_module('tensorrt')\ntrt.BuilderFlag.FP16", ["BuilderFlag.FP16"]),
        ("from mine import modules\ntrt, _ = modules()\ntrt.BuilderFlag.FP16", ["BuilderFlag.FP16"]),
        ("import tensorrt as trt\ndef f(tensor): tensor.dynamic_range = (0, 1)", ["ITensor.dynamic_range"]),
        ("b.create_network(3)", ["create_network(3)"]),
        ("import tensorrt as trt\n(trt\n.BuilderFlag\n.FP16)", ["BuilderFlag.FP16"]),
    ],
)
def test_receivers_are_followed(source, names):
    assert found(source) == names


def test_python_2_is_named(tmp_path):
    old = tmp_path / "old.py"
    old.write_text("import tensorrt as trt\nprint 'hello'\n")
    with pytest.raises(UnreadableSource, match=r"old.py, line 2: this is Python 2.*2to3"):
        port(old)
    with pytest.raises(UnreadableSource, match="line 1: not Python 3"):
        port_source("def f(:\n")


def test_notebooks_are_read_cell_by_cell(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": "engine.num_bindings"},
        {
            "cell_type": "code",
            "source": ["%matplotlib inline\n", "!pip list\n", "import tensorrt as trt\n", "trt.Builder?"],
        },
        {"cell_type": "code", "source": "%%bash\nexport A=1"},
        {"cell_type": "code", "source": "%%time\nb = trt.Builder(trt.Logger())\nb.max_batch_size = 1"},
        {"cell_type": "code", "source": "%%needs weak_typing\nflag = trt.BuilderFlag.FP16"},
    ]
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    one, two = port(path)
    assert (one.cell, one.line, one.name, one.guarded) == (4, 3, "Builder.max_batch_size", False)
    assert (two.cell, two.line, two.guarded) == (5, 2, True)
    path.write_text("[]")
    with pytest.raises(UnreadableSource, match="not a notebook"):
        port(path)


NUM_BINDINGS = "ICudaEngine.num_bindings"


@pytest.mark.parametrize(
    "before",
    [
        "limit = 1 << 30  # enough?",
        "if limit:  # really?\n    pass",
        "print(\n    limit,  # why?\n)",
        'text = ("%s"\n% limit)',
        'text = ("%s"\n% limit)\n%matplotlib inline',
        "files = !ls -l",
        "a, b = !ls",
        "took = %timeit -o -n 10 f()",
        "!pip install \\\n    tensorrt",
        "\n%%time",
        "if limit:\n    !ls\n    %time f()",
        "trt.Builder?",
        "?trt.Builder",
        "%cd (here",
        "!echo 'it",
        'text = """\n!ls\n% a "\n"""\n!ls',
        "text = '''it's \\'''\n!ls '''  # '\n!ls",
        'text = "a\\\n% b ("\n!ls',
        "rest = limit \\\n% 3\n!ls",
        'print(\'(\', "\'")  # ( """\n!ls [',
        "if limit:\n    !pip install \\\n        tensorrt\n    %time f()",
        "%time\n%time !ls\n%%capture",
    ],
)
def test_what_only_notebooks_have_is_skipped_and_lines_keep_their_numbers(before, tmp_path):
    path = tmp_path / "magic.ipynb"
    source = f"{before}\nengine.num_bindings"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": source}]}))
    assert [(finding.line, finding.name) for finding in port(path)] == [(source.count("\n") + 1, NUM_BINDINGS)]


@pytest.mark.parametrize("magic", ["%time ", "%timeit ", "%timeit -n 10 -r3 ", "t = %timeit -o ", "  %time "])
def test_what_is_timed_is_read(magic, tmp_path):
    path = tmp_path / "magic.ipynb"
    before = "if True:\n" if magic.startswith(" ") else ""
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": f"{before}{magic}engine.num_bindings"}]}))
    assert [finding.name for finding in port(path)] == [NUM_BINDINGS]


@pytest.mark.parametrize("language", ["%%bash\nengine.num_bindings", "\n%%bash\nif [ ]; then"])
def test_cells_in_another_language_are_left_alone(language, tmp_path):
    path = tmp_path / "bash.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": language}]}))
    assert port(path) == []


def notebook(source):
    return json.dumps({"cells": [{"cell_type": "code", "source": source}]})


UNREADABLE = {
    "number.ipynb": '{"cells": 5}',
    "numbers.ipynb": '{"cells": [1]}',
    "mapping.ipynb": '{"cells": {"a": 1}}',
    "null.ipynb": '{"cells": [{"cell_type": "code", "source": null}]}',
    "without.ipynb": '{"cells": [{"cell_type": "code"}]}',
    "list.ipynb": "[]",
    "deep.ipynb": "[" * 100_000,
    "digits.ipynb": '{"nbformat": ' + "9" * 5000 + "}",
    "bytes.ipynb": b"\xff" * 2000,
    "half.ipynb": '{"cells": [',
    "surrogate.ipynb": notebook("x = '\ud800'"),
    "chain.py": "x = a" + ".b()" * 20_000,
    "minus.py": "x = " + "-" * 20_000 + "1",  # a MemoryError in some releases of Python
    "calls.py": "x = a" + ".b()" * 900,  # read by Python, and too deep for us
    "attributes.py": "x = a" + ".b" * 20_000,
    "magic.ipynb": notebook("x = a" + ".b" * 20_000),
    "null.py": "x = 1\0",
    "digits.py": "x = " + "9" * 5000,
    "binary.py": bytes(range(256)),
    "long.py": "x\n" * LARGEST_CODE,
    "long.ipynb": json.dumps({"cells": [{"cell_type": "code", "source": "x\n" * (LARGEST_CODE // 4)}] * 4}),
    "large.ipynb": " " * LARGEST_FILE + notebook("x = 1"),
    "line.py": "x = f'" + "{a}" * 50_000 + "'",
    "import.py": "import " + "\\\n.".join(["a"] * 1000),
    "accents.py": "a" + "\u0301\u0316" * 1000,
    **{
        f"{codec}.py": f"# coding: {codec}\nengine.num_bindings\n"
        for codec in ("hex", "rot13", "zlib", "bz2", "uu", "undefined", "punycode", "idna", "no-such", "utf-16")
    },
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", UNREADABLE)
def test_one_odd_file_does_not_cost_the_other_reports(name, tmp_path, capsys):
    content = UNREADABLE[name]
    old, odd, older = (tmp_path / file for file in ("old.py", name, "older.py"))
    odd.write_bytes(content if isinstance(content, bytes) else content.encode())
    for path in (old, older):
        path.write_text("engine.num_bindings\n")
    assert main(["port", "--json", str(old), str(odd), str(older)]) == 2
    said = capsys.readouterr()
    assert [[finding["name"] for finding in found] for found in json.loads(said.out).values()] == [[NUM_BINDINGS]] * 2
    (line,) = said.err.splitlines()
    assert str(odd) in line
    assert len(line) < 400 + len(str(odd))
    with pytest.raises(UnreadableSource):
        port(odd)


@pytest.mark.timeout(60)
def test_only_regular_files_are_read_and_none_is_waited_for(tmp_path, capsys):
    link, folder, loop = tmp_path / "link.py", tmp_path / "folder.py", tmp_path / "loop.py"
    folder.mkdir()
    link.symlink_to(os.devnull)
    loop.symlink_to(loop)
    odd = [link, folder, loop, tmp_path / "missing.py", tmp_path / "two\nlines.py", Path("/dev/zero")]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo.ipynb")
        odd.append(tmp_path / "fifo.ipynb")
    assert main(["port", *map(str, odd)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == len(odd)
    with pytest.raises(UnreadableSource, match="null"):
        port("a\0.py")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("source", ["!ls\n" * 8000, "%time !ls\n" * 8000, "f(\n" * 8000, "%time " * 8000, " " * 90_000])
def test_many_magics_take_no_time(source, tmp_path):
    path = tmp_path / "magics.ipynb"
    path.write_text(notebook(f"engine.num_bindings\n{source}\n!ls"))
    if "f(" in source:
        with pytest.raises(UnreadableSource):
            port(path)
    else:
        assert [finding.name for finding in port(path)] == [NUM_BINDINGS]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("x" + ".a()" * 60 + ".num_bindings", [NUM_BINDINGS]),
        ("x" + ".import_module('tensorrt')" * 60 + ".Builder(None).max_batch_size", ["Builder.max_batch_size"]),
        ("def f(a): return a\n" * 5000 + "f(engine)\n" * 15000, []),
        ("import tensorrt as trt\nif trt.__version__ > '9':\n  pass\nelse:\n" + "  engine.num_bindings\n" * 9000, None),
        ("y = (" + "engine.num_bindings and\n" * 12_000 + "y)", None),
    ],
    ids=["calls", "imports", "functions", "old side", "and"],
)
def test_time_grows_no_faster_than_the_code(source, names):
    assert names is None or found(source) == names
    assert names is not None or len(found(source)) >= 5000


HUGE = "0x" + "f" * 20_000  # Python reads it, but writes no number of so many digits


@pytest.mark.parametrize(
    "source",
    [
        f"version = trt.__version__, {HUGE}",
        f"if trt.__version__ > {HUGE}: pass",
        f"if hasattr(x, {HUGE}): pass",
        f"try: pass\nexcept (A, {HUGE}): 1",
        f"{HUGE} .find('tensorrt')",
        f"builder.create_network({HUGE})",
        f"builder.create_network({HUGE} << 2)",
        f"builder.create_network(1 << {HUGE})",
        "builder.create_network(1 << 63 << 63)",
        "__version__ = not __version__\nif __version__: pass",
    ],
)
def test_what_cannot_be_written_as_text_is_read_nevertheless(source):
    names = found(f"import tensorrt as trt\n{source}\n")
    again = found(f"import tensorrt as trt\n{source}\nengine.num_bindings")  # also where something is found inside
    inside = re.sub(r"\bpass\b", "engine.num_bindings", source)
    assert (names, again, len(found(f"import tensorrt as trt\n{inside}"))) == ([], [NUM_BINDINGS], "pass" in source)


def test_pythons_warnings_about_what_is_read_are_kept_out():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found(r"print('\d'); engine.num_bindings") == [NUM_BINDINGS]


def test_exit_status_and_json(tmp_path, capsys):
    (tmp_path / "new.py").write_text("print('hello')\n")
    (tmp_path / "old.py").write_text("engine.num_bindings\nimport pycuda.autoinit\n")
    (tmp_path / "two.py").write_text("print 'hello'\n")
    assert main(["port", str(tmp_path / "new.py")]) == 0
    assert main(["port", str(tmp_path / "new.py"), str(tmp_path / "old.py")]) == 1
    assert "engine.num_io_tensors" in capsys.readouterr().out
    assert main(["port", str(tmp_path / "two.py"), str(tmp_path / "missing.py")]) == 2
    assert "Python 2" in (error := capsys.readouterr().err)
    assert "missing.py" in error
    assert main(["port", "--json", str(tmp_path / "old.py")]) == 1
    (findings,) = json.loads(capsys.readouterr().out).values()
    assert [(finding["line"], finding["level"]) for finding in findings] == [(1, "gone"), (2, "advice")]


def test_advice_alone_is_no_failure(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("import pycuda.autoinit\n")
    assert main(["port", str(path)]) == 0
