"""The timing cache in a file: the next build of the same layers on the same GPU times fewer tactics (chapter 11).

>>> config = trt.Builder(get_logger()).create_builder_config()
>>> use_timing_cache(config, "no such file")  # before the build; after it: save_timing_cache
False
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

from .atomic import open_regular, write_atomically
from .logger import get_logger
from .trt import has, trt

LIMIT = 1 << 30  # bytes; those that TensorRT writes are a few MB long


def use_timing_cache(config: trt.IBuilderConfig, path: str | os.PathLike) -> bool:
    """Gives the config what the file holds, or an empty cache if there is no such file or TensorRT refuses it.

    TensorRT refuses, with a logged error, what another release or GPU wrote; a warning names a file that is not even
    read, such as a device, or one of more than 1 GiB. Returns whether the file was used; does
    nothing where TensorRT times no tactics (RTX), see the capability ``timing_cache``.
    """
    if not has("timing_cache"):
        return False
    kept = _read(path)
    with get_logger().capture():
        cache = config.create_timing_cache(kept)
        if kept and cache is not None and config.set_timing_cache(cache, False):
            return True
        config.set_timing_cache(config.create_timing_cache(b""), False)
    return False


def save_timing_cache(config: trt.IBuilderConfig, path: str | os.PathLike) -> None:
    """Writes what the config's timing cache holds after a build, atomically. Raises OSError."""
    cache = config.get_timing_cache() if has("timing_cache") else None
    if cache is not None:
        write_atomically(Path(path), bytes(cache.serialize()))


def _read(path: str | os.PathLike) -> bytes:
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > LIMIT:
                raise OSError(errno.EFBIG, f"is longer than {LIMIT:,} bytes", os.fspath(path))
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as error:
        logging.getLogger(__name__).warning("the timing cache is not used: %s", error)
        return b""
