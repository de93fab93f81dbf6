"""Pictures of real networks: nothing overlaps, the main line is straight, every tensor has its arrow."""

import itertools
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from helpers.builder import create_network, keep
from helpers.draw import _Picture, compare_networks, draw_network
from helpers.figures import to_png
from helpers.layout import place
from helpers.lenet import lenet_network
from helpers.onnx_parser import parse_onnx
from helpers.tables import read_layers, unmatched_layers
from helpers.trt import has, trt

pytestmark = pytest.mark.skipif(not has("build"), reason="this TensorRT cannot build here")
DATA = Path(__file__).resolve().parents[1] / "data"
SUM = trt.ElementWiseOperation.SUM


@pytest.fixture(autouse=True)
def _own_settings():
    with mpl.rc_context({"backend": "agg"}):
        yield


def constant(network, shape=(1, 1, 1, 1)):
    return network.add_constant(shape, keep(network, np.ones(shape, np.float32))).get_output(0)


def convolution(network, x, maps):
    kernel = keep(network, np.zeros((maps, x.shape[1], 1, 1), np.float32))
    return network.add_convolution_nd(x, maps, (1, 1), kernel).get_output(0)


def relu(network, x):
    return network.add_activation(x, trt.ActivationType.RELU).get_output(0)


def parsed_lenet():
    return parse_onnx(DATA / "lenet.onnx")


def handmade_lenet():
    return lenet_network(dict(np.load(DATA / "lenet.npz")))


def residual():
    network = create_network("residual")
    x = network.add_input("image", trt.float32, (-1, 4, 8, 8))
    for _ in range(3):
        y = network.add_elementwise(convolution(network, relu(network, x), 4), constant(network), SUM).get_output(0)
        x = network.add_elementwise(x, y, SUM).get_output(0)
    network.mark_output(x)
    return network


def branches():
    network = create_network("branches")
    x = relu(network, network.add_input("image", trt.float32, (-1, 4, 8, 8)))
    ends = [convolution(network, x, 2), relu(network, convolution(network, x, 3)), x, relu(network, x)]
    joined = network.add_concatenation(ends)
    joined.axis = 1
    mean = network.add_reduce(joined.get_output(0), trt.ReduceOperation.AVG, 0b1100, False).get_output(0)
    top = network.add_topk(mean, trt.TopKOperation.MAX, 2, 0b10)
    for i in range(2):
        network.mark_output(top.get_output(i))
    return network


def loop():
    network = create_network("loop")
    x = network.add_input("x", trt.float32, (4, -1))
    loop = network.add_loop()
    count = keep(network, np.array(3, np.int32))
    loop.add_trip_limit(network.add_constant((), count).get_output(0), trt.TripLimit.COUNT)
    recurrence = loop.add_recurrence(x)
    recurrence.set_input(1, network.add_elementwise(recurrence.get_output(0), x, SUM).get_output(0))
    network.mark_output(loop.add_loop_output(recurrence.get_output(0), trt.LoopOutput.LAST_VALUE).get_output(0))
    return network


def conditional():
    network = create_network("if")
    x = network.add_input("x", trt.float32, (-1, 8))
    either = network.add_if_conditional()
    either.set_condition(network.add_input("flag", trt.bool, ()))
    y = either.add_input(x).get_output(0)
    yes, no = (network.add_unary(y, op).get_output(0) for op in (trt.UnaryOperation.NEG, trt.UnaryOperation.ABS))
    network.mark_output(either.add_output(yes, no).get_output(0))
    return network


def constants():
    """Two constants that feed one layer, one that feeds two, one that is an output, one that feeds nothing."""
    network = create_network("constants")
    x = network.add_input("x", trt.float32, (-1, -1, 4, 4))
    shared = constant(network)
    y = network.add_elementwise(network.add_elementwise(x, shared, SUM).get_output(0), shared, SUM).get_output(0)
    more = network.add_elementwise(y, shared, trt.ElementWiseOperation.GREATER).get_output(0)
    chosen = network.add_select(more, constant(network), constant(network))
    network.mark_output(chosen.get_output(0))
    network.mark_output(constant(network, (2, 3)))
    constant(network)
    return network


def only_input():
    network = create_network("only input")
    network.add_input("x", trt.float32, (1, 3))
    return network


NETWORKS = [
    parsed_lenet, handmade_lenet, residual, branches, loop, conditional, constants, only_input, create_network
]  # fmt: skip


def overlaps(a, b) -> bool:
    (left, right, bottom, top), (left2, right2, bottom2, top2) = a.edges, b.edges
    return left < right2 and left2 < right and bottom < top2 and bottom2 < top


def texts_of(fig) -> list[str]:
    return [text.get_text() for ax in fig.axes for text in ax.texts]


def frames_of(ax) -> list[FancyBboxPatch]:
    return [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]


@pytest.mark.parametrize("make", NETWORKS)
class TestEveryNetwork:
    def test_no_boxes_overlap_and_all_are_inside(self, make):
        layout = _Picture(make(), 60).layout
        left, right, bottom, top = layout.bounds
        for box in layout.boxes.values():
            a, b, c, d = box.edges
            assert left - 1e-9 <= a < b <= right + 1e-9
            assert bottom - 1e-9 <= c < d <= top + 1e-9
        for a, b in itertools.combinations(layout.boxes.values(), 2):
            assert not overlaps(a, b)

    def test_arrows_pass_no_other_box(self, make):
        layout = _Picture(make(), 60).layout
        for arrow in layout.arrows:
            for a, b in itertools.pairwise(arrow.points):
                for key, box in layout.boxes.items():
                    if key in (arrow.source, arrow.target):
                        continue
                    left, right, bottom, top = box.edges
                    if a[0] == b[0]:
                        hit = left < a[0] < right and min(a[1], b[1]) < top and max(a[1], b[1]) > bottom
                    elif arrow.kind == "down":  # an S: it stays between the heights of its ends
                        hit = min(a[1], b[1]) < bottom < max(a[1], b[1]) and left < max(a[0], b[0])
                        hit &= min(a[0], b[0]) < right
                    else:
                        hit = bottom < a[1] < top and min(a[0], b[0]) < right and max(a[0], b[0]) > left
                    assert not hit, (arrow, key)

    def test_every_tensor_has_its_arrow(self, make):
        network = make()
        picture = _Picture(network, 60)
        makers = {("input", network.get_input(i).name): network.get_input(i).name for i in range(network.num_inputs)}
        expected = set()
        for layer in read_layers(network):
            makers.update(((layer.index, tensor.name), tensor.name) for tensor in layer.outputs)
        source = {name: key if key[0] == "input" else key[0] for key, name in makers.items()}
        for layer in read_layers(network):
            expected |= {(source[tensor.name], layer.index) for tensor in layer.inputs}
        for i in range(network.num_outputs):
            name = network.get_output(i).name
            expected.add((source[name], ("output", name)))
        assert {(arrow.source, arrow.target) for arrow in picture.layout.arrows} == expected

    def test_arrows_lead_from_box_to_box(self, make):
        layout = _Picture(make(), 60).layout
        for arrow in layout.arrows:
            for point, key in ((arrow.points[0], arrow.source), (arrow.points[-1], arrow.target)):
                left, right, bottom, top = layout.boxes[key].edges
                assert left - 1e-9 <= point[0] <= right + 1e-9
                assert bottom - 1e-9 <= point[1] <= top + 1e-9

    def test_it_becomes_a_small_png(self, make):
        fig = draw_network(make())
        assert isinstance(fig, Figure)
        assert 500 < len(to_png(fig)) < 60_000


class TestLenet:
    @pytest.mark.parametrize("make", [parsed_lenet, handmade_lenet])
    def test_the_main_line_is_straight_and_constants_stand_beside_it(self, make):
        network = make()
        picture = _Picture(network, 60)
        boxes = picture.layout.boxes
        middle = boxes["input", "image"].x
        assert boxes["output", "logits"].x == middle
        line = [boxes[layer.index] for layer in read_layers(network) if -1 in layer.outputs[0].shape]
        assert len(line) >= 15
        assert {box.x for box in line} == {middle}
        weights = 0
        for layer in read_layers(network):
            if layer.type == "CONSTANT":
                assert boxes[layer.index].x > middle
            if layer.type == "MATRIX_MULTIPLY":
                (weight,) = (a.source for a in picture.layout.arrows if a.target == layer.index and a.kind == "side")
                assert boxes[weight].y == boxes[layer.index].y
                weights += 1
        assert weights == 3

    def test_the_words_in_it(self):
        texts = texts_of(draw_network(handmade_lenet()))
        assert texts.count("Convolution") == 2
        assert texts.count("Matrix multiply") == 3
        for word in ("Input", "image", "batch×16×28×28", "conv1", "120×800", "fc1.weight", "batch×10", "logits"):
            assert word in texts

    def test_texts_fit_into_their_boxes(self):
        fig = draw_network(parsed_lenet())
        fig.canvas.draw()
        frames = [frame.get_window_extent() for frame in frames_of(fig.axes[0])]
        # Boxes and their two texts are drawn in the same order, labels after them.
        words = fig.axes[0].texts
        for i, frame in enumerate(frames):
            for text in words[2 * i : 2 * i + 2]:
                box = text.get_window_extent()
                assert frame.x0 < box.x0 < box.x1 < frame.x1, text.get_text()
                assert frame.y0 < box.y0 < box.y1 < frame.y1, text.get_text()
        for text in words[2 * len(frames) :]:
            box = text.get_window_extent()
            assert 0 <= box.x0 < box.x1 <= fig.bbox.width
            assert not any(frame.overlaps(box) for frame in frames), text.get_text()

    def test_text_has_ten_points_and_it_fits_a_page(self):
        fig = draw_network(parsed_lenet(), title="LeNet")
        assert {text.get_fontsize() for text in fig.axes[0].texts} == {10}
        assert fig.get_size_inches()[0] < 8
        assert "LeNet" in [text.get_text() for text in fig.texts]

    def test_in_axes_of_ones_own(self):
        fig = Figure((6, 4))
        axes = fig.subplots(1, 2)
        assert draw_network(parsed_lenet(), ax=axes[0], title="small") is fig
        assert axes[0].get_title() == "small"
        assert len(frames_of(axes[0])) == len(parsed_lenet()) + 2
        assert max(text.get_fontsize() for text in axes[0].texts) < 10  # text shrinks with its boxes
        assert not frames_of(axes[1])


class TestShapes:
    def labels(self, shape):
        network = create_network()
        network.mark_output(relu(network, network.add_input("x", trt.float32, shape)))
        return texts_of(draw_network(network))

    def test_a_dynamic_first_dimension_is_the_batch(self):
        assert self.labels((-1, 3)).count("batch×3") == 2

    @pytest.mark.parametrize(("shape", "label"), [((-1, -1), "-1×-1"), ((2, -1), "2×-1"), ((2, 3), "2×3")])
    def test_every_other_shape_is_tensorrts(self, shape, label):
        assert self.labels(shape).count(label) == 2

    def test_no_dimensions(self):
        assert "scalar" in self.labels(())


class TestCompare:
    def test_what_only_one_has_is_dashed(self):
        left, right = parsed_lenet(), handmade_lenet()
        fig = compare_networks(left, right, ["From ONNX", "Network API"])
        extra = len(unmatched_layers(read_layers(left), read_layers(right))[0])
        assert extra > 0
        dashed = [[f for f in frames_of(ax) if f.get_linestyle() not in ("-", "solid")] for ax in fig.axes]
        assert [len(frames) for frames in dashed] == [extra, 0]
        texts = [text.get_text() for text in fig.texts]
        assert len(to_png(fig)) < 60_000
        assert texts == [
            "From ONNX",
            f"{len(left)} layers, {extra} only here (dashed)",
            "Network API",
            f"{len(right)} layers",
        ]

    def test_one_scale_one_top_and_no_overlap(self):
        fig = compare_networks(parsed_lenet(), residual(), ("a", "b"))
        fig.canvas.draw()
        frames = [[frame.get_window_extent() for frame in frames_of(ax)] for ax in fig.axes]
        heights = {round(min(frame.height for frame in side)) for side in frames}
        assert len(heights) == 1
        assert max(f.y1 for f in frames[0]) == pytest.approx(max(f.y1 for f in frames[1]))
        assert max(f.x1 for f in frames[0]) < min(f.x0 for f in frames[1])

    @pytest.mark.parametrize("titles", ["ab", ["a"], ["a", "b", "c"]])
    def test_two_titles(self, titles):
        with pytest.raises(ValueError, match="two titles"):
            compare_networks(residual(), residual(), titles)

    def test_either_may_be_empty(self):
        assert "an empty network" in texts_of(compare_networks(residual(), create_network()))


class TestBadInput:
    def test_none(self):
        with pytest.raises(TypeError, match="network is None.*parse_onnx"):
            draw_network(None)
        with pytest.raises(TypeError, match="network is None"):
            compare_networks(residual(), None)

    def test_a_path(self):
        with pytest.raises(TypeError, match="not str: make one with"):
            draw_network("lenet.onnx")

    def test_too_many_layers(self):
        with pytest.raises(ValueError, match=r"15 layers, too many.*max_layers=14.*network_table\(network\)"):
            draw_network(residual(), max_layers=14)
        with pytest.raises(ValueError, match="network 'b' has 15 layers"):
            compare_networks(only_input(), residual(), ("a", "b"), max_layers=5)
        assert draw_network(residual(), max_layers=15)

    def test_an_empty_network(self):
        assert texts_of(draw_network(create_network())) == ["an empty network"]

    def test_names_are_no_formulas_and_long_ones_keep_both_ends(self):
        network = create_network()
        layer = network.add_activation(network.add_input("$x_{$", trt.float32, (1,)), trt.ActivationType.RELU)
        layer.name = "a/very/long/path/of/modules/that/ends/in/relu_17"
        network.mark_output(layer.get_output(0))
        fig = draw_network(network, title="$x_{$")
        texts = texts_of(fig)
        assert "$x_{$" in texts
        shortened = [text for text in texts if "…" in text]
        assert [text[:6] for text in shortened] == ["a/very", "a/very"]  # the layer and its output
        assert shortened[0].endswith("in/relu_17")
        assert all(len(text) <= 22 for text in shortened)
        to_png(fig)


def test_a_large_random_graph_has_no_overlaps():
    random = np.random.default_rng(5)
    sizes = {i: (float(random.uniform(0.5, 2)), 0.4) for i in range(60)}
    edges = [(int(random.integers(max(0, i - 6), i)), i) for i in range(1, 60) for _ in range(2)]
    layout = place(sizes, edges, inputs=[0], labels=dict.fromkeys(sizes, 0.9))
    assert len(layout.boxes) == 60
    assert not any(overlaps(a, b) for a, b in itertools.combinations(layout.boxes.values(), 2))
