"""Chooses the TensorRT of this process and says what it can do: ``from helpers.trt import trt, has``.

Taught in chapter 00. Only this module knows flavours and versions; all others ask for a named capability with
:func:`has`, or whether a plan's maker fits (:func:`runs_plans_of`). ``tensorrt`` is chosen where it can be used (it
needs a GPU even to build), else ``tensorrt_rtx``, TensorRT for RTX, which builds plans on any CPU. The environment
variable ``WORKBOOK_TENSORRT`` overrides the choice: ``tensorrt``, ``tensorrt_rtx``, ``tensorrt_lean`` or
``tensorrt_dispatch``.

>>> has("build") and not missing("build")
True
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .device import gpus

# The flavours of TensorRT by their modules, in the order of choice, and as a reader is told of them.
NAMES = {
    "tensorrt": "TensorRT",
    "tensorrt_rtx": "TensorRT for RTX",
    "tensorrt_lean": "the lean runtime of TensorRT",
    "tensorrt_dispatch": "the dispatch runtime of TensorRT",
}
VARIABLE = "WORKBOOK_TENSORRT"


class MissingCapability(RuntimeError):
    """This machine, or the TensorRT in use, lacks something; the message says what and where it can be had."""


class Capability(NamedTuple):
    """Something that not every machine and TensorRT can do.

    ``is_there()`` finds out. ``purpose`` and ``where`` are for readers: what it is needed to do ("build plans"), and
    where it can be had ("tensorrt on a GPU").
    """

    is_there: Callable[[], bool]
    purpose: str
    where: str


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the parent package of a dotted name is missing
        return False


def _choose() -> str:
    wanted = os.environ.get(VARIABLE)
    if wanted:
        if wanted not in NAMES:
            raise ImportError(f"{VARIABLE}={wanted!r} is not one of {', '.join(NAMES)}")
        return wanted
    installed = [name for name in NAMES if _installed(name)]
    if not installed:
        raise ImportError(
            "No TensorRT is installed. Without a GPU: pip install tensorrt-rtx (Linux and Windows); with one: "
            "pip install tensorrt. There is none for macOS: read the stored outputs of the notebooks there."
        )
    # Without a GPU, the full library answers every call with CUDA error 35, and TensorRT for RTX builds all the same.
    if "tensorrt" in installed and (gpus() or "tensorrt_rtx" not in installed):
        return "tensorrt"
    return next(name for name in installed if name != "tensorrt")


FLAVOUR: str = _choose()
if TYPE_CHECKING:
    import tensorrt as trt
else:
    trt = importlib.import_module(FLAVOUR)
VERSION: str = trt.__version__
NAME: str = f"{NAMES[FLAVOUR]} {'.'.join(VERSION.split('.')[:3])}"  # for readers: "TensorRT for RTX 1.7.1"


def _enum_has(owner: str, member: str) -> bool:
    return hasattr(getattr(trt, owner, None), member)


def _rtx() -> bool:
    return FLAVOUR == "tensorrt_rtx"


def _gpu() -> bool:
    if not gpus():
        return False
    if not _rtx():
        return True
    # It runs on the GPUs that it names as targets, and says no to data-centre chips such as the H100 (9.0).
    major, minor = gpus()[0].compute_capability
    return _enum_has("ComputeCapability", f"SM{major}{minor}")


@functools.cache
def _imports(name: str) -> bool:
    """Whether a module can really be imported: some are there, beside a library that does not fit them."""
    if not _installed(name):
        return False
    try:
        importlib.import_module(name)
    except Exception:
        return False
    return True


def _version_compatible() -> bool:
    return not _rtx() and _enum_has("BuilderFlag", "VERSION_COMPATIBLE") and bool(gpus())


# Add a capability here; nothing else has to change.
CAPABILITIES: dict[str, Capability] = {
    "gpu": Capability(_gpu, "run engines", "an NVIDIA GPU that this TensorRT supports"),
    "build": Capability(
        lambda: hasattr(trt, "Builder") and (_rtx() or bool(gpus())),
        "build plans",
        "tensorrt_rtx on any machine, tensorrt on a GPU",
    ),
    "ahead_of_time": Capability(
        lambda: hasattr(trt, "ComputeCapability"),
        "build for GPUs that are not in this machine",
        "tensorrt_rtx",
    ),
    "progress_monitor": Capability(
        lambda: hasattr(trt, "IProgressMonitor"),
        "watch and cancel a build",
        "TensorRT 9.1 or later, and tensorrt_rtx",
    ),
    "weak_typing": Capability(
        lambda: _enum_has("BuilderFlag", "FP16"),
        "let the builder choose precisions (BuilderFlag.FP16, INT8)",
        "TensorRT 8.6 and 10",
    ),
    "strong_typing": Capability(
        lambda: _enum_has("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"),
        "take precisions from the network alone",
        "TensorRT 9.1 or later, and tensorrt_rtx",
    ),
    "version_compatible": Capability(
        _version_compatible,
        "build plans that the next major version loads",
        "tensorrt on a GPU",
    ),
    "plugins": Capability(
        lambda: _enum_has("INetworkDefinition", "add_plugin_v2"),
        "add layers of your own",
        "tensorrt (not tensorrt_rtx)",
    ),
    "timing_cache": Capability(
        lambda: not _rtx(),
        "keep the timings of tactics for the next build",
        "tensorrt on a GPU",
    ),
    "pycuda": Capability(
        lambda: _installed("pycuda"),
        "CUDA memory and streams through PyCUDA",
        "pip install pycuda (compiles)",
    ),
    "cuda_bindings": Capability(
        lambda: _installed("cuda.bindings"),
        "CUDA through cuda.bindings",
        "pip install cuda-bindings",
    ),
    "yolox": Capability(
        lambda: _imports("yolox.config"),
        "make and export a YOLOX with PyTorch",
        "pip install pixeltable-yolox (beside a torchvision that fits PyTorch)",
    ),
}


def has(*names: str) -> bool:
    """Returns True where this machine and TensorRT have all the named capabilities.

    Raises ValueError for an unknown name.
    """
    return not missing(*names)


def missing(*names: str) -> list[str]:
    """Returns the named capabilities that are missing, in the given order. Raises ValueError for an unknown name."""
    unknown = [name for name in names if name not in CAPABILITIES]
    if unknown:
        raise ValueError(f"unknown capability {', '.join(unknown)}; there are: {', '.join(CAPABILITIES)}")
    return [name for name in names if not CAPABILITIES[name].is_there()]


def require(*names: str) -> None:
    """Raises :class:`MissingCapability`, which says where each can be had, unless no capability is missing.

    Raises ValueError for an unknown name.
    """
    lacking = {name: CAPABILITIES[name] for name in missing(*names)}
    if lacking:
        lines = [f"{name} (to {what.purpose}): needs {what.where}" for name, what in lacking.items()]
        raise MissingCapability(f"{FLAVOUR} {VERSION} on this machine lacks " + "; ".join(lines))


def runs_plans_of(flavour: str) -> bool:
    """Returns whether this TensorRT runs plans of ``flavour``: its own, or "tensorrt" for lean and dispatch ones."""
    return flavour == ("tensorrt" if runs_other_versions() else FLAVOUR)


def runs_other_versions() -> bool:
    """Returns whether this TensorRT runs plans of other versions: lean and dispatch runtimes judge for themselves."""
    return FLAVOUR in ("tensorrt_lean", "tensorrt_dispatch")


def is_this_version(version: str, numbers: int | None = None) -> bool:
    """Returns whether a version, such as "8.6.1", is that of this TensorRT: in all, or in its first ``numbers``."""
    return version.split(".")[:numbers] == VERSION.split(".")[:numbers]
