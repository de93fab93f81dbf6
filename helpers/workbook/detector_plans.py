"""The plans of chapter 13's detector, built once and found again: ``detector_plan("fp16")`` (chapter 13).

``python -m helpers.workbook.detector_plans NAME ...`` builds them beforehand, with a line for each; without a name it
lists them. On a GPU with TensorRT 8.6 one takes about 90 seconds, so build several in processes side by side. They are
kept in the user's cache, or in the folder that the environment variable ``WORKBOOK_PLANS`` names. What lies there
counts as built here, so it has to be a folder of your own. Chapters that are recorded or tested have an empty cache of
their own: of plans built before, they find only those of such a folder.

>>> sorted(NETWORKS)[:3]
['fp16', 'fp16-letterbox-nms', 'fp16-uint8']
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .. import trust
from ..builder import BuildError, BuildOptions, build_plan
from ..detector_graph import with_efficient_nms, with_letterbox, with_uint8_input
from ..logger import get_logger
from ..onnx_parser import OnnxParseError, parse_onnx
from ..plan import load_plan, plain_options, save_plan
from ..plan_cache import PlanCache
from ..trt import MissingCapability, has, require, trt
from .scenes import FOLDER, SIZE, load_scenes, prepare

if TYPE_CHECKING:
    import onnx

VARIABLE = "WORKBOOK_PLANS"
MODEL = FOLDER.parent / "yolox_nano.onnx"
BATCHES = 1, 1, 16  # smallest, best and largest batch of an optimization profile
PICTURES = (32, 32), (360, 480), (1080, 1920)  # the same of height and width, where the network letterboxes


class Network(NamedTuple):
    """A way to build the detector: its ``types`` (FP32, TF32, FP16, INT8), its ``input`` and whether ``nms`` is inside.

    ``input`` is "images", float32 (N, 3, 320, 320) as ``to_input`` makes it; "pictures", uint8 (N, 320, 320, 3)
    letterboxed; or "picture", one uint8 (height, width, 3) of any size.
    """

    types: str
    input: str = "images"
    nms: bool = False


NETWORKS = {
    "fp32": Network("FP32"),
    "tf32": Network("TF32"),
    "fp16": Network("FP16"),
    "int8": Network("INT8"),  # all but the head
    "fp16-uint8": Network("FP16", "pictures"),
    "fp16-uint8-nms": Network("FP16", "pictures", nms=True),
    "fp16-letterbox-nms": Network("FP16", "picture", nms=True),
}


def detector_plan(name: str) -> bytes:
    """Returns the plan of a network by its name in ``NETWORKS``: kept, or built and kept.

    Raises ValueError for another name, MissingCapability where this TensorRT cannot build it, and what ``build_plan``
    raises.
    """
    network = _network(name)
    require("build", *(["plugins"] if network.nms else []))
    if network.nms:
        load_plugins()  # a runtime needs them too
    options = build_options(name)
    told = {"network": name, "made by": _digest(), "options": plain_options(options)}

    def build() -> bytes:
        return build_plan(parse_onnx(detector_model(name).SerializeToString(), name), options)

    if VARIABLE not in os.environ:
        return PlanCache().get_or_build(MODEL, told, build)
    path = Path(os.environ[VARIABLE]) / f"{name}-{PlanCache().key(MODEL, told)[:16]}.plan"
    if not path.exists():
        save_plan(path, build(), options=told)
    plan = load_plan(path, trusted=True)
    trust.remember(plan)
    return plan


def buildable() -> list[str]:
    """Returns the names of ``NETWORKS`` that this TensorRT can build on this machine."""
    return [name for name, network in NETWORKS.items() if has("build") and (has("plugins") or not network.nms)]


def load_plugins() -> None:
    """Registers NVIDIA's plugins, such as EfficientNMS_TRT: before parsing, and before loading a plan that has them."""
    trt.init_libnvinfer_plugins(get_logger(), "")


def detector_model(name: str) -> onnx.ModelProto:
    """Returns the ONNX model of a network. FP16 is in it only where types are an order and no permission (chapter 10).

    Raises ValueError for another name.
    """
    import onnx

    network = _network(name)
    model = onnx.load(MODEL)
    if network.types == "INT8":
        model = quantized_model(model, keep=head(model))
    elif network.types == "FP16" and not has("weak_typing"):
        from ..precision import to_fp16

        model = to_fp16(model)
    if network.nms:
        model = with_efficient_nms(model, SIZE)
    if network.input == "pictures":
        model = with_uint8_input(model)
    if network.input == "picture":
        model = with_letterbox(model, SIZE)
    return model


def quantized_model(model: onnx.ModelProto, keep: Sequence[str] = ()) -> onnx.ModelProto:
    """Returns the model in INT8, calibrated on the calibration scenes, but for the nodes in ``keep``."""
    from ..precision import quantize

    return quantize(model, [{"images": prepare(picture)[0]} for picture in load_scenes("calibration").pictures], keep)


def head(model: onnx.ModelProto) -> list[str]:
    """Returns the names of the nodes of YOLOX's head: those that make boxes and scores of what the rest has seen."""
    return [node.name for node in model.graph.node if node.name.startswith("/head/")]


def build_options(name: str) -> BuildOptions:
    """Returns the options that a network is built with here. Raises ValueError for another name."""
    network = _network(name)
    asked: dict[str, tuple[str, ...]] = {"FP16": ("FP16",), "INT8": ("FP16", "INT8")}
    low, best, high = (
        {"images": (n, 3, *SIZE), "pictures": (n, *SIZE, 3), "picture": (*size, 3)}[network.input]
        for n, size in zip(BATCHES, PICTURES, strict=True)
    )
    return BuildOptions(
        profiles=({network.input: (low, best, high)},),
        flags=asked.get(network.types, ()) if has("weak_typing") else (),
        clear_flags=("TF32",) if network.types == "FP32" else (),
        # Its many small convolutions make a longer search for kernels very long. cuBLAS and cuDNN have none for it.
        optimization_level=0 if has("timing_cache") else None,
        tactic_sources=() if has("timing_cache") else None,
    )


def _network(name: str) -> Network:
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}; there are {', '.join(NETWORKS)}")
    return NETWORKS[name]


def _digest() -> str:
    """The SHA-256 of all that makes a model out of MODEL: code and calibration scenes."""
    here = Path(__file__).resolve().parent
    names = ("detector.py", "detector_graph.py", "fp16.py", "onnx_graphs.py", "precision.py")
    files = [Path(__file__), *(here.parent / name for name in names), *sorted(FOLDER.glob("calibration*"))]
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds the named networks; returns 1 if one of them could not be built."""
    parser = argparse.ArgumentParser(description="Builds plans of chapter 13's detector, and keeps them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NETWORKS))
    names = parser.parse_args(arguments).names
    unknown = sorted(set(names) - set(NETWORKS))
    if unknown:
        parser.error(f"there is no network {', '.join(unknown)}; there are {', '.join(NETWORKS)}")
    failed = 0
    for name in names:
        begin, said = time.perf_counter(), ""
        try:
            said = f"{len(detector_plan(name)):,} bytes"
        except (BuildError, OnnxParseError, MissingCapability) as error:
            failed, said = 1, f"FAILED: {error}"
        print(f"{name}: {said} in {time.perf_counter() - begin:.1f} s", flush=True)
    if not names:
        print("\n".join(f"{name}{'' if name in buildable() else '  (not with this TensorRT)'}" for name in NETWORKS))
    return failed


if __name__ == "__main__":
    sys.exit(main())
