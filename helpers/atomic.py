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

    A full disk thus leaves the old ones as they were. Only a crash between the renames can leave new beside old, so
    files that belong together should be able to tell (a plan's sidecar holds its checksum). Raises OSError.
    """
    staged: dict[Path, Path] = {}
    added: list[Path] = []
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            staged[path] = temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in staged.items():
            existed = path.exists()
            os.replace(temporary, path)
            if not existed:
                added.append(path)
    except BaseException:  # Ctrl-C too
        for written in [*staged.values(), *added]:
            with contextlib.suppress(OSError):
                os.unlink(written)
        raise
    for path in files:
        _sweep(path)


def _sweep(path: Path) -> None:
    """A process that is killed cannot clean up: the next one that writes the same file does."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()
