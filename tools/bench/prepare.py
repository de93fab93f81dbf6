"""What the benchmark needs before it can time anything: weights, ONNX files, inputs with expected logits, and plans.

All of it goes into one folder and is used again the next time. Needs PyTorch, a CPU build is enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from helpers.builder import build_plan
from helpers.lenet import export_onnx
from helpers.onnx_parser import parse_onnx
from helpers.trt import has

from .networks import NETWORKS, settle

DATA = Path(__file__).resolve().parents[2] / "data"
SHAPES = {"LeNet": (1, 28, 28), "ResNet-50": (3, 224, 224)}
BATCHES = {"LeNet": (1, 64, 256), "ResNet-50": (1, 8, 32)}
PRECISIONS = ("float32", "float16")  # PyTorch's names


@dataclass(frozen=True)
class Case:
    """A network in a precision, run with one batch size on the images of the file ``data``."""

    network: str
    precision: str
    batch: int
    data: str

    def __str__(self) -> str:
        return f"{self.network} {self.precision} {self.batch}"


def cases(networks: Iterable[str] = NETWORKS) -> list[Case]:
    """All cases, those of one network and precision together."""
    return [
        Case(name, precision, batch, f"{name}-{precision}-{batch}.npz")
        for name in networks
        for precision in PRECISIONS
        for batch in BATCHES[name]
    ]


def write_network(folder: Path, name: str) -> None:
    """Weights as .npz, the network as .onnx in each precision, and per case the images and the logits in float32."""
    torch.manual_seed(0)
    network, images = NETWORKS[name](), _images(name)
    if name == "LeNet":
        with np.load(DATA / "lenet.npz") as file:
            weights = [torch.from_numpy(file[key]) for key in file.files]
        network.load_state_dict(dict(zip(network.state_dict(), weights, strict=True)))
    settle(network, images[:8])
    np.savez(folder / f"{name}.npz", **{key: value.numpy() for key, value in network.state_dict().items()})
    with torch.inference_mode():
        logits = network(images).numpy()
    for case in cases([name]):
        used = images[: case.batch].numpy().astype(case.precision)
        np.savez(folder / case.data, images=used, logits=logits[: case.batch])
    for precision in PRECISIONS:
        export_onnx(network.to(getattr(torch, precision)), folder / f"{name}-{precision}.onnx", SHAPES[name])


def _images(name: str) -> torch.Tensor:
    count = max(BATCHES[name])
    if name == "LeNet":
        with np.load(DATA / "mnist.npz") as file:
            return torch.from_numpy(file["test_images"][:count, None].astype(np.float32) / 255)
    return torch.rand(count, *SHAPES[name])


def write_plan(folder: Path, name: str, precision: str) -> float:
    """Builds the plan of a network unless it is there; the seconds that took."""
    path = folder / f"{name}-{precision}.plan"
    if path.exists():
        return 0.0
    low, best, high = ((batch, *SHAPES[name]) for batch in BATCHES[name])
    begin = perf_counter()
    plan = build_plan(
        parse_onnx(folder / f"{name}-{precision}.onnx"),
        profiles=[{"image": (low, best, high)}],
        flags=["FP16"] if precision == "float16" and has("weak_typing") else [],
        timing_cache=folder / f"{name}-{precision}.timings",
    )
    path.write_bytes(plan)
    return perf_counter() - begin


def load_case(folder: Path, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Images in the case's precision, and the expected logits in float32."""
    with np.load(folder / case.data) as file:
        return file["images"], file["logits"]
