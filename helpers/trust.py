"""Keeps the user's own list of plans that were built here (chapter 06). Standard library only.

A plan is executable code, and a sidecar that travels with it can be forged. So the SHA-256 of every plan that
``build_plan`` makes is noted in a file of the user's, outside any project; loading asks whether a plan is on that list.
Also makes the user's own folders for such files.

>>> is_trusted(b"the plan of a stranger")
False
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import sys
from pathlib import Path

LIMIT = 16 << 20  # bytes of the list, enough for a quarter of a million plans
_LINE = re.compile(r"(-?)([0-9a-f]{64})")
_OPEN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_warned: set[str] = set()


def state_folder() -> Path:
    """Returns the folder for what belongs to this user: $WORKBOOK_STATE, or the platform's place for state.

    Raises RuntimeError for a user without a home directory, and for a relative $WORKBOOK_STATE.
    """
    return user_folder("XDG_STATE_HOME", ".local/state")


def make_state_folder() -> Path:
    """Makes the state folder if need be, for this user alone whatever the umask is, and returns it.

    Whoever writes into it makes it with this. Raises OSError, and RuntimeError as :func:`state_folder` does.
    """
    folder = state_folder()
    # Missing parents too, as the XDG specification has it: who can write one of them can exchange what lies below.
    for place in (*reversed(folder.parents), folder):
        if not place.is_dir():
            place.mkdir(mode=0o700, exist_ok=True)
    return folder


def user_folder(variable: str, default: str) -> Path:
    """Returns $WORKBOOK_STATE if set; else ``tensorrt-workbook`` in LOCALAPPDATA (Windows), in the folder that the XDG
    ``variable`` names, or in ``default`` below the home directory.

    Raises RuntimeError for a user without a home directory, and for a relative $WORKBOOK_STATE: that would take the
    list of plans built here from whatever the current folder is.
    """
    chosen = os.environ.get("WORKBOOK_STATE")
    if chosen:
        if not os.path.isabs(chosen):
            raise RuntimeError(f"WORKBOOK_STATE is the relative path {chosen!r}: set it to an absolute one")
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "tensorrt-workbook"
    named = os.environ.get(variable, "")
    # A relative one would trust whatever lies in the current folder; the XDG specification says to ignore it.
    return Path(named if os.path.isabs(named) else Path.home() / default) / "tensorrt-workbook"


def path() -> Path:
    """Returns the path of the list. Raises RuntimeError as :func:`state_folder` does.

    Each line has one SHA-256, with "-" before it where a plan was forgotten; the last line counts. (It is that of a
    plan, or of what a cache notes about one: see ``helpers.plan_cache``.)
    """
    return state_folder() / "plans-built-here.txt"


def sha256(plan: bytes) -> str:
    """Returns the SHA-256 of a plan, as 64 hexadecimal digits."""
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
    """Returns True if this very plan, given as its bytes or its SHA-256, was built here by this user.

    If the list cannot be used, no plan counts as built here, and a warning is logged once.
    """
    try:
        return (plan if isinstance(plan, str) else sha256(plan)) in _listed(_read())
    except (OSError, RuntimeError) as error:
        _warn(f"the list of plans built here cannot be used ({error}): no plan counts as built here")
        return False


def forget(plan: bytes | str) -> None:
    """Takes a plan, given as its bytes or its SHA-256, off the list.

    Raises OSError if the list cannot be read or written, and RuntimeError as :func:`state_folder` does.
    """
    digest = plan if isinstance(plan, str) else sha256(plan)
    text = _read()
    if digest in _listed(text):
        _append(f"-{digest}", text)


def _read() -> str:
    try:
        with open(_open(os.O_RDONLY), "rb") as file:
            text = file.read(LIMIT + 1)
    except FileNotFoundError:
        return ""
    if len(text) > LIMIT:
        raise OSError(f"{path()} is longer than {LIMIT:,} bytes: delete it, or keep the last part of it")
    return text.decode("ascii", "replace")


def _open(flags: int) -> int:
    """Opens the list, and only if nobody else can have a hand in it: as with ssh's keys, what others can write, or put
    another file in the place of, proves nothing. Raises PermissionError that says what others can do."""
    _check_folder(path().parent)
    try:
        handle = os.open(path(), flags | _OPEN, 0o600)
    except OSError:
        if path().is_symlink():
            raise PermissionError(f"{path()} is a link, to whatever file: delete it") from None
        raise
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise PermissionError(f"{path()} is not a file: delete it")
        _check_owner(path(), status)
        if os.name == "posix" and status.st_mode & 0o022:
            raise PermissionError(f"others can write {path()}: delete it, or chmod 600 if you trust what it says")
        return handle
    except BaseException:
        os.close(handle)
        raise


def _check_folder(folder: Path, holds_the_list: bool = True) -> None:
    """Raises PermissionError if others can exchange the folder or what lies in it. Its parents count up to the home
    directory (what lies above is the administrator's), and so do the folders that a link on the way leads through."""
    if os.name != "posix":
        return
    home = os.path.expanduser("~")
    os.stat(folder)  # a FileNotFoundError, or links that lead in a circle
    for place in (folder, *folder.parents):
        status = os.lstat(place)
        _check_owner(place, status)
        # In a sticky folder, such as /tmp, others can add but not exchange what is ours. They must not add a list.
        sticky = status.st_mode & stat.S_ISVTX and not (holds_the_list and place == folder)
        if stat.S_ISLNK(status.st_mode):
            _check_folder(place.parent / os.readlink(place), holds_the_list and place == folder)
        elif _others_can_write(status) and not sticky:
            raise PermissionError(f"others can write in {place}: chmod go-w, if you trust what lies in it")
        if str(place) in (home, os.path.realpath(home)):
            break


def _check_owner(place: Path, status: os.stat_result) -> None:
    if os.name == "posix" and status.st_uid not in (os.geteuid(), 0):
        raise PermissionError(f"{place} belongs to another user: delete it, or set WORKBOOK_STATE to a folder of yours")


def _others_can_write(status: os.stat_result) -> bool:
    return bool(status.st_mode & 0o002 or (status.st_mode & 0o020 and not _is_our_own(status.st_gid)))


def _is_our_own(group: int) -> bool:
    """Returns whether the user (or root) alone is in the group. Debian, Ubuntu and Fedora give every user such a group,
    and often a umask with which new folders can be written by it: that lets nobody in. (OpenSSH on Debian does so too.)
    """
    import grp
    import pwd

    try:
        us = {"root", pwd.getpwuid(os.geteuid()).pw_name}
        members = {*grp.getgrgid(group).gr_mem, *(user.pw_name for user in pwd.getpwall() if user.pw_gid == group)}
    except KeyError:  # a user or a group without an entry, as in some containers: nobody can say who else is in it
        return False
    return bool(members) and members <= us


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
    make_state_folder()
    handle = _open(os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        if os.write(handle, record) != len(record):
            raise OSError(f"{path()} could not be written: the disk is full")
    finally:
        os.close(handle)


def _warn(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        logging.getLogger(__name__).warning(message)
