"""The timing cache in a file: the next build of the same layers on the same GPU times fewer tactics (chapter 11).

>>> config = trt.Builder(get_logger()).create_builder_config()
>>> use_timing_cache(config, "no such file")  # before the build; after it: save_timing_cache
False
"""

from __future__ import annotations

import os
from pathlib import Path

from .atomic import write_atomically
from .logger import get_logger
from .trt import has, trt


def use_timing_cache(config: trt.IBuilderConfig, path: str | os.PathLike) -> bool:
    """Gives the config what the file holds, or an empty cache if there is no such file or TensorRT refuses it.

    TensorRT refuses, with a logged error, what another release or GPU wrote. Returns whether the file was used; does
    nothing where TensorRT times no tactics (RTX), see the capability ``timing_cache``.
    """
    if not has("timing_cache"):
        return False
    kept = Path(path).read_bytes() if Path(path).is_file() else b""
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
