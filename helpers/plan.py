"""Plans as files: saved whole or not at all, described by a sidecar, and checked before they are used (chapter 06).

A sidecar is a JSON file beside the plan. A plan also says something of itself, in a header that needs no GPU to read.

>>> str(sidecar("lenet.plan"))
'lenet.plan.json'
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from . import trust
from .atomic import locked, open_regular, staged, write_atomically
from .device import Gpu, gpus
from .model_files import is_ultralytics, kind_of, model_sha256
from .trt import FLAVOUR, VERSION, is_this_version, runs_other_versions, runs_plans_of

SIDECAR_BYTES = 1 << 20  # a longer file is no sidecar


class PlanError(ValueError):
    """A plan cannot be used as it is; the message names the file, what is wrong, and what to do."""


class PlanNotFound(PlanError, FileNotFoundError):
    """There is no such plan."""


class PlanDamaged(PlanError):
    """The bytes are not those that were saved, or no plan at all, or the sidecar does not belong to them."""


class PlanMismatch(PlanError):
    """The plan was made for something else. ``field`` says what, ``plan`` what it has, ``here`` what is needed."""

    def __init__(self, label: str, field: str, plan: Any, here: Any):
        self.field, self.plan, self.here = field, plan, here
        super().__init__(f"{label} does not fit ({field}: {plan} in the plan, {here} here): build it again here")


class PlanUntrusted(PlanError):
    """The plan was not built here, and nobody said that it can be trusted."""


@dataclass(frozen=True)
class PlanInfo:
    """The sidecar of a plan: which TensorRT made it, for which GPU, from what, with which options, and its SHA-256.

    ``gpu`` and ``compute_capability`` ("9.0") are None for a plan that was saved on a machine without a GPU.
    """

    flavour: str
    version: str
    gpu: str | None
    compute_capability: str | None
    targets: tuple[str, ...]
    size: int
    sha256: str
    source: str | None
    source_sha256: str | None
    options: Mapping[str, Any] | None
    created: str


@dataclass(frozen=True)
class PlanHeader:
    """A plan's own description: the ``flavour`` and ``version`` of the library that made it, its ``size`` in bytes, and
    for TensorRT for RTX the ``targets`` that it can run on, such as ("SM86", "SM89")."""

    flavour: str
    size: int
    version: str
    targets: tuple[str, ...]


def save_plan(
    path: str | os.PathLike, plan: bytes, *, source: str | os.PathLike | None = None, options: Any = None
) -> PlanInfo:
    """Writes a plan and its sidecar, both whole or not at all, and returns what the sidecar says.

    They change together: whoever loads meanwhile, or after the process was killed, gets the old plan or the new one. Of
    several processes that save under one name, the last one's plan stays; each waits up to 10 s for the others. (Not on
    Windows and some network file systems, see :func:`helpers.atomic.locked`.)

    ``plan`` is bytes or any other buffer, such as trt.IHostMemory. ``source`` is the model file that it was built from.
    ``options`` are a dataclass or a mapping, such as BuildOptions. (The flag VERSION_COMPATIBLE among its ``flags``, or
    a true ``hardware_compatible``, later lets other versions, or other GPUs, load the plan.)

    Raises TypeError if ``plan`` is no buffer (a failed build gives None) or the options are not plain data; PlanDamaged
    if it is no plan; FileNotFoundError for a missing model; ValueError for a model that names files outside its folder,
    and for options too long for a sidecar; OSError, TimeoutError among them. Then nothing has changed.
    """
    path, plan = _path(path), plan_bytes(plan)
    header = read_header(plan)
    ours = runs_plans_of(header.flavour) and is_this_version(header.version, _SURE)
    gpu = gpus()[0] if ours and gpus() else None
    info = PlanInfo(
        flavour=header.flavour,
        version=VERSION if ours else header.version,
        gpu=gpu.name if gpu else None,
        compute_capability=_capability(gpu) if gpu else None,
        targets=header.targets,
        size=header.size,
        sha256=trust.sha256(plan),
        source=None if source is None else Path(source).name,
        source_sha256=None if source is None else model_sha256(source),
        options=plain_options(options),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    if len(_text(info)) > SIDECAR_BYTES // 4:  # with its predecessor, and indented, it must still be short enough
        raise ValueError(f"the options are {len(_text(info)):,} bytes long as JSON, too much for the plan's sidecar")
    _save_pair(path, plan, info)
    return info


def load_plan(path: str | os.PathLike, *, trusted: bool = False, source: str | os.PathLike | None = None) -> bytes:
    """Reads a plan after every check that can be made without deserializing it; returns its bytes.

    Checked are the header, the sidecar and its checksum, the TensorRT and the GPU that the plan was made for, the model
    if its file is given as ``source``, and that this user built the plan here. A stranger's plan is refused before its
    bytes are read. ``trusted=True`` says that you know where a plan comes from. It may then also come without a
    sidecar, and only its header is checked; if it has a sidecar, that must be right all the same.

    Raises PlanNotFound, PlanDamaged, PlanMismatch or PlanUntrusted; PlanError for a plan larger than the memory;
    FileNotFoundError for a missing model, ValueError for a model that names files outside its folder, and OSError for a
    plan that this user must not read.
    """
    path = _path(path)
    header, info, plan = _read_pair(path, trusted)
    if info is not None:
        _check_agrees(path, header, info)
    _check_fits(path, header, info)
    if source is not None:
        known, here = info.source_sha256 if info else None, model_sha256(source)
        if known != here:
            said = f"{info.source} with SHA-256 {known[:12]}…" if info and known else "unknown"
            raise PlanMismatch(str(path), "source model", said, f"{Path(source).name} with {here[:12]}…")
    if plan is None:
        raise PlanUntrusted(
            f"{path} is not in your list of plans built here. A plan is executable code: build it here from the model, "
            "or say trusted=True if you know where it comes from"
        )
    return plan


def ultralytics_plan(path: str | os.PathLike) -> tuple[dict[str, Any], bytes]:
    """Returns what stands in an ``.engine`` file of Ultralytics: its metadata (names of classes, ``imgsz`` …), and the
    plan behind it, for ``load_engine`` or a Runner.

    Ultralytics writes 4 bytes of length (little-endian), a JSON text of that length, and then the plan.
    Raises PlanNotFound, PlanDamaged for any other file, and PlanError for a plan larger than the memory. The plan is a
    stranger's: this only reads it.
    """
    path = _path(path)
    with _open(path) as file:
        start = file.read(4 + SIDECAR_BYTES)
        size = os.fstat(file.fileno()).st_size
        begin = 4 + int.from_bytes(start[:4], "little")
        try:
            if not is_ultralytics(start):
                raise ValueError("no JSON text stands at its beginning")
            metadata = json.loads(start[4:begin])
            if not isinstance(metadata, dict):
                raise ValueError("its JSON text is no object")
        except (ValueError, RecursionError) as error:
            raise PlanDamaged(f"{path} is not an Ultralytics engine: {error}") from error
        header = _parse_header(f"{path}, behind its metadata,", start[begin:][:_HEADER_BYTES], size - begin)
        return metadata, _read_all(path, file, header.size, begin)


def read_sidecar(path: str | os.PathLike) -> PlanInfo:
    """Returns what the sidecar says of the plan at ``path``.

    That proves nothing: whoever can write the plan can write the sidecar.
    Raises PlanDamaged if it is missing, cannot be read, or is not the sidecar of a plan.
    """
    infos = _described(path)
    if not infos:
        raise _no_sidecar(path)
    return _of_the_plan_there(_path(path), infos)


def read_header(plan: bytes | str | os.PathLike) -> PlanHeader:
    """Reads the header of a plan, given as a file or as bytes (or any buffer). Needs no GPU.

    NVIDIA does not document the header. This layout was found by comparing plans and may change with any release:
    4 bytes magic; at 16 the size in bytes (u64); at 24 the version, a byte for each number; at 32, in plans of TensorRT
    for RTX, a bit for each target (u32).
    Raises PlanDamaged for what is empty, no plan, or not as long as it says, and PlanNotFound.
    """
    if isinstance(plan, (str, os.PathLike)):
        with _open(Path(plan)) as file:
            return _parse_header(str(plan), file.read(_HEADER_BYTES), os.fstat(file.fileno()).st_size)
    try:
        view = memoryview(plan).cast("B")
    except TypeError:
        raise TypeError(f"a plan is a file or bytes, not {type(plan).__name__}") from None
    return _parse_header("the plan", view[:_HEADER_BYTES].tobytes(), view.nbytes)


def sidecar(path: str | os.PathLike) -> Path:
    """Returns the path of a plan's sidecar: beside the plan, with ``.json`` added to its name."""
    return Path(f"{_path(path)}.json")


def _path(path: Any) -> Path:
    if isinstance(path, (str, os.PathLike)):
        return Path(path)
    raise TypeError(
        f"give the path of a plan's file, not {type(path).__name__} (load_engine and Runner take bytes, too)"
    )


def plain_options(options: Any) -> dict[str, Any] | None:
    """Returns build options, a dataclass or a mapping, as they come back from JSON; None for None.

    Fields that do not count when two are compared (``BuildOptions.progress``) are left out. Raises TypeError for what
    JSON cannot hold.
    """
    if dataclasses.is_dataclass(options) and not isinstance(options, type):
        uncompared = {field.name for field in dataclasses.fields(options) if not field.compare}
        options = {k: v for k, v in dataclasses.asdict(options).items() if k not in uncompared}
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"options are a dataclass or a mapping, not {type(options).__name__}")
    try:
        return options if options is None else json.loads(json.dumps(dict(options), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"options must be plain data, so that they fit into the plan's sidecar: {error}") from error


def plan_bytes(plan: bytes) -> bytes:
    """Returns a plan, given as bytes or any other buffer, as bytes.

    Raises TypeError for everything else, above all for the None that a failed build returns, and PlanDamaged for bytes
    that are no plan.
    """
    if plan is None:
        raise TypeError("plan is None: the build failed; look at the errors that it logged (build_plan raises them)")
    if type(plan) is not bytes:  # of which a copy may take gigabytes
        try:
            plan = memoryview(plan).tobytes()
        except TypeError:
            raise TypeError(f"a plan is bytes, not {type(plan).__name__}") from None
    read_header(plan)
    return plan


def _save_pair(path: Path, plan: bytes, info: PlanInfo) -> None:
    # Two files cannot change in one step. So the sidecar is written first, and describes both the new plan and the one
    # that still lies there ("before"); then the plan gets its name. At every moment one of the two descriptions fits.
    file = sidecar(path)
    with staged(path, plan) as part, locked(path):
        try:
            old = _read_text(file)
        except FileNotFoundError:
            old = None
        before = None
        if old is not None and path.exists():
            with contextlib.suppress(ValueError, RecursionError):  # what is no sidecar describes nothing
                before = _of_the_plan_there(path, _parse(old))
        try:
            write_atomically(file, _text(info, before))
            os.replace(part, path)
        except BaseException:  # Ctrl-C too
            if part.exists():
                with contextlib.suppress(OSError):  # what is there now describes the old plan as well
                    file.unlink() if old is None else write_atomically(file, old)
            raise
        if before is not None:
            with contextlib.suppress(OSError):  # the plan is saved, and this is only tidying up
                write_atomically(file, _text(info))


_LOOKS = 10  # at a plan and its sidecar that others change all the time


def _read_pair(path: Path, trusted: bool) -> tuple[PlanHeader, PlanInfo | None, bytes | None]:
    """Returns a plan's header, the description that fits it, and its bytes; None for bytes that are not to be used.

    Raises PlanDamaged if no description fits. Since a save may go by between the reading of the one and of the other,
    it looks again before it says so, until it has seen the same twice.
    """
    seen: Any = None
    for _ in range(_LOOKS):
        with _open(path) as file:
            status = os.fstat(file.fileno())
            header = _parse_header(str(path), file.read(_HEADER_BYTES), status.st_size)
            infos = _described(path)
            if not infos:
                if not trusted:
                    raise _no_sidecar(path)
                return header, None, _read_all(path, file, header.size)
            fitting = [info for info in infos if info.size == header.size]
            if fitting:
                # A stranger's file is not read: it may be full of holes, and larger than the memory.
                if not (trusted or any(trust.is_trusted(info.sha256) for info in fitting)):
                    return header, fitting[0], None
                plan = _read_all(path, file, header.size)
                digest = trust.sha256(plan)
                for info in fitting:
                    if info.sha256 == digest:
                        return header, info, plan if trusted or trust.is_trusted(digest) else None
        look = (status.st_ino, status.st_mtime_ns, infos)
        if look == seen:
            break
        seen = look
    what, file_name = "SHA-256" if fitting else "size", sidecar(path).name
    raise PlanDamaged(
        f"{path} is not what was saved: its {what} differs from the one in {file_name}. Copy both files again, or "
        "build the plan again"
    )


def _read_all(path: Path, file: BinaryIO, size: int, begin: int = 0) -> bytes:
    file.seek(begin)
    try:
        plan = file.read(size)
    except MemoryError:
        raise PlanError(f"{path} is {size:,} bytes long, and there is no memory for that") from None
    _parse_header(str(path), plan[:_HEADER_BYTES], len(plan))  # of what has really been read
    return plan


_SURE = 2  # numbers of a version that a header tells for sure: that of 8.6.1 says 8.6.0


def _check_agrees(path: Path, header: PlanHeader, info: PlanInfo) -> None:
    said = (info.flavour, info.version.split(".")[:_SURE], info.targets)
    found = (header.flavour, header.version.split(".")[:_SURE], header.targets)
    for field, sidecar_says, plan_says in zip(("flavour", "version", "targets"), said, found, strict=True):
        if sidecar_says != plan_says:
            raise PlanDamaged(f"{path} and {sidecar(path).name} do not agree on the {field}: build the plan again")


def _check_fits(path: Path, header: PlanHeader, info: PlanInfo | None) -> None:
    label, options = str(path), (info and info.options) or {}
    if not runs_plans_of(header.flavour):
        raise PlanMismatch(label, "flavour", header.flavour, FLAVOUR)
    flags = options.get("flags")
    if not (runs_other_versions() or (isinstance(flags, list) and "VERSION_COMPATIBLE" in flags)):
        if not is_this_version(header.version, _SURE):
            raise PlanMismatch(label, "TensorRT version", header.version, VERSION)
        if info is not None and not is_this_version(info.version):
            raise PlanMismatch(label, "TensorRT version", info.version, VERSION)
    if gpus():  # without one nothing can run, so there is nothing to fit
        _check_fits_gpu(label, gpus()[0], header, info, options)


def _check_fits_gpu(
    label: str, gpu: Gpu, header: PlanHeader, info: PlanInfo | None, options: Mapping[str, Any]
) -> None:
    capability = _capability(gpu)
    if header.targets:
        ours = "SM" + capability.replace(".", "")
        unnamed = any(target.startswith("bit ") for target in header.targets) and ours not in _TARGETS.values()
        if ours not in header.targets and not unnamed:
            raise PlanMismatch(label, "targets", ", ".join(header.targets), ours)
    elif info is not None and info.compute_capability is not None and not options.get("hardware_compatible"):
        if info.compute_capability != capability:
            raise PlanMismatch(label, "compute capability", info.compute_capability, capability)
        if info.gpu != gpu.name:
            raise PlanMismatch(label, "GPU", info.gpu, gpu.name)


def _capability(gpu: Gpu) -> str:
    return ".".join(map(str, gpu.compute_capability))


def _described(path: str | os.PathLike) -> list[PlanInfo]:
    """Returns what the sidecar describes: the plan that was saved last and, while it is being saved or if that was cut
    short, the one before. Empty if there is no sidecar."""
    file = sidecar(path)
    try:
        return _parse(_read_text(file))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as error:
        raise PlanDamaged(f"{file} is not the sidecar of a plan ({error}): build the plan again") from error


def _of_the_plan_there(path: Path, infos: list[PlanInfo]) -> PlanInfo:
    """Returns the description that fits the plan at ``path``; the first if none does."""
    if len(infos) > 1:
        with contextlib.suppress(PlanError, OSError), _open(path) as file:
            status = os.fstat(file.fileno())
            fitting = [info for info in infos if info.size == status.st_size]
            # A file of terabytes that is all holes (eight times as long as what it takes on the disk) is not read.
            if len(fitting) > 1 and getattr(status, "st_blocks", status.st_size) * 8 * 512 >= status.st_size:
                digest = hashlib.sha256()
                while piece := file.read(1 << 20):
                    digest.update(piece)
                fitting = [info for info in fitting if info.sha256 == digest.hexdigest()]
            infos = fitting or infos
    return infos[0]


def _no_sidecar(path: str | os.PathLike) -> PlanDamaged:
    return PlanDamaged(
        f"{path} has no sidecar {sidecar(path).name} beside it: copy both files, or build the plan again"
    )


def _text(info: PlanInfo, before: PlanInfo | None = None) -> bytes:
    fields = dataclasses.asdict(info) | ({"before": dataclasses.asdict(before)} if before else {})
    return (json.dumps(fields, indent=2) + "\n").encode()


def _read_text(file: Path) -> bytes:
    with open_regular(file) as opened:
        text = opened.read(SIDECAR_BYTES + 1) or b""  # None: one of those in /proc that may have nothing to say
    if len(text) > SIDECAR_BYTES:
        raise OSError(errno.EFBIG, f"is longer than {SIDECAR_BYTES:,} bytes and so no sidecar", str(file))
    return text


def _parse(text: bytes) -> list[PlanInfo]:
    fields = json.loads(text)
    infos = [_info(fields)]
    return infos + [_info(fields["before"])] if "before" in fields else infos


def _info(fields: Any) -> PlanInfo:
    if not isinstance(fields, dict):
        raise ValueError(f"it is a JSON {type(fields).__name__}, not an object")
    for field in dataclasses.fields(PlanInfo):
        if field.name not in fields:
            raise ValueError(f"it has no field {field.name!r}")
        value = fields[field.name]
        if not (isinstance(value, _KINDS.get(field.name, str)) or (value is None and "None" in field.type)):
            raise ValueError(f"its field {field.name!r} is {value!r:.100}")
    known = {field.name: fields[field.name] for field in dataclasses.fields(PlanInfo)}  # a later release may know more
    return PlanInfo(**known | {"targets": tuple(known["targets"])})


_KINDS = {"targets": list, "size": int, "options": dict}


def _open(path: Path) -> BinaryIO:
    """Opens the file of a plan. Raises PlanNotFound, PlanDamaged for a folder, device or pipe, and OSError for a file
    that this user must not read."""
    try:
        return open_regular(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last: no file has such a name
        raise PlanNotFound(f"there is no plan {path}: build it and save it there, or correct the path") from None
    except OSError as error:
        if path.is_file():
            raise
        raise PlanDamaged(f"{path} is not a file, so it is no plan") from error


def _what_else(start: bytes) -> str:
    if is_ultralytics(start):
        return (
            "it is an Ultralytics engine, where 4 bytes of length and a JSON text stand before the plan. Cut them off: "
            "metadata, plan = ultralytics_plan(path), then Runner(plan, trusted=True) (TRT035)"
        )
    if start[:1] == b"\x08" and kind_of(start) is None:
        return "it may be an ONNX model, of which build_plan(parse_onnx(path)) makes one"
    return f"it begins with {start[:16]!r}, not with b'ftrt' or b'vtrt'"


_HEADER_BYTES = 64
# The magic of a plan: the flavour that writes it, how many numbers its version has, and whether it names targets.
_MAKERS = {b"ftrt": ("tensorrt", 3, False), b"vtrt": ("tensorrt_rtx", 4, True)}
_TARGETS = {0: "SM75", 1: "SM80", 2: "SM86", 3: "SM89", 4: "SM120", 5: "SM121"}  # bit -> compute capability


def _parse_header(label: str, start: bytes, length: int) -> PlanHeader:
    """Reads the header in ``start``, the first bytes of a plan with ``length`` bytes; errors call it ``label``."""
    if length == 0:
        raise PlanDamaged(f"{label} is empty (0 bytes): build or copy it again")
    magic = start[:4]
    if magic not in _MAKERS:
        raise PlanDamaged(f"{label} is not a TensorRT plan: {_what_else(start)}")
    if min(length, len(start)) < _HEADER_BYTES:  # of a file that is written to meanwhile, less may have been read
        raise PlanDamaged(f"{label} is cut off within its header, after {length} bytes: build or copy it again")
    (size,) = struct.unpack_from("<Q", start, 16)
    if size != length:
        raise PlanDamaged(f"{label} is {length:,} bytes long, but its header says {size:,}: build or copy it again")
    flavour, numbers, has_targets = _MAKERS[magic]
    version = ".".join(map(str, start[24 : 24 + numbers]))
    (mask,) = struct.unpack_from("<I", start, 32)
    # A bit without a name is a target that this library's enum does not show; a plan for all of them has one.
    targets = [_TARGETS.get(bit, f"bit {bit}") for bit in range(32) if has_targets and mask >> bit & 1]
    return PlanHeader(flavour, size, version, tuple(targets))
