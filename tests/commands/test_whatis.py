"""The name finder: every removed name is answered, in any spelling, and its replacement is code of today."""

import ast
import keyword

import pytest

from helpers.commands import api_names, main
from helpers.commands.api_names import RELEASES, names
from helpers.commands.other_names import FLAG, PLUGIN, others
from helpers.commands.whatis import whatis
from helpers.trt import trt

GONE = [entry for entry in names().values() if entry.gone]
CODE = {"\n".join(entry.code): entry for entry in names().values() if entry.code}
NEWEST = set(RELEASES[-2:])  # 11.4 and RTX
# Names in the snippets that belong to PyTorch, ONNX, NumPy and Python.
FOREIGN = {"onnx", "export", "half", "load", "save", "cuda", "pop", "items"}
FOREIGN |= {
    "import_onnx",
    "export_onnx",
    "cleanup",
    "get_device_capability",
    "bfloat16",
    "array",
    "ctypes",
    "data",
    "CDLL",
}


def first(name):
    return whatis(name).names[0]


def test_there_are_the_removed_names():
    assert len(GONE) > 300
    known = {entry.name for entry in GONE}
    for name in (
        "Builder.build_engine",
        "Builder.fp16_mode",
        "ICudaEngine.num_bindings",
        "IExecutionContext.execute_async_v2",
        "IInt8EntropyCalibrator2",
        "UffParser",
        "CaffeParser",
        "BuilderFlag.FP16",
        "tensorrt.legacy",
        "nvinfer1::ICudaEngine::destroy",
    ):
        assert name in known


@pytest.mark.parametrize("entry", GONE, ids=lambda entry: entry.name)
def test_every_removed_name_is_answered(entry):
    for spelling in (entry.name, f"trt.{entry.name}", *entry.cpp):
        assert entry in whatis(spelling).names, spelling
    assert entry in whatis(entry.member).names
    assert entry.went
    assert entry.use
    assert entry.advice
    assert len(entry.code) == 2
    assert entry.use in str(whatis(entry.name))


@pytest.mark.parametrize("code", CODE, ids=lambda code: code[:40])
def test_replacements_are_code_of_names_that_exist(code):
    tree = ast.parse(code)
    guarded = {n.args[1].value for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "hasattr"}
    wanted = NEWEST if CODE[code].works else set(RELEASES)
    if CODE[code].works == "10 and 11":
        wanted = {"11.4"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr not in FOREIGN | guarded:
            path = ast.unparse(node).removeprefix("trt.")
            same = [names()[path]] if path in names() else [e for e in names().values() if e.member == node.attr]
            assert path in names() or ast.unparse(node.value) != "trt", path
            assert any(wanted <= set(entry.releases) for entry in same), ast.unparse(node)


@pytest.mark.parametrize("entry", [e for e in GONE if "(" in e.use or e.use.startswith("trt.")], ids=lambda e: e.name)
def test_what_to_use_names_no_removed_name(entry):
    words = set("".join(c if c.isidentifier() or c.isdigit() else " " for c in entry.use).split())
    removed = {e.member for e in GONE} - {e.member for e in names().values() if not e.gone and e.kind != "C++ only"}
    assert not words & removed - set(keyword.kwlist) - {"VERSION_COMPATIBLE"}


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("buildEngineWithConfig", "Builder.build_engine"),
        ("build_engine_with_config", "Builder.build_engine_with_config"),
        ("IBuilder::buildEngineWithConfig", "Builder.build_engine"),
        ("trt.Builder.build_engine", "Builder.build_engine"),
        ("BUILD_ENGINE", "Builder.build_engine"),
        ("builder.build_cuda_engine(network)", "Builder.build_cuda_engine"),
        ("nvinfer1::ILogger", "ILogger"),
        ("kFP16", "BuilderFlag.FP16"),
        ("BuilderFlag::kFP16", "BuilderFlag.FP16"),
        ("nvinfer1::BuilderFlag::kFP16", "BuilderFlag.FP16"),
        ("BuilderFlag.FP16", "BuilderFlag.FP16"),
        ("num_bindings", "ICudaEngine.num_bindings"),
        ("getNbBindings", "ICudaEngine.num_bindings"),
        ("engine->getNbBindings()", "ICudaEngine.num_bindings"),
        ("enqueueV2", "IExecutionContext.execute_async_v2"),
        ("config.max_workspace_size", "IBuilderConfig.max_workspace_size"),
        ("setMaxWorkspaceSize", "IBuilderConfig.max_workspace_size"),
        ("IInt8EntropyCalibrator2", "IInt8EntropyCalibrator2"),
        ("IInt8EntropyCalibrator2::getBatchSize", "IInt8EntropyCalibrator2.get_batch_size"),
        ("nvuffparser::IUffParser::registerInput", "UffParser.register_input"),
        ("ICaffeParser", "CaffeParser"),
        ("nvonnxparser::IParser", "OnnxParser"),
        ("execute_async_v3", "IExecutionContext.execute_async_v3"),
        ("tensorrt.legacy", "tensorrt.legacy"),
        ("graphsurgeon", "graphsurgeon"),
    ],
)
def test_any_spelling_is_understood(asked, name):
    assert name in [entry.name for entry in whatis(asked).names]


def test_a_name_of_several_classes_gives_all_of_them():
    assert {entry.name for entry in whatis("get_binding_shape").names} == {
        "ICudaEngine.get_binding_shape",
        "IExecutionContext.get_binding_shape",
    }
    assert [entry.name for entry in whatis("IExecutionContext.get_binding_shape").names] == [
        "IExecutionContext.get_binding_shape"
    ]


def test_when_it_lived():
    assert first("IBuilderConfig.max_workspace_size").lived == ("<=8.0.1", "8.4.1", "10.0.0")
    assert first("IBuilderConfig.max_workspace_size").went == "10.0.0"
    assert first("UffParser").went == "9.1.0"
    assert first("IInt8EntropyCalibrator2").went == "11.0"
    assert first("Builder.fp16_mode").went == "8.0.1 or before"
    assert not first("INetworkDefinition.add_convolution_nd").gone
    text = str(whatis("IBuilderConfig::setMaxWorkspaceSize"))
    assert "nvinfer1::IBuilderConfig::setMaxWorkspaceSize: since 6.0.1, deprecated in 8.3, gone in 10.0.0" in text
    assert "set_memory_pool_limit" in text


@pytest.mark.parametrize(
    "name",
    [
        "Runtime.deserialize_cuda_engine",
        *(f"INetworkDefinition.add_{layer}" for layer in ("quantize", "dequantize", "fill", "nms", "non_zero", "topk")),
        "INetworkDefinition.add_padding_nd",
        "IPluginRegistry.register_creator",
        "IPluginRegistry.deregister_creator",
        "Builder.build_engine_with_config",
    ],
)
def test_one_outdated_overload_makes_no_outdated_name(name):
    (history,) = first(name).cpp.values()
    assert history[1:] == ("", "")
    assert "deprecated in" not in str(whatis(name)).splitlines()[2]


@pytest.mark.parametrize(
    ("asked", "name", "history"),
    [
        ("INMSLayer", "nvinfer1::INMSLayer", ("8.5.1", "", "")),
        ("init_libnvinfer_plugins", "initLibNvInferPlugins", ("<=5.1.5", "", "")),
        ("IProgressMonitor", "nvinfer1::IProgressMonitor", ("9.1.0", "", "")),
        ("IStreamReaderV2", "nvinfer1::IStreamReaderV2", ("10.7.0", "", "")),
        ("IInt8MinMaxCalibrator", "nvinfer1::IInt8MinMaxCalibrator", ("6.0.1", "10.1.0", "11.0")),
        ("IAlgorithmSelector", "nvinfer1::IAlgorithmSelector", ("7.1.3", "10.8.0", "11.0")),
        ("UffParser", "nvuffparser::IUffParser", ("<=5.1.5", "", "9.1.0")),
        ("IPluginV2IOExt", "nvinfer1::IPluginV2IOExt", ("6.0.1", "10.0", "")),
        ("REGISTER_TENSORRT_PLUGIN", "REGISTER_TENSORRT_PLUGIN", ("<=5.1.5", "", "")),
        ("createInferRuntime", "nvinfer1::createInferRuntime", ("<=5.1.5", "", "")),
        ("IPluginExt", "nvinfer1::IPluginExt", ("<=5.1.5", "", "8.0.1")),
    ],
)
def test_cpp_history(asked, name, history):
    assert first(asked).cpp[name] == history
    assert first(asked).went == history[2]


def test_every_class_of_python_and_cpp_has_both():
    without = {e.name for e in names().values() if e.kind == "class" and not e.cpp and not e.gone}
    # What the bindings alone have, and what is RTX's, whose headers were not read.
    assert all(name.startswith(("IPluginV3Quick", "IPluginCreatorV3Quick", "ISymExpr")) for name in without - {
        "FallbackString", "IPluginV2DynamicExtBase", "IRuntimeCache", "IWeightsManager", "KernelLaunchParams",
        "Logger.Severity", "NodeIndices", "PluginFieldCollection_", "Profiler",
    })  # fmt: skip


def test_answers_are_about_what_was_asked():
    assert "bit 0" in str(whatis("kEXPLICIT_BATCH"))
    assert "TensorRT 8 and 9 still need" in str(whatis("EXPLICIT_BATCH"))
    assert "FP16" not in "".join(first("BuilderFlag.BF16").code) + first("BuilderFlag.BF16").use
    assert "set_tensor_address" in "".join(first("IExecutionContext.set_shape_input").code)
    assert "third argument" in str(whatis("add_quantize"))
    assert first("OptProfileSelector::kMAX").use.startswith("profile.set_shape(")


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("EfficientNMS_TRT", "EfficientNMS_TRT"),
        ("efficientnms_trt", "EfficientNMS_TRT"),
        ("BatchedNMS_TRT", "BatchedNMS_TRT"),
        ("InstanceNormalization_TRT", "InstanceNormalization_TRT"),
        ("ROIAlign_TRT", "ROIAlign_TRT"),
        ("trtexec", "trtexec"),
        ("--workspace", "--workspace"),
        ("--workspace=4096", "--workspace"),
        ("--max-batch", "--maxBatch"),
        ("workspace", "--workspace"),
        ("explicitBatch", "--explicitBatch"),
        ("pycuda.autoinit", "pycuda.autoinit"),
        ("import pycuda.autoinit", "pycuda.autoinit"),
        ("cuda.pagelocked_empty", "pycuda.driver.pagelocked_empty"),
        ("cuda.mem_alloc(nbytes)", "pycuda.driver.mem_alloc"),
        ("drv.memcpy_htod_async", "pycuda.driver.memcpy_htod_async"),
        ("cuda.Stream()", "pycuda.driver.Stream"),
        ("Context.push", "pycuda.driver.Context.push"),
        ("self.ctx.pop()", "pycuda.driver.Context.pop"),
    ],
)
def test_names_around_tensorrt(asked, name):
    assert name in [other.name for other in whatis(asked).others]
    assert name in str(whatis(asked))


def test_a_flag_is_no_name_of_the_api():
    assert not whatis("--fp16").names
    assert [entry.name for entry in whatis("fp16").names] == ["BuilderFlag.FP16"]


@pytest.mark.parametrize("other", others().values(), ids=lambda other: other.name)
def test_every_name_around_tensorrt_is_answered(other):
    assert other in whatis(other.name).others
    assert other.use or other.kind == FLAG
    assert other.advice or other.kind == FLAG
    assert other.use or not other.gone
    compile("\n".join(other.code), other.name, "exec")
    if other.kind == PLUGIN:
        assert other.lived[0]
        assert "libnvinfer_plugin of the full TensorRT: since" in str(whatis(other.name))


def test_when_plugins_lived():
    assert others()["EfficientNMS_TRT"].lived == ("8.0.1", "", "")
    assert others()["BatchedNMS_TRT"].lived == ("<=5.1.5", "", "11.0")


def test_names_of_rtx_agree_with_the_imported_module():
    if trt.__name__ != "tensorrt_rtx":
        pytest.skip("needs tensorrt_rtx")
    for entry in names().values():
        if entry.kind in ("class", "enum") and "." not in entry.name:
            assert hasattr(trt, entry.name) == ("RTX 1.7" in entry.releases), entry.name
        elif entry.kind in ("method", "property", "value") and entry.name.count(".") == 1:
            owner = getattr(trt, entry.owner, None)
            assert (owner is not None and hasattr(owner, entry.member)) == ("RTX 1.7" in entry.releases), entry.name


def test_typing_errors_get_close_matches():
    assert not whatis("set_bindng_shape").names
    assert whatis("set_bindng_shape").similar[0] == "IExecutionContext.set_binding_shape"
    assert "IBuilderConfig.max_workspace_size" in str(whatis("max_workspace_sise"))
    with pytest.raises(ValueError, match="needs a name"):
        whatis(" ")


def test_html_is_escaped():
    shown = whatis("num_bindings")._repr_html_()
    assert "<h4>ICudaEngine.num_bindings" in shown
    assert "<pre>" in shown
    assert "<script>" not in whatis("<script>")._repr_html_()


def test_exit_status(capsys):
    assert main(["whatis", "num_bindings", "kFP16"]) == 0
    assert main(["whatis", "num_bindings", "num_bindngs"]) == 1
    assert main(["whatis", "qqqqzzz"]) == 2
    assert "Nothing looks like it" in capsys.readouterr().out
    assert main(["whatis", "--workspace"]) == 0
    assert main(["whatis", "num_bindings", "--workspace", "--saveEngine=x.plan"]) == 0
    assert main(["whatis", "--", "--workspace"]) == 0
    assert main(["whatis", "--worksapce"]) == 1
    assert "Did you mean: --workspace" in capsys.readouterr().out
    assert main(["whatis", "--help"]) == 0
    assert "usage: tensorrt-workbook whatis" in capsys.readouterr().out


def test_missing_data_says_what_to_copy(monkeypatch, tmp_path):
    monkeypatch.setattr(api_names, "_HERE", tmp_path / "helpers")
    monkeypatch.setattr(api_names, "_DATA", tmp_path / "data")
    with pytest.raises(FileNotFoundError, match="copy it from data/"):
        api_names.read_data("names.json")


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("engine.destroy()", "nvinfer1::ICudaEngine::destroy"),
        ("context->destroy()", "nvinfer1::IExecutionContext::destroy"),
        ("destroy", "nvinfer1::IBuilder::destroy"),
        ("engine.max_batch_size", "ICudaEngine.max_batch_size"),
        ("IPluginFactory", "nvinfer1::IPluginFactory"),
        ("trt.lite.Engine", "tensorrt.lite"),
        ("trt.infer.LogSeverity", "tensorrt.infer"),
        ("tensorrt.parsers.uffparser", "tensorrt.parsers"),
        ("uff.from_tensorflow", "uff"),
        ("graphsurgeon.DynamicGraph", "graphsurgeon"),
    ],
)
def test_what_is_meant_comes_first(asked, first):
    assert whatis(asked).names[0].name == first


@pytest.mark.parametrize("asked", ["cuda.Device", "cuda.init()", "drv.Stream", "pycuda.driver.Device"])
def test_the_module_of_pycuda_leaves_tensorrts_names_out(asked):
    answer = whatis(asked)
    assert answer.others
    assert not answer.names


@pytest.mark.parametrize("asked", ["pycuda", "NV_TENSORRT_MAJOR", "createInferBuilder_INTERNAL"])
def test_what_stands_around_tensorrt_in_old_code(asked):
    assert [other.name for other in whatis(asked).others] == [asked]


@pytest.mark.parametrize("name", ["IPluginV2", "IPluginV2Ext", "IPluginV2DynamicExt", "nvinfer1::IPluginV2IOExt"])
def test_each_old_kind_of_plugin_names_the_new_one(name):
    assert whatis(name).names[0].use == "trt.IPluginV3"
