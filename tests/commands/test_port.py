"""The report on outdated scripts: finds what is marked in old scripts, and nothing in our own code."""

import json
import os
import re
import warnings
from pathlib import Path

import pytest

from helpers.commands import main
from helpers.commands.port import UnreadableSource, counts, port, port_source
from helpers.commands.port.parsing import LARGEST_CODE
from helpers.commands.port.scripts import LARGEST_FILE

ROOT = Path(__file__).resolve().parents[2]
OLD = sorted((ROOT / "tests" / "commands" / "old_scripts").glob("*.py"))
OWN = [
    *(ROOT / "helpers").glob("*.py"),
    *(ROOT / "tools").glob("*.py"),
    *(ROOT / "notebooks").glob("*.ipynb"),
]


ENGINE, NETWORK, POOL = "ICudaEngine", "INetworkDefinition", "IPoolingLayer"


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
        ("(10, 0) <= version", "else"),
        ("has_tensors", "else"),
        ("not self.has_tensors", "body"),
        ("no_bindings", "else"),
        ("verbose and not is_ten", "body"),
        ("verbose and is_ten", None),
        ("verbose or is_ten", "else"),
        ("verbose", None),
    ],
)
def test_only_the_old_side_of_a_version_test_is_guarded(test, old):
    source = f"""
import tensorrt as trt
version = tuple(map(int, trt.__version__.split(".")[:2]))
is_ten = int(trt.__version__.split(".")[0]) >= 10
self.has_tensors = hasattr(engine, "num_io_tensors")
no_bindings = not hasattr(engine, "num_bindings")
if {test}:
    engine.num_bindings
else:
    engine.num_bindings
"""
    body, otherwise = port_source(source)
    assert (body.guarded, otherwise.guarded) == (old == "body", old == "else")
    one, two = port_source(source.split("if ")[0] + f"a = (engine.num_bindings if {test} else\n engine.num_bindings)")
    assert (one.guarded, two.guarded) == (old == "body", old == "else")
    way_out = f"def f():\n    if {test}:\n        return\n    engine.num_bindings"
    (behind,) = port_source(source.split("if ")[0] + way_out)
    assert behind.guarded == (old == "else")


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
    assert re.match(r"\d+\.", only("import tensorrt as trt\ntrt.CaffeParser()").when)


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
        "import tensorrt as trt\nprofile.set_shape_input('n', [1], [2], [3])\nx.y.set_shape_input('n', [1], [2], [3])",
        "import tensorrt as trt\nx.profile.set_shape_input('n', min=[1], opt=[2], max=[3])",
        "from gql import client\nclient.execute_async('query')",
        "import tensorrt as trt, zmq\ncontext = zmq.Context()\ncontext.execute('x')",
        "import tensorrt as trt\nclass Engine: pass\nengine = Engine()\nlen(engine), engine['x']",
        "import tensorrt as trt, models\nengine = models.Engine('x')\nlen(engine), engine['x']",
        "import tensorrt as trt, torch\nnet = torch.nn.Sequential()\nnet.add_module('a', b)\nnet[0].stride",
        "import torch\ndef f(network, layer): return network.add_pooling(layer), layer.kernel_size",
        "import tensorrt as trt\nfor context in zmq.engine: len(context)",
        "import tensorrt as trt\ncontext.destroy(), builder.destroy()",
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
        # What a foreign call gives does not take away what another assignment says, and neither do None and "".
        (
            "import tensorrt as trt\nclass A:\n  def f(self, m):\n    self.e = ''\n    self.e = m.make()\n"
            "    self.e = trt.Runtime(None).deserialize_cuda_engine(b'')\n    len(self.e)",
            ["len(engine)"],
        ),
        (
            "import tensorrt as trt\ndef f(m):\n  engine = m.make()\n  engine.max_batch_size",
            [f"{ENGINE}.max_batch_size"],
        ),
        ("import tensorrt as trt\nengine = engines[0]\nengine['x']", ["engine[name]"]),
        # What is given from outside is known by its name, or by what is asked of it.
        ("import tensorrt as trt\ndef f(network): network.add_pooling()", [f"{NETWORK}.add_pooling"]),
        ("import tensorrt as trt\ndef f(n):\n  n.mark_output(n.add_pooling().x)", [f"{NETWORK}.add_pooling"]),
        ("import tensorrt as trt\ndef f(e):\n  e.get_tensor_name(0)\n  len(e)", ["len(engine)"]),
        (
            "from torch2trt.torch2trt import *\ntrt.X\nctx.network.add_padding(1)",
            ["torch2trt", f"{NETWORK}.add_padding"],
        ),
        ("from trt_utils import x\ndef f(s): s.engine.max_batch_size", [f"{ENGINE}.max_batch_size"]),
        # Layers have the members of what add_… returned.
        (
            "import tensorrt as trt\nc = network.add_convolution_nd()\nc.stride = c.padding_nd",
            ["IConvolutionLayer.stride"],
        ),
        ("import tensorrt as trt\nfor layer in network: layer.precision", ["ILayer.precision"]),
        # Of one of two layers, what both have lost: a slice has its stride, and each layer its stride_nd.
        (
            "import tensorrt\nif y: x = network.add_convolution_nd(i)\nelse: x = network.add_pooling_nd(i)\n"
            "x.stride\nx.stride_nd",
            ["IConvolutionLayer.stride"],
        ),
        ("import tensorrt\nif y: x = network.add_slice(i)\nelse: x = network.add_pooling_nd(i)\nx.stride", []),
        ("import tensorrt as trt\nx = network.add_rnn_v2()\nx.op", [f"{NETWORK}.add_rnn_v2", "IRNNv2Layer.op"]),
        (
            "import tensorrt as trt\nx = network.add_pooling_nd()\nx.padding\nx = network.add_slice()\nx.stride",
            [f"{POOL}.padding"],
        ),
        (
            "import tensorrt as trt\ndef f(network, x):\n  if x:\n    y = network.add_pooling_nd()\n    y.stride\n"
            "  else:\n    y = network.add_relu()\n  y.stride\n  y = [1]\n  y.stride",
            [f"{POOL}.stride"],
        ),
        # Names that went before 8, of which headers tell.
        ("import tensorrt as trt\nbuilder.default_device_type = 1", ["Builder.default_device_type"]),
        ("import tensorrt as trt\nnetwork.add_plugin_ext(1)\ntrt.DimsNCHW", [f"{NETWORK}.add_plugin_ext", "DimsNCHW"]),
        # Names in strings.
        ("import tensorrt as trt\nsetattr(builder, 'fp16_mode', 1)", ["Builder.fp16_mode"]),
        ("import tensorrt as trt\nfor k, v in {'fp16_mode': 1}.items(): setattr(builder, k, v)", ["Builder.fp16_mode"]),
        (
            "import tensorrt as trt\nt = [('fp16_mode', 1)]\nfor k, v in t: setattr(builder, k, v)",
            ["Builder.fp16_mode"],
        ),
        ("import tensorrt as trt\nb = trt.Builder(None)\nsetattr(b, key, 1)", ["setattr(Builder, …)"]),
        ("setattr(self, 'fp16_mode', 1), getattr(args, 'max_workspace_size')", []),
    ],
)
def test_receivers_are_followed(source, names):
    assert sorted(found(source)) == sorted(names)


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
        ("c = ['trtexec']\n" + "c.append('--fp16')\n" * 9000, None),
        ("import tensorrt as trt\nx = [1]\n" + "x = network.add_pooling(x)\nx.stride\n" * 5000, None),
        ("k = {" + "'a': 1," * 5000 + "}\n" + "for q in k: setattr(builder, q, 1)\n" * 2000, []),
        ("print 'a'\n" * 9000 + "f(a b)\n" * 9000, UnreadableSource),
    ],
    ids=["calls", "imports", "functions", "old side", "and", "command", "reassigned", "setattr", "broken"],
)
def test_time_grows_no_faster_than_the_code(source, names):
    if names is UnreadableSource:
        with pytest.raises(UnreadableSource):
            found(source)
        return
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


def test_getattr_with_an_answer_for_names_that_are_gone_is_guarded():
    assert not only("getattr(engine, 'num_bindings')").guarded
    assert only("getattr(engine, 'num_bindings', 0)").guarded


@pytest.mark.parametrize(
    ("source", "flags"),
    [
        ("os.system('trtexec --onnx=m.onnx --workspace=64 --explicitBatch')", "explicitBatch workspace"),
        ("subprocess.run(['/usr/src/tensorrt/bin/trtexec', '--batch=8', '--shapes=x:1'])", "batch"),
        ("run(f'{TRTEXEC} --onnx={path} --fp16 --saveEngine={plan}')", "fp16"),
        ("cmd = 'trtexec --onnx={} '.format(p) + ' --int8'", "int8"),
        ("cmd = ['trtexec']\nif a:\n    cmd.append('--fp16')\ncmd += ['--best', '--verbose']", "best fp16"),
        ("class A:\n    def f(self):\n        self.c = 'trtexec'\n        self.c += ' --buildOnly'", "buildOnly"),
        ("run_trtexec(onnx, extra='--workspace=1')", "workspace"),
        ("os.system('make --output=x; trtexec --onnx=x && other --fp16')", ""),
        ("subprocess.run(['polygraphy', 'run', '--fp16'])\nparser.add_argument('--workspace')", ""),
        ("os.system('trtexec --onnx=m.onnx --minShapes=x:1 --memPoolSize=workspace:64 --skipInference')", ""),
    ],
)
def test_flags_of_trtexec_in_command_lines(source, flags):
    assert sorted(name.removeprefix("trtexec --") for name in found(source)) == flags.split()


def test_flags_of_trtexec_stand_in_their_lines_and_docstrings_count_as_advice():
    source = (
        '"""Run trtexec --workspace=64."""\n'
        'os.system(\n    "trtexec --onnx=a "\n    f"--fp16 {x}"\n)\n'
        'run("trtexec --streams=2")'
    )  # fmt: skip
    assert [(finding.line, finding.name, finding.level) for finding in port_source(source)] == [
        (1, "trtexec --workspace", "advice"),
        (4, "trtexec --fp16", "gone"),
        (6, "trtexec --streams", "advice"),
    ]


def test_flags_of_trtexec_in_lines_and_cells_of_a_shell(tmp_path):
    path = tmp_path / "shell.ipynb"
    sources = [
        "x = 1\n!trtexec --onnx=a \\\n  --workspace=64",
        "%%bash\ncd x\ntrtexec --fp16",
        "%%html\ntrtexec --fp16",
        "!ls",
    ]
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": source} for source in sources]}))
    assert [(finding.cell, finding.line, finding.name) for finding in port(path)] == [
        (1, 3, "trtexec --workspace"),
        (2, 3, "trtexec --fp16"),
    ]


def test_who_depends_on_torch2trt_is_told_so():
    source = "from torch2trt import torch2trt, TRTModule\nimport torch2trt.x\ntorch2trt(model, [x], fp16_mode=True)"
    advice = only(source)
    assert (advice.level, advice.line) == ("advice", 1)
    assert "release" in advice.use


LOAD = "import tensorrt as trt\ntrt.OnnxParser\ntrt.Runtime(x).deserialize_cuda_engine(b'')\n"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (LOAD, True),
        (f"{LOAD}trt.init_libnvinfer_plugins(x, '')", False),
        (LOAD.replace("trt.OnnxParser", "'EfficientNMS_TRT'"), True),
        (LOAD.replace("trt.OnnxParser", "1"), False),
    ],
)
def test_a_plan_that_may_have_plugins_is_loaded_after_they_are_registered(source, told):
    findings = port_source(source)
    assert [finding.level for finding in findings] == ["advice"] * told
    assert all("init_libnvinfer_plugins" in finding.use for finding in findings)


BROKEN = {
    "x = (1,": "not Python 3",
    "print 'hello'": "Python 2",
    "if x:\n    y = = 1\n    z = 2": "not Python 3",
    "try:\n    f()\nexcept Exception, e:\n    print e\nexcept ValueError, e:\n    g()": "Python 2",
    "def f(a, (b, c)):\n    a\n    b": "not Python 3",
    "class A\n    def f(self):\n        pass": "not Python 3",
    "if x:\n\ty\n        z": "not Python 3",
    "for x in y:\n    print 'a', (1,\n      2)\n    f()": "Python 2",
    "f(a b)\n" * 20: "not Python 3",
    "  x = 1": "not Python 3",
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("suffix", [".py", ".ipynb"])
def test_broken_lines_do_not_hide_the_rest(broken, suffix, tmp_path, capsys):
    source = f"import tensorrt as trt\nengine.num_bindings\n{broken}\nengine.num_bindings\n"
    path = tmp_path / f"broken{suffix}"
    path.write_text(notebook(source) if suffix == ".ipynb" else source)
    with pytest.raises(UnreadableSource, match="the rest was read, without line") as caught:
        port(path)
    assert BROKEN[broken] in str(caught.value)
    assert {2, source.count("\n")} <= {finding.line for finding in caught.value.findings}
    assert main(["port", str(path)]) == 2
    said = capsys.readouterr()
    assert "ICudaEngine.num_bindings" in said.out
    assert "without line" in said.err


def test_a_broken_cell_does_not_hide_the_others(tmp_path, capsys):
    path = tmp_path / "broken.ipynb"
    sources = ["engine.num_bindings", "x = '''", "(" * 300, "engine.num_bindings"]
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": source} for source in sources]}))
    with pytest.raises(UnreadableSource, match=r"cell 2, .*; and 1 more cells") as caught:
        port(path)
    assert [finding.cell for finding in caught.value.findings] == [1, 4]
    assert main(["port", "--json", str(path)]) == 2
    assert [len(found) for found in json.loads(capsys.readouterr().out).values()] == [2]
