"""Finds the files that an ONNX model is made of, tells whether they changed, and what is no model (chapters 06 and 08).

``model_sha256`` tells whether a model, or a file that it names, has changed. ``external_files`` and ``file_beside``
find such files (external data) and refuse those outside the model's folder. ``first_look`` says in one line what a file
is that cannot be an ONNX model, ``load_onnx`` reads one that is. Needs onnx for the latter and for external data.

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
    """Returns the SHA-256 of a model, given as a file or as bytes, as 64 hexadecimal digits.

    For one file it is the file's own, the one that sha256sum prints. An ONNX model with external data also counts the
    names and contents of those files, each read in pieces and none loaded as tensors.
    Raises FileNotFoundError if the model, or a file that it names, is missing, and ValueError if it names a file
    outside its folder; no such file is read.
    """
    if not isinstance(model, (str, os.PathLike)):
        try:
            return hashlib.sha256(model).hexdigest()
        except TypeError:
            raise TypeError(f"a model is a file or bytes, not {type(model).__name__}") from None
    path = Path(model)
    if not path.is_file():
        raise FileNotFoundError(f"there is no model {path}")
    data = path.read_bytes()
    digest = hashlib.sha256(data)
    for name in external_files(data):
        file = file_beside(path, name)
        digest.update(name.encode(errors="surrogateescape") + b"\0" + _file_sha256(file))
    return digest.hexdigest()


def load_onnx(model: Any) -> Any:
    """Returns the onnx.ModelProto of a model, given as a file, its bytes, or an onnx.ModelProto, which is copied.

    Raises FileNotFoundError if the file, or one that it names, is missing; NotAModel or ValueError if it is none, names
    a file outside its folder, or has more than 2 GB with the weights in such files; and TypeError for what is neither.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if isinstance(model, onnx.ModelProto):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        return copy
    path = None
    if isinstance(model, (str, os.PathLike)):
        path, label = Path(model), str(model)
        if not os.path.lexists(path):
            raise FileNotFoundError(f"there is no model {path}")
        first_look(path)
        model = path.read_bytes()
    elif isinstance(model, (bytes, bytearray, memoryview)):
        label = "the model in memory"
    else:
        raise TypeError(f"a model is a file, bytes, or an onnx.ModelProto, not {type(model).__name__}: {model!r:.80}")
    try:
        loaded = onnx.ModelProto.FromString(bytes(model))
    except DecodeError as error:
        raise NotAModel(f"{label} is not an ONNX model ({error})") from error
    if not loaded.HasField("graph"):
        raise NotAModel(f"{label} is not an ONNX model: there is no graph in it")
    outside = [tensor for tensor in all_tensors(loaded) if tensor.data_location == tensor.EXTERNAL]
    for location in sorted({name for tensor in outside for name in locations(tensor)}):
        if path is None:
            raise NotAModel(f"{label} keeps weights in {location!r}, but has no folder: give the model's path")
        file_beside(path, location)
    if path is not None:
        if len(model) + sum(map(_bytes_outside, outside)) > LARGEST:
            raise ValueError(f"{label} {TOO_LARGE_IN_MEMORY}")
        onnx.load_external_data_for_model(loaded, str(path.parent))
    return loaded


def external_files(data: bytes) -> list[str]:
    """Returns the files in which an ONNX model (its bytes) keeps tensors, by name, sorted; none for no ONNX model."""
    return sorted({name for tensor in external_tensors(data) for name in locations(tensor)})


def external_tensors(data: bytes) -> Iterator[Any]:
    """Yields the TensorProtos of an ONNX model (its bytes) that are in files of their own; none for no ONNX model."""
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
    """Yields every TensorProto in a message of ONNX, in whatever kind of field, now or in a later version of ONNX.

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
    """Returns the names of all files that a TensorProto says its data is in: readers of ONNX differ in which they take.

    Empty for a tensor that holds its data itself. A name that is not UTF-8 comes as Python has the names of files.
    """
    if tensor.data_location != tensor.EXTERNAL:
        return []
    names = [entry.value for entry in tensor.external_data if entry.key == "location"] or [""]
    return [name.decode(errors="surrogateescape") if isinstance(name, bytes) else name for name in names]


def _bytes_outside(tensor: Any) -> int:
    """Returns how many bytes of a file a TensorProto says that it takes, 0 if it does not say it."""
    length = next((str(entry.value) for entry in tensor.external_data if entry.key == "length"), "")
    return int(length) if length.isdecimal() and len(length) < 20 else 0


def inside(folder: Path, location: str) -> bool:
    """Returns whether a location of external data stays in the model's folder, as ONNX demands, links followed.

    An absolute one or one with .. does not, wherever it leads: behind links, not all readers of ONNX understand them
    alike.
    """
    if not location or Path(location).anchor or ".." in PureWindowsPath(location).parts:  # which end at / and \
        return False
    try:
        return (folder / location).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # of a name with a null byte, of links in a circle
        return False


def file_beside(model: Path, location: str, what: str = "weights") -> Path:
    """Returns the path of a file with a model's external data; ``what`` says in errors what it holds.

    Raises ValueError for a location outside the model's folder, and FileNotFoundError for a missing file.
    """
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


HEAD = 512  # bytes that are enough to tell
LARGEST = (1 << 31) - 1  # bytes of an ONNX file, a message of protobuf
TOO_LARGE = (
    "is larger than 2 GB, and no ONNX file can be, because protobuf ends there: export with external_data=True, which "
    "keeps the weights in a file beside it"
)
TOO_LARGE_IN_MEMORY = (
    "is larger than 2 GB with its weights, and onnx changes no such model, because protobuf ends there: export it in "
    "FP16, or in parts"
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
    """Returns what a file with these first bytes is, as the rest of a sentence; None where it may be an ONNX model."""
    if not head:
        return "is empty (0 bytes): was the export or the download interrupted?"
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            return kind
    if head[4:8] == b"TFL3":
        return "is a TensorFlow Lite model: convert it with tf2onnx --tflite"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        return "is HTML or XML, perhaps the error page of a download"
    if is_ultralytics(head):
        return (
            "is an Ultralytics engine, not a model: 4 bytes of length and a JSON text stand before a TensorRT plan. "
            "ultralytics_plan(path) of helpers/plan.py cuts them off; for a model export with format='onnx' (TRT035)"
        )
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100 << 20:
        return "is a safetensors file, weights without a network: export the network with torch.onnx.export"
    if not any(head):
        return "holds only zeros: was the copy or the download interrupted?"
    # The first byte of an ONNX model is the tag of a field, in practice 0x08: no text starts like that.
    if all(byte >= 32 or byte in b"\t\r\n" for byte in head) and _is_text(head):
        return "is a text file"
    return None


def is_ultralytics(head: bytes) -> bool:
    """Returns whether a file with these first bytes is an engine of Ultralytics: a plan behind a length and JSON."""
    return head[4:5] == b"{" and 1 < int.from_bytes(head[:4], "little") < 1 << 20


def _is_text(head: bytes) -> bool:
    try:
        head[:-4].decode() if len(head) == HEAD else head.decode()
    except UnicodeDecodeError:
        return False
    return True
