"""One frame's way through the detector, step by step faster, and where its time goes (chapter 13).

A :class:`Step` says which network runs (``detector_plans``), what the host does before and after it, and how it is
called. All steps find the same boxes. ``run`` is a Runner, or what is called as one.

>>> [step.name for step in STEPS][-1]
'Runner.map'
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ..buffers import Cuda, cuda
from ..builder import BuildError
from ..detector import Detections, decode, letterbox, nms, to_input, to_picture
from ..engine import EngineError
from ..onnx_parser import OnnxParseError
from ..runner import Runner
from ..tensors import read_specs
from ..trt import trt
from .detector_plans import detector_plan
from .scenes import SIZE, overlaps, prepare


class Step(NamedTuple):
    """A pipeline: its ``name``, the ``network`` that runs, what the host makes of a picture before it and of the
    outputs after it, whether calls are CUDA graphs, and whether frames overlap."""

    name: str
    network: str
    before: Callable[[np.ndarray], tuple[np.ndarray, float]]
    after: Callable[[Mapping[str, np.ndarray], float, np.ndarray], Detections]
    graph: bool = True
    overlap: bool = False


def before_uint8(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the letterboxed picture as it is, uint8 (1, 320, 320, 3), and the scale."""
    padded, scale = letterbox(picture, SIZE)
    return padded[None], scale


def before_nothing(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the picture itself, and the scale that the network's own letterbox will have."""
    return np.ascontiguousarray(picture), min(SIZE[0] / picture.shape[0], SIZE[1] / picture.shape[1])


def after_predictions(outputs: Mapping[str, np.ndarray], scale: float, picture: np.ndarray) -> Detections:
    """Decodes the network's answer for one picture, and suppresses, on the host."""
    return to_picture(nms(*decode(outputs["predictions"][0], SIZE)), scale, picture)


def after_nms(outputs: Mapping[str, np.ndarray], scale: float, picture: np.ndarray) -> Detections:
    """Reads what EfficientNMS_TRT has kept: the first ``count`` rows of the other outputs."""
    kept = int(outputs["count"][0, 0])
    boxes, scores, classes = (outputs[name][0, :kept] for name in ("boxes", "scores", "classes"))
    return to_picture(Detections(boxes, scores, classes.astype(np.int64)), scale, picture)


STEPS = (
    Step("float32 input", "fp16", prepare, after_predictions, graph=False),
    Step("CUDA graph", "fp16", prepare, after_predictions),
    Step("uint8 input", "fp16-uint8", before_uint8, after_predictions),
    Step("EfficientNMS", "fp16-uint8-nms", before_uint8, after_nms),
    Step("letterbox on the GPU", "fp16-letterbox-nms", before_nothing, after_nms),
    Step("Runner.map", "fp16-letterbox-nms", before_nothing, after_nms, overlap=True),
)


def video(picture: np.ndarray, frames: int = 64) -> list[np.ndarray]:
    """Returns frames of one size: the picture, moved on by four pixels from frame to frame."""
    return [np.roll(picture, 4 * number, axis=1) for number in range(frames)]


def run_step(step: Step, run: Any, frames: Iterable[np.ndarray]) -> Iterator[Detections]:
    """Yields what a step finds in each frame, in their order."""
    if not step.overlap:
        for picture in frames:
            given, scale = step.before(picture)
            yield step.after(run(given), scale, picture)
        return
    waiting: deque[tuple[float, np.ndarray]] = deque()

    def inputs() -> Iterator[np.ndarray]:
        for picture in frames:
            given, scale = step.before(picture)
            waiting.append((scale, picture))
            yield given

    for outputs in run.map(inputs(), streams=2):
        yield step.after(outputs, *waiting.popleft())


def frames_per_second(
    step: Step, frames: Sequence[np.ndarray], run: Any = None, rounds: int = 7
) -> tuple[float, list[Detections]]:
    """Returns how many frames a second a step does, the median of some rounds after a warm-up, and what it found.

    The clock runs from decoded pictures on the host to boxes on the host. ``run`` is by default a Runner for the step's
    plan.
    """
    runner = run or Runner(detector_plan(step.network), graphs=8 if step.graph else 0)
    try:
        found = list(run_step(step, runner, frames))
        seconds = []
        for _ in range(rounds):
            begin = perf_counter()
            for _ in run_step(step, runner, frames):
                pass
            seconds.append(perf_counter() - begin)
    finally:
        if run is None:
            runner.close()
    return len(frames) / float(np.median(seconds)), found


class Measured(NamedTuple):
    """``speeds`` in frames per second and what was ``found``, by the steps' names; ``refused`` says what cannot run."""

    speeds: dict[str, float]
    found: dict[str, list[Detections]]
    refused: dict[str, str]


def measure_steps(frames: Sequence[np.ndarray], steps: Iterable[Step] = STEPS) -> Measured:
    """Measures steps one after the other. One whose plan this TensorRT cannot build or run is told, and left out."""
    measured = Measured({}, {}, {})
    for step in steps:
        try:
            speed, found = frames_per_second(step, frames)
        except (BuildError, EngineError, OnnxParseError) as error:
            measured.refused[step.name] = str(error)
        else:
            measured.speeds[step.name], measured.found[step.name] = speed, found
    return measured


def same_boxes(one: Detections, other: Detections, *, score: float = 0.5, iou: float = 0.8) -> bool:
    """Returns whether each box of either with at least this score has one of its class, nearly where it is, in the
    other."""
    return _all_are_in(one, other, score, iou) and _all_are_in(other, one, score, iou)


def _all_are_in(some: Detections, others: Detections, score: float, iou: float) -> bool:
    near = (overlaps(some.boxes, others.boxes) > iou) & (some.classes[:, None] == others.classes)
    return bool(near.any(1)[some.scores >= score].all())


def host_parts(jpeg: bytes, predictions: np.ndarray, repeats: int = 30) -> dict[str, float]:
    """Returns how long the host's parts of a frame take, in milliseconds: the medians of some repeats.

    ``jpeg`` is a file's content, and ``predictions`` the network's answer for it, (1, A, 5 + classes).
    """
    from PIL import Image

    read = lambda: np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))  # noqa: E731
    picture = read()
    padded, _ = letterbox(picture, SIZE)
    boxes, scores = decode(predictions[0], SIZE)
    return {
        "read": _median(read, repeats),
        "letterbox": _median(lambda: letterbox(picture, SIZE), repeats),
        "to float32": _median(lambda: to_input(padded), repeats),
        "decode": _median(lambda: decode(predictions[0], SIZE), repeats),
        "NMS": _median(lambda: nms(boxes, scores), repeats),
    }


def device_parts(
    engine: trt.ICudaEngine, given: np.ndarray, repeats: int = 100, backend: Cuda | None = None
) -> tuple[dict[str, float], np.ndarray]:
    """Returns how long an engine of one input and one output takes, in milliseconds, with a wait after each part: "copy
    in", "network", "copy out". And what came out.
    """
    backend = backend or cuda()
    specs = read_specs(engine).values()
    (source,), (target,) = ([s for s in specs if s.is_input], [s for s in specs if not s.is_input])
    with backend:
        stream = backend.stream()
        context = engine.create_execution_context()
        context.set_optimization_profile_async(0, backend.handle(stream))
        backend.synchronize(stream)
        context.set_input_shape(source.name, given.shape)
        host_in = backend.pinned(given.shape, source.dtype)
        host_out = backend.pinned(tuple(context.get_tensor_shape(target.name)), target.dtype)
        device_in, device_out = backend.allocate(host_in.nbytes), backend.allocate(host_out.nbytes)
        host_in[...] = given
        context.set_tensor_address(source.name, device_in.pointer)
        context.set_tensor_address(target.name, device_out.pointer)
        parts = {
            "copy in": lambda: backend.to_device(device_in.pointer, host_in, stream),
            "network": lambda: context.execute_async_v3(backend.handle(stream)),
            "copy out": lambda: backend.to_host(host_out, device_out.pointer, stream),
        }
        times = {name: _median(_and_wait(part, backend, stream), repeats) for name, part in parts.items()}
    return times, np.array(host_out)


def _and_wait(part: Callable[[], Any], backend: Cuda, stream: Any) -> Callable[[], None]:
    def both() -> None:
        part()
        backend.synchronize(stream)

    return both


def _median(call: Callable[[], Any], repeats: int) -> float:
    """The median of a call's time in milliseconds, after three calls that do not count."""
    times = []
    for _ in range(3 + repeats):
        begin = perf_counter()
        call()
        times.append(perf_counter() - begin)
    return float(np.median(times[3:])) * 1e3
