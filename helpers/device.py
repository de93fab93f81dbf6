"""Asks the NVIDIA driver for its version and GPUs, through ctypes: no CUDA toolkit and no Python package is needed.

Used by ``helpers.trt`` to choose a TensorRT, by ``tensorrt-workbook doctor`` (chapter 00) and by the set-up,
which runs before anything is installed. Imports only the standard library.

>>> [gpu.name for gpu in gpus()]  # doctest: +SKIP
['NVIDIA H100 80GB HBM3']
>>> all(gpu.compute_capability >= (3, 5) for gpu in gpus())
True
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from dataclasses import dataclass

_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76  # CUdevice_attribute values in cuda.h


@dataclass(frozen=True)
class Gpu:
    """One CUDA device: its ``name``, ``compute_capability`` (major, minor) and ``memory`` in bytes."""

    name: str
    compute_capability: tuple[int, int]
    memory: int


@dataclass(frozen=True)
class Driver:
    """The NVIDIA driver: the newest CUDA version (major, minor) that it runs, and the GPUs that it shows."""

    cuda_version: tuple[int, int]
    gpus: tuple[Gpu, ...]


@functools.lru_cache(maxsize=1)
def driver() -> Driver | None:
    """Returns the NVIDIA driver of this machine, or None where there is none. Asks once per process."""
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    # Kernels are then loaded when they are first used, as CUDA does by itself since 12.2. TensorRT 8.6, made for an
    # older one, otherwise spends seconds and much device memory on all of its kernels. Read when CUDA is initialized.
    os.environ.setdefault("CUDA_MODULE_LOADING", "LAZY")
    version = ctypes.c_int()
    if cuda.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None
    cuda_version = (version.value // 1000, version.value % 1000 // 10)
    count = ctypes.c_int()
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return Driver(cuda_version, ())  # a driver without a usable device: CUDA_VISIBLE_DEVICES="" for one
    return Driver(cuda_version, tuple(_gpu(cuda, ordinal) for ordinal in range(count.value)))


def gpus() -> tuple[Gpu, ...]:
    """Returns the GPUs of this machine in CUDA's order; empty where there is no driver."""
    found = driver()
    return found.gpus if found else ()


def _gpu(cuda: ctypes.CDLL, ordinal: int) -> Gpu:
    device = ctypes.c_int()
    cuda.cuDeviceGet(ctypes.byref(device), ordinal)
    name = ctypes.create_string_buffer(256)
    cuda.cuDeviceGetName(name, len(name), device)
    memory = ctypes.c_size_t()
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), number, device)
        return value.value

    capability = attribute(_COMPUTE_CAPABILITY_MAJOR), attribute(_COMPUTE_CAPABILITY_MINOR)
    return Gpu(name.value.decode(errors="replace"), capability, memory.value)
