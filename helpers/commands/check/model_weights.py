"""Looks for NaN, infinity and what FP16 cannot hold in the weights of an ONNX model (chapter 08). Needs onnx.

Weights in files of external data are read in pieces, so a model may be larger than the memory.

>>> brief("x" * 400)[298:]
'xx… (400 characters in all)'
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

import numpy as np

from ...model_files import locations

PIECE = 4 << 20  # values that are looked at at a time
NAME = 300  # characters of a name that are shown
MOST_AXES = 64  # of a tensor in NumPy; TensorRT has 8
FP16_LARGEST = 65504.0
FP16_SMALLEST_NORMAL = 2.0**-14


def count_weights(
    tensors: Iterable, folder: Path, files: Container[str]
) -> tuple[dict[str, int], dict[str, list[str]], list[str]]:
    """Returns counts over all TensorProtos, the names of suspicious ones, and a sentence for each that does not fit.

    The counts: tensors, values, bytes, nan, inf, fp16_overflow (finite, but above 65504), fp16_subnormal (not zero,
    but below 2**-14, where FP16 loses precision). The names are by the last four of these. Of external data, only
    the ``files`` in the model's ``folder`` are read; other files count as nothing.
    """
    total = dict.fromkeys(("tensors", "values", "bytes", "nan", "inf", "fp16_overflow", "fp16_subnormal"), 0)
    suspicious: dict[str, list[str]] = {}
    misfits: list[str] = []
    for tensor in tensors:
        found: Counter[str] = Counter(tensors=1)
        for piece in _pieces(tensor, folder, files):
            found.update(values=piece.size, bytes=piece.nbytes)
            if piece.dtype.kind == "f" or piece.dtype.name == "bfloat16":
                found.update(_suspicious(piece))
        for kind, count in found.items():
            total[kind] += count
            if kind not in ("tensors", "values", "bytes"):
                suspicious.setdefault(kind, []).append(tensor.name or "a constant")
        misfits += filter(None, [_misfit(tensor)])
    return total, {kind: list(dict.fromkeys(names)) for kind, names in suspicious.items()}, misfits


def external_part(tensor) -> tuple[int, int | None]:
    """Returns the offset and length of a tensor's external data in bytes, as its entries say; None for no length.

    Where an entry is no number, the offset is -1, and there is nothing to be read.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    try:
        offset, length = _number(entries.get("offset")), _number(entries.get("length"))
    except ValueError:
        return -1, None
    return offset or 0, length


def brief(text: str, longest: int = NAME) -> str:
    """Cuts a text that is very long: whoever made a file could give it names of megabytes."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters in all)"


def _misfit(tensor) -> str | None:
    """Says if a tensor holds other values than its shape says, which neither onnx nor TensorRT survives for sure."""
    name = brief(repr(tensor.name))
    if len(tensor.dims) > MOST_AXES:
        return f"constant {name} has {len(tensor.dims):,} axes; no tensor has more than {MOST_AXES}"
    if min(tensor.dims, default=0) < 0:
        return f"constant {name} has the impossible shape {tuple(tensor.dims)}"
    if locations(tensor):
        return None
    dtype, size = numpy_type(tensor), math.prod(tensor.dims)
    held: float = len(tensor.float_data) or len(tensor.int64_data) or len(tensor.double_data)
    if tensor.raw_data and dtype is not None:
        held = len(tensor.raw_data) / dtype.itemsize
    elif dtype is None or tensor.int32_data or tensor.string_data or tensor.uint64_data or dtype.kind == "c":
        return None
    says = f"{size:,}" if size < 1 << 64 else "more than 2**64"
    return None if held == size else f"constant {name} holds {held:,.12g} values; its shape says {says}"


def numpy_type(tensor) -> np.dtype | None:
    """Returns NumPy's type of a tensor's elements; None for those packed several to a byte, and unknown ones."""
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


def _pieces(tensor, folder: Path, files: Container[str]) -> Iterator[np.ndarray]:
    from onnx import numpy_helper

    dtype, names = numpy_type(tensor), locations(tensor)
    if dtype is None or _misfit(tensor):
        return
    if names:
        offset, length = external_part(tensor)
        size = math.prod(tensor.dims) * dtype.itemsize
        if names[-1] in files:
            yield from _file_pieces(folder / names[-1], dtype, offset, size if length is None else min(size, length))
    elif tensor.raw_data:
        values = np.frombuffer(tensor.raw_data, dtype)
        for start in range(0, values.size, PIECE):
            yield values[start : start + PIECE]
    else:
        try:
            yield numpy_helper.to_array(tensor)
        except (ValueError, TypeError):  # too few values: the checker says so
            return


def _file_pieces(path: Path, dtype: np.dtype, offset: int, size: int) -> Iterator[np.ndarray]:
    # Read, not mapped: pages of a mapped file count as this process's resident memory.
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            left = size // dtype.itemsize
            while left > 0:
                piece = np.frombuffer(file.read(min(left, PIECE) * dtype.itemsize), np.uint8)
                whole = piece.size // dtype.itemsize
                if not whole:
                    return
                yield piece[: whole * dtype.itemsize].view(dtype)
                left -= whole
    except OSError:  # an offset beyond what the file system knows, or a file that may not be read
        return


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
