"""The ways to run an engine that the benchmark compares: each takes an engine and images, and gives calls to time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from types import SimpleNamespace
from typing import Any

import numpy as np
import pycuda.driver as cuda
from cuda.bindings import runtime
from pycuda import gpuarray

from helpers.runner import Runner
from helpers.tensors import read_specs

from .timing import BUSY, in_turns


class ByHand:
    """What chapters 07 and 11 write: everything allocated before, page-locked memory, one stream, or a CUDA graph.

    ``out`` is the page-locked array that every call overwrites.
    """

    def __init__(self, engine: Any, images: np.ndarray):
        (name_in, _), (name_out, output) = read_specs(engine).items()
        self.images = images
        self.stream = cuda.Stream()
        self.context = engine.create_execution_context()
        self.context.set_optimization_profile_async(0, self.stream.handle)
        self.context.set_input_shape(name_in, images.shape)
        self.staging = cuda.pagelocked_empty(images.shape, images.dtype)
        self.out = cuda.pagelocked_empty(tuple(self.context.get_tensor_shape(name_out)), output.dtype)
        self.device_in, self.device_out = cuda.mem_alloc(images.nbytes), cuda.mem_alloc(self.out.nbytes)
        self.context.set_tensor_address(name_in, int(self.device_in))
        self.context.set_tensor_address(name_out, int(self.device_out))
        self.loop()
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.handle = runtime.cudaStream_t(self.stream.handle)
        runtime.cudaStreamBeginCapture(self.handle, mode)
        self._enqueue()
        _, graph = runtime.cudaStreamEndCapture(self.handle)
        _, self.graph = runtime.cudaGraphInstantiate(graph, 0)

    def _enqueue(self):
        cuda.memcpy_htod_async(self.device_in, self.staging, self.stream)
        self.context.execute_async_v3(self.stream.handle)
        cuda.memcpy_dtoh_async(self.out, self.device_out, self.stream)

    def loop(self) -> np.ndarray:
        self.staging[...] = self.images
        self._enqueue()
        self.stream.synchronize()
        return self.out

    def replay(self) -> np.ndarray:
        self.staging[...] = self.images
        runtime.cudaGraphLaunch(self.graph, self.handle)
        runtime.cudaStreamSynchronize(self.handle)
        return self.out

    def gpu(self):
        self.context.execute_async_v3(self.stream.handle)


def allocate_per_call(engine: Any, images: np.ndarray) -> Callable[[], np.ndarray]:
    """What most tutorials do in every call: allocate on the GPU, copy pageable memory, free."""
    (name_in, _), (name_out, output) = read_specs(engine).items()
    context, stream = engine.create_execution_context(), cuda.Stream()
    context.set_optimization_profile_async(0, stream.handle)

    def call():
        context.set_input_shape(name_in, images.shape)
        out = np.empty(tuple(context.get_tensor_shape(name_out)), output.dtype)
        device_in, device_out = cuda.mem_alloc(images.nbytes), cuda.mem_alloc(out.nbytes)
        context.set_tensor_address(name_in, int(device_in))
        context.set_tensor_address(name_out, int(device_out))
        cuda.memcpy_htod_async(device_in, images, stream)
        context.execute_async_v3(stream.handle)
        cuda.memcpy_dtoh_async(out, device_out, stream)
        stream.synchronize()
        return out

    return call


def runner_modes(run: Runner, plain: Runner, images: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """The Runner's modes host to host; ``plain`` is one without CUDA graphs."""
    (name_in,), (name_out,) = run._inputs, run._outputs
    mine = run({name_in: images})[name_out]
    return {
        "Runner": lambda: run({name_in: images})[name_out],
        "Runner, views": lambda: run({name_in: images}, views=True)[name_out],
        "Runner, out": lambda: run({name_in: images}, out={name_out: mine})[name_out],
        "Runner, no graphs": lambda: plain({name_in: images})[name_out],
    }


def python_cost(run: Runner, images: np.ndarray) -> float:
    """Microseconds of a Runner's call without its CUDA graph: the checks, and the copies of input and results."""
    (name_in,) = run._inputs
    run({name_in: images})
    call = run._last
    graph, call.graph = call.graph, SimpleNamespace(run=lambda: None)
    try:
        return in_turns({"call": lambda: run({name_in: images})})["call"]["median"]
    finally:
        call.graph = graph


def on_the_gpu(run: Runner, images: np.ndarray) -> Callable[[], Any]:
    """The Runner with input and outputs in GPU memory, not waited for."""
    (name_in,) = run._inputs
    there = gpuarray.to_gpu(images)
    out = {name: gpuarray.to_gpu(array) for name, array in run({name_in: images}).items()}
    return lambda: run.submit({name_in: there}, out=out)


def mapped(run: Runner, images: np.ndarray, streams: int, count: int) -> Callable[[], np.ndarray]:
    """``count`` batches through Runner.map, the last result."""

    def call():
        for result in run.map(repeat(images, count), streams=streams):
            last = result
        return last[run._outputs[0]]

    return call


def gpu_clock(enqueue: Callable[[], Any], stream: cuda.Stream) -> Callable[[], float]:
    """Measures one run: the microseconds between two events on the stream.

    The GPU is kept busy before the first event, so that it does not wait for Python in between.
    """
    begin, end = cuda.Event(), cuda.Event()
    busy = cuda.mem_alloc(BUSY)

    def once() -> float:
        cuda.memset_d32_async(busy, 0, BUSY // 4, stream)
        begin.record(stream)
        enqueue()
        end.record(stream)
        end.synchronize()
        return begin.time_till(end) * 1000

    for _ in range(3):
        enqueue()
    return once
