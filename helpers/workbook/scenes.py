"""The scenes of chapter 13 with the boxes that are really in them, a detector's AP on them, and a CPU to run it on.

:class:`OnnxRunner` does with ONNX Runtime what a Runner does with TensorRT, so that one function measures both. Needs
Pillow; ``average_precision`` needs pycocotools, and OnnxRunner onnxruntime and TensorRT. All else works without
TensorRT, where a detector is trained.

>>> scenes = load_scenes()  # doctest: +SKIP
>>> average_precision(scenes.truth, find_all(OnnxRunner("yolox_nano.onnx"), scenes.pictures)).ap50  # doctest: +SKIP
0.957...
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..detector import Detections, decode, letterbox, nms, to_input, to_picture

if TYPE_CHECKING:
    from ..tensors import TensorSpec

FOLDER = Path(__file__).resolve().parents[2] / "data" / "scenes"
SIZE = 320, 320  # height and width that the network was trained with
LEAST_SCORE = 0.01  # AP counts unsure boxes too, in the order of their scores

Prepare = Callable[[np.ndarray], tuple[np.ndarray, Any]]


class Scenes(NamedTuple):
    """``pictures`` are uint8 (height, width, 3), RGB; ``truth`` their boxes as COCO JSON: a category is a digit."""

    pictures: list[np.ndarray]
    truth: dict[str, list[dict[str, Any]]]

    def boxes(self, number: int) -> Detections:
        """Returns the true boxes of one picture, with scores of 1."""
        rows = [row for row in self.truth["annotations"] if row["image_id"] == self.truth["images"][number]["id"]]
        corner_size = np.array([row["bbox"] for row in rows], np.float32).reshape(-1, 4)
        boxes = np.concatenate([corner_size[:, :2], corner_size[:, :2] + corner_size[:, 2:]], 1)
        return Detections(
            boxes, np.ones(len(rows), np.float32), np.array([row["category_id"] for row in rows], np.int64)
        )


class AP(NamedTuple):
    """Average precision, from 0 to 1: ``ap`` over IoUs from 0.5 to 0.95, as COCO reports it, and ``ap50`` at 0.5."""

    ap: float
    ap50: float


def load_scenes(split: str = "validation", folder: str | os.PathLike = FOLDER) -> Scenes:
    """Returns the 64 scenes "validation" or the 32 "calibration". Raises FileNotFoundError for another split."""
    from PIL import Image

    truth = json.loads((Path(folder) / f"{split}.json").read_text(encoding="utf-8"))
    files = [Path(folder) / image["file_name"] for image in truth["images"]]
    return Scenes([np.asarray(Image.open(file).convert("RGB")) for file in files], truth)


def prepare(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns what the network was trained to see of a picture, float32 (1, 3, 320, 320), and the letterbox's scale."""
    padded, scale = letterbox(picture, SIZE)
    return to_input(padded), scale


def find_all(
    run: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    pictures: Sequence[np.ndarray],
    prepare: Prepare = prepare,
    *,
    score: float = LEAST_SCORE,
    batch: int = 16,
) -> list[Detections]:
    """Returns what a network finds in each picture. ``run`` is a Runner or OnnxRunner with the output "predictions"."""
    found = []
    for first in range(0, len(pictures), batch):
        chosen = pictures[first : first + batch]
        inputs, scales = zip(*map(prepare, chosen), strict=True)
        answers = run(np.concatenate(inputs))["predictions"]
        for predictions, scale, picture in zip(answers, scales, chosen, strict=True):
            with np.errstate(over="ignore", invalid="ignore"):  # a network that sees nonsense may say anything
                found.append(to_picture(nms(*decode(predictions, SIZE), score=score), scale, picture))
    return found


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of each box (N, 4) with each of the others (M, 4): (N, M)."""
    corner, end = np.maximum(boxes[:, None, :2], others[:, :2]), np.minimum(boxes[:, None, 2:], others[:, 2:])
    shared = np.clip(end - corner, 0, None).prod(-1)
    area, others_area = ((some[:, 2:] - some[:, :2]).prod(-1) for some in (boxes, others))
    return shared / np.maximum(area[:, None] + others_area - shared, 1e-9)


def average_precision(truth: Mapping[str, Any], found: Iterable[Detections]) -> AP:
    """Returns the AP of what was found in the pictures of ``truth``, in their order, as pycocotools counts it."""
    return ap_of(truth, coco_results(truth, found))


def coco_results(truth: Mapping[str, Any], found: Iterable[Detections]) -> list[dict[str, Any]]:
    """Returns what was found in the pictures of ``truth``, in their order, as COCO calls results."""
    results = []
    for image, (boxes, scores, classes) in zip(truth["images"], found, strict=True):
        for box, score, label in zip(boxes.tolist(), scores.tolist(), classes.tolist(), strict=True):
            size = [box[2] - box[0], box[3] - box[1]]
            results.append({"image_id": image["id"], "category_id": label, "bbox": [*box[:2], *size], "score": score})
    return results


def ap_of(truth: Mapping[str, Any], results: list[dict[str, Any]]) -> AP:
    """Returns the AP of COCO results, as pycocotools counts it."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not results:
        return AP(0.0, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = dict(truth)
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return AP(float(evaluation.stats[0]), float(evaluation.stats[1]))


class OnnxRunner:
    """An ONNX model on the CPU that is called as a :class:`helpers.runner.Runner` is: NumPy in, a dict of outputs out.

    ``model`` is a file, or an onnx.ModelProto. ``size`` stands for what is dynamic of a picture. Raises what ONNX
    Runtime raises.
    """

    def __init__(self, model: Any, *, size: tuple[int, int] = SIZE):
        import onnxruntime

        given = model.SerializeToString() if hasattr(model, "SerializeToString") else model
        self.session = onnxruntime.InferenceSession(given, providers=["CPUExecutionProvider"])
        self.specs = {value.name: _spec(value, True, size) for value in self.session.get_inputs()}
        self.specs |= {value.name: _spec(value, False, size) for value in self.session.get_outputs()}
        self._outputs = [name for name, spec in self.specs.items() if not spec.is_input]

    def __call__(self, inputs: Any = None, /, **named: np.ndarray) -> dict[str, np.ndarray]:
        """Runs the model once."""
        if isinstance(inputs, Mapping):
            named = {**inputs, **named}
        elif inputs is not None:
            named[next(iter(self.specs))] = inputs
        return dict(zip(self._outputs, self.session.run(self._outputs, named), strict=True))

    def map(self, batches: Iterable[Any], *, streams: int = 1) -> Iterator[dict[str, np.ndarray]]:
        """Yields the outputs of batch after batch."""
        return (self(batch) for batch in batches)

    def close(self) -> None:
        """Does nothing: the session is freed with the last reference to it."""

    def __enter__(self) -> OnnxRunner:
        return self

    def __exit__(self, *exception) -> None:
        self.close()


_DTYPES = {"tensor(float)": "f4", "tensor(uint8)": "u1", "tensor(int64)": "i8", "tensor(int32)": "i4"}


def _spec(value: Any, is_input: bool, size: tuple[int, int]) -> TensorSpec:
    from ..tensors import TensorSpec

    shape = tuple(axis if isinstance(axis, int) else -1 for axis in value.shape)
    named = {"height": size[0], "width": size[1]}
    largest = tuple(axis if isinstance(axis, int) else named.get(axis, 1) for axis in value.shape)
    return TensorSpec(value.name, is_input, np.dtype(_DTYPES[value.type]), shape, largest, largest)
