"""helpers/detector.py: pictures in, boxes out, against results written down by hand and by brute force."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import detector
from helpers.detector import Detections, decode, draw, grid, letterbox, nms, to_input, to_picture


def test_letterbox_keeps_the_picture_in_the_upper_left_and_says_its_scale():
    picture = np.full((100, 400, 3), 7, np.uint8)
    padded, scale = letterbox(picture, (320, 320))
    assert padded.shape == (320, 320, 3)
    assert padded.dtype == np.uint8
    assert scale == 0.8
    assert (padded[:80] == 7).all()
    assert (padded[80:] == 114).all()


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (333, 777), (320, 320), (31, 33)])
def test_letterbox_takes_every_shape(shape):
    padded, scale = letterbox(np.zeros((*shape, 3), np.uint8), (320, 416))
    assert padded.shape == (320, 416, 3)
    assert max(shape[0] * scale - 320, shape[1] * scale - 416) < 1e-9


@pytest.mark.parametrize(
    ("picture", "error", "says"),
    [
        (np.zeros((4, 4, 3), np.float32), TypeError, "uint8"),
        (Image.new("RGB", (4, 4)), TypeError, "np.asarray"),
        (np.zeros((4, 4), np.uint8), ValueError, "height, width, 3"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, "height, width, 3"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "height, width, 3"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(picture, error, says):
    for call in (lambda: letterbox(picture, (32, 32)), lambda: draw(picture, Detections(*map(np.array, ([], [], []))))):
        with pytest.raises(error, match=says):
            call()


def test_the_input_is_blue_first_and_not_divided():
    padded = np.zeros((32, 64, 3), np.uint8)
    padded[1, 2] = 10, 20, 255
    batch = to_input(padded)
    assert batch.shape == (1, 3, 32, 64)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert batch[0, :, 1, 2].tolist() == [255, 20, 10]


def test_decode_puts_a_box_where_its_cell_is():
    corners, strides = grid((64, 96))
    assert len(corners) == 8 * 12 + 4 * 6 + 2 * 3
    predictions = np.zeros((len(corners), 7), np.float32)
    place = 8 * 12 + 1 * 6 + 2  # of stride 16: row 1, column 2
    predictions[place] = [0.5, 0.25, np.log(2), np.log(4), 0.5, 0.5, 0.25]
    boxes, scores = decode(predictions, (64, 96))
    x, y = 2.5 * 16, 1.25 * 16
    assert np.allclose(boxes[place], [x - 16, y - 32, x + 16, y + 32], atol=1e-4)
    assert scores[place].tolist() == [0.25, 0.125]


def test_decode_names_a_size_that_does_not_fit():
    with pytest.raises(ValueError, match="126 cells"):
        decode(np.zeros((2100, 15), np.float32), (64, 96))
    with pytest.raises(ValueError, match="multiple of 32"):
        grid((100, 96))


def brute_force(boxes, scores, iou, score, most):
    """The definition, box by box."""

    def overlap(a, b):
        w = max(0, min(a[2], b[2]) - max(a[0], b[0]))
        h = max(0, min(a[3], b[3]) - max(a[1], b[1]))
        return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)

    kept = []
    rows = [(row[c], i, c) for i, row in enumerate(scores) if row[c := row.argmax()] >= score]
    for value, i, c in sorted(rows, key=lambda row: -row[0]):
        if all(c != d or overlap(boxes[i], boxes[j]) <= iou for _, j, d in kept):
            kept.append((value, i, c))
    return kept[:most]


@pytest.mark.parametrize("seed", range(6))
def test_nms_does_what_its_definition_says(seed):
    random = np.random.default_rng(seed)
    corner, size = random.uniform(-20, 200, (120, 2)), random.uniform(5, 80, (120, 2))
    boxes = np.concatenate([corner, corner + size], 1).astype(np.float32)
    scores = random.uniform(0, 1, (120, 3)).astype(np.float32)
    found = nms(boxes, scores, iou=0.45, score=0.2, most=60)
    expected = brute_force(boxes.astype(float), scores, 0.45, 0.2, 60)
    assert found.scores.tolist() == [value for value, _, _ in expected]
    assert found.classes.tolist() == [c for _, _, c in expected]
    assert np.array_equal(found.boxes, boxes[[i for _, i, _ in expected]])


EXPECTED = json.loads((Path(__file__).parents[1] / "shared/torchvision_nms.json").read_text())


@pytest.mark.parametrize("case", EXPECTED["cases"], ids=lambda case: str(case["seed"]))
def test_nms_keeps_what_torchvision_keeps(case):
    random = np.random.default_rng(case["seed"])
    corner, size = random.uniform(-20, 200, (120, 2)), random.uniform(5, 80, (120, 2))
    boxes = np.concatenate([corner, corner + size], 1).astype(np.float32)
    scores = random.uniform(0, 1, (120, 3)).astype(np.float32)
    rows, classes = np.nonzero(scores >= EXPECTED["score"])  # batched_nms got each of these as a box of its own
    alone = np.zeros((len(rows), 3), np.float32)
    alone[range(len(rows)), classes] = scores[rows, classes]
    found = nms(boxes[rows], alone, iou=EXPECTED["iou"], score=EXPECTED["score"], most=1000)
    kept = np.array(case["kept"])
    assert np.array_equal(found.classes, kept[:, 1])
    assert np.array_equal(found.boxes, boxes[kept[:, 0]])


def test_nms_of_nothing_is_nothing():
    found = nms(np.zeros((5, 4), np.float32), np.zeros((5, 10), np.float32))
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == found.classes.shape == (0,)


def test_boxes_go_back_into_the_picture_and_end_at_its_edges():
    found = Detections(np.array([[8, 16, 400, 20]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
    assert to_picture(found, 0.8, np.zeros((100, 300, 3), np.uint8)).boxes.tolist() == [[10, 20, 300, 25]]


def test_draw_marks_each_box_and_leaves_the_picture_alone():
    picture = np.zeros((80, 80, 3), np.uint8)
    found = Detections(np.array([[10, 30, 50, 70]], np.float32), np.array([0.5], np.float32), np.array([1]))
    drawn = np.asarray(draw(picture, found, names=["zero", "one"]))
    assert not picture.any()
    assert drawn[70, 30].any()
    assert drawn[50, 10].any()
    assert not drawn[50, 30].any()


class PretendRunner:
    """Answers as a network would that sees one object, 16 pixels wide, where the first pixel of 200 stands."""

    def __init__(self, size):
        self.specs = {"images": detector_spec(size)}
        self.size = size

    def __call__(self, images):
        corners, strides = grid(self.size)
        predictions = np.zeros((1, len(corners), 15), np.float32)
        y, x = np.argwhere(images[0, 0] == 200)[0]
        place = int(np.flatnonzero((corners == [x // 8 * 8, y // 8 * 8]).all(1) & (strides[:, 0] == 8))[0])
        predictions[0, place] = [x % 8 / 8, y % 8 / 8, np.log(2), np.log(2), 1, *[0] * 7, 0.75, 0, 0]
        return {"predictions": predictions}

    def map(self, batches, streams):
        yield from [self(batch) for batch in list(batches)]

    def close(self):
        self.closed = True


def detector_spec(size):
    from helpers.tensors import TensorSpec

    shape = (1, 3, *size)
    return TensorSpec("images", True, np.dtype("f4"), (-1, 3, -1, -1), shape, shape)


def test_a_detector_leads_from_the_picture_to_boxes_in_it(monkeypatch):
    from helpers import runner

    monkeypatch.setattr(runner, "Runner", PretendRunner)
    picture = np.zeros((64, 128, 3), np.uint8)
    picture[24:, 40:] = 200
    with detector.Detector(PretendRunner((64, 64))) as detect:
        found = detect(picture)
        again = list(detect.map([picture, picture[:, ::-1].copy()]))
    assert found.classes.tolist() == [7]
    assert found.scores.tolist() == [0.75]
    assert np.allclose(found.boxes, [[26, 10, 58, 42]], atol=3)
    assert np.array_equal(again[0].boxes, found.boxes)
    assert again[1].boxes[0, 0] < 2
    assert detect.run.closed
