"""Plans as files: saved whole or not at all, described by a sidecar, and checked before they are used (chapter 06)."""

from __future__ import annotations

import dataclasses
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from . import trust
from .atomic import write_atomically
from .device import gpus
from .trt import FLAVOUR, VERSION

# NVIDIA does not document the header; this layout was found by comparing plans (chapter 06).
MAGIC = {b"ftrt": "tensorrt", b"vtrt": "tensorrt_rtx"}
HEADER_BYTES = 40
RTX_TARGETS = {1: "SM75", 2: "SM80", 4: "SM86", 8: "SM89", 16: "SM120", 32: "SM121"}


class PlanError(ValueError):
    """A plan cannot be used as it is; the message names the file, what is wrong, and what to do."""


class PlanDamaged(PlanError):
    """The bytes are not those that were saved, or no plan at all."""


class PlanMismatch(PlanError):
    """The plan was made for something else. ``field`` says what, ``plan`` what it has, ``here`` what is needed."""

    def __init__(self, label: str, field: str, plan: Any, here: Any):
        self.field, self.plan, self.here = field, plan, here
        super().__init__(f"{label}: its {field} is {plan}, but here it is {here}: build it again")


class PlanUntrusted(PlanError):
    """The plan was not built here, and nobody said that it can be trusted."""


@dataclass(frozen=True)
class PlanHeader:
    """What a plan says of itself: ``flavour`` and ``version`` of the library that made it, its ``size`` in bytes, and
    for RTX the ``targets`` that it has kernels for, such as ("SM86", "SM89")."""

    flavour: str
    size: int
    version: str
    targets: tuple[str, ...]


@dataclass(frozen=True)
class PlanInfo:
    """The sidecar of a plan: which TensorRT made it, for which GPU, from what, with which options, and its SHA-256.

    ``gpu`` and ``compute_capability`` ("9.0") are None for a plan that was built ahead of time, without a GPU.
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


def read_header(plan: bytes | str | os.PathLike) -> PlanHeader:
    """Reads the header of a plan, given as bytes or as a file. Needs neither a GPU nor TensorRT.

    Raises PlanDamaged for what is empty, no plan, or not as long as it says, and FileNotFoundError.
    """
    label = "the plan"
    if isinstance(plan, (str, os.PathLike)):
        label, plan = str(plan), Path(plan).read_bytes()
    if len(plan) < HEADER_BYTES:
        raise PlanDamaged(f"{label} is {len(plan)} bytes long, too short for a plan: build or copy it again")
    magic = bytes(plan[:4])
    if magic not in MAGIC:
        raise PlanDamaged(f"{label} is not a TensorRT plan: it begins with {magic!r} instead of b'ftrt' or b'vtrt'")
    (size,) = struct.unpack_from("<Q", plan, 16)
    if size != len(plan):
        raise PlanDamaged(f"{label} is {len(plan):,} bytes long but says {size:,}: copy or build it again")
    flavour = MAGIC[magic]
    rtx = flavour == "tensorrt_rtx"
    version = ".".join(str(byte) for byte in plan[24 : 28 if rtx else 27])
    (mask,) = struct.unpack_from("<I", plan, 32)
    targets = tuple(name for bit, name in RTX_TARGETS.items() if rtx and mask & bit)
    return PlanHeader(flavour, size, version, targets)


def sidecar(path: str | os.PathLike) -> Path:
    """Where the sidecar of a plan lies: beside it, with ``.json`` added to its name."""
    return Path(f"{os.fspath(path)}.json")


def save_plan(
    path: str | os.PathLike, plan: bytes, *, source: str | os.PathLike | None = None, options: Any = None
) -> PlanInfo:
    """Writes a plan and its sidecar, each whole or not at all, and returns what the sidecar says.

    ``source`` is the model that the plan was built from, ``options`` a dataclass or mapping, such as BuildOptions.
    Raises TypeError if ``plan`` is no bytes (a failed build gives None), PlanDamaged if they are no plan, and OSError.
    """
    if plan is None:
        raise TypeError("plan is None: the build failed, and the logger knows why")
    plan = bytes(plan)
    header = read_header(plan)
    gpu = gpus()[0] if gpus() else None
    if dataclasses.is_dataclass(options):
        options = dataclasses.asdict(options)
    info = PlanInfo(
        flavour=header.flavour,
        version=VERSION,
        gpu=gpu and gpu.name,
        compute_capability=gpu and _capability(),
        targets=header.targets,
        size=len(plan),
        sha256=trust.sha256(plan),
        source=None if source is None else Path(source).name,
        source_sha256=None if source is None else trust.sha256(Path(source).read_bytes()),
        options=options,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    # The plan first: if it stops here, the old sidecar's checksum does not fit, and loading says so.
    write_atomically(path, plan)
    write_atomically(sidecar(path), (json.dumps(dataclasses.asdict(info), indent=2) + "\n").encode())
    return info


def load_plan(path: str | os.PathLike, *, trusted: bool = False, source: str | os.PathLike | None = None) -> bytes:
    """Reads a plan after every check that can be made without deserializing it; returns its bytes.

    Checked in this order: the header, the sidecar's size and checksum, the TensorRT and the GPU that it was made for,
    the model if ``source`` is given, and that this user built it here. ``trusted=True`` says that you know where a
    plan from elsewhere comes from; it may then also come without a sidecar.

    Raises FileNotFoundError, PlanDamaged, PlanMismatch or PlanUntrusted.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no plan {path}")
    plan = path.read_bytes()
    header = read_header(path)
    info = _read_sidecar(path, optional=trusted)
    if info is not None:
        if info.size != len(plan) or info.sha256 != trust.sha256(plan):
            raise PlanDamaged(
                f"{path} is not what was saved: its SHA-256 differs from {sidecar(path).name}. Build it again"
            )
        if info.flavour != header.flavour:
            raise PlanDamaged(f"{path} was made by {header.flavour}, but {sidecar(path).name} says {info.flavour}")
    _check_fits(path, header, info)
    if source is not None and info is not None and info.source_sha256 is not None:
        digest = trust.sha256(Path(source).read_bytes())
        if digest != info.source_sha256:
            raise PlanMismatch(str(path), f"source {info.source}", info.source_sha256[:12] + "…", digest[:12] + "…")
    if not (trusted or trust.is_trusted(plan)):
        raise PlanUntrusted(
            f"{path} was not built here by you. A plan is executable code: build it here from the model, or say "
            "trusted=True if you know its source"
        )
    return plan


def _capability() -> str:
    return ".".join(map(str, gpus()[0].compute_capability))


def _check_fits(path: Path, header: PlanHeader, info: PlanInfo | None) -> None:
    # Lean and dispatch runtimes run plans of the full library, also older ones: they judge for themselves.
    label, lean = str(path), FLAVOUR in ("tensorrt_lean", "tensorrt_dispatch")
    if header.flavour != ("tensorrt" if lean else FLAVOUR):
        raise PlanMismatch(label, "flavour", header.flavour, FLAVOUR)
    if not lean and VERSION.split(".")[:2] != header.version.split(".")[:2]:
        raise PlanMismatch(label, "TensorRT version", header.version, VERSION)
    if not gpus():
        return  # nothing can run here, so there is nothing to fit
    if header.targets:
        here = "SM" + _capability().replace(".", "")
        if here not in header.targets:
            raise PlanMismatch(label, "targets", ", ".join(header.targets), here)
    elif info is not None and info.compute_capability is not None:
        compatible = bool(info.options and info.options.get("hardware_compatible"))
        if info.compute_capability != _capability() and not compatible:
            raise PlanMismatch(label, "compute capability", info.compute_capability, _capability())


def _read_sidecar(path: Path, optional: bool) -> PlanInfo | None:
    file = sidecar(path)
    try:
        fields = json.loads(file.read_text())
        return PlanInfo(**(fields | {"targets": tuple(fields["targets"])}))
    except FileNotFoundError:
        if optional:
            return None
        raise PlanDamaged(f"{path} has no {file.name} beside it: copy both, or build it again") from None
    except (ValueError, TypeError, KeyError) as error:
        raise PlanDamaged(f"{file} is not the sidecar of a plan ({error}): build the plan again") from error
