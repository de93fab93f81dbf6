"""From a picture to the network's input, and from its output back to boxes: YOLOX's letterbox, decoding and NMS.

Needs NumPy and Pillow. Boxes are (x0, y0, x1, y1) in pixels.
"""

import numpy as np
from PIL import Image

PADDING = 114  # the grey around a letterboxed picture that YOLOX trains with
STRIDES = (8, 16, 32)


def letterbox(image: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """Returns a picture as uint8 (3, side, side) in BGR, and the scale by which it was resized.

    ``image`` is uint8 (height, width, 3) in RGB. It keeps its aspect ratio and lies at the top left; the rest is grey.
    """
    height, width = image.shape[:2]
    scale = min(side / height, side / width)
    size = int(width * scale), int(height * scale)
    canvas = np.full((side, side, 3), PADDING, np.uint8)
    canvas[: size[1], : size[0]] = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    return np.ascontiguousarray(canvas[:, :, ::-1].transpose(2, 0, 1)), scale


def grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the cells' (x, y) as float32 (anchors, 2) and their strides as float32 (anchors, 1)."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = height // stride, width // stride
        y, x = np.mgrid[:rows, :columns]
        cells.append(np.stack([x, y], -1).reshape(-1, 2))
        strides.append(np.full((rows * columns, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def decode(predictions: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns boxes (N, anchors, 4) and scores (N, anchors, classes) of an output (N, anchors, 5 + classes)."""
    cells, strides = grid(height, width)
    centre = (predictions[..., :2] + cells) * strides
    half = np.exp(predictions[..., 2:4]) * strides / 2
    return np.concatenate([centre - half, centre + half], -1), predictions[..., 4:5] * predictions[..., 5:]


def nms(boxes: np.ndarray, scores: np.ndarray, limit: float) -> np.ndarray:
    """Returns the indices of the boxes that stay, best first: those that overlap a better one by ``limit`` go."""
    order, keep = np.argsort(-scores, kind="stable"), []
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while len(order):
        best, rest = order[0], order[1:]
        keep.append(best)
        size = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        common = size.clip(0).prod(1)
        order = rest[common <= limit * (area[best] + area[rest] - common)]
    return np.array(keep, int)


def detections(
    boxes: np.ndarray, scores: np.ndarray, at_least: float = 0.01, limit: float = 0.65
) -> tuple[np.ndarray, ...]:
    """Returns boxes (K, 4), scores (K,) and classes (K,) of one picture, as YOLOX does for its AP.

    Of each anchor the best class alone counts, and boxes of different classes do not suppress each other.
    """
    classes, best = scores.argmax(1), scores.max(1)
    (chosen,) = np.nonzero(best >= at_least)
    boxes, best, classes = boxes[chosen], best[chosen], classes[chosen]
    apart = boxes + classes[:, None] * 10_000  # each class in a region of its own
    keep = nms(apart, best, limit)
    return boxes[keep], best[keep], classes[keep]
