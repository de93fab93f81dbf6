"""Files that are written whole or not at all (chapter 06). Standard library only.

>>> write_atomically("settings.json", b"{}")
>>> Path("settings.json").read_text()
'{}'
"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

ABANDONED = 600.0  # seconds without a write after which an unfinished file belongs to a process that was killed


def write_atomically(path: str | os.PathLike, data: bytes) -> None:
    """Writes the file under another name beside it, then renames: whoever reads sees the old or the new, never half.

    Makes the folder if need be. Raises OSError, and then leaves what was there before, and nothing else.
    """
    write_together({Path(path): data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Writes several files that belong together: all are on the disk before the first of them gets its name.

    Raises OSError, and then leaves what was there before, and nothing else. Only a crash between the renames can leave
    new beside old, so files that belong together should be able to tell (a plan's sidecar holds its checksum).
    """
    staged: dict[Path, Path] = {}
    replaced: dict[Path, Path | None] = {}  # what was there before, under another name
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            staged[path] = temporary = _temporary(path)
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in staged.items():
            old = _second_name(path)
            try:
                os.replace(temporary, path)
            except BaseException:
                _unlink(old)
                raise
            replaced[path] = old
    except BaseException:  # Ctrl-C too
        for path, old in replaced.items():
            if old is None:
                _unlink(path)
            else:
                with contextlib.suppress(OSError):  # the error that brought us here is the one to tell
                    os.replace(old, path)
        for temporary in staged.values():
            _unlink(temporary)
        raise
    for path, old in replaced.items():
        _unlink(old)
        _sweep(path)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")


def _second_name(path: Path) -> Path | None:
    """Another name for the file, so that it outlives what replaces it; None if there is no such file."""
    second = _temporary(path)
    try:
        os.link(path, second)
    except FileNotFoundError:
        return None
    except OSError:  # a file system without links; for a folder this raises
        shutil.copyfile(path, second)
    return second


def _unlink(path: Path | None) -> None:
    if path is not None:
        with contextlib.suppress(OSError):
            path.unlink()


def _sweep(path: Path) -> None:
    """A process that is killed cannot clean up: the next one that writes the same file does."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()
