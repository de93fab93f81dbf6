"""The table of advice: ids that stay, sentences, quick patterns, and each posted message with its own advice."""

import collections
import inspect
import json
import re
import time
from importlib import import_module
from pathlib import Path

import pytest

from helpers import advice as table
from helpers.advice import LONGEST, advice_for, advice_line, by_id, subjects
from helpers.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
ALL = [advice for entries in subjects().values() for advice in entries]
EXAMPLES = json.loads((ROOT / "data" / "messages.json").read_text(encoding="utf-8"))
WITHOUT_EXAMPLE = {  # why nobody posted a message of it
    "TRT002": "check says it",
    "TRT003": "check says it",
    "TRT004": "check says it",
    "TRT007": "the parser says nothing but false",
    "TRT023": "TensorRT says nothing: check sees it in the graph",
    "TRT024": "posted as pictures of a screen",
    "TRT035": "posted without the number that tells it",
    "TRT041": "check says it",
    "TRT053": "posted without the number that tells it",
}
RESERVED = [*range(1, 14), *range(20, 46), *range(50, 54)]
CUDA_NOISE = "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (cudaError 35: CUDA driver version is "
CUDA_NOISE += "insufficient for CUDA runtime version)"
BUILD, LOAD = "IBuilder::buildSerializedNetwork: Error Code 4: ", "IRuntime::deserializeCudaEngine: Error Code 1: "
BUILD_USAGE, DIMENSIONS = f"{BUILD}API Usage Error ", "ITensor::getDimensions: Error Code 4: API Usage Error "
MAGIC = f"{LOAD}Serialization (Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed.Trying to load an "
MAGIC += "engine created with incompatible serialization version "
REFUSED = "TensorRT's parser refuses it: "
# What TensorRT for RTX 1.7 says of small networks that were made for it, in part in the words of check.
MEASURED = {
    "TRT021": "Assertion failed: shiftIsAllZeros(zeroPoint): Non-zero zero point is not supported. Please set "
    "kENABLE_UINT8_AND_ASYMMETRIC_QUANTIZATION_DLA to enable asymmetric quantization if it is on DLA.",
    "TRT022": f"{DIMENSIONS}(conv.bias_DequantizeLinear: input has type Int32 but must have type FP8, FP4, Int4, Int8, "
    "or UInt8.)",
    "TRT024": f"{DIMENSIONS}(add: ElementWiseOperation SUM requires inputs with type kFLOAT, kHALF, kBF16, kFP8, or "
    f"kINT8, kINT32, or kINT64. But type is UInt8.)\n{CUDA_NOISE}",
    "TRT029": f"{BUILD_USAGE}(ITopKLayer topk: topk: K exceeds the maximum value allowed (3840).)",
    "TRT034": f"{BUILD_USAGE}(?: Input dimensions with this name have different constant values or have contradictory "
    "IOptimizationProfile kMIN/kMAX constraints.)",
    "TRT010": f"{BUILD_USAGE}(Network has dynamic or shape inputs, but no optimization profile has been defined.)",
    "TRT080": f"{BUILD_USAGE}(Dimension mismatch for tensor x and profile 0. At dimension axis 1, profile has min=4, "
    "opt=4, max=4 but tensor has 3.)",
    "TRT039": f"{BUILD}Internal Error (kOPT values for profile 0 violate shape constraints: IShuffleLayer flatten: "
    "reshaping failed for tensor: x reshape would change volume 128 to 16)",
    "TRT081": f"{BUILD_USAGE}(IElementWiseLayer add: broadcast dimensions must be conformable)",
    "TRT009": f"{DIMENSIONS}(a: ElementWiseOperation SUM must have same input types. But they are of types Float and "
    f"Half.)\n{CUDA_NOISE}",
    "TRT008": 'convertDtype(onnxDtype.elem_type(), &trtDtype) && "Failed to convert ONNX date type to TensorRT data "',
    "TRT005": f"{DIMENSIONS}(Network input s is a shape tensor and must have type Int32 or Int64. Type is Float.)",
    "TRT032": "Assertion failed: node.output().size() == 1: TensorRT only supports Attention nodes with one output.",
    "TRT038": f"{REFUSED}Assertion failed: creator && getPluginCreatorVersion(creator) == CreatorVersion::kV3ONE: "
    "NonZero plugin creator version 1 was not found in plugin registry.",
    "TRT030": f"{BUILD_USAGE}(IConditionalOutputLayer if_OutputLayer: Must have inputs with equal ranks when condition "
    "is not a build-time constant. Dimensions are [2,4] and [2,1,4].)",
    "TRT035": f"{MAGIC}(1795 != 1953657974). Check that the engine was not created using safety runtime)",
    "TRT053": f"{MAGIC}(1953657958 != 1953657974). Check that the engine was not created using safety runtime)",
    "TRT056": "[runtime.cpp::readHeader::765] Error Code 2: Internal Error (Assertion bufferSize >= minBufferSize",
    "TRT028": f'{REFUSED}(antialias == 0) && "Antialiasing is not supported currently."',
    "TRT027": f'{REFUSED}Assertion failed: mode == "none": ScatterND with reduction is not supported.',
    "TRT007": f"{REFUSED}false",
    "TRT006": f'{REFUSED}creator && "Plugin not found, are the plugin name, version, and namespace correct?"',
    "TRT033": "onnx.checker does not know all of it: No Op registered for EfficientNMS_TRT with domain_version of 17",
    "TRT011": "[tacticSupply.cpp::getSupportedFormats::48] Error Code 2: Internal Error (Assertion !layerImpls.empty() "
    "failed. convert has no runners that implement it)",
    "TRT051": CUDA_NOISE,
}


def test_ids_are_unique_and_those_that_are_promised_are_there():
    ids = [advice.id for advice in ALL]
    assert [id for id, times in collections.Counter(ids).items() if times > 1] == []
    assert {f"TRT{number:03}" for number in RESERVED} <= set(ids)
    assert all(by_id(id).id == id for id in ids)
    with pytest.raises(KeyError):
        by_id("TRT999")


@pytest.mark.parametrize("advice", ALL, ids=lambda advice: advice.id)
def test_an_advice_is_two_sentences_and_a_chapter_that_exists(advice):
    assert re.fullmatch(r"TRT\d{3}", advice.id)
    assert (ROOT / "notebooks" / f"{advice.chapter}.ipynb").is_file()
    for sentence in (advice.cause, advice.cure):
        assert re.fullmatch(r"\S.*\S", sentence), "one line"
        assert sentence.endswith(".")
        assert "  " not in sentence


def told():
    """(id, sentence) of all causes and cures."""
    return [(advice.id, sentence) for advice in ALL for sentence in (advice.cause, advice.cure)]


def test_helpers_that_a_cure_names_are_there():
    named = [(id, *pair) for id, text in told() for pair in re.findall(r"helpers\.(\w+)\.(\w+)", text)]
    named += [
        (id, module, name) for id, text in told() for name, module in re.findall(r"(\w+) of helpers\.(\w+)", text)
    ]
    assert len(named) > 10
    missing = [
        (id, module, name) for id, module, name in named if not hasattr(import_module(f"helpers.{module}"), name)
    ]
    assert missing == []


def test_commands_and_flags_that_a_cure_names_are_there():
    commands = {(id, name) for id, text in told() for name in re.findall(r"tensorrt-workbook (\w+)", text)}
    assert {name for _, name in commands} <= set(COMMANDS)
    trtexec = json.loads((ROOT / "data" / "trtexec.json").read_text(encoding="utf-8"))["flags"]
    ours = {"--timeout", "--memory", "--build", "--shapes", "--values"}
    others = {  # of docker, polygraphy, pip, onnxruntime's symbolic_shape_infer, and YOLOv7's export
        *("--gpus", "--fold-constants", "--extra-index-url", "--input", "--output", "--auto_merge", "--end2end"),
    }
    flags = {(id, flag) for id, text in told() for flag in re.findall(r"(?<![\w-])(--[a-zA-Z][\w-]*)", text)}
    assert {(id, flag) for id, flag in flags if flag not in {*trtexec, *ours, *others}} == set()


def test_arguments_of_the_exporter_that_a_cure_names_are_there():
    torch_onnx = pytest.importorskip("torch.onnx")
    takes = inspect.signature(torch_onnx.export).parameters
    entries = [advice for advice in ALL if re.search(r"export", advice.cure)]
    ours = {"keep", "nms", "device", "antialias", "torch_executed_ops"}  # of other tools
    named = {(advice.id, name) for advice in entries for name in re.findall(r"\b([a-z]\w+)=[^=]", advice.cure)}
    old = {"use_external_data_format"}  # of old PyTorch, as the cure says
    assert {(id, name) for id, name in named if name not in {*takes, *ours, *old}} == set()


def repeats_without_limit(pattern):
    """Says whether a regular expression has a repetition that no number ends: ``.*``, ``\\w+``, ``a{2,}``."""
    brackets = re.sub(r"\\.", "_", pattern)  # what is escaped repeats nothing
    brackets = re.sub(r"\[[^\]]*\]", "_", brackets)
    return bool(re.search(r"[*+]|\{\d+,\}", brackets))


@pytest.mark.parametrize("advice", ALL, ids=lambda advice: advice.id)
def test_patterns_compile_and_have_limits(advice):
    for pattern in advice.patterns:
        assert not re.compile(pattern, re.IGNORECASE).search("")
        assert not repeats_without_limit(pattern), pattern


def test_a_repetition_without_limit_is_found():
    assert all(map(repeats_without_limit, (".*", r"\w+", "a{2,}", "(ab)*")))
    assert not any(map(repeats_without_limit, (r"a\+", r".{0,80}", "[*+]", r"\.\*", "colou?r")))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example['advice']} {example['message'][:40]}")
def test_a_posted_message_is_matched_to_its_advice(example):
    found = advice_for(example["message"])
    assert (found.id if found else None) == example["advice"]


@pytest.mark.parametrize("id", MEASURED)
def test_what_tensorrt_for_rtx_says_is_matched_to_its_advice(id):
    assert advice_for(MEASURED[id]).id == id


def test_a_message_is_matched_in_whatever_case():
    assert advice_for("NETWORK MUST HAVE AT LEAST ONE OUTPUT") == advice_for("network must have at least one output")


def test_each_advice_has_an_example_or_a_reason():
    assert {advice.id for advice in ALL} - {example["advice"] for example in EXAMPLES} == set(WITHOUT_EXAMPLE)


def test_the_examples_are_of_many_threads_and_each_is_there_once():
    messages = [example["message"] for example in EXAMPLES]
    threads = {example["from"] for example in EXAMPLES}
    assert len(messages) == len(set(messages)) >= 60
    assert len(threads) >= 40
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", thread) for thread in threads)
    assert not any("\n" in message or message != message.strip() for message in messages)


def test_nothing_is_known_of_other_things():
    for text in (
        "",
        "all is well",
        "Loaded engine size: 10 MiB",
        "[TRT] [I] Total Activation Memory: 8388608",
        "a" * 100,
    ):
        assert advice_for(text) is None


@pytest.mark.parametrize("piece", ["a", "TopK ", "dynamic input ", "DLA scatter grid_sample axes ", "[[[[", "\n", "ä"])
def test_long_hostile_lines_take_no_time(piece):
    start = time.perf_counter()
    advice_for(piece * 1_000_000)
    assert time.perf_counter() - start < 5  # a tenth of a second, on a machine with nothing else to do


def test_only_the_beginning_of_a_message_is_looked_at():
    known = "Network must have at least one output"
    assert advice_for("." * (LONGEST - len(known)) + known)
    assert not advice_for("." * LONGEST + known)


def test_the_line_for_an_exception_names_id_cure_and_command():
    advice = advice_for("CUDA initialization failure with error: 35")
    line = advice_line("CUDA initialization failure with error: 35")
    assert line == f"{advice.id}: {advice.cure} (tensorrt-workbook explain {advice.id})"
    assert "\n" not in line


def test_there_is_no_line_for_what_is_not_known():
    assert advice_line("all is well") == ""
    assert advice_line("") == ""


def test_a_missing_table_hides_no_error(monkeypatch, tmp_path):
    caches = (table.subjects, table._ids, table._compiled)
    monkeypatch.setattr(table, "_TABLE", tmp_path / "advice.json")
    try:
        for cache in caches:
            cache.cache_clear()
        assert advice_line("Network must have at least one output") == ""
        with pytest.raises(OSError, match="advice.json"):
            advice_for("Network must have at least one output")
    finally:
        monkeypatch.undo()
        for cache in caches:
            cache.cache_clear()
