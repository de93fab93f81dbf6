"""helpers/workbook/detector_steps.py: all steps find the same boxes, here with ONNX Runtime in the engines' place."""

import io

import numpy as np
import onnx
import pretend_gpu
import pytest
from PIL import Image

from helpers.builder import BuildError
from helpers.detector import Detections, Detector, nms
from helpers.detector_graph import with_decode, with_letterbox, with_uint8_input
from helpers.workbook import detector_steps
from helpers.workbook.detector_plans import MODEL, NETWORKS
from helpers.workbook.detector_steps import (
    STEPS,
    device_parts,
    frames_per_second,
    host_parts,
    measure_steps,
    run_step,
    same_boxes,
    video,
)
from helpers.workbook.scenes import SIZE, OnnxRunner, load_scenes, prepare


class PretendedNms(OnnxRunner):
    """Answers as an engine with EfficientNMS_TRT does, whose NMS is the helper's."""

    def __call__(self, inputs):
        answer = super().__call__(inputs)
        found = nms(answer["boxes"][0], answer["scores"][0])
        count = len(found.scores)
        outputs = {
            "count": np.array([[count]], np.int32),
            "boxes": np.full((1, 100, 4), 7, np.float32),
            "scores": np.full((1, 100), 0.9, np.float32),
            "classes": np.full((1, 100), 3, np.int32),
        }
        for name, values in found._asdict().items():
            outputs[name][0, :count] = values
        return outputs


@pytest.fixture(scope="module")
def engines():
    model = onnx.load(MODEL)
    decoded = with_decode(model, SIZE)
    return {
        "fp16": OnnxRunner(model),
        "fp16-uint8": OnnxRunner(with_uint8_input(model)),
        "fp16-uint8-nms": PretendedNms(with_uint8_input(decoded)),
        "fp16-letterbox-nms": PretendedNms(with_letterbox(decoded, SIZE)),
    }


@pytest.fixture(scope="module")
def frames():
    return video(load_scenes().pictures[29], 5)


@pytest.fixture(scope="module")
def expected(engines, frames):
    return [Detector(engines["fp16"])(picture) for picture in frames]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_every_step_finds_the_same_boxes(step, engines, frames, expected):
    assert step.network in NETWORKS
    found = list(run_step(step, engines[step.network], frames))
    assert len(found) == len(frames)
    assert all(len(one.scores) > 2 for one in expected)
    if step.network == "fp16-letterbox-nms":  # another interpolation
        assert all(same_boxes(a, b, score=0.6) for a, b in zip(found, expected, strict=True))
    else:
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a.boxes, b.boxes, atol=0.05)
            assert a.classes.tolist() == b.classes.tolist()


def test_frames_per_second_counts_frames(engines, frames):
    speed, found = frames_per_second(STEPS[3], frames, engines["fp16-uint8-nms"], rounds=1)
    assert 1 < speed < 10_000
    assert len(found) == len(frames)


def test_a_step_that_cannot_be_built_is_told_and_left_out(engines, frames, monkeypatch):
    def plan(name):
        if name == "fp16-letterbox-nms":
            raise BuildError("no kernel")
        return name

    monkeypatch.setattr(detector_steps, "detector_plan", plan)
    monkeypatch.setattr(detector_steps, "Runner", lambda name, graphs: engines[name])
    measured = measure_steps(frames[:1])
    assert list(measured.speeds) == list(measured.found) == [step.name for step in STEPS[:4]]
    assert list(measured.refused) == ["letterbox on the GPU", "Runner.map"]
    assert all("no kernel" in reason for reason in measured.refused.values())


def test_frames_are_one_size_and_differ(frames):
    assert len({picture.shape for picture in frames}) == 1
    assert not np.array_equal(frames[0], frames[1])
    assert np.array_equal(frames[0], load_scenes().pictures[29])


def detections(*rows):
    boxes, scores, classes = zip(*rows, strict=True) if rows else ((), (), ())
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores), np.array(classes))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (detections(([0, 0, 10, 10], 0.9, 1), ([50, 50, 60, 60], 0.8, 2)), True),
        (detections(([50, 50, 60, 60], 0.7, 2), ([0, 0, 10.5, 10], 0.6, 1)), True),
        (detections(([0, 0, 10, 10], 0.9, 1), ([50, 50, 60, 60], 0.8, 2), ([20, 20, 30, 30], 0.3, 1)), True),
        (detections(([0, 0, 10, 10], 0.9, 1), ([50, 50, 60, 60], 0.8, 2), ([20, 20, 30, 30], 0.7, 1)), False),
        (detections(([0, 0, 10, 10], 0.9, 1), ([50, 50, 60, 60], 0.8, 3)), False),
        (detections(([0, 0, 10, 10], 0.9, 1), ([54, 50, 64, 60], 0.8, 2)), False),
        (detections(([0, 0, 10, 10], 0.9, 1)), False),
        (detections(), False),
    ],
)
def test_the_same_boxes_are_those_that_have_each_other(other, same):
    assert same_boxes(detections(([0, 0, 10, 10], 0.9, 1), ([50, 50, 60, 60], 0.8, 2)), other) == same


def test_the_parts_of_a_frame_on_the_host_take_time():
    picture = load_scenes().pictures[0]
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG")
    parts = host_parts(file.getvalue(), OnnxRunner(MODEL)(prepare(picture)[0])["predictions"], repeats=2)
    assert list(parts) == ["read", "letterbox", "to float32", "decode", "NMS"]
    assert all(0 < time < 1000 for time in parts.values())


class OneOutput(pretend_gpu.PretendedEngine):
    """The pretended engine, of which only ``double`` is asked for."""

    def __init__(self):
        super().__init__(inputs=("x",))
        self.names, self.num_io_tensors = ("x", "double"), 2


def test_the_parts_of_a_run_on_the_device(monkeypatch):
    spare = pretend_gpu.mem_alloc(1 << 12)

    class Context(pretend_gpu.PretendedContext):
        def execute_async_v3(self, handle):
            self.addresses.setdefault("plus", int(spare))
            self.engine.names, names = ("x", "double", "plus"), self.engine.names
            done = super().execute_async_v3(handle)
            self.engine.names = names
            return done

    monkeypatch.setattr(pretend_gpu, "PretendedContext", Context)
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    parts, out = device_parts(OneOutput(), x, 2, pretend_gpu.PretendedCuda())
    assert list(parts) == ["copy in", "network", "copy out"]
    assert np.array_equal(out, 2 * x)
