"""Scenes as COCO JSON, and the AP of a detector on them. The category of a digit is the digit itself, 0 to 9.

Run ``python -m tools.detector.coco`` to write the scenes in data/ again: data/scenes/*.jpg, calibration.json and
validation.json. Needs NumPy and Pillow; ``average_precision`` needs pycocotools.
"""

import argparse
import contextlib
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.detector import decode, letterbox, nms, to_input, to_picture

from .scenes import DATA, Scene, make_scene

SIDE = 320  # of the network's input
KEPT = {"validation": 64, "calibration": 32}  # scenes that lie in data/


def coco(scenes: Iterable[Scene], names: Iterable[str]) -> dict:
    """Returns what COCO calls instances: images (their ids count from 1), annotations and categories."""
    images: list[dict] = []
    annotations: list[dict] = []
    for number, (scene, name) in enumerate(zip(scenes, names, strict=True), start=1):
        height, width = scene.image.shape[:2]
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for box, label in zip(scene.boxes.tolist(), scene.labels.tolist(), strict=True):
            annotation = {"id": len(annotations) + 1, "image_id": number, "category_id": label, "bbox": box}
            annotations.append(annotation | {"area": box[2] * box[3], "iscrowd": 0})
    return {"images": images, "annotations": annotations, "categories": [{"id": n, "name": str(n)} for n in range(10)]}


def write_scenes(folder: Path, split: str, count: int, quality: int = 75) -> int:
    """Writes ``count`` scenes as JPEG, and their boxes as ``folder/split.json``. Returns the bytes written."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes, names = [make_scene(split, n) for n in range(count)], [f"{split}_{n:03}.jpg" for n in range(count)]
    for scene, name in zip(scenes, names, strict=True):
        Image.fromarray(scene.image).save(folder / name, quality=quality, optimize=True)
    rows = coco(scenes, names)
    lines = (f'"{key}": [\n' + ",\n".join(map(json.dumps, value)) + "\n]" for key, value in rows.items())
    (folder / f"{split}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return sum(file.stat().st_size for file in folder.glob(f"{split}*"))


def read_scenes(folder: Path, split: str) -> tuple[dict, list[np.ndarray]]:
    """Returns the COCO instances of a folder that ``write_scenes`` wrote, and its pictures, uint8 RGB."""
    truth = json.loads((folder / f"{split}.json").read_text(encoding="utf-8"))
    return truth, [np.asarray(Image.open(folder / image["file_name"])) for image in truth["images"]]


def find(network: Callable[[np.ndarray], np.ndarray], images: Iterable[np.ndarray], side: int = SIDE) -> list[dict]:
    """Returns what a network finds, as COCO results. ``network`` takes float32 (1, 3, side, side) in BGR, 0 to 255."""
    results = []
    for number, image in enumerate(images, start=1):
        padded, scale = letterbox(image, (side, side))
        boxes, scores = decode(network(to_input(padded))[0], (side, side))
        found = nms(boxes, scores, iou=0.65, score=0.01)  # with which YOLOX is evaluated
        for box, score, label in zip(*to_picture(found, scale, image), strict=True):
            x0, y0, x1, y1 = box.tolist()
            results.append({"image_id": number, "category_id": int(label), "bbox": [x0, y0, x1 - x0, y1 - y0]})
            results[-1]["score"] = float(score)
    return results


def average_precision(truth: dict, results: list[dict]) -> tuple[float, float]:
    """Returns AP at IoU 0.5 to 0.95 and AP at IoU 0.5, as pycocotools counts them."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not results:
        return 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = truth
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes the scenes of the detector as JPEG and COCO JSON.")
    parser.add_argument("--validation", type=int, default=KEPT["validation"], help="how many; AP is measured on 500")
    parser.add_argument("--calibration", type=int, default=KEPT["calibration"])
    parser.add_argument("--out", type=Path, default=DATA / "scenes")
    args = parser.parse_args()
    for split in KEPT:
        print(f"{split}: {getattr(args, split)} scenes, {write_scenes(args.out, split, getattr(args, split)):,} bytes")


if __name__ == "__main__":
    main()
