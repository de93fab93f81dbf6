"""The same LeNet three times: PyTorch, ONNX, network API."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from helpers.builder import build_plan
from helpers.lenet import WEIGHT_SHAPES, lenet_network
from helpers.onnx_parser import parse_onnx
from helpers.trt import has

DATA = Path(__file__).resolve().parents[2] / "data"
PROFILE = {"image": ((1, 1, 28, 28), (16, 1, 28, 28), (256, 1, 28, 28))}
needs_build = pytest.mark.skipif(not has("build"), reason="this TensorRT cannot build here")


def test_the_trained_network_reads_digits(weights, digits):
    import onnxruntime
    import torch

    from helpers.lenet import torch_lenet

    model = torch_lenet().eval()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    batch, labels = digits
    with torch.no_grad():
        logits = model(torch.from_numpy(batch)).numpy()
    assert (logits.argmax(1) == labels).mean() >= 0.985
    session = onnxruntime.InferenceSession(DATA / "lenet.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["logits"], {"image": batch})[0], logits, atol=1e-4)


def test_the_onnx_file_is_whole_small_and_private():
    path = DATA / "lenet.onnx"
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 8
    assert model.opset_import[0].version <= 17
    assert [i.name for i in model.graph.input] == ["image"]
    assert [o.name for o in model.graph.output] == ["logits"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert b"site-packages" not in path.read_bytes()


def test_npz_and_onnx_hold_the_same_weights(weights):
    model = onnx.load(DATA / "lenet.onnx")
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert {name: array.shape for name, array in weights.items()} == WEIGHT_SHAPES
    for name, array in weights.items():
        np.testing.assert_array_equal(arrays[name], array)


@needs_build
def test_the_network_api_gives_the_same_shapes_as_the_parser(weights):
    by_hand, parsed = lenet_network(weights), parse_onnx(DATA / "lenet.onnx")
    for network in (by_hand, parsed):
        assert tuple(network.get_output(0).shape) == (-1, 10)
        assert network.get_output(0).name == "logits"
    assert by_hand.num_layers < parsed.num_layers
    sizes = [len(build_plan(network, profiles=[PROFILE])) for network in (by_hand, parsed)]
    assert abs(sizes[0] - sizes[1]) < 0.05 * sizes[1]


@needs_build
def test_every_layer_has_a_name_of_its_own(weights):
    network = lenet_network(weights)
    names = [network.get_layer(i).name for i in range(network.num_layers)]
    assert len(set(names)) == len(names)
    assert not [name for name in names if "Unnamed" in name]
    assert set(WEIGHT_SHAPES) - set(names) == {f"conv{n}.{part}" for n in "12" for part in ("weight", "bias")}


@needs_build
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("fc2.bias"), "'fc2.bias' is missing"),
        (lambda w: w.update({"fc1.weight": w["fc1.weight"].T}), r"'fc1.weight' is float32 \(800, 120\)"),
        (lambda w: w.update({"conv1.bias": w["conv1.bias"].astype(np.float64)}), "'conv1.bias' is float64"),
    ],
)
def test_wrong_weights_are_named(weights, change, message):
    wrong = dict(weights)
    change(wrong)
    with pytest.raises(ValueError, match=message):
        lenet_network(wrong)
