"""Writes files whole or not at all, locks their folders, and reads only what is a file (chapter 06).

Standard library only.

>>> write_atomically("settings.json", b"{}")
>>> Path("settings.json").read_text()
'{}'
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

ABANDONED = 600.0  # seconds without a write after which an unfinished file belongs to a process that was killed
_BINARY = getattr(os, "O_BINARY", 0)


def write_atomically(path: str | os.PathLike, data: bytes) -> None:
    """Writes the file under another name beside it, then renames: whoever reads sees the old or the new, never half.

    Makes the folder if need be. A file that is replaced keeps its permissions. A link is replaced itself, and what it
    leads to stays as it is: a link that somebody put there sends no data elsewhere.
    Raises OSError, also for a folder, device or pipe in its place, and then leaves everything as it was.
    """
    with staged(Path(path), data) as part:
        os.replace(part, path)


def write_together(files: Mapping[Path, bytes]) -> None:
    """Writes several files as :func:`write_atomically` does, all of them or none.

    All are on the disk before the first gets its name. Raises OSError, and then leaves the files as they were. Only a
    kill can leave new beside old.
    """
    with contextlib.ExitStack() as stack:
        parts = {path: stack.enter_context(staged(path, data)) for path, data in files.items()}
        before = {path: stack.enter_context(staged(path, path.read_bytes())) for path in parts if path.exists()}
        try:
            for path, part in parts.items():
                os.replace(part, path)
        except BaseException:  # Ctrl-C too
            done = [path for path, part in parts.items() if not part.exists()]
            for path in done if len(done) < len(parts) else ():
                with contextlib.suppress(OSError):  # the error that brought us here is the one to tell
                    os.replace(before[path], path) if path in before else path.unlink()
            raise


@contextlib.contextmanager
def staged(path: Path, data: bytes) -> Iterator[Path]:
    """Brings the data onto the disk under another name beside ``path``, which the block gives it by os.replace.

    Makes the folder, and deletes first what killed processes left when they wrote the same file. Raises OSError, also
    for a folder, device or pipe at ``path``. What has not been renamed at the end of the block is deleted.
    """
    mode = _mode(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)  # before writing: if the disk is full, it is full of these
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666 if mode is None else mode)
    try:
        with open(handle, "wb") as file:
            if mode is not None and os.name == "posix":
                with contextlib.suppress(OSError):  # a file system without permissions
                    os.fchmod(handle, mode)  # gives back what the umask took away
            file.write(data)
            file.flush()
            os.fsync(handle)
        yield part
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


@contextlib.contextmanager
def locked(path: Path, seconds: float = 10.0) -> Iterator[None]:
    """Keeps all others who ask for this, processes and threads, from the folder of ``path`` during the block.

    Raises TimeoutError, an OSError that names ``path``, if that takes longer. Where folders cannot be locked (Windows,
    some network file systems) this does nothing, and two who write at the same moment may mix their files.
    """
    folder = _lock(path, time.monotonic() + seconds)
    try:
        yield
    finally:
        if folder is not None:
            fcntl.flock(folder, fcntl.LOCK_UN)  # a process that was forked meanwhile would keep it locked
            os.close(folder)


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Opens a file for reading in binary. Raises OSError, also for a folder, device, pipe or socket.

    A pipe would keep us waiting for ever, and some devices have no end. What is opened is what is looked at, so nobody
    can exchange it in between.
    """
    handle = os.open(path, os.O_RDONLY | _BINARY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    try:
        _require_file(path, os.fstat(handle))
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _mode(path: Path) -> int | None:
    """Returns the permissions of the file that is to be replaced; None where there is none, or a link."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    _require_file(path, status)
    return None if path.is_symlink() else status.st_mode & 0o777


def _require_file(path: str | os.PathLike, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder and not a file", os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is a device, pipe or socket and not a file", os.fspath(path))


def _sweep(path: Path) -> None:
    """Deletes what killed processes left, which could not clean up, when they wrote the same file."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}\.part")
    with contextlib.suppress(OSError):
        for left in path.parent.iterdir():
            if ours.fullmatch(left.name):
                status = left.lstat()
                if stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > ABANDONED:
                    left.unlink()


def _lock(path: Path, until: float) -> int | None:
    """Returns the folder of ``path``, open and locked; None where that cannot be."""
    if fcntl is None:
        return None
    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError:
        return None
    try:
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return folder
            except BlockingIOError:
                if time.monotonic() >= until:
                    what = "not written, because another process keeps its folder locked"
                    raise TimeoutError(errno.ETIMEDOUT, what, str(path)) from None
            time.sleep(0.005)
    except BaseException as error:
        os.close(folder)
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            return None  # this file system has no locks
        raise
