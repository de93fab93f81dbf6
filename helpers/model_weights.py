"""The weights of an ONNX model, looked at in pieces: NaN, infinity, and what FP16 cannot hold (chapter 08). Needs onnx.

Weights in files of external data are read piece by piece, so a model larger than the memory can be looked at.

>>> inside(Path("models"), "../somewhere/else.data")
False
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

PIECE = 4 << 20  # values that are looked at at a time
FP16_LARGEST = 65504.0
FP16_SMALLEST_NORMAL = 2.0**-14


def count_weights(tensors: list, folder: Path) -> tuple[dict[str, int], dict[str, dict[str, int]], list[str]]:
    """Counts over all TensorProtos; what is suspicious, by the tensor's name; and sentences on what does not fit.

    The counts: tensors, values, bytes, nan, inf, fp16_overflow (finite, but above 65504), fp16_subnormal (not zero,
    but below 2**-14, where FP16 loses precision). External data that is missing or too short counts as nothing.
    """
    total: Counter[str] = Counter(tensors=len(tensors), values=0, bytes=0, nan=0, inf=0)
    total.update(fp16_overflow=0, fp16_subnormal=0)
    suspicious = {}
    for tensor in tensors:
        found: Counter[str] = Counter()
        for piece in _pieces(tensor, folder):
            total["values"] += piece.size
            total["bytes"] += piece.nbytes
            if piece.dtype.kind == "f" or piece.dtype.name == "bfloat16":
                found += _suspicious(piece)
        if found:
            suspicious[tensor.name] = dict(found)
            total += found
    names = ("tensors", "values", "bytes", "nan", "inf", "fp16_overflow", "fp16_subnormal")
    return {name: total[name] for name in names}, suspicious, [text for text in map(_misfit, tensors) if text]


def external_file(tensor) -> tuple[str, int, int | None] | None:
    """The location, offset and length of a tensor's external data as its entries say; None for a tensor without.

    Where an entry is no number, the offset is -1, and there is nothing to be read.
    """
    if tensor.data_location != tensor.EXTERNAL:
        return None
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if isinstance(location, bytes):  # protobuf's way with names that are not UTF-8
        location = location.decode(errors="replace")
    try:
        offset, length = _number(entries.get("offset")), _number(entries.get("length"))
    except ValueError:
        return location, -1, None
    return location, offset or 0, length


def inside(folder: Path, location: str) -> bool:
    """Whether a location of external data stays in the model's folder, as ONNX demands, links followed."""
    try:
        return bool(location) and (folder / location).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):
        return False


def _misfit(tensor) -> str | None:
    """Whether a tensor holds other values than its shape says, which neither onnx nor TensorRT survives for sure."""
    if external_file(tensor) is not None:
        return None
    if min(tensor.dims, default=0) < 0:
        return f"constant {tensor.name!r} has the impossible shape {tuple(tensor.dims)}"
    dtype, size = _dtype(tensor), math.prod(tensor.dims)
    held: float = len(tensor.float_data) or len(tensor.int64_data) or len(tensor.double_data)
    if tensor.raw_data and dtype is not None:
        held = len(tensor.raw_data) / dtype.itemsize
    elif dtype is None or tensor.int32_data or tensor.string_data or tensor.uint64_data or dtype.kind == "c":
        return None
    return None if held == size else f"constant {tensor.name!r} holds {held:g} values; its shape says {size:g}"


def _dtype(tensor) -> np.dtype | None:
    """NumPy's type of a tensor's elements; None for those that are packed several to a byte, or unknown."""
    from onnx import helper

    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except (KeyError, TypeError, ValueError):
        return None
    packed = re.fullmatch("u?int[24]|float4.*|object", dtype.name)
    return None if packed or not dtype.itemsize else dtype


def _number(text: str | None) -> int | None:
    if text is not None and not re.fullmatch("[0-9]{1,18}", str(text)):
        raise ValueError(f"{text!r} is not a number of bytes")
    return None if text is None else int(text)


def _pieces(tensor, folder: Path) -> Iterator[np.ndarray]:
    from onnx import numpy_helper

    dtype, external = _dtype(tensor), external_file(tensor)
    if dtype is None or _misfit(tensor):
        return
    if external is not None:
        location, offset, length = external
        if offset >= 0 and inside(folder, location) and (folder / location).is_file():
            yield from _file_pieces(folder / location, dtype, offset, length)
    elif tensor.raw_data:
        values = np.frombuffer(tensor.raw_data, dtype)
        for start in range(0, values.size, PIECE):
            yield values[start : start + PIECE]
    else:
        try:
            yield numpy_helper.to_array(tensor)
        except (ValueError, TypeError):  # too few values: the checker says so
            return


def _file_pieces(path: Path, dtype: np.dtype, offset: int, length: int | None) -> Iterator[np.ndarray]:
    # Read, not mapped: pages of a mapped file count as this process's resident memory.
    with open(path, "rb") as file:
        file.seek(offset)
        left = (path.stat().st_size - offset if length is None else length) // dtype.itemsize
        while left > 0:
            piece = np.frombuffer(file.read(min(left, PIECE) * dtype.itemsize), np.uint8)
            whole = piece.size // dtype.itemsize
            if not whole:
                return
            yield piece[: whole * dtype.itemsize].view(dtype)
            left -= whole


def _suspicious(values: np.ndarray) -> Counter[str]:
    if values.dtype.name.startswith(("float8", "bfloat16")):
        values = values.astype(np.float32)
    finite = np.isfinite(values)
    bad = values.size - int(np.count_nonzero(finite))
    nan = int(np.count_nonzero(np.isnan(values))) if bad else 0
    counts = Counter(nan=nan, inf=bad - nan)
    if values.dtype.itemsize > 2:
        with np.errstate(invalid="ignore"):
            size = np.abs(values)
            counts["fp16_overflow"] = int(np.count_nonzero(size > FP16_LARGEST)) - counts["inf"]
            counts["fp16_subnormal"] = int(np.count_nonzero((size > 0) & (size < FP16_SMALLEST_NORMAL)))
    return +counts
