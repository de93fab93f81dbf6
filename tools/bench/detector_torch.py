"""The detector in PyTorch, in a Python of its own: eager as YOLOX's demo does it, and as a CUDA graph.

python -m tools.bench.detector_torch FOLDER [--device cpu]: reads data/yolox_nano.onnx (for its weights) and what
detector.py left in FOLDER, writes FOLDER/detector_torch.json. Needs PyTorch, torchvision, onnx, Pillow, NumPy and
pixeltable-yolox with what that imports (OpenCV, pycocotools, loguru, tabulate). On a CPU there are no graphs.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

try:
    import torch
    import torch.nn.functional as F
    import torchvision
    from torch import nn
    from yolox.config import YoloxConfig
    from yolox.data.data_augment import preproc
    from yolox.utils import fuse_model, postprocess
except ImportError as error:
    sys.exit(f"PyTorch's rows of the detector need pixeltable-yolox and torchvision: {error}")

from helpers.detector import IOU, MOST, PADDING, SCORE, Detections, grid, letterbox, to_picture
from helpers.workbook.scenes import SIZE

from .frames import BATCHES, DATA, Method, frames, in_batches, load, side_by_side, table
from .timing import BUSY, one_at_a_time
from .torch_clock import gpu_clock

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


def yolox(file: Path) -> nn.Module:
    """Returns pixeltable-yolox's YOLOX-Nano with the weights of an ONNX file, batch normalization folded into them.

    The file names few of its weights, but the order of the convolutions is the order in which PyTorch comes to them.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(file).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    config = YoloxConfig.get_named_config("yolox_nano")
    config.num_classes = graph.output[0].type.tensor_type.shape.dim[2].dim_value - 5
    model = fuse_model(config.get_model().eval())
    met: list[nn.Conv2d] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: met.append(module))
        for module in model.modules()
        if isinstance(module, nn.Conv2d)
    ]
    model(torch.zeros(1, 3, *SIZE))
    for hook in hooks:
        hook.remove()
    for module, node in zip(met, (node for node in graph.node if node.op_type == "Conv"), strict=True):
        for parameter, name in zip((module.weight, module.bias), node.input[1:], strict=True):
            if parameter.shape != stored[name].shape:
                raise ValueError(f"{node.name}: {name} is {stored[name].shape}, and not {tuple(parameter.shape)}")
            parameter.data.copy_(torch.from_numpy(stored[name].copy()))
    return model


def check(model: nn.Module, images: np.ndarray, predictions: np.ndarray) -> float:
    """Returns the largest difference to ONNX Runtime's predictions; raises AssertionError for another network."""
    model.head.decode_in_inference = False
    difference = float(np.abs(model(torch.from_numpy(images)).numpy() - predictions).max())
    model.head.decode_in_inference = True
    assert difference < 1e-2, f"PyTorch's network is not the ONNX file's: off by {difference:.2g}"
    return difference


class Eager:
    """What YOLOX's demo does with its options --fp16 and --fuse: letterbox by OpenCV, the network, ``postprocess``."""

    def __init__(self, model: nn.Module):
        self.model = model
        weight = next(model.parameters())
        self.device, self.dtype = weight.device, weight.dtype

    def __call__(self, pictures: list[np.ndarray]) -> list[Detections]:
        prepared = side_by_side(partial(preproc, input_size=SIZE), pictures)
        images = torch.from_numpy(np.stack([image for image, _ in prepared])).to(self.device).to(self.dtype)
        images = images.flip(1).contiguous(memory_format=torch.channels_last)  # RGB to BGR
        outputs = postprocess(self.model(images), self.model.head.num_classes, SCORE, IOU)
        return [
            self.read(rows, scale, picture)
            for rows, (_, scale), picture in zip(outputs, prepared, pictures, strict=True)
        ]

    @staticmethod
    def read(rows: torch.Tensor | None, scale: float, picture: np.ndarray) -> Detections:
        found = np.zeros((0, 7), np.float32) if rows is None else rows[:MOST].float().cpu().numpy()
        detections = Detections(found[:, :4], found[:, 4] * found[:, 5], found[:, 6].astype(np.int64))
        return to_picture(detections, scale, picture)


class Raw(nn.Module):
    """The network without decoding, which in eager mode makes its grid anew on the CPU in each call."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model, self.head = model, model.head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.head.decode_in_inference = False
        rows = self.model(images)
        self.head.decode_in_inference = True
        return rows


class Graphed:
    """From the letterbox to scores in one CUDA graph for each combination of shapes; NMS for the whole batch after it.

    Pictures go to the GPU as uint8, through page-locked memory. With ``inside`` they are letterboxed there; without,
    by Pillow on the CPU, in threads.
    """

    def __init__(self, model: nn.Module, layout: torch.memory_format, inside: bool):
        self.model, self.layout, self.inside = Raw(model).to(memory_format=layout), layout, inside
        weight = next(model.parameters())
        self.device, self.dtype = weight.device, weight.dtype
        self.cells, self.strides = (torch.from_numpy(array).to(self.device) for array in grid(SIZE))
        self.classes = model.head.num_classes
        self.graphs: dict[tuple, Graph] = {}

    def __call__(self, pictures: list[np.ndarray]) -> list[Detections]:
        if self.inside:
            given = pictures
            scales = [min(SIZE[0] / picture.shape[0], SIZE[1] / picture.shape[1]) for picture in pictures]
        else:
            padded = side_by_side(partial(letterbox, size=SIZE), pictures)
            given, scales = [image for image, _ in padded], [scale for _, scale in padded]
        return self.read(self.graph([picture.shape for picture in given]).run(given), scales, pictures)

    def graph(self, shapes: Sequence[tuple]) -> Graph:
        key = tuple(shapes)
        if key not in self.graphs:
            self.graphs[key] = Graph(shapes, self.work, self.device)
        return self.graphs[key]

    def work(self, pictures: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """What is captured: uint8 pictures (height, width, 3) on the GPU to boxes, scores and groups, a row a cell."""
        images = self.letterboxed(pictures) if self.inside else torch.stack(pictures).permute(0, 3, 1, 2)
        images = images.flip(1).to(self.dtype, memory_format=self.layout)  # RGB to BGR
        rows = self.model(images).float()
        centre = rows[..., :2] * self.strides + self.cells
        half = rows[..., 2:4].exp() * self.strides / 2
        scores, labels = (rows[..., 4:5] * rows[..., 5:]).max(-1)
        groups = labels + self.classes * torch.arange(len(rows), device=self.device)[:, None]  # picture and class
        return torch.cat([centre - half, centre + half], -1).flatten(0, 1), scores.flatten(), groups.flatten()

    def letterboxed(self, pictures: list[torch.Tensor]) -> torch.Tensor:
        shape = len(pictures), 3, *SIZE
        images = torch.empty(shape, dtype=self.dtype, device=self.device, memory_format=self.layout).fill_(PADDING)
        for image, picture in zip(images, pictures, strict=True):
            scale = min(SIZE[0] / picture.shape[0], SIZE[1] / picture.shape[1])
            height, width = (min(side, round(old * scale)) for side, old in zip(SIZE, picture.shape, strict=False))
            moved = picture.permute(2, 0, 1)[None].to(self.dtype)
            image[:, :height, :width] = F.interpolate(moved, size=(height, width), mode="bilinear")[0]
        return images

    def read(
        self, outputs: tuple[torch.Tensor, ...], scales: list[float], pictures: list[np.ndarray]
    ) -> list[Detections]:
        boxes, scores, groups = outputs
        likely = (scores >= SCORE).nonzero()[:, 0]
        boxes, scores, groups = boxes[likely], scores[likely], groups[likely]
        kept = torchvision.ops.batched_nms(boxes, scores, groups, IOU)
        rows = torch.cat([boxes, scores[:, None], groups[:, None]], 1)[kept].cpu().numpy()
        group, label = np.divmod(rows[:, 5].astype(np.int64), self.classes)
        found = []
        for number, (scale, picture) in enumerate(zip(scales, pictures, strict=True)):
            mine = np.flatnonzero(group == number)[:MOST]
            found.append(to_picture(Detections(rows[mine, :4], rows[mine, 4], label[mine]), scale, picture))
        return found


class Graph:
    """``work``, captured for pictures of some shapes, with page-locked and device memory for them."""

    def __init__(self, shapes: Sequence[tuple], work: Callable[[list[torch.Tensor]], Any], device: torch.device):
        sizes = [int(np.prod(shape)) for shape in shapes]
        self.host = torch.zeros(sum(sizes), dtype=torch.uint8, pin_memory=device.type == "cuda")
        self.there = self.host.to(device)
        self.places = np.split(self.host.numpy(), np.cumsum(sizes)[:-1])
        pictures = [part.view(shape) for part, shape in zip(self.there.split(sizes), shapes, strict=True)]
        self.replay = lambda: work(pictures)
        if device.type == "cuda":
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):
                    work(pictures)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                outputs = work(pictures)

            def replay() -> Any:
                graph.replay()
                return outputs

            self.replay = replay

    def run(self, pictures: list[np.ndarray]) -> Any:
        for place, picture in zip(self.places, pictures, strict=True):
            place[:] = picture.reshape(-1)
        self.there.copy_(self.host, non_blocking=True)
        return self.replay()


def gpu_times(model: nn.Module, batch: int) -> dict[str, float]:
    """The GPU's milliseconds for a batch that was letterboxed before, by the layout: as network_times in detector.py.

    Which layout is faster depends on the network and the batch: depthwise convolutions like the other one.
    """
    times = {}
    for name, layout in LAYOUTS.items():
        graphed = Graphed(copy.deepcopy(model), layout, inside=False)
        if graphed.device.type == "cuda":
            try:
                clock = gpu_clock(graphed.graph([(*SIZE, 3)] * batch).replay, BUSY)
                times[name] = one_at_a_time({"gpu": clock})["gpu"]["median"] / 1e3
            except RuntimeError as error:  # the rows of this layout will say so too
                print(f"PyTorch CUDA graph, {name}: {error}", file=sys.stderr)
    return times


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.backends.cudnn.benchmark = True
    pictures = frames()
    expected, sample = load(options.folder / "detector_expected.npz")
    model = yolox(DATA / "yolox_nano.onnx")
    difference = check(model, sample["images"], sample["predictions"])
    model = model.to(options.device, torch.float16 if options.device == "cuda" else torch.float32)
    about: dict[str, Any] = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    about |= {"python": sys.version.split()[0], "difference to ONNX Runtime in FP32": difference}
    if options.device == "cuda":
        about["gpu"] = torch.cuda.get_device_name()
    network: list[dict] = []
    methods: list[Method] = []
    for batch in BATCHES:
        eager = Eager(copy.deepcopy(model).to(memory_format=torch.channels_last))
        methods.append(Method("PyTorch eager", batch, in_batches(eager, batch), pictures, side="PyTorch"))
        times = gpu_times(model, batch)
        network += [
            {"plan": f"PyTorch CUDA graph, {name}", "frames": batch, "gpu": round(t, 4)} for name, t in times.items()
        ]
        layout = min(times, key=lambda name: times[name]) if times else "channels_last"
        for where, inside in (("GPU", True), ("CPU", False)):
            detect = in_batches(Graphed(copy.deepcopy(model), LAYOUTS[layout], inside), batch)
            name = f"PyTorch CUDA graph, letterbox on the {where}"
            methods.append(Method(name, batch, detect, pictures, side="PyTorch", layout=layout))
    told = {"about": about, "network": network, "rows": table(methods, expected)}
    (options.folder / "detector_torch.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
