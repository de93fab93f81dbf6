"""The checks before anything reaches the GPU: pure NumPy, so they are tested everywhere."""

from types import SimpleNamespace

import numpy as np
import pytest

from helpers.tensors import (
    DeviceArray,
    TensorSpec,
    array_interface,
    check_input,
    check_names,
    check_output,
    device_array,
    on_device,
    read_specs,
)

FLOAT = np.dtype(np.float32)
IMAGE = TensorSpec("image", True, FLOAT, (-1, 1, 28, 28), (1, 1, 28, 28), (256, 1, 28, 28))
FIXED = TensorSpec("fixed", True, FLOAT, (2, 3), (2, 3), (2, 3))
LOGITS = TensorSpec("logits", False, FLOAT, (-1, 10), (-1, 10), (-1, 10))
SPECS = {spec.name: spec for spec in (IMAGE, LOGITS)}


def digits(batch=4, dtype=np.float32):
    return np.zeros((batch, 1, 28, 28), dtype)


@pytest.mark.parametrize("batch", [1, 7, 256])
def test_what_fits_is_passed_on_untouched(batch):
    array = digits(batch)
    assert check_input(IMAGE, array) is array


def test_nan_and_infinity_are_values():
    array = digits()
    array[0], array[1] = np.nan, np.inf
    assert check_input(IMAGE, array) is array


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (
            digits(dtype=np.float64),
            TypeError,
            r"float64, the engine takes float32: use .astype\(np.float32\)",
        ),
        (digits(dtype=np.uint8), TypeError, "uint8"),
        ([[0.0]], TypeError, "'image' is a list; give a NumPy array"),
        (np.ma.masked_array(digits()), TypeError, "'image' is a masked array, and the mask would be lost"),
        (None, TypeError, "NoneType"),
        (np.zeros((28, 28), np.float32), ValueError, r"'image' has 2 dimensions \(28, 28\), the engine takes 4"),
        (digits(0), ValueError, r"range \(1, 1, 28, 28\) to \(256, 1, 28, 28\)"),
        (digits(257), ValueError, "outside the optimization profile's range"),
        (np.zeros((4, 3, 28, 28), np.float32), ValueError, "outside"),
        (digits(8)[::2], ValueError, r"'image' is not contiguous: use np.ascontiguousarray"),
        (np.asfortranarray(np.zeros((4, 1, 28, 28), np.float32)), ValueError, "not contiguous"),
    ],
)
def test_every_bad_input_is_named(array, error, message):
    with pytest.raises(error, match=message):
        check_input(IMAGE, array)


def test_a_fixed_shape_is_not_called_a_range():
    with pytest.raises(ValueError, match=r"shape \(3, 3\), the engine takes \(2, 3\)"):
        check_input(FIXED, np.zeros((3, 3), np.float32))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"img": 0}, "no input 'img'; its inputs are 'image'"),
        ({}, "'image' is missing; got nothing"),
        ({"image": 0, "logits": 0}, "no input 'logits'"),
    ],
)
def test_names(given, message):
    with pytest.raises(KeyError, match=message):
        check_names(SPECS, given)


def test_names_that_fit():
    check_names(SPECS, {"image": 0})


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.zeros((4, 10)), TypeError, "float64, the engine gives float32"),
        (np.zeros((5, 10), np.float32), ValueError, r"shape \(5, 10\), this call gives \(4, 10\)"),
        (np.zeros((10, 4), np.float32).T, ValueError, "contiguous and writeable"),
        ("x", TypeError, "is a str"),
    ],
)
def test_out_is_checked(array, error, message):
    with pytest.raises(error, match=message):
        check_output(LOGITS, (4, 10), array)


def test_out_that_fits_and_out_that_is_read_only():
    array = np.zeros((4, 10), np.float32)
    assert check_output(LOGITS, (4, 10), array) is array
    array.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        check_output(LOGITS, (4, 10), array)


class FakeGpuArray:
    """Has the interface of an array in device memory; nothing here reads the memory behind it."""

    def __init__(self, shape, dtype=np.float32, strides=None, readonly=False):
        self.__cuda_array_interface__ = {
            "data": (4096, readonly),
            "shape": shape,
            "typestr": np.dtype(dtype).str,
            "strides": strides,
            "version": 3,
        }


def test_arrays_in_gpu_memory_are_checked_alike():
    array = FakeGpuArray((4, 1, 28, 28))
    view = check_input(IMAGE, array)
    assert isinstance(view, DeviceArray)
    assert view.pointer == 4096
    assert view.owner is array
    with pytest.raises(TypeError, match="float64"):
        check_input(IMAGE, FakeGpuArray((4, 1, 28, 28), np.float64))
    with pytest.raises(ValueError, match="outside"):
        check_input(IMAGE, FakeGpuArray((400, 1, 28, 28)))


def test_gpu_memory_that_is_read_only_is_no_place_for_an_output():
    assert check_output(LOGITS, (4, 10), FakeGpuArray((4, 10))).pointer == 4096
    assert check_input(IMAGE, FakeGpuArray((4, 1, 28, 28), readonly=True)).readonly
    with pytest.raises(ValueError, match=r"out\['logits'\] must be contiguous and writeable"):
        check_output(LOGITS, (4, 10), FakeGpuArray((4, 10), readonly=True))
    with pytest.raises(ValueError, match="writeable"):
        check_output(LOGITS, (4, 10), DeviceArray(4096, (4, 10), FLOAT, readonly=True))


@pytest.mark.parametrize("error", [RuntimeError, BufferError, KeyError, TypeError])
def test_an_array_that_does_not_give_its_memory_away_is_named(error):
    class Refusing:
        @property
        def __cuda_array_interface__(self):
            raise error("it requires grad")

    with pytest.raises(TypeError, match="input 'image': .*it requires grad"):
        check_input(IMAGE, Refusing())


def test_strided_gpu_memory_is_refused_and_explicit_packed_strides_are_fine():
    with pytest.raises(ValueError, match="not contiguous in device memory"):
        device_array(FakeGpuArray((4, 10), strides=(80, 4)))
    assert device_array(FakeGpuArray((4, 10), strides=(40, 4))).shape == (4, 10)
    assert device_array(FakeGpuArray((1, 10), strides=(999, 4))).shape == (1, 10)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"mask": np.zeros(3)}, TypeError, "'image': it has a mask, which would be lost"),
        ({"shape": (4.0, 1, 28, 28)}, TypeError, "'image': .*float"),
        ({"shape": "4111"}, TypeError, "'image': .*str"),
        ({"shape": (-4, 1, 28, 28)}, ValueError, "outside"),
        ({"data": (0, False)}, ValueError, "'image': its address is 0: was it freed"),
        ({"data": (None, False)}, ValueError, "'image': its address is 0"),
        ({"data": None}, TypeError, "'image': "),
        ({"typestr": "zz"}, TypeError, "'image': "),
    ],
)
def test_gpu_arrays_that_say_nonsense_of_themselves_are_refused(change, error, message):
    array = FakeGpuArray((4, 1, 28, 28))
    array.__cuda_array_interface__ |= change
    with pytest.raises(error, match=message):
        check_input(IMAGE, array)


def test_an_empty_gpu_array_needs_no_address():
    array = FakeGpuArray((0, 10))
    array.__cuda_array_interface__ |= {"data": (None, False)}
    assert device_array(array).span == (0, 0)


def test_the_addresses_of_an_array():
    assert DeviceArray(4096, (2, 5), FLOAT).span == (4096, 4096 + 40)
    assert DeviceArray(4096, (0, 5), FLOAT).span == (4096, 4096)
    assert DeviceArray(4096, (), np.float64).span == (4096, 4104)


def test_a_bare_address_becomes_an_array():
    again = device_array(DeviceArray(1 << 20, (2, 5), FLOAT))
    assert (again.pointer, again.shape, again.dtype) == (1 << 20, (2, 5), FLOAT)


def test_what_is_not_in_gpu_memory_is_none():
    torch = pytest.importorskip("torch")
    for array in (np.zeros(3), torch.zeros(3), [1], None):
        assert device_array(array) is None


# DLPack read without a copy: here from arrays in host memory, which have the same layout.
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
    assert not on_device(np.zeros(3))
    assert not on_device([1, 2, 3])


@pytest.mark.parametrize(
    ("engine", "profile", "message"),
    [
        (None, 0, "engine is NoneType"),
        (b"plan", 0, "engine is bytes: load_engine"),
        (3, 0, "engine is int: load_engine"),
        (SimpleNamespace(num_optimization_profiles=1), "0", "profile='0'"),
    ],
)
def test_what_is_no_engine_or_profile(engine, profile, message):
    with pytest.raises(TypeError, match=message):
        read_specs(engine, profile)
