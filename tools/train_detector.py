"""Trains the detector of chapter 13, a YOLOX-Nano that finds digits, and writes data/yolox_nano.onnx.

``python tools/train_detector.py`` takes six minutes on an H100 with 16 cores of its host (it runs on a CPU too, but
learns little in that time). Scenes are composed while it trains, so none is seen twice. Scenes and first
weights are seeded; how many steps the time allows depends on the machine, and so do the weights. A second run with the
same ``--checkpoint`` goes on where the first one ended. ``--evaluate`` only tells the AP of the ONNX model.

Needs the extra "detector": PyTorch with a torchvision that fits it, and the package pixeltable-yolox. It wants
an environment of its own.

The model: input ``images``, float32 (batch, 3, height, width), BGR, 0 to 255, letterboxed with grey (114) at the right
and below; height and width are multiples of 32. Output ``predictions``, float32 (batch, anchors, 15), undecoded: x and
y of the centre, as distance from the cell's corner in strides; the logarithm of width and height in strides; objectness
and ten class scores, each after its sigmoid. Anchors are the cells of stride 8, row by row, then 16, then 32.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import math
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from tqdm import tqdm

from helpers.detector import grid, letterbox
from helpers.workbook.scenes import SIZE, Scenes, average_precision, find_all, load_scenes
from tools.detector.coco import coco
from tools.detector.loss import yolox_loss
from tools.detector.scenes import DATA, MOST, make_scene

if TYPE_CHECKING:
    import onnx

PEAK_RATE = 0.04  # of learning, for a batch of 128
OPSET = 17  # TensorRT 8.6 parses it


def yolox_nano(classes: int = 10) -> nn.Module:
    """Returns an untrained YOLOX-Nano of pixeltable-yolox."""
    from yolox.config import YoloxConfig

    config = YoloxConfig.get_named_config("yolox_nano")
    config.num_classes = classes
    return config.get_model()


class Raw(nn.Module):
    """YOLOX without what its package does after the last convolution: logits (batch, anchors, 5 + classes)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = model.backbone, model.head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        head, levels = self.head, []
        for k, features in enumerate(self.backbone(images)):
            stem = head.stems[k](features)
            box, kind = head.reg_convs[k](stem), head.cls_convs[k](stem)
            with torch.autocast(images.device.type, enabled=False):  # half the digits would be too coarse for boxes
                box, kind = box.float(), kind.float()
                level = torch.cat([head.reg_preds[k](box), head.obj_preds[k](box), head.cls_preds[k](kind)], 1)
            levels.append(level.flatten(2))
        return torch.cat(levels, 2).transpose(1, 2)


class Batches(IterableDataset):
    """Endless batches of fresh scenes: images uint8 (B, 3, *SIZE), truth float32 (B, MOST, 5)."""

    def __init__(self, size: int, first: int) -> None:
        self.size, self.first = size, first

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        torch.set_num_threads(1)
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        while True:
            yield self.batch(self.first + number)
            number += workers

    def batch(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = np.empty((self.size, 3, *SIZE), np.uint8)
        truth = np.zeros((self.size, MOST, 5), np.float32)
        truth[..., 0] = -1  # no box
        for row in range(self.size):
            scene = make_scene("training", number * self.size + row)
            padded, scale = letterbox(scene.image, SIZE)
            images[row] = padded[:, :, ::-1].transpose(2, 0, 1)
            corner, size = scene.boxes[:, :2], scene.boxes[:, 2:]
            boxes = np.concatenate([corner + size / 2, size], 1) * scale
            truth[row, : len(boxes)] = np.column_stack([scene.labels, boxes])
        return torch.from_numpy(images), torch.from_numpy(truth)


def optimizer_for(model: nn.Module) -> torch.optim.Optimizer:
    """SGD as YOLOX has it: weight decay for the weights of convolutions alone."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": others}]
    return torch.optim.SGD(groups, lr=PEAK_RATE, momentum=0.9, nesterov=True)


def rate(progress: float) -> float:
    """The learning rate as a share of its peak, for progress from 0 to 1: a short rise, and half a cosine down."""
    rise = 0.05
    return progress / rise if progress < rise else 0.5 + 0.5 * math.cos(math.pi * (progress - rise) / (1 - rise))


class Training:
    """A network in training, its average (which is what is exported), and the state of its optimizer."""

    def __init__(self, device: str, seed: int) -> None:
        torch.manual_seed(seed)
        self.device = device
        self.model = Raw(yolox_nano()).to(device, memory_format=torch.channels_last).train()
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.num_batches_tracked = None  # nobody asks, and counting would be a hundred tiny kernels a step
        self.average = copy.deepcopy(self.model)
        self.kept, self.current = (list(network.state_dict().values()) for network in (self.average, self.model))
        self.optimizer = optimizer_for(self.model)
        self.batches = 0
        corners, self.strides = (torch.from_numpy(array).to(device) for array in grid(SIZE))
        self.cells = corners / self.strides

    def step(self, images: torch.Tensor, truth: torch.Tensor, peak: float) -> torch.Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = peak
        images = images.to(self.device, non_blocking=True).to(torch.float32, memory_format=torch.channels_last)
        truth = truth.to(self.device, non_blocking=True)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            raw = self.model(images)
        loss = yolox_loss(raw, truth, self.cells, self.strides[:, 0])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 20.0)
        self.optimizer.step()
        self.batches += 1
        self.update_average()
        return loss.detach()

    @torch.no_grad()
    def update_average(self) -> None:
        decay = min(0.999, (1 + self.batches) / (10 + self.batches))  # the first weights are soon forgotten
        get_ema_multi_avg_fn(decay)(self.kept, self.current, 0)

    def result(self) -> nn.Module:
        """Returns the averaged network as the package's own module."""
        network = yolox_nano()
        network.backbone, network.head = self.average.backbone, self.average.head
        return network

    def save(self, file: Path) -> None:
        parts = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimizer")}
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({**parts, "batches": self.batches}, file)

    def load(self, file: Path) -> None:
        state = torch.load(file, map_location=self.device, weights_only=True)
        for name in ("model", "average", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.batches = state["batches"]


def train(training: Training, minutes: float, batch: int, workers: int, peak: float) -> None:
    """Trains for so many minutes, counted from the first batch."""
    data = Batches(batch, training.batches)
    loader = DataLoader(data, None, num_workers=workers, pin_memory=training.device == "cuda", prefetch_factor=4)
    losses: list[torch.Tensor] = []
    start, seconds = None, minutes * 60
    with tqdm(total=round(seconds), desc="training", unit="s", mininterval=5) as bar:
        for images, truth in loader:
            start = start or time.perf_counter()
            elapsed = time.perf_counter() - start
            if elapsed >= seconds:
                break
            losses.append(training.step(images, truth, peak * rate(elapsed / seconds)))
            bar.update(int(elapsed) - bar.n)
            if len(losses) % 100 == 0:
                bar.set_postfix(batches=training.batches, loss=f"{torch.stack(losses[-100:]).mean().item():.3f}")
    print(f"{len(losses)} batches of {batch} scenes; loss {torch.stack(losses[-100:]).mean().item():.3f}")


def export(network: nn.Module, file: Path) -> None:
    """Writes a YOLOX as ONNX, checks it, and compares it with PyTorch for another batch, height and width."""
    import onnx
    import onnxruntime

    network.head.decode_in_inference = False  # decoding would bake one size into the graph
    network = network.cpu().to(memory_format=torch.contiguous_format).eval()
    file.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter is deprecated, but it writes opset 17 by itself
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, *SIZE),),
            file,
            input_names=["images"],
            output_names=["predictions"],
            dynamic_axes={"images": {0: "batch", 2: "height", 3: "width"}, "predictions": {0: "batch", 1: "anchors"}},
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.save(tidy(onnx.load(file), 5 + network.head.num_classes), file)
    onnx.checker.check_model(file, full_check=True)
    images = torch.randint(0, 256, (3, 3, 256, 416)).float()
    with torch.no_grad():
        expected = network(images).numpy()
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (predictions,) = session.run(["predictions"], {"images": images.numpy()})
    np.testing.assert_allclose(predictions, expected, rtol=1e-3, atol=1e-3)
    data = file.read_bytes()
    print(f"{file.name}: {len(data):,} bytes, SHA-256 {hashlib.sha256(data).hexdigest()[:16]}…")


def tidy(model: onnx.ModelProto, columns: int) -> onnx.ModelProto:
    """Returns the exported model with each shape that is computed on the way written down instead.

    ``flatten`` of any size is exported as Shape, Slice, Concat and Reshape; a Reshape to (0, columns, -1) is the same.
    """
    import onnx
    from onnxscript.optimizer import remove_unused_nodes

    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0, columns, -1]), "rows_of_cells"))
    for node in model.graph.node:
        if node.op_type == "Reshape":
            node.input[1] = "rows_of_cells"
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = columns
    remove_unused_nodes(model)
    del model.graph.value_info[:]
    return model


def evaluate(file: Path, count: int) -> None:
    """Prints the AP of an ONNX model on ``count`` fresh validation scenes and on those in data/scenes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def network(images: np.ndarray) -> dict[str, np.ndarray]:
        bar.update(len(images))
        return {"predictions": session.run(["predictions"], {"images": images})[0]}

    scenes = [make_scene("validation", number) for number in tqdm(range(count), "validation scenes", mininterval=5)]
    fresh = Scenes([scene.image for scene in scenes], coco(scenes, map(str, range(count))))
    for name, (images, truth) in {f"{count} validation scenes": fresh, "those in data/scenes": load_scenes()}.items():
        with tqdm(total=len(images), desc="finding", mininterval=5) as bar:
            found = find_all(network, images)
        ap, ap50 = average_precision(truth, found)
        boxes = sum(len(one.scores) for one in found)
        print(f"{name}: AP50 {ap50:.4f}, AP50-95 {ap:.4f}, {boxes / len(images):.0f} boxes a scene")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--batch", type=int, default=128, help="scenes in a batch")
    parser.add_argument("--rate", type=float, default=PEAK_RATE, help="highest learning rate")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="processes for scenes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", type=Path, help="go on from this file if it is there, and write it at the end")
    parser.add_argument("--out", type=Path, default=DATA, help="folder for yolox_nano.onnx")
    parser.add_argument("--scenes", type=int, default=500, help="validation scenes to measure the AP on")
    parser.add_argument("--evaluate", action="store_true", help="do not train; tell the AP of the model in --out")
    args = parser.parse_args()

    file = args.out / "yolox_nano.onnx"
    if not args.evaluate:
        torch.backends.cudnn.benchmark = True
        training = Training("cuda" if torch.cuda.is_available() else "cpu", args.seed)
        if args.checkpoint and args.checkpoint.exists():
            training.load(args.checkpoint)
        train(training, args.minutes, args.batch, args.workers, args.rate)
        if args.checkpoint:
            training.save(args.checkpoint)
        export(training.result(), file)
    evaluate(file, args.scenes)


if __name__ == "__main__":
    main()
