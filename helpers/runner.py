"""Runs an engine: NumPy in, NumPy out, with memory that is allocated once (chapter 07).

with Runner("lenet.plan") as run:
    logits = run(image=batch)["logits"]
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from .buffers import Cuda, cuda
from .engine import EngineError, load_engine
from .logger import get_logger
from .tensors import DeviceArray, check_input, check_names, check_output, read_specs
from .trt import trt


class Runner:
    """An engine with an execution context, a stream, and memory for the largest shapes of one optimization profile.

    ``plan`` is a file, the bytes of a plan, or an engine, which may be shared: one Runner per thread, all made from
    ``first.engine``, is how several threads run at once. ``specs`` maps the tensors' names to their TensorSpec.

    A call takes inputs by name, as keywords or as one mapping, and returns a dict of all outputs:

        run(image=batch)                               new arrays, the caller's to keep
        run(image=batch, views=True)                   views of the Runner's memory: the next call overwrites them
        run({"image": batch}, out={"logits": mine})    written into your arrays, which are also returned

    Inputs and ``out`` may be NumPy arrays or anything in GPU memory with ``__cuda_array_interface__``: the engine then
    reads and writes that memory itself, without a copy. Inputs must have the engine's dtype, and be contiguous.

    Raises KeyError (wrong name), TypeError (wrong dtype), ValueError (rank, shape, range, layout) before anything
    reaches the GPU, RuntimeError for a closed Runner or another thread's, and EngineError if TensorRT fails.
    """

    def __init__(
        self,
        plan: str | os.PathLike | bytes | trt.ICudaEngine,
        *,
        profile: int = 0,
        backend: str | Cuda | None = None,
        trusted: bool = False,
    ):
        self._cuda = backend if isinstance(backend, Cuda) else cuda(backend)
        self._thread = threading.get_ident()
        self._pending: Pending | None = None
        self._closed = False
        with self._cuda:
            self.engine = plan if isinstance(plan, trt.ICudaEngine) else load_engine(plan, trusted=trusted)
            self.specs = read_specs(self.engine, profile)
            self._outputs = [name for name, spec in self.specs.items() if not spec.is_input]
            self._stream = self._cuda.stream()
            self._handle = self._cuda.handle(self._stream)
            with get_logger().capture() as messages:
                self._context = self.engine.create_execution_context()
            if self._context is None:
                raise EngineError("no execution context could be created", messages)
            # Asked for even if it is the first: in 8.6 only an engine's first context gets a profile by itself.
            with get_logger().capture() as messages:
                chosen = self._context.set_optimization_profile_async(profile, self._handle)
            if not chosen:
                raise EngineError(f"profile {profile} could not be chosen; does another context use it?", messages)
            self._cuda.synchronize(self._stream)
            self._shapes: dict[str, tuple[int, ...]] = {}
            self._staging: dict[str, np.ndarray] = {}
            self._addresses: dict[str, int] = {}
            self._set_shapes({name: spec.maximum for name, spec in self.specs.items() if spec.is_input})
            self._device = {}
            self._host = {}
            for name, shape in self._shapes.items():
                nbytes = math.prod(shape) * self.specs[name].dtype.itemsize
                self._device[name] = self._cuda.allocate(nbytes)
                self._host[name] = self._cuda.pinned((max(nbytes, 1),), np.dtype(np.uint8))
            self._shape_staging()

    def __call__(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        out: Mapping[str, Any] | None = None,
        views: bool = False,
        **named: Any,
    ) -> dict[str, Any]:
        """Runs the engine once and waits for the results; see the class for what it takes and returns."""
        with self._cuda:
            return self._enqueue(inputs, named, out, views).result()

    def submit(
        self, inputs: Mapping[str, Any] | None = None, /, *, out: Mapping[str, Any] | None = None, **named: Any
    ) -> Pending:
        """Starts a run and returns at once: ``run.submit(image=batch).result()`` waits for it.

        NumPy inputs are copied before it returns. Arrays in GPU memory must stay as they are until ``result()``.
        The next call on the same Runner first completes this one, so that its result is never lost.
        """
        return self._enqueue(inputs, named, out, views=False)

    def _enqueue(self, inputs, named, out, views) -> Pending:
        self._check_thread()
        given = {**(inputs or {}), **named}
        check_names(self.specs, given)
        arrays = {name: check_input(self.specs[name], array) for name, array in given.items()}
        self._complete_pending()
        with self._cuda:
            if self._set_shapes({name: tuple(array.shape) for name, array in arrays.items()}):
                self._shape_staging()
            targets = self._targets(out or {})
            self._cuda.follow_caller(self._stream)
            for name, array in arrays.items():
                self._send(name, array)
            for name, target in targets.items():
                self._set_address(name, target.pointer if _on_gpu(target) else self._device[name].pointer)
            if not self._context.execute_async_v3(self._handle):
                raise EngineError("execute_async_v3 failed", list(get_logger().messages)[-5:])
            for name, target in targets.items():
                if not _on_gpu(target):
                    self._cuda.to_host(self._staging[name], self._device[name].pointer, self._stream)
        self._pending = Pending(self, targets, out or {}, views, given)
        return self._pending

    def _check_thread(self) -> None:
        if self._closed:
            raise RuntimeError("this Runner is closed: its GPU memory was freed")
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "this Runner belongs to the thread that made it. Make one in each thread; they can share the engine: "
                "Runner(first.engine)"
            )

    def _set_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """Tells the context the inputs' shapes and learns the outputs' from it; False if nothing has changed."""
        if self._shapes and all(self._shapes.get(name) == shape for name, shape in shapes.items()):
            return False
        for name, shape in shapes.items():
            with get_logger().capture() as messages:
                done = self._context.set_input_shape(name, shape)
            if not done:
                self._shapes = {}
                raise EngineError(f"input {name!r} was refused with shape {shape}", messages)
            self._shapes[name] = shape
        for name, spec in self.specs.items():
            if not spec.is_input:
                shape = tuple(self._context.get_tensor_shape(name))
                if min(shape, default=0) < 0:
                    raise ValueError(f"{spec}: its shape depends on the data, which this Runner does not support")
                self._shapes[name] = shape
        return True

    def _targets(self, out: Mapping[str, Any]) -> dict[str, np.ndarray | DeviceArray | None]:
        """Where each output goes: the caller's array, an array in GPU memory, or None for one that is made later."""
        for name in out:
            if name not in self._outputs:
                raise KeyError(f"out: the engine has no output {name!r}; it has {', '.join(map(repr, self._outputs))}")
        return {
            name: check_output(self.specs[name], self._shapes[name], out[name]) if name in out else None
            for name in self._outputs
        }

    def _send(self, name: str, array: np.ndarray | DeviceArray) -> None:
        if _on_gpu(array):
            self._set_address(name, array.pointer)
            return
        staging = self._staging[name]
        np.copyto(staging, array)
        self._cuda.to_device(self._device[name].pointer, staging, self._stream)
        self._set_address(name, self._device[name].pointer)

    def _shape_staging(self) -> None:
        """Views the page-locked memory of each tensor as an array of its present shape."""
        for name, shape in self._shapes.items():
            dtype = self.specs[name].dtype
            raw = self._host[name][: math.prod(shape) * dtype.itemsize]
            self._staging[name] = raw.view(dtype).reshape(shape)

    def _set_address(self, name: str, address: int) -> None:
        if self._addresses.get(name) != address:
            self._context.set_tensor_address(name, address)
            self._addresses[name] = address

    def _complete_pending(self) -> None:
        if self._pending is not None:
            self._pending._complete()

    def close(self) -> None:
        """Frees the GPU memory, the page-locked memory, the stream and the context; a second call does nothing."""
        if self._closed:
            return
        with self._cuda:
            self._complete_pending()
            self._closed = True
            # Views that the caller still holds keep their page-locked memory alive by themselves.
            self._device, self._host, self._staging, self._addresses = {}, {}, {}, {}
            self._context = None
            self.engine = None
            self._stream = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *exception) -> None:
        self.close()


def _on_gpu(array: np.ndarray | DeviceArray | None) -> bool:
    return isinstance(array, DeviceArray)


class Pending:
    """A run under way, from :meth:`Runner.submit`. ``result()`` waits and may be called as often as you like."""

    def __init__(self, runner: Runner, targets, out, views, inputs):
        self._runner = runner
        self._targets = targets
        self._out = out
        self._views = views
        self._inputs = inputs  # arrays in GPU memory have to live until the run is done
        self._result: dict[str, Any] | None = None
        self._error: BaseException | None = None

    def result(self) -> dict[str, Any]:
        """The outputs by name, once they are there. Raises RuntimeError if the run failed on the GPU."""
        if self._result is None and self._error is None:
            self._runner._check_thread()
            self._complete()
        if self._error is not None:
            raise self._error
        return self._result

    def _complete(self) -> None:
        runner, result = self._runner, {}
        if self._result is not None or self._error is not None:
            return
        try:
            with runner._cuda:
                runner._cuda.synchronize(runner._stream)
            for name, target in self._targets.items():
                if _on_gpu(target):
                    result[name] = self._out[name]
                elif target is not None:
                    np.copyto(target, runner._staging[name])
                    result[name] = target
                else:
                    result[name] = runner._staging[name] if self._views else runner._staging[name].copy()
            self._result = result
        except RuntimeError as error:
            self._error = error
        finally:
            runner._pending = None
            self._inputs = None
