"""helpers/detector_graph.py: the steps inside the network give what helpers/detector.py gives outside of it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from detector_models import small_detector

from helpers.builder import build_plan
from helpers.detector import decode, letterbox, nms, to_input
from helpers.detector_graph import (
    with_decode,
    with_efficient_nms,
    with_letterbox,
    with_nms,
    with_size,
    with_uint8_input,
)
from helpers.onnx_parser import parse_onnx
from helpers.trt import has

SIZE = 96, 128
TARGETS = ["SM86"] if has("ahead_of_time") else []  # else this GPU


def run(model, **inputs):
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, inputs), strict=True))


@pytest.fixture(scope="module")
def model():
    return small_detector()


@pytest.fixture(scope="module")
def padded():
    return np.random.default_rng(1).integers(0, 256, (*SIZE, 3), np.uint8)


def test_decoding_inside_gives_the_boxes_of_decoding_outside(model, padded):
    batch = np.concatenate([to_input(padded), to_input(padded[:, ::-1])])
    inside = run(with_decode(model, SIZE), images=batch)
    outside = run(model, images=batch)["predictions"]
    for i, predictions in enumerate(outside):
        boxes, scores = decode(predictions, SIZE)
        assert np.allclose(inside["boxes"][i], boxes, rtol=1e-4, atol=1e-3)
        assert np.allclose(inside["scores"][i], scores, rtol=1e-4, atol=1e-6)


def test_nms_inside_keeps_the_boxes_of_nms_outside(model, padded):
    batch = np.concatenate([to_input(padded), to_input(padded[::-1])])
    inside = run(with_nms(model, SIZE, iou=0.5, score=0.2, most=10_000), images=batch)
    for i, predictions in enumerate(run(model, images=batch)["predictions"]):
        kept = nms(*decode(predictions, SIZE), iou=0.5, score=0.2, most=10_000)
        rows = inside["pictures"] == i
        order = np.lexsort((inside["classes"][rows], -inside["scores"][rows]))
        assert len(kept.scores) > 3
        assert np.allclose(inside["scores"][rows][order], kept.scores, rtol=1e-4)
        assert np.allclose(inside["boxes"][rows][order], kept.boxes, rtol=1e-4, atol=1e-3)
        assert inside["classes"][rows][order].tolist() == kept.classes.tolist()


def test_pictures_as_they_are_give_the_same_answer(model, padded):
    given = run(with_uint8_input(model), pictures=padded[None])["predictions"]
    assert np.allclose(given, run(model, images=to_input(padded))["predictions"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (40, 50), (97, 391), (333, 128), (1, 700)])
def test_the_network_letterboxes_as_the_helper_does(model, shape):
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]  # without detail, since Pillow averages over more pixels
    picture = np.stack([255 * rows / shape[0], 255 * columns / shape[1], 0 * rows + 90], -1).astype(np.uint8)
    given = run(with_letterbox(model, SIZE), picture=picture)["predictions"]
    expected = run(model, images=to_input(letterbox(picture, SIZE)[0]))["predictions"]
    assert np.allclose(given, expected, atol=0.03)
    wrong = run(model, images=to_input(letterbox(picture[:, ::-1], SIZE)[0]))["predictions"]
    assert not np.allclose(given, wrong, atol=0.03)


def test_efficient_nms_is_a_node_with_names_that_a_program_can_use(model):
    made = with_efficient_nms(model, SIZE, most=50)
    node = made.graph.node[-1]
    assert node.op_type == "EfficientNMS_TRT"
    assert [output.name for output in made.graph.output] == ["count", "boxes", "scores", "classes"] == list(node.output)
    assert {"max_output_boxes": 50, "score_activation": 0}.items() <= {a.name: a.i for a in node.attribute}.items()


@pytest.mark.parametrize(
    "make", [with_decode, with_size, lambda model, size: with_uint8_input(with_decode(model, size))]
)
def test_tensorrt_builds_what_is_made(model, make):
    network = parse_onnx(make(model, SIZE).SerializeToString())
    tensor = network.get_input(0)
    shapes = [tuple(n if axis == -1 else axis for axis in tensor.shape) for n in (1, 2, 4)]
    assert build_plan(network, profiles=[{tensor.name: shapes}], targets=TARGETS)


def test_tensorrt_builds_the_letterbox(model):
    network = parse_onnx(with_letterbox(model, SIZE).SerializeToString())
    assert build_plan(network, profiles=[{"picture": [(32, 32, 3), (480, 640, 3), (1080, 1920, 3)]}], targets=TARGETS)


def test_the_model_that_was_given_stays_as_it_was(model):
    before = model.SerializeToString()
    for make in (with_size, with_decode, with_nms, with_efficient_nms, with_letterbox):
        make(model, SIZE)
    with_uint8_input(model)
    assert model.SerializeToString() == before


def test_what_is_decoded_already_is_refused(model):
    with pytest.raises(ValueError, match="decoded already"):
        with_decode(with_nms(model, SIZE), SIZE)
    with pytest.raises(ValueError, match="multiple of 32"):
        with_decode(model, (100, 128))
