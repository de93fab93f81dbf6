"""Pictures of networks: what shares a row, what is marked, who reads whom, and names that would break a page."""

import re
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from helpers.builder import create_network, keep
from helpers.lenet import lenet_network
from helpers.onnx_parser import parse_onnx
from helpers.trt import has, trt
from helpers.workbook.network_view import compare_networks, draw_network

pytestmark = pytest.mark.skipif(not has("build"), reason="this TensorRT cannot build here")
DATA = Path(__file__).resolve().parents[2] / "data"
SUM = trt.ElementWiseOperation.SUM


@pytest.fixture(scope="module")
def lenets(weights):
    return parse_onnx(DATA / "lenet.onnx"), lenet_network(weights)


def relu(network, x, name=""):
    layer = network.add_activation(x, trt.ActivationType.RELU)
    layer.name = name or layer.name
    return layer.get_output(0)


def chain(*names, shape=(-1, 3)):
    network = create_network()
    x = network.add_input("x", trt.float32, shape)
    for name in names:
        x = relu(network, x, name)
    network.mark_output(x)
    return network


def branches():
    network = create_network()
    x = network.add_input("x", trt.float32, (-1, 4))
    a, b = relu(network, x, "a"), relu(network, x, "b")
    network.mark_output(network.add_elementwise(relu(network, a, "aa"), b, SUM).get_output(0))
    return network


class Table(HTMLParser):
    """``rows`` holds for each row of an HTML table the texts of its cells, and ``tags`` every tag."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.tags = [], set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip("\n")


def lines(view):
    """The lines of a drawn network, row by row, as text."""
    return [re.split(r"  +", row)[1:2] for row in repr(view).split("\n")[1:]]


class TestCompare:
    def test_the_parsers_shuffles_are_marked_and_all_else_shares_its_row(self, lenets):
        view = compare_networks(*lenets, ("parser", "network API"))
        assert view.headings == [f"parser: {len(lenets[0])} layers, 3 only here (+)", "network API: 21 layers"]
        marked = [(kind, cells[0].name) for kind, cells, _ in view.rows if cells[0].mark]
        assert [kind for kind, _ in marked] == ["Shuffle"] * 3
        assert all("Broadcast" in name for _, name in marked)
        names = {cells[0].name: cells[1].name for _, cells, _ in view.rows}
        assert names["node_conv2d"] == "conv1"
        assert names["node_linear_2_8"] == "fc3.sum"
        assert {names[name] for _, name in marked} == {""}
        assert not any(cells[1].mark for _, cells, _ in view.rows)

    def test_shapes_are_told_once_or_both(self, lenets):
        shapes = {cells[1].name: shape for _, cells, shape in compare_networks(*lenets).rows}
        assert shapes["conv1"] == "batch×16×28×28"
        assert shapes["fc1.bias"] == "120 ≠ 1×120"

    def test_lines_go_on_beside_what_only_the_other_has(self, lenets):
        rows = compare_networks(*lenets).rows
        below = [cells[1].lines for _, cells, _ in rows if cells[0].mark]
        assert below == ["│ │"] * 3

    def test_either_side_may_have_more(self):
        more, less = chain("a", "b", "c"), chain("b")
        for networks, marks in (((more, less), ["++", ""]), ((less, more), ["", "++"])):
            view = compare_networks(*networks)
            assert ["".join(cells[side].mark for _, cells, _ in view.rows) for side in range(2)] == marks
            (row,) = [cells for _, cells, _ in view.rows if "b" in (cells[0].name, cells[1].name)]
            assert {cell.name for cell in row} == {"b"}  # names decide

    def test_an_empty_network(self):
        view = compare_networks(create_network(), chain("a"))
        assert [kind for kind, _, _ in view.rows] == ["Input", "Activation", "Output"]
        assert all(cells[1].mark for _, cells, _ in view.rows)
        assert "an empty network" in repr(compare_networks(create_network(), create_network()))

    @pytest.mark.parametrize("titles", ["ab", ["a"], ["a", "b", "c"]])
    def test_two_titles(self, titles):
        with pytest.raises(ValueError, match="two titles"):
            compare_networks(chain(), chain(), titles)


class TestLines:
    def test_a_constant_joins_from_the_side(self, lenets):
        rows = repr(draw_network(lenets[1])).split("\n")
        at = next(i for i, row in enumerate(rows) if "fc1.weight" in row)
        assert "│ ○" in rows[at]
        assert "●─┘" in rows[at + 1]
        assert "fc1 " in rows[at + 1]

    def test_branches(self):
        assert lines(draw_network(branches())) == [["○"], ["├─●"], ["│ ●"], ["● │"], ["●─┘"], ["●"]]

    def test_a_line_passes_in_front_of_one_that_it_does_not_join(self):
        network = create_network()
        x = network.add_input("x", trt.float32, (-1, 4))
        ends = [relu(network, x), relu(network, x), relu(network, x)]
        network.mark_output(network.add_concatenation(ends).get_output(0))
        assert lines(draw_network(network)) == [["○"], ["├─●"], ["├─│─●"], ["● │ │"], ["●─┴─┘"], ["●"]]

    def test_a_loop_names_what_is_read_from_below(self):
        network = create_network()
        x = network.add_input("x", trt.float32, (4, -1))
        loop = network.add_loop()
        count = network.add_constant((), keep(network, np.array(3, np.int32))).get_output(0)
        loop.add_trip_limit(count, trt.TripLimit.COUNT)
        recurrence = loop.add_recurrence(x)
        recurrence.name = "again"
        recurrence.set_input(1, network.add_elementwise(recurrence.get_output(0), x, SUM).get_output(0))
        network.mark_output(loop.add_loop_output(recurrence.get_output(0), trt.LoopOutput.LAST_VALUE).get_output(0))
        assert repr(draw_network(network)).count("↺ again") == 1

    def test_many_lines_are_cut(self):
        network = create_network()
        x = network.add_input("x", trt.float32, (-1, 4))
        network.mark_output(network.add_concatenation([relu(network, x) for _ in range(40)]).get_output(0))
        drawn = [cells[0].lines for _, cells, _ in draw_network(network).rows]
        assert max(map(len, drawn)) <= 25
        assert any(line.endswith("…") for line in drawn)

    def test_on_a_page_nodes_stand_on_their_lines(self):
        assert [cells[0].lines for _, cells, _ in draw_network(chain("a")).rows] == ["╷○", "│●", "╵●"]
        assert [row[1] for row in Table(draw_network(chain("a"))._repr_html_()).rows[1:]] == [
            "\xa0\xa0╷○", "\xa0\xa0│●", "\xa0\xa0╵●"
        ]  # fmt: skip

    def test_a_line_may_join_from_the_right_of_its_reader(self):
        network = create_network()
        x, y = (network.add_input(name, trt.float32, (-1, 4)) for name in "xy")
        first, second = network.add_elementwise(x, y, SUM).get_output(0), relu(network, y)
        network.mark_output(first)
        network.mark_output(second)
        network.mark_output(relu(network, y))
        assert lines(draw_network(network)) == [["○"], ["│ ○"], ["●─┤"], ["● │"], ["●─┤"], ["● │"], ["●"], ["●"]]


class TestShapes:
    @pytest.mark.parametrize(
        ("shape", "text"),
        [((-1, 3), "batch×3"), ((-1, -1), "-1×-1"), ((2, -1), "2×-1"), ((2, 3), "2×3"), ((), "scalar")],
    )
    def test_a_first_dimension_that_alone_is_dynamic_is_the_batch(self, shape, text):
        assert [shape for _, _, shape in draw_network(chain("a", shape=shape)).rows] == [text, text, ""]


class TestPage:
    def test_the_page_is_a_table_and_says_what_the_text_says(self, lenets):
        view = compare_networks(*lenets, ("parser", "API"))
        table = Table(view._repr_html_())
        assert table.tags <= {"div", "table", "thead", "tbody", "tr", "th", "td", "span", "b"}
        assert table.rows[0][1:3] == view.headings
        assert len(table.rows) == len(view.rows) + 1 == len(repr(view).split("\n"))
        assert not any("  " in text for row in table.rows for text in row)  # of two spaces, exported pages lose one
        marked = [row for row in table.rows[1:] if row[1].startswith("+")]
        assert len(marked) == 3
        assert view._repr_html_().count("background") == 2 * 3  # colour is not the only mark, but it is one
        assert repr(view).count("+ │ ●") == 3

    def test_names_and_titles_are_escaped(self):
        network = chain("<script>alert(1)</script>"[:24], 'a"&b')
        page = draw_network(network, title="<b>&")._repr_html_()
        assert "<script" not in page
        assert "<b>" not in page
        names = [row[2] for row in Table(page).rows[1:]]
        assert 'a"&b' in names

    def test_a_name_stays_on_its_line_and_keeps_both_ends(self):
        view = draw_network(chain("two\nlines\x1b[31m", "a/very/long/path/of/modules/that/ends/in/relu_17"))
        _, first, second, _ = (cells[0].name for _, cells, _ in view.rows)
        assert first == "two�lines�[31m"
        assert second.startswith("a/very")
        assert second.endswith("in/relu_17")
        assert len(second) <= 24

    def test_names_are_no_formulas(self):
        page = draw_network(chain("$x_{$"), title="$t$")._repr_html_()
        outside = re.sub(r'<table class="mathjax_ignore tex2jax_ignore">.*</table>', "", page, flags=re.DOTALL)
        assert "$" in page
        assert "$" not in outside


class TestLimits:
    def test_rows_that_are_left_out_are_counted(self):
        short, long = chain("a"), chain(*"abcdefgh")
        view = compare_networks(short, long, max_rows=4)
        assert len(view.rows) == 4
        for form in (repr(view), view._repr_html_()):
            assert re.search(r"… 6 more rows \(max_rows=4\), \d of them with \+", form)
        assert "7 only here" in view.headings[1]
        assert repr(draw_network(long, max_rows=4)).endswith("… 6 more rows (max_rows=4)")

    def test_large_networks(self):
        left, right = (chain(*(f"{i}" for i in range(count))) for count in (1500, 1497))
        begin = time.monotonic()
        view = compare_networks(left, right)
        assert view.headings[0] == "left: 1,500 layers, 3 only here (+)"
        assert time.monotonic() - begin < 20  # half a second; minutes, were it done pair by pair

    def test_an_empty_network(self):
        assert repr(draw_network(create_network())) == "0 layers\nan empty network"
        assert "an empty network" in draw_network(create_network())._repr_html_()

    def test_what_is_no_network(self):
        with pytest.raises(TypeError, match="network is None.*parse_onnx"):
            draw_network(None)
        with pytest.raises(TypeError, match="not str: make one with"):
            compare_networks(chain(), "lenet.onnx")
