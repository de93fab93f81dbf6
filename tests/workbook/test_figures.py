"""Figures that carry a text alternative, as a notebook gets them."""

import base64
import io
import re
from html.parser import HTMLParser

import matplotlib as mpl
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from helpers.workbook.figures import PALETTE, bars, figure, show, to_png

ALT = "Two bars: \"A\" < 3 & 'B' > 4"


@pytest.fixture(autouse=True)
def _own_settings():
    with mpl.rc_context({"backend": "agg"}):
        yield


@pytest.fixture(scope="module")
def outputs():
    """The outputs of the cells of a real notebook, by the variable that each cell begins with."""
    cells = {
        "bars": f"show(bars(['A', 'B'], [3, 4]), {ALT!r})",
        "value": "print(show(bars(['A'], [3]), 'a  figure\\n with\\tspaces', width=321))",
        "pyplot": "from matplotlib import pyplot as p\np.plot([1])\nshow(p.gcf(), 'a line')\nprint(p.get_fignums())",
        "unshown": "unshown = bars(['A'], [3])",
        "last": "bars(['A'], [3])",
    }
    first = nbformat.v4.new_code_cell("from helpers.workbook.figures import bars, show")
    notebook = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells.values())])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return dict(zip(cells, [cell.outputs for cell in notebook.cells[1:]], strict=True))


def image_of(output) -> dict[str, str]:
    """The attributes of the one <img> in an output."""
    found = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.append((tag, dict(attributes)))

    Parser().feed(output.data["text/html"])
    ((tag, attributes),) = found
    assert tag == "img"
    return attributes


def test_a_figure_arrives_once_with_its_text_alternative(outputs):
    (output,) = outputs["bars"]
    assert output.output_type == "display_data"
    assert set(output.data) == {"text/html", "text/plain"}
    image = image_of(output)
    assert image["alt"] == ALT
    assert output.data["text/plain"] == f"[figure] {ALT}"
    assert "max-width:100%" in image["style"]
    assert "width" not in image


def test_the_image_is_an_opaque_png_on_white(outputs):
    data = base64.b64decode(image_of(outputs["bars"][0])["src"].removeprefix("data:image/png;base64,"), validate=True)
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    assert "transparency" not in image.info
    pixels = np.asarray(image.convert("RGB"))
    border = np.concatenate([pixels[:5].reshape(-1, 3), pixels[-5:].reshape(-1, 3), pixels[:, :5].reshape(-1, 3)])
    assert (border == 255).all()
    assert len(data) < 20_000


def test_show_returns_none_and_takes_a_width(outputs):
    display, printed = outputs["value"]
    assert image_of(display)["width"] == "321"
    assert image_of(display)["alt"] == "a figure with spaces"
    assert printed.text == "None\n"


def test_a_figure_of_pyplot_is_closed(outputs):
    display, printed = outputs["pyplot"]
    assert image_of(display)["alt"] == "a line"
    assert printed.text == "[]\n"


def test_a_figure_that_is_not_shown_does_not_appear(outputs):
    assert outputs["unshown"] == []


def test_a_figure_as_last_expression_appears_once(outputs):
    (output,) = outputs["last"]
    assert output.output_type == "execute_result"
    assert "image/png" in output.data


def test_outside_a_notebook_the_text_is_printed(capsys):
    show(bars(["A"], [1]), "one bar")
    assert capsys.readouterr().out == "[figure] one bar\n"


@pytest.mark.parametrize("alt", ["", "  \n", None])
def test_an_empty_alternative_is_refused(alt):
    with pytest.raises(ValueError, match="alt is empty"):
        show(figure()[0], alt)


def test_axes_are_not_a_figure():
    _, ax = figure()
    with pytest.raises(TypeError, match="got Axes; pass ax.figure"):
        show(ax, "axes")
    with pytest.raises(TypeError, match="got list"):
        show([], "nothing")


def test_figure_has_the_look_until_the_end():
    fig, ax = figure(5, 2)
    assert tuple(fig.get_size_inches()) == (5, 2)
    (line,) = ax.plot([0, 1], label="x")
    assert line.get_color() == PALETTE["blue"]
    texts = [ax.set_title("a title", loc="left"), ax.set_xlabel("x"), *ax.legend().get_texts(), *ax.get_xticklabels()]
    assert min(text.get_fontsize() for text in texts) >= 10
    assert not ax.spines["top"].get_visible()
    assert figure(nrows=2, ncols=5)[1].shape == (2, 5)


def test_a_palette_only_where_it_looks_the_same():
    fig, ax = figure(4, 2)
    colours = np.random.default_rng(0).random((40, 80, 3))
    ax.imshow(colours)
    assert Image.open(io.BytesIO(to_png(fig))).mode == "RGB"
    assert Image.open(io.BytesIO(to_png(bars(["A"], [1])))).mode == "P"


class TestBars:
    def texts(self, fig):
        return [text.get_text() for text in fig.axes[0].texts]

    def test_each_bar_carries_its_value(self):
        fig = bars(["plan", "one", "third"], [857028, 0.0612, 1234.5], unit="bytes", title="Sizes")
        ax = fig.axes[0]
        assert self.texts(fig) == ["857,028 bytes", "0.0612 bytes", "1,234 bytes"]
        assert [patch.get_width() for patch in ax.patches] == [857028, 0.0612, 1234.5]
        assert [label.get_text() for label in ax.get_yticklabels()] == ["plan", "one", "third"]
        assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first one on top
        assert "Sizes" in [ax.get_title(loc) for loc in ("left", "center")]

    def test_values_stay_inside_the_picture(self):
        for values in ([389, 22], [-5, 3], [-5, -1]):
            fig = bars(["VERBOSE", "INFO"], values, unit="messages")
            fig.canvas.draw()
            width = fig.bbox.width
            for text in fig.axes[0].texts:
                box = text.get_window_extent()
                assert 0 <= box.x0 < box.x1 <= width

    @pytest.mark.parametrize("nothing", [None, float("nan")])
    def test_what_has_no_value_says_so(self, nothing):
        assert self.texts(bars(["a", "b"], [nothing, 0], unit="s")) == ["no value", "0 s"]

    @pytest.mark.parametrize(("labels", "values"), [([], []), (["a"], [1, 2]), (["a", "b"], [1])])
    def test_one_value_per_label(self, labels, values):
        with pytest.raises(ValueError, match=re.escape(f"got {len(labels)} labels and {len(values)} values")):
            bars(labels, values)

    def test_labels_are_no_formulas(self):
        to_png(bars(["$weird{$", "a_b"], [1, 2], unit="$"))
