"""The SHA-256 of a model with all its files, to tell whether it has changed since it was built (chapter 06).

Needs onnx, and only for a model that keeps tensors in files of their own (external data).

>>> model_sha256(b"a model")[:16]
'97ff8a35544dcf40'
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path


def model_sha256(model: str | os.PathLike | bytes) -> str:
    """The SHA-256 of a model, given as a file or as bytes, as 64 hexadecimal digits.

    For one file it is the file's own, the one that sha256sum prints. An ONNX model with external data also counts the
    names and contents of those files, each read in pieces and none loaded as tensors.
    Raises FileNotFoundError if the model, or a file that it names, is not there.
    """
    if not isinstance(model, (str, os.PathLike)):
        return hashlib.sha256(model).hexdigest()
    path = Path(model)
    if not path.is_file():
        raise FileNotFoundError(f"there is no model {path}")
    data = path.read_bytes()
    digest = hashlib.sha256(data)
    for name in external_files(data):
        file = path.parent / name
        if not file.is_file():
            raise FileNotFoundError(f"{path} keeps weights in {name!r}, which is not in {path.parent}: copy it there")
        digest.update(name.encode() + b"\0" + _file_sha256(file))
    return digest.hexdigest()


def external_files(data: bytes) -> list[str]:
    """The files in which an ONNX model (its bytes) keeps tensors, sorted; none for what is no ONNX model."""
    if b"location" not in data:  # the key that names such a file; spares importing onnx for all other models
        return []
    import onnx
    from google.protobuf.message import DecodeError, Message

    def tensors(message: Message) -> Iterator[onnx.TensorProto]:
        # All of them, also in attributes, subgraphs and functions.
        for _, value in message.ListFields():
            for item in [value] if isinstance(value, Message) else value if hasattr(value, "add") else ():
                yield from [item] if isinstance(item, onnx.TensorProto) else tensors(item)

    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        return []
    external = onnx.TensorProto.EXTERNAL
    entries = (e for tensor in tensors(model) if tensor.data_location == external for e in tensor.external_data)
    return sorted({entry.value for entry in entries if entry.key == "location"})


def _file_sha256(path: Path) -> bytes:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.digest()
