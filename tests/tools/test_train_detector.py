"""tools/train_detector.py: the loss is YOLOX's, batches hold what scenes hold, and the stored model is what it says."""

import numpy as np
import onnx
import onnxruntime
import pytest

from helpers.builder import build_plan
from helpers.detector import grid
from helpers.onnx_parser import parse_onnx
from helpers.trt import has
from helpers.workbook.scenes import SIZE, average_precision, coco_results, find_all, load_scenes
from tools.detector.scenes import DATA, MOST, make_scene

torch = pytest.importorskip("torch")
from tools.detector.loss import assign, overlaps, yolox_loss  # noqa: E402
from tools.train_detector import Batches, rate  # noqa: E402

MODEL = DATA / "yolox_nano.onnx"
CORNERS, STRIDES = map(torch.from_numpy, grid((64, 64)))
CELLS, CENTRES = CORNERS / STRIDES, CORNERS + STRIDES / 2


@pytest.fixture(scope="module")
def session():
    return onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])


def raw_output(batch, boxes, score=8.0):
    """What a network would say that is sure of ``boxes`` (class, x, y, width, height) for every cell near them."""
    raw = torch.full((batch, len(CELLS), 15), -score)
    raw[..., :4] = 0
    for row, (kind, *box) in boxes:
        box = torch.tensor(box)
        near = ((CENTRES - box[:2]).abs() < 1.5 * STRIDES).all(1)
        raw[row, near, :2] = (box[:2] / STRIDES - CELLS)[near]
        raw[row, near, 2:4] = (box[2:] / STRIDES).log()[near]
        raw[row, near, 4] = raw[row, near, 5 + kind] = score
    return raw


def truth_of(batch, boxes):
    truth = torch.zeros(batch, MOST, 5)
    truth[..., 0] = -1
    for index, (row, box) in enumerate(boxes):
        truth[row, index] = torch.tensor(box)
    return truth


def test_cells_near_a_box_answer_for_it_and_no_others():
    boxes = [(0, (3, 20.0, 20.0, 16.0, 16.0)), (0, (5, 50.0, 44.0, 10.0, 20.0))]
    raw, truth = raw_output(2, boxes), truth_of(2, boxes)
    decoded = torch.cat([(raw[..., :2] + CELLS) * STRIDES, raw[..., 2:4].exp() * STRIDES], -1)
    answers, owner, iou = assign(decoded, raw[..., 4], raw[..., 5:], truth, CENTRES, STRIDES[:, 0])
    assert not answers[1].any()  # a picture without boxes
    for index, (_, (_, x, y, *_)) in enumerate(boxes):
        own = answers[0] & (owner[0] == index)
        assert own.sum() >= 1
        assert ((CENTRES[own] - torch.tensor([x, y])).abs() < 1.5 * STRIDES[own]).all()
        assert iou[0, own].min() > 0.5


def test_the_loss_is_small_for_what_is_right_and_grows_with_what_is_wrong():
    boxes = [(0, (3, 20.0, 20.0, 16.0, 16.0))]
    truth = truth_of(1, boxes)

    def loss(found):
        return yolox_loss(raw_output(1, found), truth, CELLS, STRIDES[:, 0]).item()

    right = loss(boxes)
    assert loss([(0, (4, 20.0, 20.0, 16.0, 16.0))]) > right + 1  # another class
    assert loss([(0, (3, 22.0, 20.0, 16.0, 16.0))]) > right + 0.5  # a little aside
    assert loss([]) > right + 1


def test_overlaps_are_intersection_over_union():
    boxes = torch.tensor([[5.0, 5, 10, 10], [10, 5, 10, 10], [50, 50, 2, 2]])
    assert overlaps(boxes[:1], boxes).tolist() == pytest.approx([1, 1 / 3, 0])


def test_the_loss_and_its_gradient_are_those_of_the_package():
    pytest.importorskip("yolox")
    from tools.train_detector import Raw, yolox_nano

    torch.manual_seed(0)
    model = yolox_nano().train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.0  # so that the second pass sees what the first one saw
    model.head.use_l1 = True
    images, truth = Batches(2, 0).batch(0)
    labels = truth.clone()
    labels[truth[..., 0] < 0] = 0
    expected = model(images.float(), labels)["total_loss"]
    weight = model.head.reg_preds[0].weight
    corners, strides = map(torch.from_numpy, grid(SIZE))
    ours = yolox_loss(Raw(model)(images.float()), truth, corners / strides, strides[:, 0])
    assert ours.item() == pytest.approx(expected.item(), rel=1e-4)
    theirs = torch.autograd.grad(expected, weight)[0]
    assert torch.allclose(torch.autograd.grad(ours, weight)[0], theirs, rtol=1e-3, atol=1e-5)


def test_batches_hold_the_scenes_letterboxed_with_their_boxes():
    images, truth = Batches(2, 0).batch(3)
    assert (images.dtype, images.shape) == (torch.uint8, (2, 3, *SIZE))
    for row in range(2):
        scene = make_scene("training", 3 * 2 + row)
        scale = SIZE[0] / max(scene.image.shape)
        used = truth[row][truth[row, :, 0] >= 0].numpy()
        assert used[:, 0].tolist() == scene.labels.tolist()
        corners = used[:, 1:3] - used[:, 3:] / 2
        assert corners == pytest.approx(scene.boxes[:, :2] * scale, abs=1e-3)
        assert used[:, 3:] == pytest.approx(scene.boxes[:, 2:] * scale, abs=1e-3)
    assert not torch.equal(images, Batches(2, 0).batch(4)[0])


def test_the_learning_rate_rises_shortly_and_falls_to_nothing():
    rates = [rate(progress) for progress in np.linspace(0, 1, 101)]
    assert rates[0] == 0
    assert rates[-1] == pytest.approx(0)
    assert max(rates) == rates[5] == pytest.approx(1)


def test_the_model_has_the_names_axes_and_opset_that_it_says():
    model = onnx.load(MODEL, load_external_data=False)
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert axes == {"images": ["batch", 3, "height", "width"], "predictions": ["batch", "anchors", 15]}
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert "Shape" not in {node.op_type for node in model.graph.node}
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("shape", [(1, 3, 320, 320), (2, 3, 192, 256)])
def test_the_model_takes_any_batch_height_and_width(session, shape):
    (predictions,) = session.run(["predictions"], {"images": np.full(shape, 114, np.float32)})
    assert predictions.shape == (shape[0], len(grid(shape[2:])[0]), 15)
    assert predictions[..., 4:].min() >= 0
    assert predictions[..., 4:].max() < 0.5  # sigmoids, of a picture without digits


def found_by(session, images):
    return find_all(lambda pixels: {"predictions": session.run(None, {"images": pixels})[0]}, images)


def test_the_model_finds_the_digits_of_the_stored_scenes(session):
    images, truth = load_scenes()
    results = coco_results(truth, found_by(session, images))
    certain = [row for row in results if row["score"] > 0.5]
    wanted = truth["annotations"]
    right = sum(any(same_digit(row, found) for found in certain) for row in wanted)
    assert right >= 0.92 * len(wanted)
    assert right >= 0.92 * len(certain)


def same_digit(row, found):
    if (row["image_id"], row["category_id"]) != (found["image_id"], found["category_id"]):
        return False
    a, b = (np.array([x, y, x + w, y + h]) for x, y, w, h in (row["bbox"], found["bbox"]))
    common = (np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).clip(0).prod()
    return common > 0.5 * ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common)


def test_the_models_ap_on_the_stored_scenes(session):
    pytest.importorskip("pycocotools")
    images, truth = load_scenes()
    ap, ap50 = average_precision(truth, found_by(session, images))
    assert ap50 > 0.9
    assert ap > 0.65


@pytest.mark.skipif(not has("ahead_of_time"), reason="needs a TensorRT that builds without this GPU")
def test_tensorrt_builds_the_model():
    profile = {"images": ((1, 3, 320, 320), (1, 3, 320, 320), (16, 3, 320, 320))}
    assert len(build_plan(parse_onnx(MODEL), targets=["SM86"], profiles=[profile])) > 1_000_000
