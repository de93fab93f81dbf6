"""The frames of the detector's benchmark, what is right on them, and how a way from frames to boxes is timed.

Imports neither TensorRT nor PyTorch, so that both sides of the benchmark can use it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from helpers.detector import Detections
from helpers.workbook.scenes import load_scenes, overlaps

from .timing import in_turns

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
BATCHES = (1, 16)  # frames that are given at once
RIGHT = 0.9  # the agreement from which on a method counts as right, and is timed
OVERLAP = 0.9  # the intersection over union from which on two boxes are the same

Detect = Callable[[list[np.ndarray]], Iterable[Detections]]
_pool = ThreadPoolExecutor(min(16, os.cpu_count() or 1))


def frames() -> list[np.ndarray]:
    """Returns the 64 validation scenes of data/scenes, decoded: uint8 (height, width, 3), RGB."""
    return load_scenes().pictures


def side_by_side(function: Callable[..., Any], *items: Sequence) -> list:
    """``list(map(function, *items))``, in threads for more than one item: Pillow and OpenCV release the GIL."""
    return list(map(function, *items) if len(items[0]) < 2 else _pool.map(function, *items))


def agreement(found: Sequence[Detections], expected: Sequence[Detections]) -> float:
    """Returns which share of all boxes has a partner on the other side: same class, and the same box (OVERLAP).

    1.0 where both are alike. Raises ValueError where the number of frames differs.
    """
    partners = total = 0
    for mine, theirs in zip(found, expected, strict=True):
        same = (overlaps(mine.boxes, theirs.boxes) >= OVERLAP) & (mine.classes[:, None] == theirs.classes)
        partners += 2 * min(np.count_nonzero(same.any(1)), np.count_nonzero(same.any(0)))
        total += len(mine.boxes) + len(theirs.boxes)
    return partners / total if total else 1.0


def in_batches(detect: Detect, batch: int) -> Detect:
    """Turns a function of up to ``batch`` frames into one of any number."""
    return lambda pictures: [found for i in range(0, len(pictures), batch) for found in detect(pictures[i : i + batch])]


class Method:
    """A way from frames to boxes. A call takes it over all frames; its first error ends it, and no other method.

    batch    how many frames ``detect`` takes through the network at once
    about    goes into the method's row
    """

    def __init__(self, name: str, batch: int, detect: Detect, pictures: list[np.ndarray], **about: Any):
        self.name, self.batch, self.about, self.error = name, batch, about, ""
        self._detect, self._pictures = detect, pictures
        self.found: list[Detections] = []

    def __call__(self) -> None:
        if not self.error:
            try:
                self.found = list(self._detect(self._pictures))
            except Exception as error:  # whatever it is, the other methods go on
                self.fail(error)

    def fail(self, error: Exception) -> None:
        self.error = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]

    def check(self, expected: list[Detections]) -> None:
        """Runs it once, and notes an error where too few boxes are what was ``expected``."""
        self()
        if not self.error:
            self.about["agreement"] = round(agreement(self.found, expected), 4)
            if self.about["agreement"] < RIGHT:
                self.error = f"only {self.about['agreement']:.1%} of the boxes agree with ONNX Runtime's"


def table(methods: list[Method], expected: list[Detections], rounds: int = 5) -> list[dict]:
    """Checks each method, times those that are right, in turns, and returns a row of each.

    A row holds method, frames (at once), agreement, and either ``error``, or ``fps``, the milliseconds per frame
    (``ms``, and ``low`` and ``high``: their spread over the rounds) and the number of passes over all frames.
    """
    for method in methods:
        method.check(expected)
    right = {str(number): method for number, method in enumerate(methods) if not method.error}
    times = in_turns(right, rounds=rounds)
    rows = []
    for number, method in enumerate(methods):
        row = {"method": method.name, "frames": method.batch, **method.about}
        if method.error:
            rows.append({**row, "error": method.error})
        else:
            taken = times[str(number)]
            fps = round(1e6 * len(expected) / taken["median"], 1)
            ms, low, high = (round(taken[key] / 1e3 / len(expected), 4) for key in ("median", "low", "high"))
            rows.append({**row, "fps": fps, "ms": ms, "low": low, "high": high, "passes": taken["runs"]})
    return rows


def save(path: Path, found: list[Detections], **more: np.ndarray) -> None:
    """Writes detections, and further arrays, as .npz."""
    arrays = {f"{i}_{field}": value for i, one in enumerate(found) for field, value in one._asdict().items()}
    np.savez(path, **arrays, **more)


def load(path: Path) -> tuple[list[Detections], dict[str, np.ndarray]]:
    """Returns what :func:`save` wrote: the detections, and the further arrays by name."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    count = sum(name.endswith("_boxes") for name in arrays)
    found = [Detections(*(arrays.pop(f"{i}_{field}") for field in Detections._fields)) for i in range(count)]
    return found, arrays
