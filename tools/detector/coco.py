"""Scenes as COCO JSON. The category of a digit is the digit itself, 0 to 9.

Run ``python -m tools.detector.coco`` to write the scenes in data/ again: data/scenes/*.jpg, calibration.json and
validation.json; ``helpers.workbook.scenes`` reads them. Needs NumPy and Pillow.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from .scenes import DATA, Scene, make_scene

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
