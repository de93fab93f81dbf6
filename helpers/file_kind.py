"""What a file is that should have been an ONNX model, told from its first bytes (chapter 08). Standard library only.

>>> kind_of(b"<html><body>404 Not Found")
'is HTML or XML, perhaps the error page of a download'
"""

from __future__ import annotations

import os
from pathlib import Path

HEAD = 512  # bytes that are enough to tell
LARGEST = (1 << 31) - 1  # bytes of an ONNX file, a message of protobuf
TOO_LARGE = (
    "is larger than 2 GB, and no ONNX file can be, because protobuf ends there: export with external_data=True, which "
    "keeps the weights in a file beside it"
)

# The first bytes of a file -> what it is, and what to do about it.
MAGIC = {
    b"version https://git-lfs": "is a Git LFS pointer, not the model itself: run git lfs pull",
    b"PK\x03\x04": "is a ZIP archive, as PyTorch's .pt files are: load it in PyTorch and use torch.onnx.export",
    b"\x80\x02": "is a Python pickle, as older PyTorch checkpoints are: load it in PyTorch and use torch.onnx.export",
    b"ftrt": "is a TensorRT plan, built already: load it with trt.Runtime (chapter 06)",
    b"vtrt": "is a plan of TensorRT for RTX, built already: load it with trt.Runtime (chapter 06)",
    b"\x89HDF": "is an HDF5 file, as Keras writes: convert it with tf2onnx",
    b"\x1f\x8b": "is compressed with gzip: unpack it first",
    b"%PDF": "is a PDF document",
    b"\x89PNG": "is a PNG picture",
    b"\x7fELF": "is a program or a shared library",
}


class NotAModel(ValueError):
    """This cannot be an ONNX model; the message says in one line what it is instead."""


def first_look(path: str | os.PathLike) -> None:
    """Raises NotAModel, in one line, for a path that leads to no file, or to a file that is plainly something else."""
    path = Path(path)
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise NotAModel(f"{os.fspath(path)!r} is not UTF-8, and onnx opens no such file: rename it") from None
    try:
        if path.is_dir():
            raise NotAModel(f"{path} is a folder: name the .onnx file in it")
        if path.exists() and not path.is_file():
            raise NotAModel(f"{path} is not a file: name an .onnx file")
        with open(path, "rb") as file:
            head = file.read(HEAD)
        size = path.stat().st_size
    except NotAModel:
        raise
    except FileNotFoundError:
        raise NotAModel(f"there is no file {path}") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte in it
        raise NotAModel(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from None
    kind = kind_of(head)
    if kind:
        raise NotAModel(f"{path} {kind}")
    if size > LARGEST:
        raise NotAModel(f"{path} {TOO_LARGE}")


def kind_of(head: bytes) -> str | None:
    """What a file with these first bytes is, as the rest of a sentence; None where it may be an ONNX model."""
    if not head:
        return "is empty (0 bytes): was the export or the download interrupted?"
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            return kind
    if head[4:8] == b"TFL3":
        return "is a TensorFlow Lite model: convert it with tf2onnx --tflite"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        return "is HTML or XML, perhaps the error page of a download"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100 << 20:
        return "is a safetensors file, weights without a network: export the network with torch.onnx.export"
    if not any(head):
        return "holds only zeros: was the copy or the download interrupted?"
    # The first byte of an ONNX model is the tag of a field, in practice 0x08: no text starts like that.
    if all(byte >= 32 or byte in b"\t\r\n" for byte in head) and _is_text(head):
        return "is a text file"
    return None


def _is_text(head: bytes) -> bool:
    try:
        head[:-4].decode() if len(head) == HEAD else head.decode()
    except UnicodeDecodeError:
        return False
    return True
