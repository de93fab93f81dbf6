"""The code of the workbook uses only what TensorRT's Python modules have in every release that the README claims.

mypy checks it against type stubs of each release (tools/check_types.py), and all snippets here in the same runs.
"""

import ast
import copy
import json
import re
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason='mypy is not installed: pip install -c constraints.txt -e ".[test]"')

from helpers.trt import FLAVOUR, VERSION, trt
from tools import check_types, inventory, stubs
from tools.checks.chapter_code import Cell, Module, modules
from tools.distil_api import RELEASES, TARGET, distil, of_release, write

ROOT = Path(__file__).parents[2]
ALL = set(RELEASES)
NEW = ALL - {"8.6"}
LATE = {"11.4", "RTX 1.7"}
START = """
from helpers.trt import has, require, trt
logger = trt.Logger()
builder = trt.Builder(logger)
network = builder.create_network(0)
config = builder.create_builder_config()
"""
WRONG = {  # code: in which releases it is wrong, and what is said of it
    "removed flag": ("config.set_flag(trt.BuilderFlag.FP16)", LATE, '"FP16"'),
    "flag that came late": ("config.set_flag(trt.BuilderFlag.BF16)", LATE | {"8.6"}, '"BF16"'),
    "removed property": ("config.max_workspace_size = 1 << 30", NEW, '"max_workspace_size"'),
    "property of something unknown": ("mystery().max_workspace_size = 1", NEW, "nothing has .max_workspace_size"),
    "removed method": ("builder.build_engine(network, config)", NEW, '"build_engine"'),
    "removed class": ("class C(trt.IInt8EntropyCalibrator2): ...", LATE, '"trt.IInt8EntropyCalibrator2"'),
    "misspelt class": ("trt.IBuilder", ALL, '"IBuilder"'),
    "binding by index": (
        "def f(engine): return [engine.get_binding_name(i) for i in range(2)]",
        NEW,
        '"get_binding_name"',
    ),
    "number of bindings": ("def f(engine): return engine.num_bindings", NEW, '"num_bindings"'),
    "length of an engine": ("def f(engine): return len(engine)", NEW, 'Argument 1 to "len"'),
    "context of something unknown": ("run.ctx.execute_async_v2([], 0)", NEW, "nothing has .execute_async_v2"),
    "keyword that not all have": (
        "x = network.add_input('x', trt.float32, (1,))\n"
        "network.add_dequantize(input=x, scale=x, output_type=trt.float32)",
        {"8.6"},
        '"output_type"',
    ),
    "argument that all later ones need": (
        "x = network.add_input('x', trt.float32, (1,))\nnetwork.add_quantize(x, x)",
        LATE,
        '"output_type"',
    ),
    "misspelt keyword": ("network.add_input(name='x', dtype=trt.float32, dims=(1,))", ALL, '"dims"'),
    "swapped arguments": (
        "def f(engine): return engine.get_tensor_profile_shape(0, 'image')",
        ALL,
        'has incompatible type "int"; expected "str"',
    ),
    "swapped objects": ("builder.build_serialized_network(config, network)", ALL, "build_serialized_network"),
    "swapped in a constructor": ("trt.OnnxParser(logger, network)", ALL, 'Argument 1 to "OnnxParser"'),
    "a number for an enum": ("config.set_flag(0)", ALL, 'type "int"; expected "BuilderFlag"'),
    "another enum": ("config.set_flag(trt.MemoryPoolType.WORKSPACE)", ALL, 'expected "BuilderFlag"'),
    "a string for a dtype": ("network.add_input('x', 'float32', (1, 2))", ALL, 'expected "DataType"'),
    "too many arguments": ("builder.create_network(1, 2)", ALL, "Too many arguments"),
    "too few arguments": ("network.mark_output()", ALL, '"tensor"'),
    "read-only later": (
        "x = network.add_input('x', trt.float32, (1,))\nx.dtype = trt.float16",
        LATE,
        '"dtype" defined in "ITensor" is read-only',
    ),
    "write-only": ("print(builder.gpu_allocator)", ALL, "_CanOnlyBeSet"),
    "no layer has it": ("network.get_layer(0).weight", ALL, '"weight"'),
    "explicit batch, unguarded": ("1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)", LATE, "EXPLICIT_BATCH"),
    "under the wrong guard": ("if has('progress_monitor'): config.set_flag(trt.BuilderFlag.FP16)", LATE, '"FP16"'),
    "in the wrong branch": (
        "if has('weak_typing'): pass\nelse: config.set_flag(trt.BuilderFlag.FP16)",
        LATE,
        '"FP16"',
    ),
    "through self": (
        "class R:\n  def __init__(self, e: trt.ICudaEngine): self.e = e\n  def n(self): return self.e.num_bindings",
        NEW,
        '"num_bindings"',
    ),
    "through a call": (
        "def f(a): return a.num_bindings\nf(trt.Runtime(logger).deserialize_cuda_engine(b''))",
        NEW,
        "nothing has .num_bindings",
    ),
    "through zip": ("for i, n in zip([1], [network]): n.add_convolution(1)", ALL, '"add_convolution"'),
    "through a helper": (
        "from helpers.engine import load_engine\nload_engine(b'').get_binding_shape(0)",
        NEW,
        "binding",
    ),
    "needs that all have": ("%%needs gpu\nconfig.set_flag(trt.BuilderFlag.FP16)", LATE, '"FP16"'),
    "a helper that is not for all": (
        "from helpers.progress import ProgressBars\nProgressBars()",
        {"8.6"},
        "_NotInThis",
    ),
    "the rest of a chapter": ("require('weak_typing')\nconfig.set_flag(trt.BuilderFlag.FP16)", LATE, "unreachable"),
}
RIGHT = {
    "the path that lasts": """
F = trt.NetworkDefinitionCreationFlag
flags = 1 << int(F.EXPLICIT_BATCH) if hasattr(F, "EXPLICIT_BATCH") else 0
network = builder.create_network(flags)
parser = trt.OnnxParser(network, logger)
if not parser.parse(b"model"):
    print([parser.get_error(i).desc() for i in range(parser.num_errors)])
config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1 << 30)
profile = builder.create_optimization_profile()
profile.set_shape("x", (1, 2), (2, 2), (4, 2))
config.add_optimization_profile(profile)
engine = trt.Runtime(logger).deserialize_cuda_engine(bytes(builder.build_serialized_network(network, config)))
context = engine.create_execution_context()
for i in range(engine.num_io_tensors):
    name = engine.get_tensor_name(i)
    if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
        context.set_input_shape(name, tuple(engine.get_tensor_profile_shape(name, 0)[1]))
    context.set_tensor_address(name, 0)
context.execute_async_v3(0)
""",
    "a capability": "if has('weak_typing'): config.set_flag(trt.BuilderFlag.FP16)",
    "require": "def f():\n    require('weak_typing')\n    config.set_flag(trt.BuilderFlag.FP16)",
    "a capability that is missing": (
        "def f():\n    if not has('weak_typing'): raise OSError\n    config.set_flag(trt.BuilderFlag.FP16)"
    ),
    "two capabilities": "if True and has('gpu', 'progress_monitor'): print(trt.IProgressMonitor)",
    "hasattr": "if hasattr(config, 'max_workspace_size'): config.max_workspace_size = 1",
    "hasattr and": "hasattr(trt.BuilderFlag, 'FP16') and config.set_flag(trt.BuilderFlag.FP16)",
    "a condition with a name": "late = not has('weak_typing')\nif not late: config.set_flag(trt.BuilderFlag.FP16)",
    "not hasattr": "if not hasattr(trt.BuilderFlag, 'FP16'): pass\nelse: trt.BuilderFlag.FP16",
    "getattr": "flag = getattr(trt.BuilderFlag, 'FP16', None)",
    "except": "try: config.set_flag(trt.BuilderFlag.FP16)\nexcept AttributeError: pass",
    "a refusal on purpose": "try: trt.OnnxParser(logger, network)\nexcept TypeError as error: print(error)",
    "a layer of some kind": "layer = network.get_layer(0)\nlayer.__class__ = trt.IConvolutionLayer\nlayer.kernel",
    "an answer of None": "refused = builder.create_network(1 << 9)\nassert refused is None\nprint('after it')",
    "names of others": "frame.shape; thing.num_rows; plan.execute_all()",
    "a name that means something else": "def f(engine): return f'{engine}: fast'\nf('default')",
    "needs": "%%needs weak_typing\nconfig.set_flag(trt.BuilderFlag.FP16)",
    "needs of a class": "%%needs progress_monitor\nclass Bars(trt.IProgressMonitor): ...",
    "a helper under its guard": (
        "if has('progress_monitor'):\n    from helpers.progress import ProgressBars\n    ProgressBars()"
    ),
}
OUT_OF_REACH = {  # what is not noticed, and why
    # mypy keeps the first class of `layer`, so it is given all that any layer has; slices have a stride too.
    "class of a layer": "layer = network.get_layer(0)\nlayer.__class__ = trt.IConvolutionLayer\nprint(layer.stride)",
    # Parameters without a type hint are not looked up in the method that is overridden.
    "a callback's argument": "class L(trt.ILogger):\n  def log(self, severity, msg): print(severity.label)",
}
GUARDS = {  # questions to which every release answers no
    "guard that nothing passes": ("if hasattr(trt.BuilderFlag, 'FP61'): print('fast')", "BuilderFlag.FP61"),
    "getattr that nothing answers": ("getattr(trt, 'IProgresMonitor', None)", ".IProgresMonitor"),
}
MISSPELT = {  # chapter: a name that stands in it, which is then misspelt: so mypy knows what it belongs to
    "notebook_01": "create_builder_config",
    "notebook_02": "create_builder_config",
    "notebook_03": "num_errors",
    "notebook_04": "add_matrix_multiply",
    "notebook_05": "num_layers",
    "notebook_06": "deserialize_cuda_engine",
    "notebook_07": "execute_async_v3",
    "notebook_08": "get_subgraph_nodes",
    "notebook_09": "get_tensor_profile_shape",
    "notebook_10": "add_quantize",
    "notebook_11": "create_execution_context",
    "notebook_12": "set_memory_pool_limit",
    "exercises_ch04": "num_layers",
}


def snippet(place, code):
    """A chapter that consists of START and the code, in a cell of its own if it has a magic."""
    cells = [START, code] if code.startswith("%%") else [START + code]
    return Module(re.sub(r"\W", "_", place), [Cell(place, cell) for cell in cells])


def misspelt(module, name):
    cells = [copy.copy(cell) for cell in module.cells]
    for cell in cells:
        cell.place, cell.code = f"misspelt {module.name}", cell.code.replace(name, f"{name}z")
    return Module(f"misspelt_{module.name}", cells)


@pytest.fixture(scope="module")
def found():
    """Release -> place -> what is said of it; places are those of the workbook, and the names of snippets."""
    codes = {name: code for name, (code, *_) in {**WRONG, **GUARDS}.items()} | RIGHT | OUT_OF_REACH
    chapters = {module.name: module for module in modules()}
    more = [snippet(f"snippet {name}", code) for name, code in codes.items()]
    more += [misspelt(chapters[name], text) for name, text in MISSPELT.items()]
    result = {}
    for release, problems in check_types.check(more=more).items():
        places = result.setdefault(release, {})
        for problem in problems:
            place, text = re.fullmatch(r"(.*?):(\d+: .*)", problem).groups()
            places.setdefault(place, []).append(text)
    return result


def test_the_workbook_uses_nothing_that_a_release_lacks(found):
    places = {
        release: {p: t for p, t in told.items() if not p.startswith(("snippet ", "misspelt "))}
        for release, told in found.items()
    }
    assert places == {release: {} for release in RELEASES}
    assert check_types.unknown_names() == []


@pytest.mark.parametrize("name", WRONG)
def test_seeded_mistakes_are_found(name, found):
    _, releases, text = WRONG[name]
    told = {release: places.get(f"snippet {name}", []) for release, places in found.items()}
    assert {release for release, texts in told.items() if any(text in t for t in texts)} == releases, told


@pytest.mark.parametrize("name", RIGHT)
def test_correct_code_passes(name, found):
    assert {release: places.get(f"snippet {name}") for release, places in found.items()} == dict.fromkeys(RELEASES)


@pytest.mark.parametrize("name", OUT_OF_REACH)
def test_what_is_out_of_reach_is_known(name, found):
    assert not any(places.get(f"snippet {name}") for places in found.values()), "it is found now: move it to WRONG"


@pytest.mark.parametrize("name", GUARDS)
def test_a_question_that_no_release_answers_with_yes_is_found(name):
    code, text = GUARDS[name]
    assert [found.endswith(f": {text}") for found in check_types.unknown_names([snippet(name, code)])] == [True]


@pytest.mark.parametrize("name", MISSPELT)
def test_what_chapters_do_with_tensorrt_is_followed(name, found):
    told = [text for places in found.values() for text in places.get(f"misspelt {name}", ())]
    assert any(f'"{MISSPELT[name]}z"' in text for text in told), told


def test_every_error_in_helpers_counts():
    said = "helpers/runner.py:7:1: error: Unsupported operand types  [operator]\n"
    assert check_types._problems("11.4", said, {}) == ["helpers/runner.py:7: Unsupported operand types  [operator]"]


def test_capabilities_are_those_of_the_release():
    always = {release: check_types.capabilities(release) for release in RELEASES}
    assert {release for release in RELEASES if always[release]["weak_typing"]} == ALL - LATE
    assert {release for release in RELEASES if always[release]["ahead_of_time"]} == {"RTX 1.7"}
    assert {always[release]["gpu"] for release in RELEASES} == {None}


def test_the_installed_module_is_as_the_data_say(tmp_path):
    release = "RTX 1.7" if FLAVOUR == "tensorrt_rtx" else ".".join(VERSION.split(".")[:2])
    if release not in RELEASES or not VERSION.startswith(release.split()[-1]):
        pytest.skip(f"data/api.json knows nothing of {FLAVOUR} {VERSION}")
    (tmp_path / f"{RELEASES[release]}.json").write_text(json.dumps(inventory.inventory(trt)), encoding="utf-8")
    known, made = json.loads(TARGET.read_text(encoding="utf-8")), distil(tmp_path)
    assert of_release(made, release) == of_release(known, release)
    assert made == known  # the other releases keep what they had


def test_the_stubs_of_a_release_are_written_where_an_editor_looks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["stubs", "11.4", "--to", str(tmp_path / "typings")])
    stubs.main()
    assert "11.4" in capsys.readouterr().out
    tree = ast.parse((tmp_path / "typings" / "tensorrt" / "__init__.pyi").read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    text = ast.unparse(classes["IExecutionContext"])
    assert "def set_input_shape(self, name: str, shape: tuple[Any, ...]) -> _bool" in text
    assert "@profiler.setter" in text
    assert "device_memory: _CanOnlyBeSet" in text
    assert "FP16" not in ast.unparse(classes["BuilderFlag"])
    assert "-> ICudaEngine | None" in ast.unparse(classes["Runtime"])  # so that nobody forgets to look
    assert not any(ast.get_docstring(node) for node in classes.values())
    assert "import *" in (tmp_path / "typings" / "tensorrt_rtx" / "__init__.pyi").read_text(encoding="utf-8")


def test_the_readme_claims_the_releases_that_are_checked():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    claimed = re.findall(r"^\| TensorRT (?:for )?(RTX \d+\.\d+|\d+\.\d+)", readme, re.MULTILINE)
    assert set(claimed) == set(RELEASES)


def test_data_are_small_and_one_line_per_member():
    text = TARGET.read_text(encoding="utf-8")
    assert len(text) < 300_000
    assert list(json.loads(text)["releases"]) == list(RELEASES)
    assert max(map(len, text.splitlines())) < 2000


def test_distilling_keeps_what_differs_apart(tmp_path):
    described = {
        "bases": ["pybind11_object"],
        "is_enum": False,
        "constructible": True,
        "dunders": [],
        "own_members": ["go"],
        "kinds": {"go": "method"},
        "signatures": {"go": ["go(self: list[tuple[int, bool]], x: typing.SupportsInt = <E.A: 1>) -> None"]},
        "init_signatures": ["__init__(self: T) -> None"],
    }
    empty = {"function_signatures": {}, "constants": [], "constant_values": {}}
    for release, name in RELEASES.items():
        classes = {"T": described} if release != "8.6" else {}
        (tmp_path / f"{name}.json").write_text(json.dumps({**empty, "classes": classes}))
    target = tmp_path / "api.json"
    write(distil(tmp_path), target)
    assert json.loads(target.read_text())["classes"]["T"]["go"] == {
        "10.13, 10.16, 11.4, RTX 1.7": "method (x: int = E.A) -> None"
    }


def test_a_new_release_needs_an_inventory(tmp_path, monkeypatch):
    monkeypatch.setitem(RELEASES, "11.5", "tensorrt-11.5.0")
    with pytest.raises(FileNotFoundError, match=r"tensorrt-11\.5\.0"):
        distil(tmp_path)
