"""helpers/workbook/plots/ch13.py: each picture says in words what it shows, and is made of what is given."""

import base64
import io
import re

import numpy as np
import onnx
import pytest
from detector_models import small_detector
from PIL import Image

from helpers.detector import Detections, letterbox, to_input
from helpers.workbook import figures
from helpers.workbook.detector_steps import STEPS
from helpers.workbook.plots import ch13

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
FOUND = Detections(np.array([[10, 10, 40, 50]], np.float32), np.array([0.93]), np.array([7]))
NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, int))


@pytest.fixture
def shown(monkeypatch):
    """What was shown last, as a Pillow image and its text."""
    pictures = []
    monkeypatch.setattr(
        figures, "_display", lambda png, alt, width: pictures.append((Image.open(io.BytesIO(png)), alt))
    )
    return lambda: pictures[-1]


def test_pictures_lie_side_by_side_and_are_never_enlarged(shown):
    ch13.show_pictures({"one": PICTURE, "two\nlines": PICTURE[:30], "three": PICTURE}, "Three pictures.", columns=2)
    image, alt = shown()
    assert image.width == 2 * 100 + ch13.GAP
    assert image.height < 2 * (60 + 3 * ch13.TEXT)
    assert alt == "Three pictures."


def test_wide_pictures_are_made_smaller(shown):
    ch13.show_pictures({str(n): np.zeros((400, 800, 3), np.uint8) for n in range(4)}, "Four.")
    assert shown()[0].width <= ch13.WIDTH


def test_what_was_found_is_drawn_and_told(shown):
    ch13.show_found({"a": (PICTURE, FOUND), "b": (PICTURE, NOTHING)})
    assert "a: 7 (0.93); b: nothing" in shown()[1]


def test_the_letterbox_says_what_it_fills(shown):
    padded, scale = letterbox(PICTURE, (64, 64))
    ch13.show_letterbox(PICTURE, padded, scale)
    assert "picture: 100 by 60; letterboxed: 64 by 64" in shown()[1]
    assert "fills 38 rows of 64" in shown()[1]


def test_an_input_is_seen_as_the_network_takes_it(shown):
    padded, _ = letterbox(PICTURE, (64, 64))
    assert np.array_equal(ch13.seen(to_input(padded)), padded)
    ch13.show_seen({"right": to_input(padded), "odd": np.array([np.nan, 1e30, -5] * 4, np.float32).reshape(1, 3, 2, 2)})
    assert "odd: numbers from -5 to 1e+30" in shown()[1]


def test_ap_speeds_and_parts_are_told_with_their_numbers(shown):
    ch13.show_ap({"FP32": (0.85, 0.96), "INT8": (0, 0)}, "title")
    assert "FP32: AP 0.850, AP50 0.960; INT8: AP 0.000" in shown()[1]
    ch13.show_speeds({"a": 1234.5, "b": 50}, "title")
    assert "a 1,234; b 50" in shown()[1]
    parts = ch13.in_order({"NMS": 1, "read": 2}, {"network": 3})
    assert list(parts) == ["read", "network", "NMS"]
    ch13.show_parts({"here": parts, "there": {"network": 1}})
    assert "here: read 2.00, network 3.00, NMS 1.00; there: network 1.00" in shown()[1]


def test_candidates_are_counted(shown):
    boxes, scores = np.array([[0, 0, 9, 9], [1, 1, 9, 9], [20, 20, 30, 30.0]]), np.array([[0.9], [0.8], [0.1]])
    ch13.show_candidates(PICTURE, boxes, scores, FOUND, 0.3)
    assert "Left 2 boxes" in shown()[1]
    assert "right 1 are left: 7 (0.93)" in shown()[1]


def test_the_routes_name_what_is_left_to_the_host(shown):
    ch13.show_routes(STEPS)
    assert "float32 input: the host does letterbox, to float32, decode, NMS" in shown()[1]
    assert shown()[1].endswith("Runner.map: the host does none of it.")


def test_the_bytes_of_a_frame_are_right():
    assert [ch13._who(step)["copy in"] for step in STEPS[:3]] == ["1.2 MB", "1.2 MB", "0.3 MB"]
    assert np.zeros((1, 3, 320, 320), np.float32).nbytes == pytest.approx(1.2e6, rel=0.05)
    assert np.zeros((1, 2100, 15), np.float32).nbytes == 126_000


def test_shapes_of_a_model():
    model = onnx.shape_inference.infer_shapes(small_detector())
    assert ch13.shapes(model) == "images (batch, 3, height, width) -> predictions (batch, cells, 15)"


def test_an_image_has_a_text_and_few_colours(capsys):
    figures.show_image(Image.fromarray(PICTURE), "A  picture.")
    assert capsys.readouterr().out == "[figure] A picture.\n"
    with pytest.raises(ValueError, match="alt is empty"):
        figures.show_image(Image.fromarray(PICTURE), " ")


def test_an_image_goes_out_as_a_png_that_a_replay_may_show(monkeypatch):
    from helpers.workbook.needs import harmless_html

    shown = []
    monkeypatch.setattr(figures, "_in_ipython", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data["text/html"]))
    figures.show_image(Image.fromarray(PICTURE), "A picture.")
    (data,) = re.findall(r'src="data:image/png;base64,([^"]+)"', harmless_html(shown[0]))
    assert len(Image.open(io.BytesIO(base64.b64decode(data))).getcolors()) <= 256
