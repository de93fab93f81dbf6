"""Runs an engine: NumPy in, NumPy out, with memory that is allocated once (chapter 07), and fast (chapter 11).

A :class:`Runner` remembers each combination of shapes and addresses as a :class:`Call`, which is checked once and then
repeated, as a CUDA graph where that can be. :class:`Pending` is a run that was started and not yet waited for.

>>> with Runner("lenet.plan") as run:  # doctest: +SKIP
...     logits = run(image=batch)["logits"]
"""

from __future__ import annotations

import ctypes
import logging
import math
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import numpy as np

from .buffers import CaptureError, Cuda, Graph, capture, cuda
from .engine import EngineError, load_engine
from .logger import errors, get_logger
from .tensors import DeviceArray, TensorSpec, check_input, check_names, check_output, device_interface, read_specs
from .trt import has, require, trt

_log = logging.getLogger(__name__)


class Runner:
    """An engine with an execution context, a stream, and memory for the largest shapes of one optimization profile.

    ``plan`` is a file, the bytes of a plan, or an engine, which may be shared: one Runner per thread, all made from
    ``first.engine``, is how several threads run at once. ``specs`` maps the tensors' names to their TensorSpec, and
    ``stream`` is the backend's stream on which all of it happens.

    A call takes inputs by name, as keywords or as one mapping, or the array itself where there is only one input, and
    returns a dict of all outputs:

        run(image=batch)                               new arrays, the caller's to keep
        run(image=batch, views=True)                   views of the Runner's memory: the next call overwrites them
        run({"image": batch}, out={"logits": mine})    written into your arrays, which are also returned

    Inputs and ``out`` may be NumPy arrays, or arrays in device memory with ``__cuda_array_interface__`` or DLPack. The
    engine reads and writes device memory itself, without a copy, in the order of CUDA's default stream (with PyTorch as
    the backend: its current stream); what another stream still fills, wait for first. Inputs must have the engine's
    dtype, and be contiguous.

    Outputs that would overwrite each other are refused: arrays in ``out`` that overlap each other or what
    ``views=True`` has returned for another output. So is an output that overlaps an input in device memory. A NumPy
    array may be input and ``out`` at once, and a view an input: inputs are copied before a run, ``out`` after it.

    A call that comes again, with the same shapes and device addresses, is captured as a CUDA graph and launched from
    then on. ``graphs`` says how many different calls are remembered; 0 switches graphs off. They need
    cuda.bindings; without it, and with PyTorch as the backend, calls are enqueued one operation at a time. So are those
    of an engine with a truth value or a whole number as an input, since it may decide what is computed: TensorRT 8.6
    captures such a call, and the graph keeps the decision.

    Making one raises what :func:`helpers.engine.load_engine` and :func:`helpers.tensors.read_specs` raise, MemoryError,
    and MissingCapability where there is no GPU, or no backend. A call raises KeyError (wrong name), TypeError (wrong
    dtype) or ValueError (rank, shape, range, layout, overlap) before anything reaches the GPU; RuntimeError for a
    closed Runner, for another thread's, and if the run fails on the GPU; and EngineError if TensorRT fails.
    """

    def __init__(
        self,
        plan: str | os.PathLike | bytes | trt.ICudaEngine,
        *,
        profile: int = 0,
        backend: str | Cuda | None = None,
        trusted: bool = False,
        graphs: int = 8,
    ):
        if not isinstance(backend, Cuda):
            require("gpu")  # before anything is said about what is not installed to use it
        self._cuda = backend if isinstance(backend, Cuda) else cuda(backend)
        self._thread, self._owner = threading.get_ident(), threading.current_thread()
        self._profile = profile
        self._graphs = graphs if self._cuda.capturable and has("cuda_bindings") else 0
        self._calls: OrderedDict[tuple, Call] = OrderedDict()
        self._lanes: list[Runner] = []
        self._last: Call | None = None
        self._pending: Pending | None = None
        self._closed = False
        with self._cuda:
            self.engine = plan if isinstance(plan, trt.ICudaEngine) else load_engine(plan, trusted=trusted)
            self.specs = read_specs(self.engine, profile)
            if any(_decides(spec) for spec in self.specs.values()):
                self._graphs = 0
            self._inputs = [name for name, spec in self.specs.items() if spec.is_input]
            self._outputs = [name for name, spec in self.specs.items() if not spec.is_input]
            self.stream = self._cuda.stream()
            self._handle = self._cuda.handle(self.stream)
            self._context = self._new_context()
            self._shapes: dict[str, tuple[int, ...]] = {}
            self._addresses: dict[str, int] = {}
            self._set_shapes({name: self.specs[name].maximum for name in self._inputs})
            self._device, self._host = {}, {}
            for name, shape in self._shapes.items():
                nbytes = math.prod(shape) * self.specs[name].dtype.itemsize
                self._device[name] = self._cuda.allocate(nbytes)
                self._host[name] = self._cuda.pinned((max(nbytes, 1),), np.dtype(np.uint8))
            self._cuda.follow_caller(self.stream)  # the memory may be what the caller has just given back

    def __call__(
        self,
        inputs: Any = None,
        /,
        *,
        out: Mapping[str, Any] | None = None,
        views: bool = False,
        **named: Any,
    ) -> dict[str, Any]:
        """Runs the engine once and waits for the results; see the class for what it takes and returns."""
        given, call = self._begin(inputs, named, out)
        if call is not None and call.graph is not None:  # the path that has to be fast
            call.stage(given)
            try:
                call.graph.run()
            except RuntimeError:  # perhaps another context than the graph's is current in this thread
                with self._cuda:
                    call.graph.run()
        else:
            with self._cuda:
                call = self._start(call, given, out)
                self._cuda.synchronize(self.stream)
        return call.results(out, views)

    def submit(self, inputs: Any = None, /, *, out: Mapping[str, Any] | None = None, **named: Any) -> Pending:
        """Starts a run and returns at once: ``run.submit(image=batch).result()`` waits for it.

        NumPy inputs are copied before it returns. Arrays in device memory must stay as they are until ``result()``.
        The next call on the same Runner first completes this one, so that its result is never lost.
        Raises what a call raises.
        """
        given, call = self._begin(inputs, named, out)
        with self._cuda:
            self._pending = Pending(self, self._start(call, given, out), out, given)
        return self._pending

    def map(self, batches: Iterable[Any], *, streams: int = 2) -> Iterator[dict[str, Any]]:
        """Runs batch after batch and yields the results in order, with copies and computing side by side.

        Each batch is a mapping of inputs by name, or the array itself where there is only one input. While the GPU
        computes one batch on one of the ``streams``, the next is copied; each further stream has a context and memory
        of its own, kept for the next ``map``. Raises ValueError for fewer than one stream, and what a call raises.
        """
        if streams < 1:
            raise ValueError(f"streams={streams}: at least one is needed")
        self._check_usable()
        while len(self._lanes) < streams - 1:
            self._lanes.append(Runner(self.engine, profile=self._profile, backend=self._cuda, graphs=self._graphs))
        return _in_turns([self, *self._lanes[: streams - 1]], batches)

    def close(self) -> None:
        """Frees the device memory, the page-locked memory, the stream and the context; a second call does nothing.

        Raises RuntimeError in another thread than the one that made it, which may have a run under way, unless that
        thread has ended. A Runner that nobody closes is freed with the last reference to it, in any thread.
        """
        if self._closed:
            return
        if threading.get_ident() != self._thread and self._owner.is_alive():
            raise RuntimeError("this Runner belongs to the thread that made it: close it there, or when that has ended")
        for lane in self._lanes:
            lane.close()
        with self._cuda:
            if self._pending is not None:
                self._pending.complete()
            self._closed = True
            # Views that the caller still holds keep their page-locked memory alive by themselves.
            self._calls.clear()
            self._last = None
            self._device, self._host, self._addresses = {}, {}, {}
            nothing: Any = None  # as long as it is open, both are there
            self._context = self.engine = nothing
            self.stream = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _new_context(self) -> trt.IExecutionContext:
        with get_logger().capture() as messages:
            context = self.engine.create_execution_context()
        if context is None:
            raise EngineError("no execution context could be created", messages)
        # Asked for even if it is the first: in 8.6 only an engine's first context gets a profile by itself.
        with get_logger().capture() as messages:
            chosen = context.set_optimization_profile_async(self._profile, self._handle)
        if not chosen:
            raise EngineError(f"profile {self._profile} could not be chosen; does another context use it?", messages)
        self._cuda.synchronize(self.stream)
        return context

    def _begin(
        self, inputs: Any, named: Mapping[str, Any], out: Mapping[str, Any] | None
    ) -> tuple[Mapping[str, Any], Call | None]:
        """Begins every call: returns its inputs by name, and the remembered call if there is one.

        Refuses a closed Runner or another thread, and completes what is still under way.
        """
        given = named if inputs is None else self._by_name(inputs, named)
        self._check_usable()
        if self._pending is not None:
            self._pending.complete()
        return given, self._remembered(given, out)

    def _by_name(self, inputs: Any, named: Mapping[str, Any]) -> Mapping[str, Any]:
        if not isinstance(inputs, Mapping):
            if len(self._inputs) != 1:
                raise TypeError(f"the engine has {len(self._inputs)} inputs: give a mapping from name to array")
            inputs = {self._inputs[0]: inputs}
        return {**inputs, **named} if named else inputs

    def _check_usable(self) -> None:
        if self._closed:
            raise RuntimeError("this Runner is closed: its GPU memory was freed")
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "this Runner belongs to the thread that made it. Make one in each thread; they can share the engine: "
                "Runner(first.engine)"
            )

    def _remembered(self, given: Mapping[str, Any], out: Mapping[str, Any] | None) -> Call | None:
        """Returns the remembered call that takes these arrays as they are: the last, one with these shapes, or None."""
        if self._last is not None and self._last.takes(given, out):
            return self._last
        try:
            call = self._calls.get(tuple((name, array.shape) for name, array in given.items()))
        except AttributeError:
            return None
        if call is None or not call.takes(given, out):
            return None
        self._last = call
        return call

    def _start(self, call: Call | None, given: Mapping[str, Any], out: Mapping[str, Any] | None) -> Call:
        """Lets the GPU begin, with the call of :meth:`_remembered` or one made after a thorough check."""
        call = call or self._prepare(given, out or {})
        if call.borrowed:
            self._cuda.follow_caller(self.stream)
        call.stage(given)
        if call.graph is not None:
            call.graph.launch()
        else:
            self._enqueue(call)
            self._capture(call)
        return call

    def _prepare(self, given: Mapping[str, Any], out: Mapping[str, Any]) -> Call:
        """Checks inputs and ``out`` thoroughly, and remembers the call that they make."""
        check_names(self.specs, given)
        arrays = {name: check_input(self.specs[name], array) for name, array in given.items()}
        self._set_shapes({name: tuple(array.shape) for name, array in arrays.items()})
        for name in out:
            if name not in self._outputs:
                raise KeyError(f"out: the engine has no output {name!r}; it has {', '.join(map(repr, self._outputs))}")
            arrays[name] = check_output(self.specs[name], self._shapes[name], out[name])
        borrowed = {name: array for name, array in arrays.items() if isinstance(array, DeviceArray)}
        # Arrays of NumPy in `out` are written after the run, so they make no difference to the call.
        key = (
            *((name, tuple(arrays[name].shape)) for name in given),
            *((name, array.pointer) for name, array in borrowed.items()),
        )
        call = self._calls.get(key) or self._new_call(borrowed)
        self._check_apart(call, borrowed, out)
        call.borrowed = {name: device_interface(given.get(name, out.get(name))) for name in borrowed}
        self._calls[key] = self._last = call
        self._calls.move_to_end(key)
        while len(self._calls) > max(self._graphs, 1):
            self._calls.popitem(last=False)
        return call

    def _check_apart(self, call: Call, borrowed: Mapping[str, DeviceArray], out: Mapping[str, Any]) -> None:
        """Raises ValueError where one result would overwrite another, or an input that the engine still reads."""
        lost = call.lost(out)
        spans = [(name, *array.span) for name, array in borrowed.items()]
        for name, begin, end in spans:
            for other, low, high in (*spans, *call.written) if name in self._outputs else ():
                if other != name and max(begin, low) < min(end, high):
                    lost = name, other
        if lost and lost[1] in self._inputs:
            raise ValueError(
                f"out[{lost[0]!r}] overlaps input {lost[1]!r} in device memory, and the engine may write there before "
                "it has read everything: give another array"
            )
        if lost:
            raise ValueError(
                f"outputs {lost[0]!r} and {lost[1]!r} would overwrite each other: give arrays in `out` that overlap "
                "neither each other nor what views=True has returned"
            )

    def _new_call(self, borrowed: Mapping[str, DeviceArray]) -> Call:
        """Returns a call for the shapes that the context now has, with some tensors in device memory of the caller."""
        views = {}
        for name, shape in self._shapes.items():
            if name not in borrowed:
                dtype = self.specs[name].dtype
                views[name] = self._host[name][: math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
        return Call(
            shapes={name: self._shapes[name] for name in self._inputs},
            # The address of an empty array may be 0, which TensorRT refuses.
            addresses={n: (n in borrowed and borrowed[n].pointer) or own.pointer for n, own in self._device.items()},
            staged={name: views[name] for name in self._inputs if name in views},
            fetched={name: views.get(name) for name in self._outputs},
            direct=[(name, *borrowed[name].span) for name in self._outputs if name in borrowed],
        )

    def _enqueue(self, call: Call) -> None:
        """Enqueues copies to the device, inference and copies back to the host on the Runner's stream."""
        self._set_shapes(call.shapes)
        for name, address in call.addresses.items():
            if self._addresses.get(name) != address:
                self._context.set_tensor_address(name, address)
                self._addresses[name] = address
        for name, staging in call.staged.items():
            self._cuda.to_device(call.addresses[name], staging, self.stream)
        with get_logger().capture() as messages:
            done = self._context.execute_async_v3(self._handle)
        if not done:
            raise EngineError("execute_async_v3 failed", messages)
        for name, staging in call.fetched.items():
            if staging is not None:
                self._cuda.to_host(staging, call.addresses[name], self.stream)

    def _capture(self, call: Call) -> None:
        """Keeps a call as a graph the second time: it has just been enqueued, so TensorRT has nothing to set up."""
        call.seen += 1
        if call.seen < 2 or not self._graphs:
            return
        with get_logger().capture(quiet=True) as messages:
            try:
                call.graph = capture(self._handle, lambda: self._enqueue(call))
            except (CaptureError, EngineError) as error:
                self._graphs = 0  # an engine with loops or conditions, say; it runs all the same
                reason = next(iter(errors(messages)), error)
                _log.info("calls are enqueued one by one, since they cannot be captured as a CUDA graph: %s", reason)

    def _set_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Tells the context the inputs' shapes, unless it knows, and learns the outputs' from it."""
        if self._shapes and all(self._shapes.get(name) == shape for name, shape in shapes.items()):
            return
        for name, shape in shapes.items():
            with get_logger().capture() as messages:
                done = self._context.set_input_shape(name, shape)
            if not done:
                self._shapes = {}
                raise EngineError(f"input {name!r} was refused with shape {shape}", messages)
            self._shapes[name] = shape
        for name in self._outputs:
            shape = tuple(self._context.get_tensor_shape(name))
            if min(shape, default=0) < 0:
                raise ValueError(
                    f"{self.specs[name]}: its shape depends on the data, which this Runner does not support"
                )
            self._shapes[name] = shape


class Pending:
    """A run under way, from :meth:`Runner.submit`. ``result()`` waits and may be called as often as you like."""

    def __init__(self, runner: Runner, call: Call, out: Mapping[str, Any] | None, inputs: Mapping[str, Any]):
        self._runner, self._call, self._out = runner, call, out
        self._inputs: Mapping[str, Any] | None = inputs  # arrays in device memory have to live until the run is done
        self._done = False
        self._result: dict[str, Any] = {}
        self._error: Exception | None = None

    def result(self) -> dict[str, Any]:
        """Waits for the run and returns the outputs by name.

        Until then arrays in device memory and those in ``out`` must stay as they are, and the latter writeable. Raises
        RuntimeError if the run failed on the GPU or another thread submitted it, and ValueError if an array in ``out``
        has become read-only.
        """
        if not self._done and threading.get_ident() != self._runner._thread:
            raise RuntimeError("this run belongs to the thread that submitted it: ask for its result there")
        self.complete()
        if self._error is not None:
            raise self._error
        return self._result

    def complete(self) -> None:
        """Waits for the run, in its own thread, and keeps the outputs or the error for :meth:`result`."""
        if self._done:
            return
        runner = self._runner
        try:
            with runner._cuda:
                runner._cuda.synchronize(runner.stream)
            self._result = self._call.results(self._out)
        except Exception as error:  # an array in `out` may be read-only by now; result() tells, not the next call
            self._error = error
        # Not after Ctrl-C: the run goes on, and whoever comes next waits for it.
        self._done, self._inputs, runner._pending = True, None, None


def _decides(spec: TensorSpec) -> bool:
    """Says whether an input may be the condition of an If, or how often a Loop turns: one value, and no float."""
    return spec.is_input and spec.dtype.kind in "biu" and math.prod(spec.maximum) <= 1


def _in_turns(lanes: list[Runner], batches: Iterable[Any]) -> Iterator[dict[str, Any]]:
    waiting: deque[Pending] = deque()
    for lane, batch in zip(cycle(lanes), batches):
        if len(waiting) == len(lanes):
            yield waiting.popleft().result()
        waiting.append(lane.submit(batch))
    while waiting:
        yield waiting.popleft().result()


# An array's address, several times faster than array.ctypes.data, for arrays that are contiguous and writeable.
_addressof, _memory = ctypes.addressof, (ctypes.c_char * 0).from_buffer


@dataclass
class Call:
    """One combination of shapes and device addresses, ready to be repeated."""

    shapes: dict[str, tuple[int, ...]]  # of the inputs
    addresses: dict[str, int]  # of all tensors in device memory
    staged: dict[str, np.ndarray]  # inputs that are NumPy's: page-locked memory of their shape
    fetched: dict[str, Any]  # outputs: page-locked memory, an array; None: the caller's device memory
    borrowed: dict[str, Any] = field(default_factory=dict)  # what the caller's arrays in device memory say
    direct: list[tuple[str, int, int]] = field(default_factory=list)  # its outputs: from which address up to which
    seen: int = 0
    graph: Graph | None = None

    def __post_init__(self) -> None:
        self._expected = [(name, array.shape, array.dtype, array) for name, array in self.staged.items()]
        self.written = self.direct.copy()  # where the run puts its outputs
        for name, array in self.fetched.items():
            if array is not None:
                begin = _addressof(_memory(array))
                self.written.append((name, begin, begin + array.nbytes))

    def takes(self, given: Mapping[str, Any], out: Mapping[str, Any] | None) -> bool:
        """Returns whether these are the call's arrays: NumPy's with its names, shapes and dtypes, and contiguous, or in
        device memory, at the same place and described as before. Must be cheap: every call begins with this."""
        if len(given) != len(self.shapes):
            return False
        for name, shape, dtype, _ in self._expected:
            array = given.get(name)
            if type(array) is not np.ndarray or array.shape != shape or array.dtype != dtype:
                return False
            if not array.flags.c_contiguous:
                return False
        for name, array in out.items() if out else ():
            if name not in self.fetched:
                return False
            staging = self.fetched[name]
            if staging is None:  # in device memory: compared below
                continue
            if type(array) is not np.ndarray or not array.flags.carray:
                return False
            if array.dtype != staging.dtype or array.shape != staging.shape:
                return False
        for name, described in self.borrowed.items():
            if not _is_as(described, given.get(name) if name in self.shapes else (out or {}).get(name)):
                return False
        return not out or len(self.fetched) < 2 or self.lost(out) is None

    def lost(self, out: Mapping[str, Any]) -> tuple[str, str] | None:
        """Returns two outputs of which one would overwrite the other, where the run puts them or in ``out``; or None.

        Nothing else can get lost: NumPy inputs are copied before a run, and NumPy outputs after it.
        """
        taken = self.written.copy()
        for name, array in out.items():
            if self.fetched[name] is not None:
                begin = _addressof(_memory(array))
                end = begin + array.nbytes
                for other, low, high in taken:
                    if low < end and begin < high and other != name and begin < end and low < high:
                        return name, other
                taken.append((name, begin, end))
        return None

    def stage(self, given: Mapping[str, Any]) -> None:
        """Copies the inputs into page-locked memory."""
        for name, _, _, staging in self._expected:
            staging[...] = given[name]

    def results(self, out: Mapping[str, Any] | None, views: bool = False) -> dict[str, Any]:
        """Returns the outputs of the run that has just ended, in arrays of the caller unless ``views``."""
        result: dict[str, Any] = {}
        for name, staging in self.fetched.items():
            array = out.get(name) if out else None
            if array is None:
                array = staging if views else staging.copy()
            elif staging is not None:
                array[...] = staging
            result[name] = array
        return result


def _is_as(described: Mapping[str, Any] | None, array: Any) -> bool:
    try:
        return described is not None and described == device_interface(array)
    except (TypeError, ValueError, RuntimeError):  # the thorough check will say what is wrong with it
        return False
