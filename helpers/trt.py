"""Chooses the TensorRT of this process and says what it can do: ``from helpers.trt import trt, has``.

Taught in chapter 00. This is the only module that knows about flavours and versions; everything else asks for a
named capability with :func:`has`. ``tensorrt`` is chosen where it can be used (it needs a GPU even to build), else
``tensorrt_rtx``, which builds plans on any CPU. The environment variable ``WORKBOOK_TENSORRT`` overrides the choice:
``tensorrt``, ``tensorrt_rtx``, ``tensorrt_lean`` or ``tensorrt_dispatch``.

>>> has("build") and not missing("build")
True
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from .device import gpus

FLAVOURS = ("tensorrt", "tensorrt_rtx", "tensorrt_lean", "tensorrt_dispatch")
VARIABLE = "WORKBOOK_TENSORRT"


class MissingCapability(RuntimeError):
    """This machine, or the TensorRT in use, lacks something; the message says what and where it can be had."""


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the parent package of a dotted name is missing
        return False


def _choose() -> str:
    wanted = os.environ.get(VARIABLE)
    if wanted:
        if wanted not in FLAVOURS:
            raise ImportError(f"{VARIABLE}={wanted!r} is not one of {', '.join(FLAVOURS)}")
        return wanted
    installed = [name for name in FLAVOURS if _installed(name)]
    if not installed:
        raise ImportError(
            "No TensorRT is installed. Without a GPU: pip install tensorrt-rtx (Linux and Windows); with one: "
            "pip install tensorrt. There is none for macOS: read the stored outputs of the notebooks there."
        )
    # The full library answers every call with CUDA error 35 where there is no GPU; RTX still builds there.
    if "tensorrt" in installed and (gpus() or "tensorrt_rtx" not in installed):
        return "tensorrt"
    return next(name for name in installed if name != "tensorrt")


FLAVOUR: str = _choose()
if TYPE_CHECKING:
    import tensorrt as trt
else:
    trt = importlib.import_module(FLAVOUR)
VERSION: str = trt.__version__


def _enum_has(owner: str, member: str) -> bool:
    return hasattr(getattr(trt, owner, None), member)


def _rtx() -> bool:
    return FLAVOUR == "tensorrt_rtx"


def _gpu() -> bool:
    if not gpus():
        return False
    if not _rtx():
        return True
    # RTX runs on the GPUs that it names as targets, and says no to data-centre chips such as the H100 (9.0).
    major, minor = gpus()[0].compute_capability
    return _enum_has("ComputeCapability", f"SM{major}{minor}")


def _version_compatible() -> bool:
    return not _rtx() and _enum_has("BuilderFlag", "VERSION_COMPATIBLE") and bool(gpus())


# name -> (test, what it means, where it can be had). Add a capability here; nothing else has to change.
CAPABILITIES: dict[str, tuple[Callable[[], bool], str, str]] = {
    "gpu": (_gpu, "run engines", "an NVIDIA GPU that this TensorRT supports"),
    "build": (
        lambda: hasattr(trt, "Builder") and (_rtx() or bool(gpus())),
        "build plans",
        "tensorrt_rtx on any machine, tensorrt on a GPU",
    ),
    "ahead_of_time": (
        lambda: hasattr(trt, "ComputeCapability"),
        "build for GPUs that are not in this machine",
        "tensorrt_rtx",
    ),
    "progress_monitor": (
        lambda: hasattr(trt, "IProgressMonitor"),
        "watch and cancel a build",
        "TensorRT 10 or later, and tensorrt_rtx",
    ),
    "weak_typing": (
        lambda: _enum_has("BuilderFlag", "FP16"),
        "let the builder choose precisions (BuilderFlag.FP16, INT8)",
        "TensorRT 8.6 and 10",
    ),
    "strong_typing": (
        lambda: _enum_has("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"),
        "take precisions from the network alone",
        "TensorRT 10 or later, and tensorrt_rtx",
    ),
    "version_compatible": (
        _version_compatible,
        "build plans that the next major version loads",
        "tensorrt on a GPU",
    ),
    "plugins": (
        lambda: _enum_has("INetworkDefinition", "add_plugin_v2"),
        "add layers of your own",
        "tensorrt (not tensorrt_rtx)",
    ),
    "timing_cache": (
        lambda: not _rtx(),
        "keep the timings of tactics for the next build",
        "tensorrt on a GPU",
    ),
    "pycuda": (
        lambda: _installed("pycuda"),
        "CUDA memory and streams through PyCUDA",
        "pip install pycuda (compiles)",
    ),
    "cuda_bindings": (
        lambda: _installed("cuda.bindings"),
        "CUDA through cuda.bindings",
        "pip install cuda-bindings",
    ),
}


def has(*names: str) -> bool:
    """True where this machine and TensorRT have all the named capabilities. Raises ValueError for an unknown name."""
    return not missing(*names)


def missing(*names: str) -> list[str]:
    """Those of the named capabilities that are not there, in the given order. Raises ValueError for an unknown name."""
    unknown = [name for name in names if name not in CAPABILITIES]
    if unknown:
        raise ValueError(f"unknown capability {', '.join(unknown)}; there are: {', '.join(CAPABILITIES)}")
    return [name for name in names if not CAPABILITIES[name][0]()]


def require(*names: str) -> None:
    """Raises :class:`MissingCapability`, which says where each can be had, unless all the capabilities are there."""
    lacking = missing(*names)
    if lacking:
        lines = [f"{name} (to {CAPABILITIES[name][1]}): needs {CAPABILITIES[name][2]}" for name in lacking]
        raise MissingCapability(f"{FLAVOUR} {VERSION} on this machine lacks " + "; ".join(lines))
