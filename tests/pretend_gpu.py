"""An engine and a GPU that are pretended in NumPy, for what Runner does around them: no TensorRT, no CUDA.

The engine computes ``double`` = 2x and ``plus`` = x + shift, for ``x`` and ``shift`` of shape (1 to 8, 4); without the
input ``shift`` it is 0.
"""

import itertools
import math

import numpy as np

from helpers.buffers import Cuda, DeviceMemory
from helpers.tensors import DeviceArray
from helpers.trt import trt

INPUTS, OUTPUTS = ("x", "shift"), ("double", "plus")
MEMORY: dict[int, np.ndarray] = {}  # bytes by their address
_addresses = itertools.count(0x1000, 0x1000)


def on_gpu(array: np.ndarray) -> DeviceArray:
    return DeviceArray(_store(array.reshape(-1).view(np.uint8).copy()), array.shape, array.dtype)


def values(array: DeviceArray) -> np.ndarray:
    return MEMORY[array.pointer].view(array.dtype).reshape(array.shape)


def _store(content: np.ndarray) -> int:
    pointer = next(_addresses)
    MEMORY[pointer] = content
    return pointer


class PretendedCuda(Cuda):
    name = "pretended"

    def allocate(self, nbytes):
        return DeviceMemory(_store(np.zeros(nbytes, np.uint8)), nbytes, None)

    def pinned(self, shape, dtype):
        return np.zeros(shape, dtype)

    def stream(self):
        return object()

    def handle(self, stream):
        return 1

    def to_device(self, pointer, array, stream):
        MEMORY[pointer][: array.nbytes] = array.reshape(-1).view(np.uint8)

    def to_host(self, array, pointer, stream):
        array.reshape(-1).view(np.uint8)[:] = MEMORY[pointer][: array.nbytes]

    def synchronize(self, stream):
        pass

    def memory(self):
        return 0, 0


class PretendedGraph:
    """Does again what was enqueued while it was captured."""

    def __init__(self, handle, enqueue):
        self.run = self.launch = enqueue


class PretendedContext:
    def __init__(self):
        self.shapes, self.addresses, self.works = {}, {}, True

    def set_optimization_profile_async(self, profile, stream):
        return True

    def set_input_shape(self, name, shape):
        self.shapes[name] = shape
        return True

    def get_tensor_shape(self, name):
        return self.shapes["x"]

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        def view(name):
            return MEMORY[self.addresses[name]][: 4 * math.prod(self.shapes["x"])].view(np.float32)

        shift = view("shift") if "shift" in self.shapes else 0
        view("double")[:], view("plus")[:] = 2 * view("x"), view("x") + shift
        return self.works


class PretendedEngine:
    num_optimization_profiles = 1

    def __init__(self, inputs=INPUTS):
        self.names = (*inputs, *OUTPUTS)
        self.num_io_tensors = len(self.names)

    def get_tensor_name(self, index):
        return self.names[index]

    def get_tensor_mode(self, name):
        return trt.TensorIOMode.INPUT if name in INPUTS else trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return trt.float32

    def is_shape_inference_io(self, name):
        return False

    def get_tensor_shape(self, name):
        return -1, 4

    def get_tensor_profile_shape(self, name, profile):
        return (1, 4), (2, 4), (8, 4)

    def create_execution_context(self):
        self.context = PretendedContext()
        return self.context
