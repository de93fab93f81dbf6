"""The user's own list of plans that were built here (chapter 06). Standard library only.

A plan is executable code, and a sidecar that travels with it can be forged. So the SHA-256 of every plan that
``build_plan`` makes is noted in a file of the user's, outside any project; loading asks here.

>>> is_trusted(b"the plan of a stranger")
False
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
from pathlib import Path

_LINE = re.compile(r"(-?)([0-9a-f]{64})")
_warned: set[str] = set()


def state_folder() -> Path:
    """Where the workbook keeps what belongs to this user: $WORKBOOK_STATE, or the platform's place for state.

    Raises RuntimeError for a user without a home directory.
    """
    return user_folder("XDG_STATE_HOME", ".local/state")


def user_folder(variable: str, default: str) -> Path:
    """$WORKBOOK_STATE if set; else ``tensorrt-workbook`` in LOCALAPPDATA (Windows), in the folder that the XDG
    ``variable`` names, or in ``default`` below the home directory. Raises RuntimeError where there is no home."""
    chosen = os.environ.get("WORKBOOK_STATE")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "tensorrt-workbook"
    named = os.environ.get(variable, "")
    # A relative one would trust whatever lies in the current folder; the XDG specification says to ignore it.
    return Path(named if os.path.isabs(named) else Path.home() / default) / "tensorrt-workbook"


def path() -> Path:
    """The list itself: one SHA-256 in a line, "-" before it where a plan was forgotten; the last line counts."""
    return state_folder() / "plans-built-here.txt"


def sha256(plan: bytes) -> str:
    """The SHA-256 of a plan, as 64 hexadecimal digits."""
    return hashlib.sha256(plan).hexdigest()


def remember(plan: bytes) -> str:
    """Notes that this plan was built here and returns its SHA-256.

    If the list cannot be written the build is not lost: a warning is logged once, and loading needs ``trusted=True``.
    """
    digest = sha256(plan)
    try:
        text = _read()
        if digest not in _listed(text):
            _append(digest, text)
    except (OSError, RuntimeError) as error:
        _warn(f"this plan could not be noted as built here ({error}): loading it will need trusted=True")
    return digest


def is_trusted(plan: bytes | str) -> bool:
    """True if this very plan, given as its bytes or its SHA-256, was built here by this user."""
    try:
        return (plan if isinstance(plan, str) else sha256(plan)) in _listed(_read())
    except (OSError, RuntimeError) as error:
        _warn(f"the list of plans built here cannot be used ({error}): no plan counts as built here")
        return False


def forget(plan: bytes | str) -> None:
    """Takes a plan, given as its bytes or its SHA-256, off the list. Raises OSError if the list cannot be written."""
    digest = plan if isinstance(plan, str) else sha256(plan)
    text = _read()
    if digest in _listed(text):
        _append(f"-{digest}", text)


def _read() -> str:
    try:
        with open(path(), "rb") as file:
            # As ssh does with its keys: what others can write proves nothing.
            status = os.fstat(file.fileno())
            if os.name == "posix" and status.st_uid not in (os.geteuid(), 0):
                raise PermissionError(f"{path()} belongs to another user: delete it, or set WORKBOOK_STATE")
            if os.name == "posix" and status.st_mode & 0o022:
                raise PermissionError(f"others can write {path()}: delete it, or chmod 600 if you trust what it says")
            return file.read().decode("ascii", "replace")
    except FileNotFoundError:
        return ""


def _listed(text: str) -> set[str]:
    listed: set[str] = set()
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found:
            minus, digest = found.groups()
            (listed.discard if minus else listed.add)(digest)
    return listed


def _append(line: str, text: str) -> None:
    # One short write to a file opened for appending, so that several processes may do this at once. (Where appending
    # is not atomic, as on Windows or NFS, a line may get lost; then a plan has to be built again, no more.)
    cut = text and not text.endswith("\n")  # an earlier line was cut short by a full disk; empty lines do no harm
    record = (("\n" if cut else "") + line + "\n").encode()
    path().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path(), os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    try:
        if os.write(handle, record) != len(record):
            raise OSError(f"{path()} could not be written: the disk is full")
    finally:
        os.close(handle)


def _warn(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        logging.getLogger(__name__).warning(message)
