"""The files that an ONNX model is made of, and their SHA-256, which tells whether one has changed (chapter 06).

Needs onnx, and only for a model that keeps tensors in files of their own (external data).

>>> model_sha256(b"a model")[:16]
'97ff8a35544dcf40'
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any


def model_sha256(model: str | os.PathLike | bytes) -> str:
    """The SHA-256 of a model, given as a file or as bytes, as 64 hexadecimal digits.

    For one file it is the file's own, the one that sha256sum prints. An ONNX model with external data also counts the
    names and contents of those files, each read in pieces and none loaded as tensors.
    Raises FileNotFoundError if the model, or a file that it names, is not there, and ValueError if it names a file
    outside its folder; no such file is read.
    """
    if not isinstance(model, (str, os.PathLike)):
        return hashlib.sha256(model).hexdigest()
    path = Path(model)
    if not path.is_file():
        raise FileNotFoundError(f"there is no model {path}")
    data = path.read_bytes()
    digest = hashlib.sha256(data)
    for name in external_files(data):
        file = file_beside(path, name)
        digest.update(name.encode(errors="surrogateescape") + b"\0" + _file_sha256(file))
    return digest.hexdigest()


def external_files(data: bytes) -> list[str]:
    """The files in which an ONNX model (its bytes) keeps tensors, sorted; none for what is no ONNX model."""
    return sorted({name for tensor in external_tensors(data) for name in locations(tensor)})


def external_tensors(data: bytes) -> Iterator[Any]:
    """The TensorProtos of an ONNX model (its bytes) that are in files of their own; none for what is no ONNX model."""
    if b"location" not in data:  # the key that names such a file; spares importing onnx for all other models
        return
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        return
    yield from (tensor for tensor in all_tensors(model) if tensor.data_location == tensor.EXTERNAL)


def all_tensors(message: Any) -> Iterator[Any]:
    """Every TensorProto in a message of ONNX, in whatever kind of field, now or in a later version of ONNX.

    So those of attributes, subgraphs, functions, sparse tensors and training_info are among them.
    """
    waiting = [message]
    while waiting:  # no recursion: graphs may be nested deeply
        message = waiting.pop()
        if message.DESCRIPTOR.name == "TensorProto":
            yield message
            continue
        inner: list[Any] = []
        for field, value in message.ListFields():
            if field.message_type is not None and field.message_type.name != "ValueInfoProto":  # types hold no tensors
                inner.extend(value if hasattr(value, "add") else [value])  # only what repeats has add
        waiting.extend(reversed(inner))


def locations(tensor: Any) -> list[str]:
    """The files that a TensorProto says its data is in, all of them: readers of ONNX differ in which they take.

    Empty for a tensor that holds its data itself. A name that is not UTF-8 comes as Python has the names of files.
    """
    if tensor.data_location != tensor.EXTERNAL:
        return []
    names = [entry.value for entry in tensor.external_data if entry.key == "location"] or [""]
    return [name.decode(errors="surrogateescape") if isinstance(name, bytes) else name for name in names]


def inside(folder: Path, location: str) -> bool:
    """Whether a location of external data stays in the model's folder, as ONNX demands, links followed.

    Absolute ones and those with .. are refused wherever they lead: behind links, not all readers of ONNX understand
    them alike.
    """
    if not location or Path(location).anchor or ".." in PureWindowsPath(location).parts:  # which end at / and \
        return False
    try:
        return (folder / location).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # of a name with a null byte, of links in a circle
        return False


def file_beside(model: Path, location: str, what: str = "weights") -> Path:
    """The file of a model's external data. Raises ValueError or FileNotFoundError where there is none to be read."""
    if not inside(model.parent, location):
        raise ValueError(
            f"{model} keeps {what} in {location!r}, which is outside the model's folder: copy both into one folder, "
            "without links"
        )
    if not os.path.isfile(model.parent / location):
        raise FileNotFoundError(
            f"{model} keeps {what} in {location!r}, which is not in {model.parent}: copy that file beside the model, "
            "or export with external_data=False"
        )
    return model.parent / location


def _file_sha256(path: Path) -> bytes:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.digest()
