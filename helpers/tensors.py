"""Describes the tensors of an engine, and checks arrays in host or device memory against that (chapter 07).

An array in device memory is anything that has ``__cuda_array_interface__`` or DLPack, which the end of this module
reads. Pure NumPy: everything but :func:`read_specs` works without a GPU.

>>> digits = TensorSpec("image", True, np.dtype("f4"), (-1, 28, 28), (1, 28, 28), (8, 28, 28))
>>> check_input(digits, np.zeros((9, 28, 28), np.float32))
Traceback (most recent call last):
ValueError: input 'image' has shape (9, 28, 28), outside the optimization profile's range (1, 28, 28) to (8, 28, 28)
"""

from __future__ import annotations

import ctypes
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .trt import trt


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of an engine.

    ``shape`` has -1 for every dynamic dimension. ``minimum`` and ``maximum`` are the range of the optimization profile;
    for a tensor without dynamic dimensions, and for outputs, they equal ``shape``.
    """

    name: str
    is_input: bool
    dtype: np.dtype
    shape: tuple[int, ...]
    minimum: tuple[int, ...]
    maximum: tuple[int, ...]

    def __str__(self) -> str:
        return f"{'input' if self.is_input else 'output'} {self.name!r} ({self.dtype} {self.shape})"


def read_specs(engine: trt.ICudaEngine, profile: int = 0) -> dict[str, TensorSpec]:
    """Returns the specs of all inputs and outputs by name, inputs first, with the ranges of one optimization profile.

    Raises ValueError for a profile that the engine does not have or a shape tensor (in host memory), and TypeError for
    a tensor whose dtype NumPy does not have.
    """
    if not hasattr(engine, "num_optimization_profiles"):
        raise TypeError(f"engine is {type(engine).__name__}: load_engine makes an engine of a plan")
    if not hasattr(profile, "__index__"):
        raise TypeError(f"profile={profile!r:.80}: give the number of an optimization profile, from 0")
    if not 0 <= profile < engine.num_optimization_profiles:
        raise ValueError(f"there is no profile {profile}; the engine has {engine.num_optimization_profiles}")
    specs = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        try:
            dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
        except TypeError as error:
            kind = engine.get_tensor_dtype(name)
            raise TypeError(f"tensor {name!r} is {kind}, which NumPy does not have: cast it in the network") from error
        if engine.is_shape_inference_io(name):
            raise ValueError(
                f"tensor {name!r} is a shape tensor, which these helpers do not support: make its values constants of "
                "the model, or run the engine by hand, with context.set_tensor_address(name, address in host memory)"
            )
        shape = minimum = maximum = tuple(engine.get_tensor_shape(name))
        if is_input and -1 in shape:
            minimum, _, maximum = (tuple(dims) for dims in engine.get_tensor_profile_shape(name, profile))
        specs.append(TensorSpec(name, is_input, dtype, shape, minimum, maximum))
    return {spec.name: spec for spec in sorted(specs, key=lambda spec: not spec.is_input)}


@dataclass(frozen=True)
class DeviceArray:
    """An array in device memory: its address ``pointer``, ``shape``, ``dtype``, the ``owner`` that keeps it alive, and
    whether it is ``readonly``.

    Wraps a bare address, say from cuda.bindings, as an object with ``__cuda_array_interface__``, which is what
    PyCUDA's GPUArray, CuPy and CUDA tensors of PyTorch already are.
    """

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype
    owner: Any = None
    readonly: bool = False

    @property
    def span(self) -> tuple[int, int]:
        """The addresses that it takes: the first, and the one behind the last."""
        return self.pointer, self.pointer + math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "data": (self.pointer, self.readonly),
            "shape": tuple(self.shape),
            "typestr": np.dtype(self.dtype).str,
            "strides": None,
            "version": 3,
        }


def device_interface(array: Any) -> dict[str, Any] | None:
    """Returns the ``__cuda_array_interface__`` of an array, which makes it anew each time; None for what has none."""
    try:
        return array.__cuda_array_interface__
    except AttributeError:
        return None


def device_array(array: Any) -> DeviceArray | None:
    """Returns the array in device memory behind ``__cuda_array_interface__`` or DLPack, without a copy; else None.

    Raises ValueError if it is strided, since an engine reads memory from one end to the other, or has no address, and
    TypeError if it has a mask, a dtype that NumPy does not have, or something else than integers as its shape.
    """
    interface = device_interface(array)
    if interface is not None:
        view = {"owner": array, **interface}
    elif on_device(array):
        view = array_interface(array)
    else:
        return None
    if view.get("mask") is not None:
        raise TypeError("it has a mask, which would be lost")
    shape, dtype, strides = tuple(map(operator.index, view["shape"])), np.dtype(view["typestr"]), view.get("strides")
    if strides is not None and 0 not in shape:
        packed = dtype.itemsize
        for size, stride in zip(reversed(shape), reversed(strides), strict=True):
            if size != 1 and stride != packed:
                raise ValueError("not contiguous in device memory: make a contiguous copy of it first")
            packed *= size
    pointer, readonly = view["data"]
    if not pointer and 0 not in shape:
        raise ValueError("its address is 0: was it freed?")
    return DeviceArray(pointer or 0, shape, dtype, view["owner"], readonly)


def check_names(specs: Mapping[str, TensorSpec], given: Mapping[str, Any]) -> None:
    """Raises KeyError unless exactly the engine's inputs are given."""
    inputs = [spec.name for spec in specs.values() if spec.is_input]
    for name in given:
        if name not in inputs:
            raise KeyError(f"the engine has no input {name!r}; its inputs are {', '.join(map(repr, inputs))}")
    for name in inputs:
        if name not in given:
            raise KeyError(f"input {name!r} is missing; got {', '.join(map(repr, given)) or 'nothing'}")


def check_input(spec: TensorSpec, array: Any) -> np.ndarray | DeviceArray:
    """Returns the array itself, or its DeviceArray, if the engine can read it as it is. NaN is a value like others.

    Raises TypeError for another dtype or for what is no array, ValueError for rank, shape, range and memory layout.
    Nothing is ever cast or copied in silence.
    """
    what = f"input {spec.name!r}"
    array = _as_array(what, array)
    if array.dtype != spec.dtype:
        raise TypeError(f"{what} is {array.dtype}, the engine takes {spec.dtype}: use .astype(np.{spec.dtype})")
    shape = tuple(array.shape)
    if len(shape) != len(spec.shape):
        raise ValueError(
            f"{what} has {len(shape)} dimensions {shape}, the engine takes {len(spec.shape)}: {spec.shape}"
        )
    if any(not low <= size <= high for low, size, high in zip(spec.minimum, shape, spec.maximum, strict=True)):
        if spec.minimum == spec.maximum:
            raise ValueError(f"{what} has shape {shape}, the engine takes {spec.shape}")
        raise ValueError(
            f"{what} has shape {shape}, outside the optimization profile's range {spec.minimum} to {spec.maximum}"
        )
    if isinstance(array, np.ndarray) and not array.flags.c_contiguous:
        raise ValueError(f"{what} is not contiguous: use np.ascontiguousarray(array)")
    return array


def check_output(spec: TensorSpec, shape: tuple[int, ...], array: Any) -> np.ndarray | DeviceArray:
    """Returns the array itself, or its DeviceArray, if the engine can write an output of this ``shape`` into it.

    Raises TypeError for another dtype or for what is no array, ValueError for another shape, for memory that is not
    contiguous, and for an array that cannot be written.
    """
    what = f"out[{spec.name!r}]"
    array = _as_array(what, array)
    if array.dtype != spec.dtype:
        raise TypeError(f"{what} is {array.dtype}, the engine gives {spec.dtype}")
    if tuple(array.shape) != shape:
        raise ValueError(f"{what} has shape {tuple(array.shape)}, this call gives {shape}")
    fits = array.flags.carray if isinstance(array, np.ndarray) else not array.readonly
    if not fits:
        raise ValueError(f"{what} must be contiguous and writeable")
    return array


def _as_array(what: str, array: Any) -> np.ndarray | DeviceArray:
    if type(array) is np.ndarray:
        return array
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{what} is a masked array, and the mask would be lost: use .filled(value)")
    if isinstance(array, np.ndarray):
        return array
    try:
        found = device_array(array)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
    except (TypeError, KeyError, RuntimeError, BufferError) as error:  # the last two: PyTorch, of one with gradients
        raise TypeError(f"{what}: {error}") from error
    if found is None:
        raise TypeError(f"{what} is a {type(array).__name__}; give a NumPy array or an array in GPU memory")
    return found


_CUDA, _CUDA_MANAGED = 2, 13  # DLPack's numbers for device memory, and for memory that host and device share
LEGACY_DEFAULT_STREAM = 1  # DLPack's number for it; streams made in the usual way wait for this one
_KINDS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}  # DLPack's type codes, as NumPy's letters


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


def on_device(array: Any) -> bool:
    """Returns True for an object that offers DLPack and says that it is in device memory."""
    return hasattr(array, "__dlpack_device__") and array.__dlpack_device__()[0] in (_CUDA, _CUDA_MANAGED)


def array_interface(array: Any, stream: int | None = LEGACY_DEFAULT_STREAM) -> dict[str, Any]:
    """Returns what ``__cuda_array_interface__`` would say of a DLPack array, and the ``owner`` that keeps it alive.

    The producer makes ``stream`` wait for whatever still fills the array; None for an array in host memory.
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
