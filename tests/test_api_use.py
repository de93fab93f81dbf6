"""The code of the workbook uses only what TensorRT's Python modules have in every release that the README claims."""

import json
import re
from pathlib import Path

import pytest

from helpers.trt import FLAVOUR, VERSION, trt
from tools.api_data import DATA, Api
from tools.api_sources import Source
from tools.api_use import Checker, check
from tools.distil_api import RELEASES, distil, write

ROOT = Path(__file__).parents[1]
START = """
from helpers.trt import has, require, trt
logger = trt.Logger()
builder = trt.Builder(logger)
network = builder.create_network(0)
config = builder.create_builder_config()
"""


@pytest.fixture(scope="module")
def api():
    return Api()


@pytest.fixture(scope="module")
def workbook():
    return check()


def problems(code, api, needs=(), start=START):
    return [problem.text for problem in Checker([Source("seed").add(start + code, needs=needs)], api).run().problems]


def test_the_workbook_uses_nothing_that_a_release_lacks(workbook):
    assert [str(problem) for problem in workbook.problems] == []


def test_most_of_what_the_workbook_does_with_tensorrt_was_followed(workbook, record_property):
    print(f"{workbook.resolved} uses of TensorRT's API were followed")
    record_property("resolved", workbook.resolved)
    assert workbook.resolved > 900
    places = [place for place, *_ in workbook.uses]
    for start, least in {
        "helpers/builder.py": 60,
        "helpers/runner.py": 12,
        "helpers/tensors.py": 20,
        "notebooks/01_logger.ipynb": 100,
        "notebooks/02_builder.ipynb": 150,
        "notebooks/04_network_api.ipynb": 200,
        "notebooks/07_execution.ipynb": 70,
        "notebooks/exercises/ch04.py": 30,
    }.items():
        assert sum(place.startswith(start) for place in places) >= least, start
    assert any("(solved)" in place for place in places), "solutions are read too"


def test_a_mistake_in_a_helper_is_found_through_annotations(api):
    helper = (
        "from .trt import trt\ndef size(engine: trt.ICudaEngine) -> trt.Dims:\n    return engine.get_binding_shape(0)"
    )
    found = Checker([Source("helpers/seed.py", "seed").add(helper)], api).run().problems
    assert [(p.where, p.line) for p in found] == [("helpers/seed.py", 3)]


def test_a_mistake_is_found_across_files(api):
    helper = Source("helpers/seed.py", "seed").add(
        "from .trt import trt\ndef first(network: trt.INetworkDefinition) -> trt.ILayer: ..."
    )
    chapter = Source("chapter").add("from helpers.seed import first").add("x = first(n).get_outputs()", "code cell 2")
    assert [(p.where, p.line) for p in Checker([helper, chapter], api).run().problems] == [("chapter, code cell 2", 1)]


WRONG = {
    "removed flag": ("config.set_flag(trt.BuilderFlag.FP16)", "BuilderFlag.FP16: not in 11.4, RTX 1.7"),
    "flag that came late": ("config.set_flag(trt.BuilderFlag.BF16)", "not in 8.6, 11.4, RTX 1.7"),
    "removed property": ("config.max_workspace_size = 1 << 30", "IBuilderConfig.max_workspace_size"),
    "property of something unknown": ("mystery().max_workspace_size = 1", "no class has that in"),
    "removed method": (
        "builder.build_engine(network, config)",
        "Builder.build_engine: not in 10.13, 10.16, 11.4, RTX 1.7",
    ),
    "removed class": ("class C(trt.IInt8EntropyCalibrator2): ...", "trt.IInt8EntropyCalibrator2: not in 11.4, RTX 1.7"),
    "misspelt class": ("trt.IBuilder", "trt.IBuilder: no release has it"),
    "binding by index": (
        "def f(engine): return [engine.get_binding_name(i) for i in range(2)]",
        "get_binding_name: not in",
    ),
    "number of bindings": ("def f(engine): return engine.num_bindings", "ICudaEngine.num_bindings: not in 10.13"),
    "length of an engine": ("def f(engine): return len(engine)", "len(ICudaEngine): not in 10.13"),
    "context of something unknown": ("run.ctx.execute_async_v2([], 0)", "execute_async_v2: no class has that in"),
    "keyword that not all have": (
        "x = network.add_input('x', trt.float32, (1,))\n"
        "network.add_dequantize(input=x, scale=x, output_type=trt.float32)",
        "has no keyword 'output_type'",
    ),
    "argument that all later ones need": (
        "x = network.add_input('x', trt.float32, (1,))\nnetwork.add_quantize(x, x)",
        "lacks the argument 'output_type' (in 11.4, RTX 1.7)",
    ),
    "misspelt keyword": ("network.add_input(name='x', dtype=trt.float32, dims=(1,))", "has no keyword 'dims'"),
    "swapped arguments": (
        "def f(engine): return engine.get_tensor_profile_shape(0, 'image')",
        "get_tensor_profile_shape takes str as 'name', not int",
    ),
    "swapped objects": ("builder.build_serialized_network(config, network)", "takes INetworkDefinition as 'network'"),
    "swapped in a constructor": ("trt.OnnxParser(logger, network)", "trt.OnnxParser takes INetworkDefinition"),
    "a number for an enum": ("config.set_flag(0)", "takes BuilderFlag as 'flag', not int"),
    "another enum": ("config.set_flag(trt.MemoryPoolType.WORKSPACE)", "takes BuilderFlag as 'flag'"),
    "a string for a dtype": ("network.add_input('x', 'float32', (1, 2))", "takes DataType as 'dtype', not str"),
    "too many arguments": ("builder.create_network(1, 2)", "takes 1 arguments, not 2"),
    "too few arguments": ("network.mark_output()", "lacks the argument 'tensor'"),
    "read-only later": (
        "x = network.add_input('x', trt.float32, (1,))\nx.dtype = trt.float16",
        "ITensor.dtype: cannot be set in 11.4, RTX 1.7",
    ),
    "write-only": ("print(builder.gpu_allocator)", "can be set, but not read"),
    "class of a layer": (
        "layer = network.get_layer(0)\nlayer.__class__ = trt.IConvolutionLayer\nprint(layer.stride)",
        "IConvolutionLayer.stride: not in",
    ),
    "no layer has it": ("network.get_layer(0).weight", "ILayer.weight: no release has it"),
    "explicit batch, unguarded": (
        "1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)",
        "EXPLICIT_BATCH: not in",
    ),
    "under the wrong guard": (
        "if has('progress_monitor'): config.set_flag(trt.BuilderFlag.FP16)",
        "not in 11.4, RTX 1.7",
    ),
    "in the wrong branch": (
        "if has('weak_typing'): pass\nelse: config.set_flag(trt.BuilderFlag.FP16)",
        "BuilderFlag.FP16: not in 11.4, RTX 1.7",
    ),
    "guard that nothing passes": ("if hasattr(trt.BuilderFlag, 'FP61'): print('fast')", "true in no release"),
    "getattr that nothing answers": ("getattr(trt, 'IProgresMonitor', None)", "no release has it"),
    "a callback's argument": (
        "class L(trt.ILogger):\n  def log(self, severity, msg): print(severity.label)",
        "ILogger.Severity.label: no release has it",
    ),
    "through self": (
        "class R:\n  def __init__(self, e: trt.ICudaEngine): self.e = e\n  def n(self): return self.e.num_bindings",
        "ICudaEngine.num_bindings",
    ),
    "through a call": (
        "def f(a): return a.num_bindings\nf(trt.Runtime(logger).deserialize_cuda_engine(b''))",
        "num_bindings",
    ),
    "through zip": (
        "for i, n in zip([1], [network]): n.add_convolution(1)",
        "INetworkDefinition.add_convolution: not in",
    ),
}


@pytest.mark.parametrize(("code", "message"), WRONG.values(), ids=WRONG)
def test_seeded_mistakes_are_caught(code, message, api):
    found = problems(code, api)
    assert any(message in text for text in found), found


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
    "require": "require('weak_typing')\nconfig.set_flag(trt.BuilderFlag.FP16)",
    "a capability that is missing": "if not has('weak_typing'): raise OSError\nconfig.set_flag(trt.BuilderFlag.FP16)",
    "two capabilities": "if True and has('gpu', 'progress_monitor'): print(trt.IProgressMonitor)",
    "hasattr": "if hasattr(config, 'max_workspace_size'): config.max_workspace_size = 1",
    "hasattr and": "hasattr(trt.BuilderFlag, 'FP16') and config.set_flag(trt.BuilderFlag.FP16)",
    "a condition with a name": "late = not has('weak_typing')\nif not late: config.set_flag(trt.BuilderFlag.FP16)",
    "not hasattr": "if not hasattr(trt.BuilderFlag, 'FP16'): pass\nelse: trt.BuilderFlag.FP16",
    "getattr": "flag = getattr(trt.BuilderFlag, 'FP16', None)",
    "except": "try: config.set_flag(trt.BuilderFlag.FP16)\nexcept AttributeError: pass",
    "a refusal on purpose": "try: trt.OnnxParser(logger, network)\nexcept TypeError as error: print(error)",
    "a layer of some kind": "layer = network.get_layer(0)\nlayer.__class__ = trt.IConvolutionLayer\nlayer.kernel",
    "names of others": "frame.shape; thing.num_rows; plan.execute_all()",
}


@pytest.mark.parametrize("code", RIGHT.values(), ids=RIGHT)
def test_correct_code_passes(code, api):
    assert problems(code, api) == []


def test_needs_above_a_cell_guard_it(api):
    code = "config.set_flag(trt.BuilderFlag.FP16)"
    assert problems(code, api, needs=("weak_typing",)) == []
    assert problems(code, api, needs=("gpu",)) == ["BuilderFlag.FP16: not in 11.4, RTX 1.7"]


def test_a_helper_that_is_only_imported_under_a_guard_is_guarded(api):
    helper = Source("helpers/bars.py", "bars").add("from .trt import trt\nclass B(trt.IProgressMonitor): ...")
    guarded = Source("a").add(
        "from helpers.trt import has\nif has('progress_monitor'):\n    from helpers.bars import B"
    )
    bare = Source("b").add("from helpers.bars import B")
    assert not Checker([helper, guarded], api).run().problems
    assert Checker([helper, guarded, bare], api).run().problems


def test_the_data_agree_with_the_module_that_is_installed(api):
    release = "RTX 1.7" if FLAVOUR == "tensorrt_rtx" else ".".join(VERSION.split(".")[:2])
    if release not in api.releases or not VERSION.startswith(release.split()[-1]):
        pytest.skip(f"data/api.json knows nothing of {FLAVOUR} {VERSION}")
    ours = [
        name for name, value in vars(trt).items() if isinstance(value, type) and value.__module__.startswith("tensorrt")
    ]
    assert len(ours) > 100
    for name in ours:
        assert release in api.module_member(name), name
        for member in vars(getattr(trt, name)):
            if not member.startswith("_"):
                assert release in api.member(name, member), f"{name}.{member}"


def test_the_readme_claims_the_releases_that_are_checked():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    claimed = re.findall(r"^\| TensorRT (?:for )?(RTX \d+\.\d+|\d+\.\d+)", readme, re.MULTILINE)
    assert set(claimed) == set(RELEASES)


def test_data_are_small_and_one_line_per_member():
    text = DATA.read_text(encoding="utf-8")
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
        "signatures": {"go": ["go(self: T, x: typing.SupportsInt = <E.A: 1>) -> None"]},
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
    (found,) = set(Api(target).member("T", "go").values())
    assert [(p.name, p.type, p.optional) for p in found.overloads[0]] == [("x", "int", True)]
