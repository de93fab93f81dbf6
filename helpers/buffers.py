"""Device memory, page-locked host memory and streams over three libraries (chapter 07), and CUDA graphs (chapter 11).

``cuda()`` takes PyCUDA where it is installed, then cuda.bindings, then PyTorch; each is imported only when chosen.
All three work in the primary context of the GPU, which the CUDA runtime and so every other library uses too.
``capture()`` keeps what was enqueued on a stream as a CUDA graph; it needs cuda.bindings.

>>> sorted(BACKENDS)
['cuda_bindings', 'pycuda', 'torch']
"""

from __future__ import annotations

import ctypes
import functools
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from .tensors import DeviceArray
from .trt import MissingCapability, has, require


@functools.cache
def cuda(name: str | None = None, ordinal: int = 0) -> Cuda:
    """Returns the backend "pycuda", "cuda_bindings" or "torch", by default the first installed, for GPU ``ordinal``.

    Raises ValueError for another name, and MissingCapability if it is not installed or PyTorch sees no GPU.
    """
    if name is None:
        name = next((candidate for candidate in ("pycuda", "cuda_bindings") if has(candidate)), "torch")
    if name not in BACKENDS:
        raise ValueError(f"unknown backend {name!r}; there are {', '.join(BACKENDS)}")
    try:
        return BACKENDS[name](ordinal)
    except ImportError as error:
        raise MissingCapability(
            f"{name} is not installed: pip install pycuda (needs a C++ compiler and the CUDA headers) or cuda-bindings"
        ) from error


class Cuda(ABC):
    """A library for what running an engine needs of CUDA. In a ``with`` block, the GPU's primary context is current.

    Copies are asynchronous: until ``synchronize(stream)`` returns, neither side may be changed, read or freed. Every
    method raises RuntimeError, or the library's own error, where CUDA refuses.
    """

    name: str
    capturable = True  # whether what it enqueues may become part of a CUDA graph (:func:`capture`)

    def __enter__(self) -> Cuda:
        return self

    def __exit__(self, *exception) -> None:
        return None

    @abstractmethod
    def allocate(self, nbytes: int) -> DeviceMemory:
        """Allocates device memory. Raises MemoryError, naming the size, if there is not enough."""

    @abstractmethod
    def pinned(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Allocates a page-locked array in host memory, whose copies run at full speed and beside the host's own work.

        The array, and every view of it, keeps its memory alive. Raises MemoryError, or the library's own error.
        """

    @abstractmethod
    def stream(self) -> Any:
        """Makes a new stream."""

    @abstractmethod
    def handle(self, stream: Any) -> int:
        """Returns the stream's address, as ``execute_async_v3`` takes it."""

    def follow_caller(self, stream: Any) -> None:  # noqa: B027  (the streams of two backends do so by themselves)
        """Makes the stream wait for what the caller has enqueued so far, say to fill an input in device memory."""

    @abstractmethod
    def to_device(self, pointer: int, array: np.ndarray, stream: Any) -> None:
        """Enqueues a copy of the contiguous array to the device memory at the address ``pointer``."""

    @abstractmethod
    def to_host(self, array: np.ndarray, pointer: int, stream: Any) -> None:
        """Enqueues a copy from the device memory at the address ``pointer`` into the contiguous array."""

    @abstractmethod
    def synchronize(self, stream: Any) -> None:
        """Waits until all that was enqueued on the stream is done. Raises RuntimeError if any of it failed."""

    @abstractmethod
    def memory(self) -> tuple[int, int]:
        """Returns how much device memory is free, and how much there is in all, in bytes."""


class DeviceMemory:
    """``nbytes`` of device memory at the address ``pointer``, freed with this object or by :meth:`free`."""

    def __init__(self, pointer: int, nbytes: int, owner: Any):
        self.pointer, self.nbytes, self._owner = pointer, nbytes, owner

    def free(self) -> None:
        """Frees the memory, which nothing that is still enqueued may use; ``pointer`` is 0 from then on."""
        self._owner, self.pointer = None, 0


def capture(stream: int, enqueue: Callable[[], Any]) -> Graph:
    """Calls ``enqueue()``, which puts work on the stream with the address ``stream``, and returns that work as a Graph.

    Nothing runs yet. The context of the GPU has to be current, and ``enqueue`` must neither wait nor allocate.
    Raises CaptureError where something cannot be captured, MissingCapability without cuda.bindings, and whatever
    ``enqueue`` raises.
    """
    require("cuda_bindings")
    from cuda.bindings import runtime

    def call(function: str, *arguments: Any) -> Any:
        error, *results = getattr(runtime, function)(*arguments)
        if error != runtime.cudaError_t.cudaSuccess:
            runtime.cudaGetLastError()  # clears it, so that the next call of someone else does not report it
            raise CaptureError(f"{function}: {error.name}")
        return results[0] if results else None

    stream = runtime.cudaStream_t(stream)
    # Thread-local: what other threads do meanwhile, such as allocating memory, stays allowed.
    call("cudaStreamBeginCapture", stream, runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
    try:
        enqueue()
    except BaseException:
        _, graph = runtime.cudaStreamEndCapture(stream)
        if graph:
            runtime.cudaGraphDestroy(graph)
        runtime.cudaGetLastError()
        raise
    graph = call("cudaStreamEndCapture", stream)
    try:
        return Graph(call("cudaGraphInstantiate", graph, 0), stream)
    finally:
        runtime.cudaGraphDestroy(graph)


class Graph:
    """A captured piece of work that is ready to be launched; what CUDA keeps for it is freed with this object.

    It reads and writes the addresses that were in use when it was captured, so they have to stay allocated.
    """

    def __init__(self, executable: Any, stream: Any):
        from cuda.bindings import runtime

        self._launch, self._synchronize = runtime.cudaGraphLaunch, runtime.cudaStreamSynchronize
        self._executable, self._stream = executable, stream
        weakref.finalize(self, runtime.cudaGraphExecDestroy, executable)

    def launch(self) -> None:
        """Enqueues all of it on the stream that it was captured from. Raises RuntimeError if CUDA refuses."""
        (error,) = self._launch(self._executable, self._stream)
        if error:
            raise RuntimeError(f"CUDA: cudaGraphLaunch: {error.name}")

    def run(self) -> None:
        """Launches it and waits until all of the stream is done. Raises RuntimeError if any of it failed."""
        self.launch()
        (error,) = self._synchronize(self._stream)
        if error:
            raise RuntimeError(f"CUDA: cudaStreamSynchronize: {error.name}")


class CaptureError(RuntimeError):
    """Something that was enqueued cannot be part of a CUDA graph; nothing has run."""


class PyCuda(Cuda):
    """CUDA through PyCUDA."""

    name = "pycuda"

    def __init__(self, ordinal: int = 0):
        import pycuda.driver as driver

        driver.init()
        self._driver = driver
        self._context = driver.Device(ordinal).retain_primary_context()
        self._entered = threading.local()

    def __enter__(self) -> Cuda:
        # Pushed for each use, not once: a context left on PyCUDA's stack aborts the interpreter at its end,
        # and a stack belongs to one thread. Only the outermost use pushes, since each push costs microseconds.
        depth = getattr(self._entered, "depth", 0)
        if depth == 0:
            self._context.push()
        self._entered.depth = depth + 1
        return self

    def __exit__(self, *exception) -> None:
        self._entered.depth -= 1
        if self._entered.depth == 0:
            self._driver.Context.pop()

    def allocate(self, nbytes: int) -> DeviceMemory:
        try:
            memory = self._driver.mem_alloc(max(nbytes, 1))
        except self._driver.MemoryError as error:
            raise MemoryError(f"the GPU has no {nbytes:,} bytes left") from error
        return DeviceMemory(int(memory), nbytes, memory)

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return self._driver.pagelocked_empty(shape, dtype)

    def stream(self) -> Any:
        return self._driver.Stream()

    def handle(self, stream: Any) -> int:
        return stream.handle

    def to_device(self, pointer: int, array: np.ndarray, stream: Any) -> None:
        self._driver.memcpy_htod_async(pointer, array, stream)

    def to_host(self, array: np.ndarray, pointer: int, stream: Any) -> None:
        self._driver.memcpy_dtoh_async(array, pointer, stream)

    def synchronize(self, stream: Any) -> None:
        try:
            stream.synchronize()
        except self._driver.Error as error:
            raise RuntimeError(f"CUDA: {error}") from error

    def memory(self) -> tuple[int, int]:
        return self._driver.mem_get_info()


class CudaBindings(Cuda):
    """CUDA through cuda.bindings, NVIDIA's own Python bindings."""

    name = "cuda_bindings"

    def __init__(self, ordinal: int = 0):
        from cuda.bindings import runtime

        self._runtime = runtime
        self._ordinal = ordinal
        self._call("cudaSetDevice", ordinal)

    def _call(self, function: str, *arguments) -> Any:
        error, *results = getattr(self._runtime, function)(*arguments)
        if error == self._runtime.cudaError_t.cudaErrorMemoryAllocation:
            raise MemoryError(f"{function}{arguments}: {error.name}")
        if error != self._runtime.cudaError_t.cudaSuccess:
            raise RuntimeError(f"CUDA: {function}: {error.name}")
        return results[0] if len(results) == 1 else tuple(results)

    def __enter__(self) -> Cuda:
        self._call("cudaSetDevice", self._ordinal)  # per thread; makes the primary context current
        return self

    def allocate(self, nbytes: int) -> DeviceMemory:
        try:
            pointer = int(self._call("cudaMalloc", max(nbytes, 1)))
        except MemoryError as error:
            raise MemoryError(f"the GPU has no {nbytes:,} bytes left") from error
        owner = _Owner()
        weakref.finalize(owner, self._runtime.cudaFree, pointer)
        return DeviceMemory(pointer, nbytes, owner)

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        count = int(np.prod(shape, dtype=np.int64))
        nbytes = count * np.dtype(dtype).itemsize
        pointer = int(self._call("cudaMallocHost", max(nbytes, 1)))
        buffer: Any = (ctypes.c_byte * max(nbytes, 1)).from_address(pointer)
        weakref.finalize(buffer, self._runtime.cudaFreeHost, pointer)  # every view of the array holds the buffer
        return np.frombuffer(buffer, dtype, count).reshape(shape)

    def stream(self) -> Any:
        stream = self._call("cudaStreamCreate")
        owner = _Owner()
        owner.stream = stream
        weakref.finalize(owner, self._runtime.cudaStreamDestroy, stream)
        return owner

    def handle(self, stream: Any) -> int:
        return int(stream.stream)

    def to_device(self, pointer: int, array: np.ndarray, stream: Any) -> None:
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", pointer, array.ctypes.data, array.nbytes, kind, stream.stream)

    def to_host(self, array: np.ndarray, pointer: int, stream: Any) -> None:
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", array.ctypes.data, pointer, array.nbytes, kind, stream.stream)

    def synchronize(self, stream: Any) -> None:
        self._call("cudaStreamSynchronize", stream.stream)

    def memory(self) -> tuple[int, int]:
        return self._call("cudaMemGetInfo")


class Torch(Cuda):
    """CUDA through PyTorch: memory comes from its caching allocator."""

    name = "torch"
    capturable = False  # PyTorch captures for itself: its allocators must know of it

    def __init__(self, ordinal: int = 0):
        import torch

        if not torch.cuda.is_available():
            raise MissingCapability("this PyTorch was built without CUDA, or sees no GPU")
        self._torch = torch
        self._device = torch.device("cuda", ordinal)
        torch.zeros(1, device=self._device)  # creates the primary context

    def allocate(self, nbytes: int) -> DeviceMemory:
        torch = self._torch
        try:
            tensor = torch.empty(max(nbytes, 1), dtype=torch.uint8, device=self._device)
        except torch.OutOfMemoryError as error:
            raise MemoryError(f"the GPU has no {nbytes:,} bytes left") from error
        return DeviceMemory(tensor.data_ptr(), nbytes, tensor)

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        count = int(np.prod(shape, dtype=np.int64))
        raw = self._torch.empty(count * np.dtype(dtype).itemsize, dtype=self._torch.uint8, pin_memory=True)
        return raw.numpy().view(dtype).reshape(shape)

    def stream(self) -> Any:
        return self._torch.cuda.Stream(self._device)

    def handle(self, stream: Any) -> int:
        return stream.cuda_stream

    def follow_caller(self, stream: Any) -> None:
        stream.wait_stream(self._torch.cuda.current_stream(self._device))  # PyTorch's streams do not wait by themselves

    def to_device(self, pointer: int, array: np.ndarray, stream: Any) -> None:
        with self._torch.cuda.stream(stream):
            self._on_device(pointer, array.nbytes).copy_(self._on_host(array), non_blocking=True)

    def to_host(self, array: np.ndarray, pointer: int, stream: Any) -> None:
        with self._torch.cuda.stream(stream):
            self._on_host(array).copy_(self._on_device(pointer, array.nbytes), non_blocking=True)

    def _on_host(self, array: np.ndarray) -> Any:
        return self._torch.from_numpy(array.reshape(-1).view(np.uint8))

    def _on_device(self, pointer: int, nbytes: int) -> Any:
        return self._torch.as_tensor(DeviceArray(pointer, (nbytes,), np.dtype(np.uint8)), device=self._device)

    def synchronize(self, stream: Any) -> None:
        stream.synchronize()

    def memory(self) -> tuple[int, int]:
        return self._torch.cuda.mem_get_info(self._device)


class _Owner:
    """Something to attach a finalizer to."""

    stream: Any = None


BACKENDS: dict[str, Callable[[int], Cuda]] = {"pycuda": PyCuda, "cuda_bindings": CudaBindings, "torch": Torch}
