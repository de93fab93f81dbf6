"""CUDA graphs: what was enqueued on a stream once, kept and launched again with a single call (chapter 11).

Needs cuda.bindings, since PyCUDA has no graphs; it captures streams of any library, given the stream's address.

>>> graph = capture(stream, lambda: context.execute_async_v3(stream))  # doctest: +SKIP
>>> graph.launch()  # doctest: +SKIP
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any


class CaptureError(RuntimeError):
    """Something that was enqueued cannot be part of a CUDA graph; nothing has run."""


class Graph:
    """A captured piece of work that is ready to be launched; its GPU memory is freed with this object.

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


def capture(stream: int, enqueue: Callable[[], Any]) -> Graph:
    """Calls ``enqueue()``, which puts work on the stream with the address ``stream``, and keeps that work as a Graph.

    Nothing runs yet. The context of the GPU has to be current, and ``enqueue`` must neither wait nor allocate.
    Raises CaptureError where something cannot be captured, and whatever ``enqueue`` raises.
    """
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
