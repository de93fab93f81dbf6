"""Models from files and bytes, and every bad input by its message."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import small_models as small
from onnx import TensorProto, helper, numpy_helper

from helpers.builder import build_plan
from helpers.logger import get_logger
from helpers.onnx_parser import OnnxParseError, parse_onnx
from helpers.trt import has

pytestmark = pytest.mark.skipif(not has("build"), reason="this TensorRT cannot build here")
LENET = Path(__file__).resolve().parents[2] / "data" / "lenet.onnx"


def model(*nodes, initializers=(), opset=17) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(list(nodes), "test", [x], [y], list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("source", [LENET, str(LENET), LENET.read_bytes()], ids=["path", "str", "bytes"])
def test_lenet(source):
    network = parse_onnx(source)
    assert network.num_layers > 10
    assert network.get_input(0).name == "image"
    assert tuple(network.get_input(0).shape) == (-1, 1, 28, 28)
    assert network.get_output(0).name == "logits"
    assert network.name == ("onnx" if isinstance(source, bytes) else "lenet")


def test_the_weights_outlive_the_parser():
    profile = {"image": ((1, 1, 28, 28), (4, 1, 28, 28), (8, 1, 28, 28))}
    plan = build_plan(parse_onnx(LENET), profiles=[profile])
    assert len(plan) > LENET.stat().st_size // 2


def test_a_plugin_that_is_not_there_is_named_with_its_node():
    with pytest.raises(OnnxParseError) as caught:
        parse_onnx(model(helper.make_node("Mine_TRT", ["x"], ["y"])).SerializeToString())
    assert caught.value.errors[0].operator in ("Mine_TRT", "")
    text = str(caught.value)
    assert "node 'number 0' (Mine_TRT): " in text or "node 'number 0': " in text
    assert "there is no plugin 'Mine_TRT', version 1: " in text
    assert text.splitlines()[-1].startswith("  TRT006: ")
    assert caught.value.messages


@pytest.mark.parametrize("wrong", [None, 3, ["m.onnx"]])
def test_what_is_neither_a_file_nor_bytes(wrong):
    with pytest.raises(TypeError, match=f"a model is a file or bytes, not {type(wrong).__name__}$"):
        parse_onnx(wrong)


def test_other_arguments_that_are_wrong(tmp_path):
    with pytest.raises(TypeError, match=r"not ModelProto: give model\.SerializeToString"):
        parse_onnx(onnx.load(LENET))
    with pytest.raises(TypeError, match="name=3"):
        parse_onnx(LENET, name=3)
    with pytest.raises(FileNotFoundError, match="is a folder"):
        parse_onnx(tmp_path)


def test_a_missing_file():
    with pytest.raises(FileNotFoundError, match="no ONNX model nowhere.onnx"):
        parse_onnx("nowhere.onnx")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello, this is not a model\n", "not an ONNX model"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "not an ONNX model"),
        (onnx.ModelProto().SerializeToString() or b"\x08\x08", "not an ONNX model"),
        (LENET.read_bytes()[:1000], "not an ONNX model|cannot be parsed"),
    ],
    ids=["empty", "text", "html", "no graph", "truncated"],
)
def test_what_is_not_a_model(tmp_path, content, message):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(OnnxParseError, match=message):
        parse_onnx(path)
    with pytest.raises(OnnxParseError):
        parse_onnx(content)


def test_an_unknown_operator_is_named_with_its_node():
    bad = model(helper.make_node("FancyOp", ["x"], ["y"], name="my_node", domain="my.domain"))
    bad.opset_import.append(helper.make_opsetid("my.domain", 1))
    with pytest.raises(OnnxParseError, match="the model in memory") as error:
        parse_onnx(bad.SerializeToString())
    (first,) = error.value.errors[:1]
    if hasattr(error.value, "errors") and has("progress_monitor"):  # 8.6 knows the node's number only
        assert first.node == "my_node"
        assert first.operator == "FancyOp"
    assert first.description


def test_every_error_is_listed():
    bad = model(
        helper.make_node("FancyOp", ["x"], ["a"], name="one", domain="my.domain"),
        helper.make_node("OtherOp", ["a"], ["y"], name="two", domain="my.domain"),
    )
    with pytest.raises(OnnxParseError) as error:
        parse_onnx(bad.SerializeToString())
    for node in error.value.errors:
        assert node.description in str(error.value)


def test_the_parsers_messages_come_without_their_newlines():
    with get_logger().capture() as messages, pytest.raises(OnnxParseError):
        parse_onnx(model(helper.make_node("FancyOp", ["x"], ["y"])).SerializeToString())
    assert messages
    assert not [message.text for message in messages if message.text != message.text.rstrip()]


class TestExternalData:
    @pytest.fixture
    def path(self, tmp_path):
        weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
        good = model(helper.make_node("MatMul", ["x", "w"], ["y"], name="product"), initializers=[weight])
        path = tmp_path / "external.onnx"
        onnx.save(good, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
        return path

    def test_it_is_found_beside_the_model_from_any_folder(self, path):
        assert parse_onnx(path).num_layers >= 1

    def test_a_missing_file_is_named(self, path):
        (path.parent / "weights.bin").unlink()
        with pytest.raises(FileNotFoundError, match=r"tensor 'w' in 'weights.bin', which is not in"):
            parse_onnx(path)

    @pytest.mark.parametrize("place", small.external_everywhere(""))
    def test_nothing_outside_the_folder_reaches_tensorrt(self, place, tmp_path, monkeypatch):
        monkeypatch.setattr("helpers.onnx_parser.create_network", lambda name: pytest.fail("TensorRT would parse it"))
        folder = tmp_path / "model"
        folder.mkdir()
        np.ones(4, np.float32).tofile(tmp_path / "secret.bin")
        np.ones(4, np.float32).tofile(folder / "weights.bin")
        (folder / "link.bin").symlink_to("../secret.bin")
        for location in ("../secret.bin", "link.bin"):
            (folder / "m.onnx").write_bytes(small.external_everywhere(location)[place].SerializeToString())
            with pytest.raises(
                OnnxParseError, match=r"m\.onnx: keeps tensor '.*' in '.*', which is outside the model's"
            ):
                parse_onnx(folder / "m.onnx")

    @pytest.mark.parametrize("place", small.external_everywhere(""))
    def test_a_model_in_memory_has_no_folder_to_read_from(self, place, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        np.ones(4, np.float32).tofile("weights.bin")
        with pytest.raises(OnnxParseError, match="keeps tensor '.*' in 'weights.bin', but has no folder"):
            parse_onnx(small.external_everywhere("weights.bin")[place].SerializeToString())


def test_files_that_no_onnx_file_can_be(tmp_path):
    path = tmp_path / "large.onnx"
    path.write_bytes(LENET.read_bytes())
    os.truncate(path, 1 << 31)
    with pytest.raises(OnnxParseError, match="is larger than 2 GB, and no ONNX file can be"):
        parse_onnx(path)
