"""Networks as records and tables, compared with the API's own answers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.builder import create_network, keep
from helpers.lenet import lenet_network
from helpers.onnx_parser import parse_onnx
from helpers.trt import has, trt
from helpers.workbook.tables import Layer, Tensor, align_layers, feeds, in_order_of_need, network_table, read_layers

pytestmark = pytest.mark.skipif(not has("build"), reason="this TensorRT cannot build here")
DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.fixture(scope="module")
def parsed():
    return parse_onnx(DATA / "lenet.onnx")


@pytest.fixture(scope="module")
def handmade(weights):
    return lenet_network(weights)


def add_constant(network, array):
    return network.add_constant(array.shape, keep(network, array)).get_output(0)


@pytest.mark.parametrize("which", ["parsed", "handmade"])
def test_the_table_says_what_the_api_says(which, request):
    network = request.getfixturevalue(which)
    table = network_table(network)
    assert list(table.columns) == ["name", "type", "inputs", "outputs", "shape", "dtype"]
    assert list(table.index) == list(range(network.num_layers))
    for i, row in table.iterrows():
        layer = network.get_layer(i)
        output = layer.get_output(0)
        assert row["name"] == layer.name
        assert getattr(trt.LayerType, row["type"]) == layer.type
        assert row["inputs"] == ", ".join(layer.get_input(k).name for k in range(layer.num_inputs))
        assert row["outputs"] == output.name
        assert row["shape"] == tuple(output.shape)
        assert getattr(trt.DataType, row["dtype"]) == output.dtype


def test_lenet(handmade):
    table = network_table(handmade)
    first = table.loc[0]
    assert first.to_dict() == {
        "name": "conv1",
        "type": "CONVOLUTION",
        "inputs": "image",
        "outputs": handmade.get_layer(0).get_output(0).name,
        "shape": (-1, 16, 28, 28),
        "dtype": "FLOAT",
    }
    assert table["shape"].iloc[-1] == (-1, 10)
    assert table["type"].value_counts()["CONSTANT"] == 6


def test_an_empty_network_gives_an_empty_table():
    table = network_table(create_network("empty"))
    assert isinstance(table, pd.DataFrame)
    assert table.empty
    assert "shape" in table.columns


def test_layers_without_inputs_outputs_or_optional_inputs():
    network = create_network("odd")
    x = network.add_input("x", trt.float32, (4, -1))
    sliced = network.add_slice(x, (0, 0), (2, 1), (1, 1))
    sliced.set_input(2, network.add_shape(x).get_output(0))  # input 1 stays unset: get_input(1) is None
    loop = network.add_loop()
    loop.add_trip_limit(add_constant(network, np.array([3], np.int32).reshape(())), trt.TripLimit.COUNT)
    top = network.add_topk(x, trt.TopKOperation.MAX, 2, 1)
    table = network_table(network).set_index("type")
    assert sliced.get_input(1) is None
    assert table.loc["SLICE", "inputs"].split(", ")[0] == "x"
    assert table.loc["SLICE", "inputs"].count("[") == 1
    assert table.loc["CONSTANT", "inputs"] == ""
    assert table.loc["CONSTANT", "shape"] == ()
    assert table.loc["TRIP_LIMIT", "outputs"] == ""
    assert table.loc["TRIP_LIMIT", "shape"] is None
    assert table.loc["TOPK", "outputs"] == f"{top.get_output(0).name}, {top.get_output(1).name}"
    assert table.loc["TOPK", "shape"] == (2, -1)


@pytest.mark.parametrize("function", [network_table, read_layers])
def test_what_is_no_network(function):
    with pytest.raises(TypeError, match="network is None.*parse_onnx"):
        function(None)
    with pytest.raises(TypeError, match="not str: make one with helpers.onnx_parser.parse_onnx"):
        function("lenet.onnx")


class TestAlignLayers:
    def only(self, left, right):
        pairs = align_layers(left, right)
        for side, layers in enumerate((left, right)):  # every layer once, in order
            assert [pair[side] for pair in pairs if pair[side] is not None] == list(range(len(layers)))
        return {i for i, j in pairs if j is None}, {j for i, j in pairs if i is None}

    def test_the_parser_adds_shuffles(self, parsed, handmade):
        left, right = (in_order_of_need(read_layers(network)) for network in (parsed, handmade))
        only_left, only_right = self.only(left, right)
        assert only_right == set()
        assert len(only_left) == parsed.num_layers - handmade.num_layers > 0
        assert {left[i].type for i in only_left} == {"SHUFFLE"}
        # The shuffle that flattens the images is in both.
        assert (-1, 800) not in {left[i].outputs[0].shape for i in only_left}

    def test_a_network_matches_itself(self, parsed):
        layers = read_layers(parsed)
        assert align_layers(layers, layers) == [(i, i) for i in range(len(layers))]

    def test_both_sides_and_either_empty(self, handmade):
        layers = read_layers(handmade)
        everything = set(range(len(layers)))
        assert self.only(layers, []) == (everything, set())
        assert self.only([], layers) == (set(), everything)
        assert align_layers([], []) == []

    def test_other_types_never_share_a_row(self):
        one, other = (Layer(0, "same", kind, (), ()) for kind in ("ACTIVATION", "POOLING"))
        assert self.only([one, other, one], [other, one, other]) in [({0}, {2}), ({2}, {0})]

    def test_equal_shapes_decide_and_then_names(self):
        def layers(*channels, names="abc"):
            return [
                Layer(i, name, "CONVOLUTION", (), (Tensor("", (1, n, 8, 8), "FLOAT"),))
                for i, (name, n) in enumerate(zip(names, channels, strict=False))
            ]

        assert self.only(layers(2, 3, 4), layers(3)) == ({0, 2}, set())
        assert self.only(layers(3, 3, 3), layers(3, names="b")) == ({0, 2}, set())


def test_layers_stand_after_those_that_they_read():
    network = create_network()
    x = network.add_input("x", trt.float32, (1, 4))
    late = add_constant(network, np.ones((1, 4), np.float32))
    y = network.add_activation(x, trt.ActivationType.RELU).get_output(0)
    network.mark_output(network.add_elementwise(y, late, trt.ElementWiseOperation.SUM).get_output(0))
    layers = read_layers(network)
    assert [layer.index for layer in in_order_of_need(layers)] == [1, 0, 2]
    assert [layer.index for layer in in_order_of_need(layers[::-1])] == [1, 0, 2]
    assert feeds(layers) == [[], [], [1, 0]]
