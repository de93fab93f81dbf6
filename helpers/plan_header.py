"""The header of a plan: what can be known of it before any TensorRT reads it (chapter 06). Standard library only.

>>> read_header(b"<html>")
Traceback (most recent call last):
PlanDamaged: the plan is not a TensorRT plan: it begins with b'<html>', not with b'ftrt' or b'vtrt'
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .atomic import open_regular

MAGIC = {b"ftrt": "tensorrt", b"vtrt": "tensorrt_rtx"}
HEADER_BYTES = 64
RTX_TARGETS = {1: "SM75", 2: "SM80", 4: "SM86", 8: "SM89", 16: "SM120", 32: "SM121"}


class PlanError(ValueError):
    """A plan cannot be used as it is; the message names the file, what is wrong, and what to do."""


class PlanNotFound(PlanError, FileNotFoundError):
    """There is no such file."""


class PlanDamaged(PlanError):
    """The bytes are not those that were saved, or no plan at all, or the sidecar does not belong to them."""


@dataclass(frozen=True)
class PlanHeader:
    """What a plan says of itself: the ``flavour`` and ``version`` of the library that made it, its ``size`` in bytes,
    and for RTX the ``targets`` that it can run on, such as ("SM86", "SM89")."""

    flavour: str
    size: int
    version: str
    targets: tuple[str, ...]


def read_header(plan: bytes | str | os.PathLike) -> PlanHeader:
    """Reads the header of a plan, given as a file or as bytes (or any buffer). Needs no GPU.

    NVIDIA does not document the header. This layout was found by comparing plans and may change with any release:
    4 bytes magic; at 16 the size (u64); at 24 the version, a byte each; at 32, for RTX, a bit for each target (u32).
    Raises PlanDamaged for what is empty, no plan, or not as long as it says, and PlanNotFound.
    """
    if isinstance(plan, (str, os.PathLike)):
        with open_plan(Path(plan)) as file:
            return parse_header(str(plan), file.read(HEADER_BYTES), os.fstat(file.fileno()).st_size)
    view = memoryview(plan).cast("B")
    return parse_header("the plan", view[:HEADER_BYTES].tobytes(), view.nbytes)


def open_plan(path: Path) -> BinaryIO:
    """Opens the file of a plan for reading. Raises PlanNotFound, PlanDamaged for a folder, device or pipe, and OSError
    for a file that this user must not read."""
    try:
        return open_regular(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last: no file has such a name
        raise PlanNotFound(f"there is no plan {path}: build it and save it there, or correct the path") from None
    except OSError as error:
        if path.is_file():
            raise
        raise PlanDamaged(f"{path} is not a file, so it is no plan") from error


def parse_header(label: str, start: bytes, length: int) -> PlanHeader:
    """The header in the first HEADER_BYTES of ``length`` bytes; ``label`` names the plan in errors (PlanDamaged)."""
    if length == 0:
        raise PlanDamaged(f"{label} is empty (0 bytes): build or copy it again")
    magic = start[:4]
    if magic not in MAGIC:
        raise PlanDamaged(f"{label} is not a TensorRT plan: it begins with {start[:16]!r}, not with b'ftrt' or b'vtrt'")
    if min(length, len(start)) < HEADER_BYTES:  # of a file that is written to meanwhile, less may have been read
        raise PlanDamaged(f"{label} is cut off within its header, after {length} bytes: build or copy it again")
    (size,) = struct.unpack_from("<Q", start, 16)
    if size != length:
        raise PlanDamaged(f"{label} is {length:,} bytes long, but its header says {size:,}: build or copy it again")
    rtx = MAGIC[magic] == "tensorrt_rtx"
    version = ".".join(map(str, start[24 : 28 if rtx else 27]))
    (mask,) = struct.unpack_from("<I", start, 32)
    # A bit without a name is a target that this library's enum does not show; a plan for all of them has one.
    targets = [RTX_TARGETS.get(1 << bit, f"bit {bit}") for bit in range(32) if rtx and mask >> bit & 1]
    return PlanHeader(MAGIC[magic], size, version, tuple(targets))
