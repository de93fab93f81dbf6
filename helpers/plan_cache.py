"""Keeps plans in a cache, found by everything that went into them: built once, loaded ever after (chapter 06).

>>> cache = PlanCache("plans", limit=1 << 30)
>>> cache.size()
0
>>> plan = cache.get_or_build("lenet.onnx", {"flags": []}, lambda: build_plan(network))  # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import trust
from .atomic import ABANDONED
from .device import gpus
from .model_files import model_sha256
from .plan import PlanDamaged, PlanError, load_plan, plain_options, plan_bytes, save_plan
from .trt import FLAVOUR, VERSION

SCHEMA = 2  # raise it when entries of an earlier release must not be found any more
_ENTRY = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{64}\.[0-9a-f]{16}\.part")  # an entry, or one that is being written
_log = logging.getLogger(__name__)


class PlanCache:
    """A folder of plans that never grows beyond ``limit`` bytes; those not used for longest go first.

    ``folder`` is by default the user's own cache folder. Several processes may use the same one. A plan that is damaged
    or that somebody else put into it is never returned: it is built again, and the reason is logged.
    """

    def __init__(self, folder: str | os.PathLike | None = None, limit: int = 4 << 30):
        if not isinstance(folder, (str, os.PathLike, type(None))):
            raise TypeError(f"folder={folder!r:.80}: give the path of a folder")
        if not hasattr(limit, "__index__"):
            raise TypeError(f"limit={limit!r:.80}: give a whole number of bytes; 1 << 30 is 1 GiB")
        self.folder = Path(folder) if folder is not None else trust.user_folder("XDG_CACHE_HOME", ".cache") / "plans"
        self.limit = limit

    def key(self, source: str | os.PathLike | bytes, options: Any = None) -> str:
        """Returns the SHA-256 over all that decides about a plan: the model with its external data, the options,
        TensorRT and the GPU, as 64 hexadecimal digits.

        Raises FileNotFoundError for a missing model, ValueError for one that names files outside its folder, and
        TypeError for options that are not plain data.
        """
        gpu = (gpus()[0].name, gpus()[0].compute_capability) if gpus() else None
        everything = [SCHEMA, model_sha256(source), plain_options(options), FLAVOUR, VERSION, gpu]
        return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()

    def get_or_build(self, source: str | os.PathLike | bytes, options: Any, build: Callable[[], bytes]) -> bytes:
        """Returns the plan for a model (a file, or bytes) and options (a dataclass or mapping), from the cache or from
        ``build()``, whose exceptions pass through. What it builds counts as built here (``helpers.trust``).

        Raises TypeError or PlanError if ``build`` returns no plan, and what :meth:`key` raises. A cache that cannot be
        written costs a warning in the log, not the plan.
        """
        if not callable(build):
            raise TypeError(f"build is {type(build).__name__}: give a function, such as lambda: build_plan(network)")
        key = self.key(source, options)
        plan = self._load(key)
        if plan is not None:
            return plan
        plan = plan_bytes(build())
        trust.remember(plan)
        trust.remember(_bond(key, plan))
        self._store(key, plan, options)
        return plan

    def size(self) -> int:
        """Returns how much the cache takes on the disk, in bytes."""
        return sum(_size(entry) for entry in self._entries())

    def clear(self) -> None:
        """Deletes all plans of the cache, and nothing else in its folder."""
        for entry in self._entries():
            _remove(entry)

    def _load(self, key: str) -> bytes | None:
        entry = self.folder / key
        try:
            there = entry.lstat()
        except OSError:
            return None
        try:
            if not stat.S_ISDIR(there.st_mode):
                raise PlanDamaged(f"{entry} is not a folder")
            plan = load_plan(entry / "engine.plan")
            if not trust.is_trusted(_bond(key, plan)):
                raise PlanError(f"{entry} holds a plan that was built for another model or with other options")
        except (PlanError, OSError) as error:
            _log.warning("a cached plan is not used, but built again: %s", error)
            _remove(entry)
            return None
        try:
            os.utime(entry)  # used just now; plans are evicted by this time
        except OSError:
            _log.debug("%s was evicted by another process, or cannot be written", entry)
        return plan

    def _store(self, key: str, plan: bytes, options: Any) -> None:
        # Plan and sidecar are written into a folder of their own, which is then renamed: nobody sees one without the
        # other. Renaming fails where another process was faster; its plan is as good as this one.
        if len(plan) > self.limit:
            _log.warning("a plan of %d bytes is not kept: the cache may hold %d", len(plan), self.limit)
            return
        self._evict()  # before writing: a full disk may be full of what killed processes left here
        unfinished = self.folder / f".{key}.{secrets.token_hex(8)}.part"
        try:
            save_plan(unfinished / "engine.plan", plan, options=options)
            os.rename(unfinished, self.folder / key)
        except (OSError, ValueError) as error:
            if self._load(key) is None:
                _log.warning("the plan was built, but could not be kept in the cache: %s", error)
        finally:
            _remove(unfinished)
        self._evict()

    def _evict(self) -> None:
        entries = sorted((_used(entry), _size(entry), entry) for entry in self._entries())
        total = sum(size for _, size, _ in entries)
        for used, size, entry in entries:
            abandoned = entry.name.endswith(".part") and time.time() - used > ABANDONED
            if abandoned or (total > self.limit and not entry.name.endswith(".part")):
                _remove(entry)
                total -= size

    def _entries(self) -> list[Path]:
        return [entry for entry in self.folder.glob("*") if _ENTRY.fullmatch(entry.name)]


def _bond(key: str, plan: bytes) -> bytes:
    """Returns what is noted as built here beside the plan itself: that it was built for this key. A file in the cache
    could say so too, but whoever can exchange two entries can exchange such files as well."""
    return f"{key} {trust.sha256(plan)}".encode()


def _remove(entry: Path) -> None:
    """Deletes a folder with what is in it, or a file. Of a link only the link itself: what it leads to is not ours."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            entry.unlink()


def _used(entry: Path) -> float:
    try:
        return entry.lstat().st_mtime
    except OSError:  # evicted by another process meanwhile
        return 0.0


def _size(entry: Path) -> int:
    try:
        status = entry.lstat()
        if stat.S_ISDIR(status.st_mode):
            return sum(file.lstat().st_size for file in entry.iterdir())
        return status.st_size
    except OSError:
        return 0
