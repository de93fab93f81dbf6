"""DLPack read without a copy: here from arrays of the CPU, which have the same layout."""

import numpy as np
import pytest

from helpers.dlpack import array_interface, on_gpu


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i8", "i4", "i1", "u1", "c8"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 0, 4), (2, 3, 4)])
def test_numpy_arrays_are_described_as_numpy_describes_them(dtype, shape):
    array = np.ones(shape, dtype)
    told = array_interface(array, stream=None)
    assert told["data"][0] == array.__array_interface__["data"][0] or not array.size
    assert (told["shape"], told["typestr"]) == (shape, array.dtype.str)
    assert told["strides"] in (None, array.strides)


def test_strides_and_offset_of_a_view():
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    view = array[1:, ::2]
    told = array_interface(view, stream=None)
    assert told["data"][0] == array.ctypes.data + array.strides[0]
    assert told["strides"] == view.strides


def test_tensors_of_pytorch():
    torch = pytest.importorskip("torch")
    tensor = torch.arange(12, dtype=torch.float32).reshape(3, 4)[:, 1:]
    told = array_interface(tensor, stream=None)
    assert told["data"][0] == tensor.data_ptr()
    assert told["shape"] == (3, 3)
    assert told["strides"] == (16, 4)


def test_the_owner_keeps_the_memory():
    told = array_interface(np.full(1000, 7.0), stream=None)
    kept, capsule = told["owner"]
    assert (kept == 7).all()
    assert "dltensor" in repr(capsule)
    assert "used" not in repr(capsule)


def test_a_dtype_without_numpy_is_a_type_error():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="16 bits"):
        array_interface(torch.zeros(3, dtype=torch.bfloat16), stream=None)


def test_memory_of_the_cpu_is_not_the_gpus():
    assert not on_gpu(np.zeros(3))
    assert not on_gpu([1, 2, 3])
