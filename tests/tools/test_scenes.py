"""tools/detector: scenes are the same each time, their boxes are tight, and what is stored of them is COCO."""

import json

import numpy as np
import pytest

from helpers.workbook.scenes import ap_of, coco_results, find_all, load_scenes
from tools.detector.coco import KEPT, coco, write_scenes
from tools.detector.photos import PHOTOS, SOURCES
from tools.detector.scenes import DATA, MOST, SIZES, SPLITS, Canvas, make_scene, materials

GREY = np.full((300, 400, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def scenes():
    return [make_scene("validation", number) for number in range(24)]


def placed(seed, label=3):
    """A grey canvas with one digit on it, and its box."""
    rng, canvas = np.random.default_rng(seed), Canvas(GREY.copy())
    while not canvas.labels:
        canvas.place(rng, materials("training")[0][seed], label)
    return canvas


def test_a_scene_depends_on_its_split_and_number_alone(scenes):
    for number in (0, 7):
        again = make_scene("validation", number)
        assert all(np.array_equal(a, b) for a, b in zip(scenes[number], again, strict=True))
    others = [make_scene("validation", 100), make_scene("calibration", 0), make_scene("training", 0)]
    assert not any(np.array_equal(scenes[0].image, other.image) for other in others)


def test_scenes_have_digits_inside_the_picture_and_several_aspect_ratios(scenes):
    assert {scene.image.shape[1::-1] for scene in scenes} <= set(SIZES)
    assert len({scene.image.shape for scene in scenes}) > 3
    for image, boxes, labels in scenes:
        height, width = image.shape[:2]
        assert image.dtype == np.uint8
        assert 1 <= len(boxes) == len(labels) <= MOST
        assert (boxes >= 0).all()
        assert (boxes[:, 2:] > 0).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= [width, height]).all()
        assert set(labels.tolist()) <= set(range(10))
    assert {label for scene in scenes for label in scene.labels.tolist()} == set(range(10))


def test_the_box_is_tight_around_the_ink_and_leaves_out_the_shadow():
    checked = 0
    for seed in range(60):
        canvas = placed(seed)
        red, _, blue = canvas.pixels.astype(int).transpose(2, 0, 1)
        coloured = red - blue > 76  # warm ink: neither the grey nor its shadow, nor white and black ink
        if not 0.9 < coloured.sum() / (canvas.owner == 1).sum() < 1.1:
            continue  # white, black, or on a coloured sticker
        (x, y, width, height), *_ = canvas.truth()[0]
        rows, columns = np.nonzero(coloured)
        seen = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert np.abs(np.subtract(seen, (x, y, x + width, y + height))).max() <= 1
        checked += 1
    assert checked > 10


def test_a_decoy_is_blue_and_has_no_box():
    for seed in range(10):
        canvas = placed(seed, label=None)
        boxes, labels = canvas.truth()
        assert boxes.shape == (0, 4)
        assert len(labels) == 0
        red, _, blue = canvas.pixels[canvas.owner == 1].mean(0)
        assert blue > red + 30


def test_every_digit_is_mostly_visible(monkeypatch):
    canvases = []
    monkeypatch.setattr(Canvas, "truth", lambda self, truth=Canvas.truth: canvases.append(self) or truth(self))
    for number in range(40):
        make_scene("calibration", number)
    for canvas in canvases:
        for index, ink in enumerate(canvas.ink):
            assert np.count_nonzero(canvas.owner == index + 1) >= 0.7 * ink


def test_training_and_validation_share_neither_photographs_nor_digits():
    assert {photo.split for photo in SOURCES} == {"training", "validation"}
    assert all(photo.licence for photo in SOURCES)
    stored = {(file.parent.name, file.stem) for file in PHOTOS.glob("*/*")}
    assert stored == {(photo.split, photo.name) for photo in SOURCES}
    assert len({photo.name for photo in SOURCES}) == len(SOURCES)
    assert SPLITS["training"][1:] == SPLITS["calibration"][1:] == ("train", "training")
    assert SPLITS["validation"][1:] == ("test", "validation")
    assert len({first for first, *_ in SPLITS.values()}) == 3
    assert sum(file.stat().st_size for file in PHOTOS.glob("*/*")) <= 600_000


@pytest.mark.parametrize("split", KEPT)
def test_the_stored_scenes_are_what_the_command_makes(split):
    images, truth = load_scenes(split)
    assert len(images) == KEPT[split]
    assert sum(file.stat().st_size for file in (DATA / "scenes").iterdir()) <= 1_500_000
    for number in (0, 5, KEPT[split] - 1):
        scene = make_scene(split, number)
        assert np.abs(scene.image.astype(int) - images[number]).mean() < 12  # JPEG, and perhaps another Pillow
        stored = [row for row in truth["annotations"] if row["image_id"] == number + 1]
        assert [row["category_id"] for row in stored] == scene.labels.tolist()
        assert np.abs(np.array([row["bbox"] for row in stored]) - scene.boxes).max() <= 1


def test_written_scenes_can_be_read_again(tmp_path, scenes):
    size = write_scenes(tmp_path, "validation", 2)
    assert size == sum(file.stat().st_size for file in tmp_path.iterdir())
    images, truth = load_scenes(folder=tmp_path)
    assert truth == coco(scenes[:2], ["validation_000.jpg", "validation_001.jpg"])
    assert [image.shape for image in images] == [scene.image.shape for scene in scenes[:2]]
    assert json.loads((tmp_path / "validation.json").read_text())["categories"][7] == {"id": 7, "name": "7"}


def test_pycocotools_gives_what_is_right_an_ap_of_one_and_what_is_wrong_none(scenes):
    pytest.importorskip("pycocotools")
    truth = coco(scenes, map(str, range(len(scenes))))
    right = [row | {"score": 1.0} for row in truth["annotations"]]
    assert ap_of(truth, right) == (1.0, 1.0)
    assert ap_of(truth, [row | {"category_id": (row["category_id"] + 1) % 10} for row in right])[1] < 0.1
    assert ap_of(truth, []) == (0.0, 0.0)


def test_what_a_network_finds_comes_back_in_the_pictures_own_pixels():
    def network(images):
        assert images.shape == (1, 3, 320, 320)
        assert images.dtype == np.float32
        output = np.zeros((1, 2100, 15), np.float32)
        output[0, 41, :4] = 0, 0, np.log(2), np.log(2)  # second row, second column: centre (8, 8), 16 wide
        output[0, 41, 4] = output[0, 41, 5 + 7] = 1
        return {"predictions": output}

    (found,) = coco_results({"images": [{"id": 1}]}, find_all(network, [np.zeros((320, 640, 3), np.uint8)]))
    assert found == {"image_id": 1, "category_id": 7, "bbox": pytest.approx([0, 0, 32, 32]), "score": 1.0}
