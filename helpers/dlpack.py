"""Arrays in GPU memory through DLPack, the exchange format of array libraries (chapter 11).

Read with ctypes and without a copy, so that no other array library is needed.
Layout: https://dmlc.github.io/dlpack/latest/c_api.html

>>> on_gpu(np.zeros(3))
False
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

CPU, CUDA, CUDA_HOST, CUDA_MANAGED = 1, 2, 3, 13
LEGACY_DEFAULT_STREAM = 1  # DLPack's number for it; streams made in the usual way wait for this one
_KINDS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def on_gpu(array: Any) -> bool:
    """True for an object that offers DLPack and says that its memory is the GPU's."""
    return hasattr(array, "__dlpack_device__") and array.__dlpack_device__()[0] in (CUDA, CUDA_MANAGED)


def array_interface(array: Any, stream: int | None = LEGACY_DEFAULT_STREAM) -> dict[str, Any]:
    """What ``__cuda_array_interface__`` would say of the array, with the ``owner`` that keeps the memory alive.

    The producer makes ``stream`` wait for whatever still fills the array; None for memory of the CPU.
    Raises TypeError for a dtype that NumPy does not have, such as bfloat16.
    """
    capsule = array.__dlpack__(stream=stream)
    # Not renamed to "used_dltensor": we only borrow the memory, and the capsule gives it back when it is collected.
    tensor = _Tensor.from_address(_pointer(capsule, b"dltensor"))
    if tensor.lanes != 1 or tensor.code not in _KINDS:
        raise TypeError(f"a DLPack array of type code {tensor.code} and {tensor.bits} bits has no dtype in NumPy")
    dtype = np.dtype(f"{_KINDS[tensor.code]}{tensor.bits // 8}")
    strides = tuple(tensor.strides[i] * dtype.itemsize for i in range(tensor.ndim)) if tensor.strides else None
    return {
        "data": ((tensor.data or 0) + tensor.byte_offset, False),
        "shape": tuple(tensor.shape[i] for i in range(tensor.ndim)),
        "typestr": dtype.str,
        "strides": strides,
        "version": 3,
        "owner": (array, capsule),
    }
