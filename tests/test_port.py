"""The report on outdated scripts: finds what is marked in old scripts, and nothing in our own code."""

import json
import re
from pathlib import Path

import pytest

from helpers.__main__ import main
from helpers.port import UnreadableSource, counts, port, port_source

ROOT = Path(__file__).resolve().parents[1]
OLD = sorted((ROOT / "tests" / "old_scripts").glob("*.py"))
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
    guarded = [finding.name for finding in port(ROOT / "tests/old_scripts/lenet_by_hand_7.py") if finding.guarded]
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


UNREADABLE = {
    "number.ipynb": '{"cells": 5}',
    "numbers.ipynb": '{"cells": [1]}',
    "mapping.ipynb": '{"cells": {"a": 1}}',
    "null.ipynb": '{"cells": [{"cell_type": "code", "source": null}]}',
    "without.ipynb": '{"cells": [{"cell_type": "code"}]}',
    "deep.ipynb": "[" * 100_000,
    "sum.py": "x = " + " + ".join("1" * 20_000),
    "attributes.py": "x = a" + ".b" * 20_000,
    "magic.ipynb": json.dumps({"cells": [{"cell_type": "code", "source": "x = a" + ".b" * 20_000}]}),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_one_odd_file_does_not_cost_the_other_reports(name, tmp_path, capsys):
    (tmp_path / "old.py").write_text("engine.num_bindings\n")
    (tmp_path / name).write_text(UNREADABLE[name])
    assert main(["port", "--json", str(tmp_path / "old.py"), str(tmp_path / name)]) == 2
    said = capsys.readouterr()
    assert [[finding["name"] for finding in found] for found in json.loads(said.out).values()] == [[NUM_BINDINGS]]
    assert name in said.err


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
