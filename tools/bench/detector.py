"""The detector's part of the benchmark: frames per second, from decoded pictures on the host to boxes on the host.

Each step moves more of chapter 13's work into the network. The plans come from helpers.workbook.detector_plans, which
keeps them; those that are missing are built first, side by side. What PyTorch does is in detector_torch.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from helpers.detector import Detections, Detector, decode, letterbox, nms, to_input, to_picture
from helpers.workbook.scenes import SIZE, OnnxRunner

from .frames import BATCHES, DATA, ROOT, Detect, Method, frames, in_batches, save, side_by_side, table
from .timing import in_turns, one_at_a_time

MODEL = DATA / "yolox_nano.onnx"
STEPS = {  # plan -> what its rows are called; from the third on, each keeps what the one before has brought
    "fp32": "FP32",
    "int8": "INT8",
    "fp16": "FP16",
    "fp16-uint8": "FP16, uint8 input",
    "fp16-uint8-nms": "FP16, EfficientNMS",
    "fp16-letterbox-nms": "FP16, letterbox on the GPU",
}
MAPPED = 24  # batches per call of Runner.map, where only the network is timed
Clock = Callable[[Any, np.ndarray], Callable[[], float]]  # Runner, input -> a function that measures its GPU time


class Pipeline:
    """A Runner, with what its network leaves to the CPU: the names of its input and outputs tell that.

    Inputs: ``images`` (float32, BGR), ``pictures`` (uint8) or ``picture`` (uint8, not yet letterboxed, one at a time).
    Outputs: ``predictions``, undecoded, or what EfficientNMS_TRT gives (``count``, ``boxes``, …).
    """

    def __init__(self, run: Any):
        self.run = run
        (self.input,) = (spec for spec in run.specs.values() if spec.is_input)
        self.largest = 1 if self.input.name == "picture" else int(self.input.maximum[0])
        self._batches: dict[int, np.ndarray] = {}

    def __call__(self, pictures: list[np.ndarray]) -> list[Detections]:
        batch, scales = self.prepare(pictures)
        return self.read(self.run({self.input.name: batch}, views=True), scales, pictures)

    def map(self, pictures: list[np.ndarray], batch: int, streams: int) -> Iterator[Detections]:
        """Batch after batch, copies and CPU work beside the network on several streams."""
        waiting: deque[tuple[list[float], list[np.ndarray]]] = deque()

        def prepared() -> Iterator[np.ndarray]:
            for i in range(0, len(pictures), batch):
                array, scales = self.prepare(pictures[i : i + batch])
                waiting.append((scales, pictures[i : i + batch]))
                yield array

        for outputs in self.run.map(prepared(), streams=streams):
            yield from self.read(outputs, *waiting.popleft())

    def prepare(self, pictures: list[np.ndarray]) -> tuple[np.ndarray, list[float]]:
        """Returns the network's input and the scale of each picture. The next call overwrites the input."""
        if self.input.name == "picture":
            (picture,) = pictures
            return picture, [min(SIZE[0] / picture.shape[0], SIZE[1] / picture.shape[1])]
        count = len(pictures)
        if count not in self._batches:
            shape = (count, *SIZE, 3) if self.input.name == "pictures" else (count, 3, *SIZE)
            self._batches[count] = np.empty(shape, self.input.dtype)
        batch = self._batches[count]

        def fill(place: int, picture: np.ndarray) -> float:
            padded, scale = letterbox(picture, SIZE)
            batch[place] = padded if self.input.name == "pictures" else to_input(padded)[0]
            return scale

        return batch, side_by_side(fill, range(count), pictures)

    def read(self, outputs: dict[str, np.ndarray], scales: list[float], pictures: list[np.ndarray]) -> list[Detections]:
        """Returns the detections of each picture, of what the network gave."""
        read = []
        for i, (scale, picture) in enumerate(zip(scales, pictures, strict=True)):
            if "count" in outputs:
                kept = slice(int(outputs["count"][i, 0]))
                boxes, scores, classes = (outputs[name][i, kept] for name in Detections._fields)
                found = Detections(boxes, scores.copy(), classes.astype(np.int64))  # the next run overwrites them
            else:
                found = nms(*decode(outputs["predictions"][i], SIZE))
            read.append(to_picture(found, scale, picture))
        return read


class OnCpu(OnnxRunner):
    """ONNX Runtime on the CPU, called as a Pipeline calls a Runner."""

    def __call__(self, inputs: Any = None, /, views: bool = False, **named: np.ndarray) -> dict[str, np.ndarray]:
        return super().__call__(inputs, **named)


def build_missing(names: list[str], most: int = 8) -> dict[str, str]:
    """Builds the plans, in processes of their own, side by side; those in the cache take no time.

    Returns for the plans that could not be built why, by name.
    """
    command = [sys.executable, "-m", "helpers.workbook.detector_plans"]

    def build(name: str) -> str:
        done = subprocess.run([*command, name], cwd=ROOT, capture_output=True, text=True)
        return " ".join((done.stdout + done.stderr).split())[-300:] or "no message" if done.returncode else ""

    with ThreadPoolExecutor(max(1, min(most, (os.cpu_count() or 1) // 2))) as pool:
        return {name: why for name, why in zip(names, pool.map(build, names), strict=True) if why}


def steps(name: str, pipeline: Pipeline, plain: Pipeline, pictures: list[np.ndarray]) -> list[Method]:
    """The rows of one plan; ``plain`` is the same without CUDA graphs."""
    label, about = STEPS[name], {"side": "TensorRT", "plan": name}
    batches = [batch for batch in BATCHES if batch <= pipeline.largest]
    made = [Method(label, batch, in_batches(pipeline, batch), pictures, **about) for batch in batches]
    if name == "fp16":
        detector = Detector(pipeline.run, size=SIZE)
        made += [
            Method(f"Detector.map, {n} streams", 1, partial(detector.map, streams=n), pictures, **about, streams=n)
            for n in (2, 3)
        ]
    if name in ("fp16", "fp16-letterbox-nms"):
        made += [
            Method(f"{label}, no graphs", batch, in_batches(plain, batch), pictures, **about, graphs=False)
            for batch in batches
        ]
    if "nms" in name:
        made += [
            Method(
                f"{label}, Runner.map, {n} streams", batch, _mapped(pipeline, batch, n), pictures, **about, streams=n
            )
            for batch in batches[-1:]
            for n in (2, 3)
        ]
    return made


def _mapped(pipeline: Pipeline, batch: int, streams: int) -> Detect:
    return lambda pictures: pipeline.map(pictures, batch, streams)


def network_times(name: str, pipeline: Pipeline, pictures: list[np.ndarray], clock: Clock) -> list[dict]:
    """The network alone, input ready on the host, outputs on the host, beside the time that the GPU needs for it.

    Milliseconds per batch: ``host`` (a call), ``mapped`` (a batch of Runner.map with two streams) and ``gpu``.
    """
    rows = []
    for batch in BATCHES:
        if batch > pipeline.largest:
            continue
        given = pipeline.prepare(pictures[:batch])[0].copy()
        calls = {
            "host": lambda x=given: pipeline.run({pipeline.input.name: x}, views=True),
            "mapped": lambda x=given: deque(pipeline.run.map([x] * MAPPED, streams=2), maxlen=0),
        }
        taken = {key: times["median"] for key, times in in_turns(calls, rounds=5, seconds=0.1).items()}
        taken["mapped"] /= MAPPED
        taken["gpu"] = one_at_a_time({"gpu": clock(pipeline.run, given)})["gpu"]["median"]
        rows.append({"plan": name, "frames": batch, **{key: round(value / 1e3, 4) for key, value in taken.items()}})
    return rows


def cpu_parts(pictures: list[np.ndarray], predictions: list[np.ndarray]) -> dict[str, float]:
    """Milliseconds per frame of each step that the CPU does where the network does not."""
    padded = [letterbox(picture, SIZE)[0] for picture in pictures]
    decoded = [decode(rows, SIZE) for rows in predictions]
    calls = {
        "letterbox": lambda: [letterbox(picture, SIZE) for picture in pictures],
        "to_input": lambda: [to_input(picture) for picture in padded],
        "decode": lambda: [decode(rows, SIZE) for rows in predictions],
        "nms": lambda: [nms(*pair) for pair in decoded],
    }
    return {name: round(t["median"] / 1e3 / len(pictures), 4) for name, t in in_turns(calls, rounds=3).items()}


def torch_side(folder: Path) -> dict[str, Any]:
    """What detector_torch.py tells: ``rows``, ``network`` and ``about``, its versions, or why there are no rows."""
    python = os.environ.get("WORKBOOK_TORCH_PYTHON", sys.executable)
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "LD_LIBRARY_PATH")}
    command = [python, "-m", "tools.bench.detector_torch", str(folder.resolve())]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, env=clean)
        why = (done.stderr.strip().splitlines() or ["no message"])[-1] if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        why = str(error)
    if why:
        return {"rows": [], "network": [], "about": f"no rows: {why[:300]}"}
    return json.loads((folder / "detector_torch.json").read_text())


def measure(
    folder: Path, make_runner: Callable[..., Any], detector_plan: Callable[[str], bytes], clock: Clock
) -> dict[str, Any]:
    """Returns the detector's part of bench.json; ``make_runner(plan, graphs=…)`` makes a Runner."""
    missing = build_missing(list(STEPS))
    pictures = frames()
    reference = Pipeline(OnCpu(str(MODEL)))
    expected = in_batches(reference, 1)(pictures)
    batch = np.concatenate([to_input(letterbox(picture, SIZE)[0]) for picture in pictures])
    predictions = reference.run({"images": batch})["predictions"]
    save(folder / "detector_expected.npz", expected, images=batch[:2], predictions=predictions[:2])
    on_cpu = [
        Method("ONNX Runtime, CPU", n, in_batches(reference, n), pictures, side="ONNX Runtime", plan="fp32")
        for n in BATCHES
    ]
    methods: list[Method] = []
    network: list[dict] = []
    with ExitStack() as stack:
        for name in STEPS:
            try:
                if name in missing:
                    raise RuntimeError(f"its plan could not be built: {missing[name]}")
                run = stack.enter_context(make_runner(detector_plan(name), graphs=16))
                pipeline = Pipeline(run)
                plain = Pipeline(stack.enter_context(make_runner(run.engine, graphs=0)))
                methods += steps(name, pipeline, plain, pictures)
                network += network_times(name, pipeline, pictures, clock)
            except Exception as error:  # a plan that is not there, or does not run, costs its rows
                methods.append(Method(STEPS[name], 1, in_batches(reference, 1), pictures, side="TensorRT", plan=name))
                methods[-1].fail(error)
            print(name, methods[-1].error or [row for row in network if row["plan"] == name], flush=True)
        rows = table(methods, expected)
    print("\n".join(map(json.dumps, rows)), flush=True)  # in case that what follows is cut short
    rows += table(on_cpu, expected, rounds=3)  # after the others: its threads keep on looking for work for a while
    told = torch_side(folder)
    return {
        "frames": f"{len(pictures)} pictures of data/scenes, decoded; {sum(len(one.boxes) for one in expected)} boxes",
        "units": "ms, low, high: milliseconds per frame, from uint8 on the host to boxes on the host",
        "PyTorch": told["about"],
        "cpu parts ms": cpu_parts(pictures, list(predictions)),
        "network ms per batch": network + told["network"],
        "rows": rows + told["rows"],
    }
