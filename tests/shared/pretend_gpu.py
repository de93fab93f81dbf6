"""A GPU and an engine that are pretended in NumPy, for what people and Runner do around them: no TensorRT, no CUDA.

``cuda`` has the names of ``pycuda.driver`` that chapter 07 uses. As on a GPU, what is put into a stream happens later:
when somebody waits for it, or at once if ``Stream.eager`` is true. A real GPU is anywhere in between, so code is right
if it is right with both. New memory holds NaN. Memory that was freed, or is too small, is an error for whoever waits.

The engine computes ``double`` = 2x and ``plus`` = x + shift, for ``x`` and ``shift`` of shape (1 to 8, 4); without the
input ``shift`` it is 0.
"""

import itertools
import math
import operator
import threading
import weakref
from collections import deque
from types import SimpleNamespace

import numpy as np

from helpers.buffers import PyCuda
from helpers.logger import get_logger
from helpers.tensors import DeviceArray
from helpers.trt import trt

INPUTS, OUTPUTS = ("x", "shift"), ("double", "plus")
TOTAL = 1 << 30  # bytes of GPU memory
PAGE = 0x1000
MEMORY: dict[int, np.ndarray] = {}  # what was allocated on the GPU: bytes by their address
PINNED: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()  # a GPU reaches these, too
STREAMS: weakref.WeakValueDictionary[int, "Stream"] = weakref.WeakValueDictionary()
_pages, _handles, _tickets = itertools.count(1), itertools.count(), itertools.count()
_current = threading.local()


class Error(Exception):
    """CUDA refuses something, or tells whoever waits that earlier work has failed."""


class OutOfMemory(Error):
    pass


def memory_at(address: int, nbytes: int) -> np.ndarray:
    """The bytes at an address of the GPU. Raises Error if they are not, or no longer, all of one allocation."""
    for begin, content in (*MEMORY.items(), *PINNED.items()):
        if begin <= address and address + nbytes <= begin + content.nbytes:
            return content[address - begin :][:nbytes]
    raise Error("an illegal memory access was encountered")


class Stream:
    """A queue of work. Like most streams it waits for the DEFAULT one, and that for it, unless ``follows`` is false."""

    eager = False

    def __init__(self, follows: bool = True):
        self.handle, self.follows = next(_handles), follows
        self.queue: deque = deque()
        self.capturing, self.error = False, None
        STREAMS[self.handle] = self

    def enqueue(self, work) -> None:
        self.queue.append((next(_tickets), work))
        if self.eager and not self.capturing:
            self.run()

    def wait_for(self, other: "Stream") -> None:
        """What comes now is done after all that is in the other stream by now."""
        ticket = next(_tickets)
        self.enqueue(lambda: other.run(before=ticket))

    def run(self, before: float = math.inf) -> None:
        """Does the work that has an earlier ticket, each piece after what it has to wait for in other streams."""
        while self.queue and self.queue[0][0] < before:
            ticket, work = self.queue.popleft()
            for other in self._followed():
                other.run(ticket)
            try:
                work()
            except Error as error:
                self.error = error
                self.queue.clear()

    def _followed(self) -> list["Stream"]:
        if self is DEFAULT:
            return [stream for stream in list(STREAMS.values()) if stream.follows and stream is not self]
        return [DEFAULT] if self.follows else []

    def synchronize(self) -> None:
        self.run()
        error, self.error = self.error, None
        if error is not None:
            raise error

    def is_done(self) -> bool:
        return not self.queue


DEFAULT = Stream()  # its handle is 0


class DeviceAllocation:
    """GPU memory; ``int()`` gives its address. It is freed with this object, or by ``free()``."""

    def __init__(self, nbytes: int):
        self._address = PAGE * next(_pages)
        for _ in range(nbytes // PAGE + 1):  # and a page that is nobody's
            next(_pages)
        MEMORY[self._address] = np.full(nbytes, 0xFF, np.uint8)
        self.free = weakref.finalize(self, MEMORY.pop, self._address)

    def __int__(self) -> int:
        return self._address


def mem_alloc(nbytes: int) -> DeviceAllocation:
    if nbytes > mem_get_info()[0]:
        raise OutOfMemory("cuMemAlloc failed: out of memory")
    return DeviceAllocation(nbytes)


def mem_get_info() -> tuple[int, int]:
    return TOTAL - sum(content.nbytes for content in MEMORY.values()), TOTAL


def pagelocked_empty(shape, dtype) -> np.ndarray:
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    content = np.full(max(nbytes, 1), 0xFF, np.uint8)
    PINNED[content.ctypes.data] = content
    return content[:nbytes].view(dtype).reshape(shape)


def memcpy_htod_async(there, here: np.ndarray, stream: Stream | None = None) -> None:
    _copy(int(there), here, stream or DEFAULT, to_host=False)


def memcpy_dtoh_async(here: np.ndarray, there, stream: Stream | None = None) -> None:
    _copy(int(there), here, stream or DEFAULT, to_host=True)


def memcpy_htod(there, here: np.ndarray) -> None:
    memcpy_htod_async(there, here)
    DEFAULT.synchronize()


def memcpy_dtoh(here: np.ndarray, there) -> None:
    memcpy_dtoh_async(here, there)
    DEFAULT.synchronize()


def _copy(there: int, array: np.ndarray, stream: Stream, to_host: bool) -> None:
    if not array.flags.c_contiguous:
        raise ValueError("ndarray is not contiguous")
    here = array.reshape(-1).view(np.uint8)
    memory_at(there, here.nbytes)  # a copy is refused at once

    def work() -> None:
        inside = memory_at(there, here.nbytes)
        if to_host:
            here[:] = inside
        else:
            inside[:] = here

    stream.enqueue(work)


class Context:
    """The primary context, which PyCUDA pushes onto a stack of the thread."""

    @staticmethod
    def push() -> None:
        _current.depth = getattr(_current, "depth", 0) + 1

    @staticmethod
    def pop() -> None:
        if not getattr(_current, "depth", 0):
            raise Error("cannot pop non-current context")
        _current.depth -= 1

    @staticmethod
    def synchronize() -> None:
        for stream in list(STREAMS.values()):
            stream.synchronize()


cuda = SimpleNamespace(
    Context=Context,
    DeviceAllocation=DeviceAllocation,
    Error=Error,
    MemoryError=OutOfMemory,
    Stream=Stream,
    mem_alloc=mem_alloc,
    mem_get_info=mem_get_info,
    memcpy_dtoh=memcpy_dtoh,
    memcpy_dtoh_async=memcpy_dtoh_async,
    memcpy_htod=memcpy_htod,
    memcpy_htod_async=memcpy_htod_async,
    pagelocked_empty=pagelocked_empty,
)


class PretendedCuda(PyCuda):
    """The backend for PyCUDA over the driver above; without ``follows`` its streams are like those of PyTorch."""

    name = "pretended"

    def __init__(self, follows: bool = True):
        self._driver, self._context, self._entered = cuda, Context, threading.local()
        self.capturable = self._follows = follows

    def stream(self):
        return Stream(self._follows)

    def follow_caller(self, stream):
        if not self._follows:
            stream.wait_for(DEFAULT)


class PretendedGraph:
    """What ``enqueue()`` puts into a stream, not done but kept, to be put there again."""

    def __init__(self, handle: int, enqueue):
        self._stream = stream = STREAMS[handle]
        before, stream.queue, stream.capturing = stream.queue, deque(), True
        try:
            enqueue()
            self._works = [work for _, work in stream.queue]
        finally:
            stream.queue, stream.capturing = before, False

    def launch(self) -> None:
        for work in self._works:
            self._stream.enqueue(work)

    def run(self) -> None:
        self.launch()
        try:
            self._stream.synchronize()
        except Error as error:
            raise RuntimeError(f"CUDA: {error}") from error


def on_gpu(array: np.ndarray) -> DeviceArray:
    """A copy of the array in GPU memory, which is freed with it."""
    array = np.ascontiguousarray(array)
    owner = mem_alloc(max(array.nbytes, 1))
    result = DeviceArray(int(owner), array.shape, array.dtype, owner)
    values(result)[...] = array
    return result


def values(array: DeviceArray) -> np.ndarray:
    """What lies there now, whatever is still to be done."""
    begin, end = array.span
    return memory_at(begin, end - begin).view(array.dtype).reshape(array.shape)


class PretendedEngine:
    num_optimization_profiles = 1

    def __init__(self, inputs=INPUTS, least=1):
        self.inputs, self.names = tuple(inputs), (*inputs, *OUTPUTS)
        self.num_io_tensors = len(self.names)
        self.range = (least, 4), (2, 4), (8, 4)
        self.contexts = 0

    def get_tensor_name(self, index):
        return self.names[index]

    def get_tensor_mode(self, name):
        return trt.TensorIOMode.INPUT if name in self.inputs else trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return trt.float32

    def is_shape_inference_io(self, name):
        return False

    def get_tensor_shape(self, name):
        return -1, 4

    def get_tensor_profile_shape(self, name, profile):
        return self.range

    def create_execution_context(self):
        self.contexts += 1
        return PretendedContext(self)


class PretendedContext:
    """Refuses as TensorRT does: by returning False, with the reason in the log."""

    def __init__(self, engine: PretendedEngine):
        self.engine, self.shapes, self.addresses, self.works = engine, {}, {}, True
        self.profile = 0 if engine.contexts == 1 else None  # 8.6 gives one to an engine's first context only

    def set_optimization_profile_async(self, profile, stream):
        self.profile = profile if profile == 0 else None
        return profile == 0 or _refuse(f"there is no profile {profile}")

    def set_input_shape(self, name, shape):
        low, _, high = self.engine.range
        if name not in self.engine.inputs:
            return _refuse(f"there is no input {name}")
        if len(shape) != 2 or not all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True)):
            return _refuse(f"{name}: {shape} is outside of the profile's range {low} to {high}")
        self.shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name):
        if name in self.engine.inputs:
            return self.shapes.get(name, (-1, 4))
        return self.shapes["x"] if len(self.shapes) == len(self.engine.inputs) else (-1, 4)

    def set_tensor_address(self, name, address):
        self.addresses[name] = operator.index(address)  # a DeviceAllocation is a TypeError: int(it) is the address
        return name in self.engine.names or _refuse(f"there is no tensor {name}")

    def execute_async_v3(self, handle):
        lacking = [name for name in self.engine.names if not self.addresses.get(name)]
        if self.profile is None:
            return _refuse("no optimization profile was chosen")
        if len(self.shapes) < len(self.engine.inputs):
            return _refuse("not all shapes of the inputs are set")
        if len(set(self.shapes.values())) > 1:
            return _refuse(f"the shapes do not fit each other: {self.shapes}")
        if lacking:
            return _refuse(f"these tensors have no address: {', '.join(lacking)}")
        if not self.works:
            return False
        shape, addresses = self.shapes["x"], dict(self.addresses)  # later changes are for the next run

        def array(name):
            return memory_at(addresses[name], 4 * math.prod(shape)).view(np.float32).reshape(shape)

        def work():  # one after the other: an output that lies over an input spoils it
            array("double")[...] = 2 * array("x")
            array("plus")[...] = array("x") + (array("shift") if "shift" in self.engine.inputs else 0)

        STREAMS[handle].enqueue(work)
        return True


def _refuse(why: str) -> bool:
    get_logger().log(trt.ILogger.Severity.ERROR, why)
    return False
