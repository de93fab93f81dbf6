"""Models in FP16 and INT8: what the converters make, that it builds, and what is refused."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers.builder import build_plan
from helpers.onnx_parser import parse_onnx
from helpers.precision import layer_types, parse_layer_types, quantize, relative_error
from helpers.trt import has
from helpers.workbook.recordings import ROOT

LENET = ROOT / "data" / "lenet.onnx"
ONES = np.ones((2, 1, 28, 28), np.float32)
PROFILE = {"image": ((1, 1, 28, 28), (8, 1, 28, 28), (8, 1, 28, 28))}
needs_build = pytest.mark.skipif(not has("ahead_of_time"), reason="needs a TensorRT that builds without a GPU")


@pytest.fixture(scope="module")
def images():
    with np.load(ROOT / "data" / "mnist.npz") as mnist:
        return np.ascontiguousarray(mnist["train_images"][:64, None].astype(np.float32) / 255)


@pytest.fixture(scope="module")
def int8(images):
    return quantize(LENET, [{"image": images[:32]}, {"image": images[32:]}])


def run(model, images):
    model = model if isinstance(model, onnx.ModelProto) else onnx.load(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]


class TestRelativeError:
    def test_is_the_largest_difference_over_the_largest_magnitude(self):
        assert relative_error(np.array([1.0, -3.5]), np.array([1.0, -4.0])) == 0.125

    def test_computes_in_float64(self):
        assert relative_error(np.float16([60000.0]), np.float16([-60000.0])) == 2  # 120000 overflows in float16

    @pytest.mark.parametrize(("a", "b"), [((2, 3), (3,)), ((1, 10), (10,))])
    def test_refuses_to_broadcast(self, a, b):
        with pytest.raises(ValueError, match="shape"):
            relative_error(np.ones(a), np.ones(b))

    def test_refuses_zeros(self):
        with pytest.raises(ValueError, match="zeros"):
            relative_error(np.ones(3), np.zeros(3))
        with pytest.raises(ValueError, match="empty"):
            relative_error(np.ones(0), np.ones(0))

    def test_nan_is_not_a_small_error(self):
        assert not relative_error(np.array([np.nan]), np.ones(1)) < 1


class TestQuantize:
    def test_scales_are_the_largest_magnitudes_over_127(self, int8, images):
        values = {t.name: numpy_helper.to_array(t) for t in int8.graph.initializer}
        assert values["image_scale"] == np.float32(images.max() / 127)
        by_hand = np.abs(values["conv2.weight"]).max(axis=(1, 2, 3)) / 127
        np.testing.assert_allclose(values["conv2.weight_scale"], by_hand, rtol=1e-6)

    def test_follows_the_rules_of_8_6(self, int8):
        values = {t.name: numpy_helper.to_array(t) for t in int8.graph.initializer}
        nodes = [node for node in int8.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
        assert len(nodes) == 20
        for node in nodes:
            assert values[node.input[1]].dtype == np.float32
            assert values[node.input[2]].dtype == np.int8
            assert not values[node.input[2]].any(), "symmetric"
        assert all(values[f"{layer}.bias"].dtype == np.float32 for layer in ("conv1", "conv2", "fc1", "fc2", "fc3"))
        assert "logits" in {name for node in int8.graph.node if node.op_type == "Gemm" for name in node.output}

    def test_answers_change_a_little(self, int8, images):
        assert 1e-4 < relative_error(run(int8, images), run(LENET, images)) < 0.05

    def test_what_is_kept_stays_in_floating_point(self, images):
        kept = [node.name for node in onnx.load(LENET).graph.node if node.op_type == "Gemm"]
        model = quantize(LENET, [{"image": images[:8]}], keep=kept)
        weights = {node.input[1] for node in model.graph.node if node.op_type == "Gemm"}
        assert weights == {"fc1.weight", "fc2.weight", "fc3.weight"}
        assert sum(node.op_type == "QuantizeLinear" for node in model.graph.node) == 4

    def test_a_node_without_a_name_is_kept_by_its_first_output(self, images):
        model = onnx.load(LENET)
        last = model.graph.node[-1]
        last.name = ""
        made = quantize(model, [{"image": images[:8]}], keep=[last.output[0]])
        assert next(node for node in made.graph.node if "logits" in node.output).input[1] == "fc3.weight"

    @pytest.mark.parametrize(("keep", "error"), [(["fc9"], ValueError), ("fc1", TypeError), ([1], TypeError)])
    def test_what_is_kept_is_a_list_of_names_that_are_there(self, images, keep, error):
        with pytest.raises(error, match="keep"):
            quantize(LENET, [{"image": images[:8]}], keep=keep)

    def test_an_iterator_is_used_to_its_end(self, images):
        bright = [{"image": images[:8]}, {"image": images[:8] * 4}]
        values = {t.name: numpy_helper.to_array(t) for t in quantize(LENET, iter(bright)).graph.initializer}
        assert values["image_scale"] == np.float32(images[:8].max() * 4 / 127)

    def test_without_batches(self):
        with pytest.raises(ValueError, match="no calibration batches"):
            quantize(LENET, [])

    @pytest.mark.parametrize(
        ("batches", "error", "message"),
        [
            (None, TypeError, "batches is NoneType: give a list of mappings"),
            (5, TypeError, "batches is int"),
            (ONES, TypeError, "batches is ndarray"),
            ({"image": ONES}, TypeError, "batches is dict"),
            ([ONES], TypeError, r"batch 0 is ndarray: give a mapping, \{'image': array\}"),
            ([{"img": ONES}], ValueError, "batch 0 has 'img'; the model takes image"),
            ([{"image": ONES, "x": ONES}], ValueError, "batch 0 has 'image', 'x'"),
            ([{}], ValueError, "batch 0 has nothing"),
            ([{"image": ONES.tolist()}], TypeError, "'image' is list; give a NumPy array"),
            ([{"image": ONES.astype(np.uint8)}], TypeError, r"'image' is uint8, .* use \.astype\(np\.float32\)"),
            ([{"image": ONES[0]}], ValueError, r"shape \(1, 28, 28\), the model takes \(batch, 1, 28, 28\)"),
            ([{"image": ONES[:, :, :20]}], ValueError, r"shape \(2, 1, 20, 28\), the model takes"),
            ([{"image": ONES[:0]}], ValueError, "'image' is empty"),
            ([{"image": ONES}, {"image": ONES * np.nan}], ValueError, "batch 1: 'image' has NaN or infinities"),
            ([{"image": ONES}, {"image": ONES + np.inf}], ValueError, "batch 1: 'image' has NaN or infinities"),
        ],
    )
    def test_wrong_batches(self, batches, error, message):
        with pytest.raises(error, match=message):
            quantize(LENET, batches)

    def test_what_the_batches_raise_passes_through(self):
        def batches():
            yield {"image": ONES}
            raise OSError("the picture is gone")

        with pytest.raises(OSError, match="the picture is gone"):
            quantize(LENET, batches())

    @pytest.mark.filterwarnings("ignore:All-NaN")
    def test_numbers_that_become_infinite_inside(self):
        with pytest.raises(ValueError, match="computes infinities or NaN"):
            quantize(LENET, [{"image": ONES * 3e38}])

    def test_a_model_that_onnx_runtime_cannot_run(self):
        model = onnx.load(LENET)
        model.graph.node[0].op_type = "Unheard"
        with pytest.raises(ValueError, match="ONNX Runtime cannot quantize this model: "):
            quantize(model, [{"image": ONES}])

    def test_a_node_without_name_and_output(self):
        model = onnx.load(LENET)
        model.graph.node.add(op_type="Constant")
        with pytest.raises(ValueError, match="ONNX Runtime cannot quantize this model"):
            quantize(model, [{"image": ONES}])

    def test_no_model(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no model"):
            quantize(tmp_path / "lost.onnx", [{"image": ONES}])
        with pytest.raises(TypeError, match="a model is a file"):
            quantize(None, [{"image": ONES}])

    def test_warns_of_nothing(self, images, caplog):
        quantize(LENET, [{"image": images[:8]}])
        assert not caplog.records

    @needs_build
    def test_builds(self, int8):
        assert build_plan(parse_onnx(int8.SerializeToString()), profiles=[PROFILE], targets=["SM86"])


def test_a_matrix_product_of_onnx(images):
    """MatMul keeps its weights as (in, out): scales go along the last axis."""
    weight = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["image", "weight"], ["y"], "product")],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ("n", 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 3))],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    done = quantize(model, [{"image": np.ones((2, 4), np.float32)}])
    values = {t.name: numpy_helper.to_array(t) for t in done.graph.initializer}
    assert values["weight_scale"].shape in ((3,), ())
    assert not values["weight_zero_point"].any()


LAYERS = {
    "Layers": [
        {
            "Name": "conv1 + relu1",
            "LayerType": "CaskConvolution",
            "Inputs": [{"Name": "image", "Format/Datatype": "Row major linear FP32"}],
            "Outputs": [{"Name": "a", "Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}],
            "TacticName": "sm80_xmma_fprop",
        },
        {"Name": "pool", "Inputs": [{"Format/Datatype": "Half"}], "Outputs": [{"Format": "a", "Datatype": "Int8"}]},
        {"Name": "odd", "Inputs": [], "Outputs": [{"Format/Datatype": "N/A due to dynamic shapes"}]},
    ],
    "Bindings": ["image"],
}


def test_the_words_of_several_releases():
    first, second, third = parse_layer_types(json.dumps(LAYERS))
    assert first == ("conv1 + relu1", "CaskConvolution", ("FP32",), ("FP16",), "sm80_xmma_fprop")
    assert (second.inputs, second.outputs) == (("FP16",), ("INT8",))
    assert third.outputs == ("?",)


def test_an_engine_that_was_built_without_details():
    with pytest.raises(ValueError, match="profiling_verbosity"):
        parse_layer_types('{"Layers": ["conv1 + relu1"], "Bindings": []}')


def test_control_characters_in_the_inspectors_json_are_taken_as_they_are():
    (layer,) = parse_layer_types('{"Layers": [{"Name": "conv1", "LayerType": "gemm", "Metadata": "\x1e[conv1]"}]}')
    assert (layer.name, layer.kind, layer.inputs) == ("conv1", "gemm", ())


@pytest.mark.skipif(not has("gpu", "weak_typing"), reason="needs a GPU and a TensorRT with weak typing")
def test_layers_of_an_engine():
    from helpers.builder import BuildOptions, create_config
    from helpers.engine import load_engine
    from helpers.trt import VERSION, trt

    network = parse_onnx(LENET)
    config = create_config(network.builder, network, BuildOptions(profiles=[PROFILE]))
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    engine = load_engine(bytes(network.builder.build_serialized_network(network, config)), trusted=True)
    told = {name for layer in layer_types(engine) for name in layer.inputs}
    # Of layers with dynamic shapes, 8.6 tells no types at all.
    assert told == {"?"} if VERSION.startswith("8.6") else "FP32" in told
