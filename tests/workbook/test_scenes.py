"""helpers/workbook/scenes.py: the scenes, their AP, and ONNX Runtime in a Runner's place."""

import numpy as np
import pytest
from detector_models import small_detector

from helpers.detector import Detections, Detector, letterbox, to_input
from helpers.detector_graph import with_uint8_input
from helpers.workbook.scenes import OnnxRunner, average_precision, find_all, load_scenes, prepare


@pytest.fixture(scope="module")
def scenes():
    return load_scenes("calibration")


def test_scenes_are_pictures_with_boxes_inside(scenes):
    assert len(scenes.pictures) == 32
    for number, picture in enumerate(scenes.pictures):
        truth = scenes.boxes(number)
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
        assert (truth.boxes[:, :2] < truth.boxes[:, 2:]).all()
        assert (truth.boxes[:, 2:] <= picture.shape[1::-1]).all()
        assert set(truth.classes) <= set(range(10))


def test_the_truth_has_an_ap_of_1_and_nothing_one_of_0(scenes):
    truth = [scenes.boxes(number) for number in range(len(scenes.pictures))]
    assert average_precision(scenes.truth, truth) == pytest.approx((1, 1))
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert average_precision(scenes.truth, [nothing] * len(truth)) == (0, 0)


def test_boxes_that_are_a_little_off_cost_the_mean_and_not_ap50(scenes):
    truth = [scenes.boxes(number) for number in range(len(scenes.pictures))]
    shifted = [found._replace(boxes=found.boxes + 2) for found in truth]
    ap, ap50 = average_precision(scenes.truth, shifted)
    assert ap < ap50 - 0.1
    assert ap50 > 0.9


def test_a_picture_too_few_is_refused(scenes):
    with pytest.raises(ValueError, match="zip"):
        average_precision(scenes.truth, [scenes.boxes(0)])


def test_an_onnx_runner_is_called_as_a_runner_is():
    run = OnnxRunner(small_detector())
    assert run.specs["images"].maximum == (1, 3, 320, 320)
    assert run.specs["images"].shape == (-1, 3, -1, -1)
    batch = np.random.default_rng(0).uniform(0, 255, (2, 3, 64, 96)).astype(np.float32)
    answers = [run(batch), run({"images": batch}), run(images=batch), *run.map([batch], streams=2)]
    assert all(np.array_equal(answer["predictions"], answers[0]["predictions"]) for answer in answers)
    assert OnnxRunner(with_uint8_input(small_detector())).specs["pictures"].dtype == np.uint8


def test_all_pictures_are_found_in_whatever_the_batch(scenes):
    run = OnnxRunner(small_detector())
    batched = find_all(run, scenes.pictures[:5], score=0.2, batch=4)
    with Detector(run, score=0.2) as detect:
        single = [detect(picture) for picture in scenes.pictures[:5]]
    assert sum(len(found.scores) for found in single) > 5
    for one, other in zip(single, batched, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-2)
        assert one.classes.tolist() == other.classes.tolist()


def test_another_preparation_may_have_another_scale_for_each_side(scenes):
    picture = scenes.pictures[0]
    height, width = picture.shape[:2]

    def stretched(picture):
        return prepare(picture)[0], np.array([320 / width, 320 / height] * 2)

    (found,) = find_all(OnnxRunner(small_detector()), [picture], stretched, score=0.2)
    assert found.boxes.max() <= max(height, width)


def test_prepare_is_the_letterbox_as_input(scenes):
    padded, scale = letterbox(scenes.pictures[1], (320, 320))
    assert prepare(scenes.pictures[1])[1] == scale
    assert np.array_equal(prepare(scenes.pictures[1])[0], to_input(padded))
