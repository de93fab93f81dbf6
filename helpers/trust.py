"""The user's own list of plans that were built here (chapter 06).

A plan is executable code, and a sidecar that travels with it can be forged. So the SHA-256 of every plan that
``build_plan`` makes is noted in a file of the user's, outside any project; loading asks here. Standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sys
from pathlib import Path


def state_folder() -> Path:
    """Where the workbook keeps what belongs to this user: $WORKBOOK_STATE, or the platform's place for state."""
    chosen = os.environ.get("WORKBOOK_STATE")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "tensorrt-workbook"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "tensorrt-workbook"


def path() -> Path:
    """The list itself: one SHA-256 in a line."""
    return state_folder() / "plans-built-here.txt"


def sha256(plan: bytes) -> str:
    """The SHA-256 of a plan, as 64 hexadecimal digits."""
    return hashlib.sha256(plan).hexdigest()


def remember(plan: bytes) -> str:
    """Notes that this plan was built here and returns its SHA-256.

    If the list cannot be written the build is not lost: a warning is logged, and loading will need ``trusted=True``.
    """
    digest = sha256(plan)
    if digest in _known():
        return digest
    try:
        path().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # One short write to a file opened for appending: several processes may do this at once.
        handle = os.open(path(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, f"{digest}\n".encode())
        finally:
            os.close(handle)
    except OSError as error:
        logging.getLogger(__name__).warning("the plan could not be noted as built here: %s", error)
    return digest


def is_trusted(plan: bytes) -> bool:
    """True if this very plan, to the byte, was built here by this user."""
    return sha256(plan) in _known()


def forget(plan: bytes) -> None:
    """Takes a plan off the list."""
    from .atomic import write_atomically

    kept = _known() - {sha256(plan)}
    write_atomically(path(), "".join(f"{digest}\n" for digest in sorted(kept)).encode())


def _known() -> set[str]:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return set(path().read_text().split())
    return set()
