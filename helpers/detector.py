"""Finds objects in pictures with a YOLOX network: picture in, boxes, scores and classes out (chapter 13).

``letterbox`` and ``to_input`` prepare a picture, ``decode`` and ``nms`` read the network's answer, ``draw`` shows it.
These are NumPy and Pillow, and need no GPU. A :class:`Detector` does all of it around a plan.

A picture is a uint8 array (height, width, 3) in RGB, as ``np.asarray(Image.open(file).convert("RGB"))`` gives it. Boxes
are float32 (N, 4): left, top, right, bottom, in pixels.

>>> nms(np.array([[0, 0, 10, 10], [1, 0, 11, 10]]), np.array([[0.9], [0.8]])).scores.tolist()
[0.8999999761581421]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

PADDING = 114  # the grey that YOLOX was trained with around its pictures
STRIDES = (8, 16, 32)  # pixels between two cells of each of the network's three grids
SCORE, IOU, MOST = 0.3, 0.65, 100


class Detections(NamedTuple):
    """What was found, best score first: ``boxes`` float32 (N, 4), ``scores`` float32 (N,), ``classes`` int64 (N,)."""

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


def letterbox(picture: np.ndarray, size: tuple[int, int], padding: int = PADDING) -> tuple[np.ndarray, float]:
    """Scales a picture into ``size`` (height, width) without stretching it, and pads it on the right and below.

    Returns the padded picture, uint8 (height, width, 3), and the scale: a pixel at x is now at x * scale.
    Raises TypeError and ValueError for what is no picture. Needs Pillow.
    """
    from PIL import Image

    picture = _checked(picture)
    height, width = picture.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    new = min(size[1], max(1, round(width * scale))), min(size[0], max(1, round(height * scale)))
    small = np.asarray(Image.fromarray(picture).resize(new, Image.Resampling.BILINEAR))
    padded = np.full((*size, 3), padding, np.uint8)
    padded[: new[1], : new[0]] = small
    return padded, scale


def to_input(padded: np.ndarray) -> np.ndarray:
    """Turns a letterboxed picture into what YOLOX takes: float32 (1, 3, height, width), BGR, from 0 to 255."""
    return np.ascontiguousarray(padded[:, :, ::-1].transpose(2, 0, 1), np.float32)[None]


def grid(size: tuple[int, int], strides: Sequence[int] = STRIDES) -> tuple[np.ndarray, np.ndarray]:
    """Returns each cell's left upper corner in pixels, float32 (A, 2), and its stride, float32 (A, 1).

    ``size`` is (height, width) of the network's input. Raises ValueError where a stride does not divide it.
    """
    if any(side % stride for side in size for stride in strides):
        raise ValueError(f"size is {tuple(size)}, and each side must be a multiple of {max(strides)}")
    corners, widths = [], []
    for stride in strides:
        y, x = np.mgrid[0 : size[0] : stride, 0 : size[1] : stride]
        corners.append(np.stack([x, y], -1).reshape(-1, 2))
        widths.append(np.full((corners[-1].shape[0], 1), stride))
    return np.concatenate(corners).astype(np.float32), np.concatenate(widths).astype(np.float32)


def decode(predictions: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Turns the network's answer for one picture, (A, 5 + classes), into boxes (A, 4) and scores (A, classes).

    A row holds the box's centre (in cells, from the cell's corner), the logarithm of its size (in cells), how sure the
    network is of an object, and of each class. ``size`` is (height, width) of the network's input, whose pixels the
    boxes are in. Raises ValueError where the number of rows does not belong to this size.
    """
    corners, strides = grid(size)
    if predictions.ndim != 2 or len(predictions) != len(corners):
        raise ValueError(f"predictions of shape {predictions.shape} do not fit the size {tuple(size)}: it has "
                         f"{len(corners)} cells")  # fmt: skip
    centre = predictions[:, :2] * strides + corners
    half = np.exp(predictions[:, 2:4]) * strides / 2
    return np.concatenate([centre - half, centre + half], 1), predictions[:, 4:5] * predictions[:, 5:]


def nms(
    boxes: np.ndarray, scores: np.ndarray, *, iou: float = IOU, score: float = SCORE, most: int = MOST
) -> Detections:
    """Keeps of each object the best box: non-maximum suppression, each class for itself.

    ``boxes`` (A, 4) and ``scores`` (A, classes). Of each box its best class alone counts, as in YOLOX. A box goes if a
    better one of its class overlaps it by more than ``iou`` (intersection over union). No box below ``score`` is kept,
    and no more than ``most`` are.
    """
    classes, found = scores.argmax(1), scores.max(1)
    (places,) = np.nonzero(found >= score)
    order = places[np.argsort(-found[places], kind="stable")]
    boxes, found, classes = boxes[order].astype(np.float32), found[order], classes[order]
    # Each class gets a place of its own, so that boxes of two classes never overlap.
    apart = boxes + (classes * (boxes.max(initial=0) - boxes.min(initial=0) + 1))[:, None].astype(np.float32)
    area = (apart[:, 2] - apart[:, 0]) * (apart[:, 3] - apart[:, 1])
    kept: list[int] = []
    left = np.arange(len(apart))
    while len(left) and len(kept) < most:
        best, left = left[0], left[1:]
        kept.append(int(best))
        corner = np.maximum(apart[best, :2], apart[left, :2])
        sides = np.clip(np.minimum(apart[best, 2:], apart[left, 2:]) - corner, 0, None)
        shared = sides[:, 0] * sides[:, 1]
        left = left[shared <= iou * (area[best] + area[left] - shared)]
    return Detections(boxes[kept], found[kept].astype(np.float32), classes[kept])


def to_picture(found: Detections, scale: float, picture: np.ndarray) -> Detections:
    """Moves boxes from the letterboxed picture back into ``picture``, and clips them to its edges."""
    height, width = picture.shape[:2]
    return found._replace(boxes=np.clip(found.boxes / scale, 0, [width, height, width, height]).astype(np.float32))


def draw(picture: np.ndarray, found: Detections, names: Sequence[str] | None = None) -> Image.Image:
    """Returns the picture, as a Pillow image, with a box, name and score for each detection. Needs Pillow."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(_checked(picture)).copy()
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(max(11, min(image.size) // 28))
    for box, score, label in zip(found.boxes.tolist(), found.scores, found.classes, strict=True):
        colour = _COLOURS[int(label) % len(_COLOURS)]
        text = f"{names[int(label)] if names else label} {score:.2f}"
        pen.rectangle(box, outline=colour, width=max(2, min(image.size) // 200))
        space = pen.textbbox((0, 0), text, font=font)
        top = max(0, box[1] - space[3] - 3)
        pen.rectangle((box[0], top, box[0] + space[2] + 4, top + space[3] + 3), fill=colour)
        pen.text((box[0] + 2, top + 1), text, fill="white" if sum(_rgb(colour)) < 384 else "black", font=font)
    return image


class Detector:
    """A detector around a plan of YOLOX, which gives the undecoded answer of ``data/yolox_nano.onnx`` for one picture.

    plan   a file, the bytes of a plan, or a Runner (or what is called as one); ``trusted`` as for a Runner
    size   (height, width) to letterbox into; by default the largest of the plan's optimization profile
    score, iou, most   as for :func:`nms`

    Raises what Runner raises. A call raises TypeError and ValueError for what is no picture.

    >>> with Detector("yolox_nano.plan") as detect:  # doctest: +SKIP
    ...     boxes, scores, classes = detect(np.asarray(Image.open("street.jpg").convert("RGB")))
    """

    def __init__(
        self,
        plan: str | os.PathLike | bytes | Any,
        *,
        size: tuple[int, int] | None = None,
        score: float = SCORE,
        iou: float = IOU,
        most: int = MOST,
        trusted: bool = False,
    ):
        from .runner import Runner

        self.run: Any = plan if callable(plan) else Runner(plan, trusted=trusted)
        (spec,) = [spec for spec in self.run.specs.values() if spec.is_input]
        height, width = size or spec.maximum[2:]
        self.size = int(height), int(width)
        self._nms: Callable[..., Detections] = lambda boxes, scores: nms(boxes, scores, score=score, iou=iou, most=most)

    def __call__(self, picture: np.ndarray) -> Detections:
        """Finds objects in one picture."""
        padded, scale = letterbox(picture, self.size)
        return self._read(self.run(to_input(padded)), scale, picture)

    def map(self, pictures: Iterable[np.ndarray], *, streams: int = 2) -> Iterator[Detections]:
        """Yields the detections of each picture in turn; the GPU computes while the CPU prepares the next ones."""
        waiting: list[tuple[float, np.ndarray]] = []

        def prepare() -> Iterator[np.ndarray]:
            for picture in pictures:
                padded, scale = letterbox(picture, self.size)
                waiting.append((scale, picture))
                yield to_input(padded)

        for outputs in self.run.map(prepare(), streams=streams):
            yield self._read(outputs, *waiting.pop(0))

    def close(self) -> None:
        """Frees the Runner's memory."""
        self.run.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _read(self, outputs: dict[str, np.ndarray], scale: float, picture: np.ndarray) -> Detections:
        (predictions,) = outputs.values()
        return to_picture(self._nms(*decode(predictions[0], self.size)), scale, picture)


def _checked(picture: np.ndarray) -> np.ndarray:
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8:
        kind = getattr(picture, "dtype", type(picture).__name__)
        raise TypeError(f"a picture is a uint8 array, not {kind}: np.asarray(Image.open(file).convert('RGB'))")
    if picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(f"a picture has the shape (height, width, 3), not {picture.shape}")
    return picture


_COLOURS = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#7F7F7F",
    "#882255",
    "#44AA99",
)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
